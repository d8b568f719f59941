"""A published network answers in a process that has none of the libraries that trained it."""

import subprocess
import sys
from typing import Any

import jax
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx

from mastery_jax.core.functional import functional
from mastery_jax.workflow import artifact, publish
from mastery_jax.workflow.experiment import Experiment

ABSENT = (
    "experiments flax optax numpyro sklearn orbax diffrax matplotlib litestar "
    "mastery_jax.core mastery_jax.networks mastery_jax.workflow.publish"
)
READER = f"""
import pathlib, sys, time

start = time.perf_counter()
sys.modules.update(dict.fromkeys({ABSENT.split()!r}))  # importing one of them raises
from mastery_jax.workflow import artifact
assert "jax" not in sys.modules, "the command line lists models without it"
import safetensors.numpy

loaded = artifact.load(pathlib.Path(sys.argv[1]))
x = safetensors.numpy.load_file(sys.argv[2])
safetensors.numpy.save_file(loaded.call("predict", x), sys.argv[3])
print(time.perf_counter() - start)
"""


class Network(nnx.Module):
    """Two layers with a normalization between them, as small as they come."""

    def __init__(self, rngs):
        self.inner = nnx.Linear(5, 16, rngs=rngs)
        self.norm = nnx.BatchNorm(16, rngs=rngs)
        self.outer = nnx.Linear(16, 3, rngs=rngs)

    def __call__(self, x):
        return self.outer(nnx.relu(self.norm(self.inner(x))))


@pytest.mark.engine
def test_a_network_leaves_its_library_behind(tmp_path):
    network = functional(Network)
    params, statistics = network.init(jax.random.key(0))
    x = {"features": np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32)}

    def predict(state, x):
        return {
            "predictions": network.apply(state["params"], state["statistics"], x["features"])[0]
        }

    nothing: Any = None
    state = {"params": params, "statistics": statistics}
    folder = publish.publish(
        tmp_path / "models",
        "network",
        experiment=Experiment(nothing, nothing, nothing, {"predict": predict}, lambda data: data),
        state=state,
        data=x,
        task="regress",
        features=(),
        classes=(),
        metrics={},
        provenance={},
    )
    safetensors.numpy.save_file(x, tmp_path / "x")
    command = [sys.executable, "-W", "error", "-c", READER, folder, tmp_path / "x", tmp_path / "y"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    there = safetensors.numpy.load_file(tmp_path / "y")["predictions"]
    here = artifact.load(folder).call("predict", x)["predictions"]
    np.testing.assert_array_equal(there, here, err_msg="the same program, the same bits")
    np.testing.assert_allclose(there, predict(state, x)["predictions"], rtol=1e-5, atol=1e-6)
