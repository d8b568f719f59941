"""A small model for the tests of artefacts: three methods over one nested state."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mastery_jax.workflow import publish
from mastery_jax.workflow.experiment import Experiment

RNG = np.random.default_rng(7)
ROWS = {
    "features": RNG.normal(size=(6, 4)).astype(np.float32),
    "codes": np.arange(6, dtype=np.int32) % 3,
    "seed": np.arange(6, dtype=np.uint32),
}


class State(NamedTuple):
    """What an experiment may hold: nested, with keys, and more than is served."""

    params: Any
    key: Any
    optimizer: Any


STATE = State(
    # Its memory runs the other way round: what a careless writer stores wrongly.
    params={"kernel": jnp.asarray(RNG.normal(size=(3, 4)), "float32").T, "scale": jnp.float32(0.5)},
    key=jax.random.key(3),
    optimizer=jnp.zeros((100, 100)),
)


def proba(state, x):
    probs = jax.nn.softmax(state.params["scale"] * (x["features"] @ state.params["kernel"]))
    return {"predictions": jnp.argmax(probs, axis=1).astype(jnp.int32), "probabilities": probs}


def sample(state, x):
    def one(seed):
        key = jax.random.fold_in(state.key, jax.random.bits(jax.random.key(seed)))
        return state.params["scale"] * jax.random.normal(key, (2,))

    return {"samples": jax.vmap(one)(x["seed"])}


def embed(state, x):
    return {"vectors": state.params["kernel"][x["codes"]].astype(jnp.bfloat16)}


METHODS = {"predict_proba": proba, "sample": sample, "embed": embed}


def put(models, methods, *, rows=ROWS, state: Any = STATE, name="toy", **changes):
    """Publish ``methods``; what is not given is as in the model of these tests."""
    nothing: Any = None
    told = {
        "task": "classify",
        "features": ("a", "b", "c", "d"),
        "classes": ("red", "green", "blue"),
        "metrics": {"accuracy": np.float32(0.5), "loss": float("nan"), "unknown": None},
        "provenance": {"run": "runs/toy/1"},
    }
    experiment = Experiment(nothing, nothing, nothing, methods, example=lambda data: data)
    return publish.publish(
        models, name, experiment=experiment, state=state, data=rows, **{**told, **changes}
    )
