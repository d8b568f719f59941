"""A long computation holds up nobody else, and none is longer than was agreed."""

import asyncio
import time

import httpx
import jax
import numpy as np
import pytest
from litestar.testing import TestClient

from mastery_jax.workflow.artifact import MethodSpec, Tensor
from serving.app import create_app
from serving.engine.method import Method
from serving.settings import Settings
from tests.serving import served
from tests.serving.served import BUCKETS, post

URL = "http://testserver.local"


def _slow(state, x):
    """Take some 10 ms a call."""
    start = x["features"] @ state["w"][:, 0]
    return {"predictions": jax.lax.fori_loop(0, 200_000, lambda _, y: jax.numpy.sin(y), start)}


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    """Serve a model that is slow by its computation, not by the size of its requests."""
    models = tmp_path_factory.mktemp("models")
    served.put(models, "slow", {"predict": _slow})
    settings = Settings(models=models, buckets=BUCKETS, max_seconds=1.0)
    with TestClient(create_app(settings)) as client:
        yield client


def test_the_others_do_not_wait(slow):
    model = slow.app.state.registry.snapshot.models["slow"].default.predictor
    rows = np.tile(served.ROWS[:1], (model.most(0.8), 1)).tolist()

    async def session():
        transport = httpx.ASGITransport(slow.app)
        async with httpx.AsyncClient(transport=transport, base_url=URL) as asked:
            began = time.perf_counter()
            long = asyncio.create_task(asked.post("/predict/batch", json={"features": rows}))
            waits = []
            while not long.done():
                start = time.perf_counter()
                assert (await asked.get("/health")).status_code == 200
                waits.append(time.perf_counter() - start)
                await asyncio.sleep(0.01)
            assert (await long).status_code == 200
            return time.perf_counter() - began, waits

    took, waits = asyncio.run(session())
    assert took > 0.2
    assert len(waits) > 5
    assert max(waits) < took / 4


def test_too_long_a_computation_is_refused(slow):
    most = slow.app.state.registry.snapshot.models["slow"].default.predictor.most(1.0)
    answer = post(slow, "/predict/batch", {"features": [[1, 2, 3]] * (most + 4)})
    assert answer.status_code == 413
    assert answer.json()["detail"].endswith(f"s of work, wanted at most {most}")
    assert post(slow, "/predict/batch", {"features": [[1, 2, 3]] * most}).status_code == 200


def test_time_by_rows():
    floats = Tensor(dtype="float32", shape=(-1,))

    def sleepy(seconds):
        def run(x):
            time.sleep(seconds)
            return x

        return run

    spec = MethodSpec(inputs={"y": floats}, outputs={"y": floats})
    programs = {2: sleepy(0.01), 4: sleepy(0.02)}
    method = Method("m", spec, programs, {"y": np.zeros(1, "f4")})
    assert method.seconds(2) == method.seconds(1) == pytest.approx(0.01, rel=0.5)
    assert method.seconds(9) == pytest.approx(0.05, rel=0.5)
    for limit in (0.005, 0.025, 0.07, 1.0):
        most = method.most(limit)
        assert method.seconds(most) <= limit + 1e-9
        assert method.seconds(most + 1) > limit


def tensor(dtype, *row):
    return Tensor(dtype=dtype, shape=(-1, *row))


@pytest.mark.parametrize(
    ("outputs", "predicts"),
    [
        ({"predictions": tensor("int32")}, True),
        ({"predictions": tensor("float32")}, True),
        ({"predictions": tensor("int32"), "probabilities": tensor("float32", 3)}, True),
        ({"predictions": tensor("bool")}, False),
        ({"predictions": tensor("float32", 2)}, False),
        ({"predictions": tensor("int32"), "probabilities": tensor("float32")}, False),
        ({"predictions": tensor("int32"), "probabilities": tensor("int32", 3)}, False),
        ({"probabilities": tensor("float32", 3)}, False),
    ],
)
def test_what_answers_predict(outputs, predicts):
    spec = MethodSpec(inputs={"features": tensor("float32", 3)}, outputs=outputs)
    golden = {"features": np.zeros((1, 3), "f4")}
    method = Method("m", spec, {2: lambda x: {}}, golden)
    assert method.predicts is predicts
