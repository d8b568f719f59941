"""Batch sizes in which a row has one answer, and those that are left out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mastery_jax.workflow.manifest import MethodSpec, Tensor
from serving.engine import audit
from serving.engine.method import Method
from serving.settings import Settings
from tests.serving import served

ROWS = {"x": np.arange(1.0, 6.0, dtype=np.float32)}
SIZES = (2, 4, 8)


def doubled(x):
    return {"y": 2 * x["x"]}


def rounded(x):
    return {"y": np.nextafter(2 * x["x"], np.float32(np.inf))}


def meddled(x):
    return {"y": x["x"] + x["x"].sum()}


def placed(x):
    return {"y": x["x"] + np.arange(len(x["x"]), dtype=np.float32)}


@pytest.mark.parametrize(
    ("programs", "sizes"),
    [
        ((doubled, doubled, doubled), (2, 4, 8)),
        ((rounded, doubled, doubled), (4, 8)),
        ((rounded, rounded, doubled), (8,)),
        ((doubled, rounded, doubled), (2, 8)),
        ((meddled, doubled, doubled), (4, 8)),
        ((doubled, doubled, meddled), ()),
        ((doubled, doubled, placed), ()),
    ],
)
def test_sizes_that_answer_alike(programs, sizes):
    by_size = dict(zip(SIZES, programs, strict=True))
    assert audit.alike(by_size, ROWS) == sizes


def test_varied_rows_are_near_the_real_ones():
    rows = {"x": np.array([[1.0, -2.0], [0.0, 5e5]], np.float32), "n": np.array([3, 4])}
    found = audit.varied(rows, 5)
    assert {name: array.dtype for name, array in found.items()} == {
        name: array.dtype for name, array in rows.items()
    }
    np.testing.assert_allclose(found["x"], np.resize(rows["x"], (5, 2)), rtol=1.1e-3)
    assert found["n"].tolist() == [3, 4, 3, 4, 3]
    assert len(np.unique(found["x"][:, 1])) == 5


def method(programs):
    tensor = Tensor(dtype="float32", shape=(-1,))
    spec = MethodSpec(inputs={"x": tensor}, outputs={"y": tensor})
    return Method("m", spec, dict(zip(SIZES, programs, strict=True)), ROWS)


def test_a_row_is_padded_to_a_size_that_answers_as_the_larger_ones():
    called = []

    def told(x):
        called.append(len(x["x"]))
        return doubled(x)

    padded = method((rounded, told, told))
    assert padded.is_batched
    called.clear()
    assert padded.run({"x": ROWS["x"][:1]}, 1)["y"].tolist() == [2.0]
    assert called == [4]
    alone = method((doubled, doubled, meddled))
    assert not alone.is_batched
    assert alone.run({"x": ROWS["x"][:1]}, 1)["y"].tolist() == [2.0]


def test_a_size_that_is_dear_for_one_row_is_not_used_for_it(monkeypatch, caplog):
    monkeypatch.setattr("serving.engine.audit.measure", lambda program, x: 1e-3 * len(x["x"]) ** 2)
    alone = method((rounded, rounded, doubled))
    assert not alone.is_batched
    assert "only batches of 8 rows answer alike, which is dear for one row" in caplog.text
    assert alone.seconds(1) == pytest.approx(4e-3)


@pytest.mark.parametrize("width", [3, 4, 64])
def test_the_sizes_that_are_served_answer_alike(tmp_path, width):
    """The program is a small softmax, which XLA computes otherwise in the smallest batches."""
    dice = np.random.default_rng(width)
    w = dice.normal(size=(width, 3)).astype(np.float32)
    x = dice.normal(size=(64, width)).astype(np.float32)
    probabilities = jax.jit(lambda x: {"y": jax.nn.softmax(x["x"] @ w)})

    def compiled(size):
        program = probabilities.lower({"x": jnp.zeros((size, width))}).compile()
        return lambda x: {name: np.asarray(y) for name, y in program(x).items()}

    programs = {size: compiled(size) for size in Settings(models=tmp_path).buckets}
    sizes = audit.alike(programs, audit.varied({"x": x[:8]}, 64))
    assert sizes[-1] == 64
    assert len(sizes) > 2
    whole = programs[64]({"x": x})["y"]
    for size in sizes:
        for start in range(0, 64, size):
            part = programs[size]({"x": x[start : start + size]})["y"]
            np.testing.assert_array_equal(part, whole[start : start + size])


def test_a_small_model_is_batched_by_the_default_sizes(tmp_path):
    served.put(tmp_path, "flower", served.CLASSIFIER, classes=("red", "blue"))
    rows = np.random.default_rng(1).normal(size=(100, 3)).astype(np.float32)
    with served.start(tmp_path, buckets=Settings(models=tmp_path).buckets) as client:
        found = client.app.state.registry.snapshot.models["flower"].default
        assert all(method.is_batched for method in found.methods.values())

        def ask(rows):
            body = {"features": rows.tolist(), "model_id": "flower"}
            return served.post(client, "/predict/batch", body).json()["probabilities"]

        whole = ask(rows)
        for size in (1, 2, 3, 5, 17, 64, 65):
            assert ask(rows[:size]) == whole[:size]
