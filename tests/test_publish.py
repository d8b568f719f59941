"""A version is published whole or not at all, and only if it answers as its function does."""

import itertools
import pathlib
import resource
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mastery_jax.workflow import publish
from mastery_jax.workflow.artifact import ArtifactError, load
from tests.published import ROWS, embed, proba, put


def test_histograms(tmp_path):
    rows = np.random.default_rng(1).normal(size=(1000, 4)).astype(np.float32)
    rows[:, 1] = 2.0
    rows[:, 2] = np.abs(rows[:, 2])
    rows[:450, 2] = 0.0
    rows[0, 3] = np.nan
    methods = {"predict_proba": proba, "embed": embed}
    found = load(put(tmp_path, methods, reference={"features": rows})).manifest.histograms
    assert list(found) == ["features"], "floats only"
    assert [histogram.feature for histogram in found["features"]] == ["a", "b", "c", "d"]
    assert [histogram.missing for histogram in found["features"]] == [0, 0, 0, 1]
    assert [len(histogram.counts) for histogram in found["features"]] == [12, 3, 9, 12]
    for histogram, column in zip(found["features"], rows.T.astype(float), strict=True):
        bounds = (-np.inf, *histogram.edges, np.inf)
        between = [
            np.sum((low < column) & (column <= high)) for low, high in itertools.pairwise(bounds)
        ]
        np.testing.assert_array_equal(histogram.counts, between)
        assert histogram.counts[0] == histogram.counts[-1] == 0, "nothing is outside"


def test_publishers_at_once_take_different_numbers(tmp_path, monkeypatch):
    prove, meet = publish._prove, threading.Barrier(3)

    def prove_together(folder, exports):
        meet.wait(60)  # each has taken the number 1 by now
        prove(folder, exports)

    monkeypatch.setattr(publish, "_prove", prove_together)
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(put(tmp_path, {"embed": embed})))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(path.name for path in found) == ["1", "2", "3"]
    assert {path.name for path in (tmp_path / "toy").iterdir()} == {"1", "2", "3"}
    for path in found:
        assert load(path).manifest.version == int(path.name)


CALLS = itertools.count(1)


def counts_calls(state, x):
    return {"y": x["features"] * next(CALLS)}


def calls_back(state, x):
    like = jax.ShapeDtypeStruct(x["features"].shape, "float32")
    return {"y": jax.pure_callback(lambda a: a, like, x["features"])}


def branches(state, x):
    return {"y": x["features"] if x["features"].shape[0] > 2 else -x["features"]}


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ({}, "the experiment has no methods, so nothing can be served"),
        ({"m": calls_back}, "method m cannot be exported: .*callback"),
        ({"m": branches}, "method m cannot be exported: .*comparison"),
        ({"m": counts_calls}, "m answers its golden rows otherwise"),
        ({"m": lambda s, x: {"y": x["features"] - x["features"].mean()}}, "y of method m depends"),
        ({"m": lambda s, x: {"y": s.params["kernel"]}}, "it reads no field of its rows"),
        ({"m": lambda s, x: x["features"]}, "not with a dict of arrays"),
        ({"m": lambda s, x: {"y": x["features"] @ s.params["bias"]}}, "KeyError: 'bias'"),
        ({"m": lambda s, x: {"y": x["features"] * (1 + 1j)}}, "complex64"),
        ({"../m": embed}, r"'\.\./m' is no name for a method"),
    ],
)
@pytest.mark.engine
def test_methods_that_cannot_be_published(tmp_path, methods, message):
    with pytest.raises(ArtifactError, match=message):
        put(tmp_path / "models", methods)
    assert not list(tmp_path.iterdir()), "nothing is left behind"


def same_names(state, x):
    return {"y": x["features"] * state["a.b"] * state["a"]["b"]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "../up"}, "name is '../up'"),
        ({"name": "toy\n"}, "name is 'toy"),
        ({"name": "x" * 129}, "at most 128"),
        ({"rows": {}}, "example gives dict"),
        ({"rows": {"features": ROWS["features"][:1]}}, "not two rows or more"),
        ({"rows": {**ROWS, "codes": ROWS["codes"][:3]}}, r"codes\[3\]"),
        ({"features": "abc"}, "features has 3 names for 4 columns"),
        ({"classes": "ab"}, "classes has 2 labels, .* predicts the code 2"),
        ({"provenance": {"path": pathlib.Path()}}, "toy: provenance: .*Path"),
        ({"reference": {"speed": [1.0]}}, "reference: speed is no input"),
        ({"reference": {"features": np.zeros((9, 5))}}, r"reference: features has rows of shape"),
    ],
)
def test_arguments_that_do_not_fit(tmp_path, changes, message):
    with pytest.raises(ArtifactError, match=message):
        put(tmp_path / "models", {"predict_proba": proba}, **changes)
    assert not list(tmp_path.iterdir()), "nothing is left behind"


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        (lambda y: y[:, 0], r"one integer a row, and method m gives float32\[-1\]"),
        (lambda y: (y > 0).astype("int32"), r"one integer a row, .* gives int32\[-1, 4\]"),
        (lambda y: y[:, 0].astype("int32") * 0 + 3, "3 labels, and method m predicts the code 3"),
        (lambda y: y[:, 0].astype("int32") * 0 - 1, "3 labels, and method m predicts the code -1"),
    ],
)
def test_predictions_that_are_no_classes(tmp_path, predictions, message):
    def classes(state, x):
        return {"predictions": predictions(x["features"])}

    with pytest.raises(ArtifactError, match=message):
        put(tmp_path, {"m": classes})
    assert load(put(tmp_path, {"m": classes}, classes=())).manifest.classes == ()


def test_complex_parameters(tmp_path):
    state = {"spectrum": jnp.asarray(1j)}
    with pytest.raises(ArtifactError, match="spectrum is complex64, not integer, float or bool"):
        put(tmp_path, {"m": lambda s, x: {"y": x["features"] * s["spectrum"].imag}}, state=state)


def test_leaves_of_one_name(tmp_path):
    state = {"a.b": jnp.float32(1), "a": {"b": jnp.float32(2)}}
    with pytest.raises(ArtifactError, match="two leaves of the state have one and the same name"):
        put(tmp_path, {"m": same_names}, state=state)


def test_a_full_disk(tmp_path):
    models = tmp_path / "models"
    put(models, {"embed": embed})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, limits[1]))
    try:
        with pytest.raises(ArtifactError, match="toy cannot be written: File too large"):
            put(models, {"embed": embed})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in (models / "toy").iterdir()] == ["1"]
    load(models / "toy" / "1")


def test_a_place_that_is_no_folder(tmp_path):
    (tmp_path / "models").write_text("a file")
    with pytest.raises(ArtifactError, match="cannot be written: Not a directory"):
        put(tmp_path / "models", {"embed": embed})
    assert (tmp_path / "models").read_text() == "a file"
