"""A program that never comes back takes nobody with it."""

import gzip
import json
import signal

import httpx
import jax
import pytest

from tests.serving import served
from tests.serving.processes import PATIENCE, running

FOR_EVER = [1e30, 1.0, 1.0]  # beyond it single precision counts no more


def _spin(state, x):
    """Count up to the first feature."""

    def one(features):
        def step(carry):
            return carry[0] + 1.0, jax.numpy.sin(carry[1])

        start = 0.0, features[1] + state["w"][0, 0]
        return jax.lax.while_loop(lambda carry: carry[0] < features[0], step, start)[1]

    return {"predictions": jax.vmap(one)(x["features"])}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    models = tmp_path_factory.mktemp("endless")
    for name in ("spin", "whirl"):
        served.put(models, name, {"predict": _spin})
    served.put(models, "line", served.LINE)
    return models


def ask(server, name, features, **headers):
    body = json.dumps({"features": features, "model_id": name})
    return httpx.post(f"{server.url}/predict", content=body, headers=headers, timeout=PATIENCE)


@pytest.mark.parametrize("kind", ["uvicorn", pytest.param("granian", marks=pytest.mark.slow)])
def test_what_never_ends(models, kind):
    with running(models, "--server", kind, "--no-store") as server:
        server.wait_ready()
        for name in ("spin", "whirl"):
            late = ask(server, name, FOR_EVER, **{"X-Request-Timeout-Ms": "200"})
            assert late.status_code == 504
            assert "before the answer was there" in late.json()["detail"]
        assert httpx.get(f"{server.url}/health", timeout=PATIENCE).status_code == 200
        assert ask(server, "line", [1.0, 2.0, 3.0]).status_code == 200
        tensor = {"name": "features", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}
        packed = httpx.post(
            f"{server.url}/v2/models/line/infer",
            content=gzip.compress(json.dumps({"inputs": [tensor]}).encode()),
            headers={"Content-Encoding": "gzip"},
            timeout=PATIENCE,
        )
        assert packed.status_code == 200, "bodies are read by other threads"
        assert server.stop(signal.SIGTERM) == 0
        assert not server.is_bound()
