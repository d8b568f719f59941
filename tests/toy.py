"""The smallest experiment that can go wrong in every way a runner must handle."""

import time
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import msgspec

from mastery_jax.workflow.data import Columns
from mastery_jax.workflow.experiment import Experiment, RunConfig, Static


class Config(RunConfig, frozen=True, kw_only=True):
    """Least squares by noisy gradient descent."""

    data: Columns = Columns(source="eight_schools", columns=("effect", "std_error"))
    rate: Annotated[float, msgspec.Meta(gt=0)] = 0.1
    noise: Annotated[float, msgspec.Meta(ge=0)] = 0.01
    idle: float = 1.0  # has no effect
    fixed: Annotated[float, Static] = 1.0
    copies: Annotated[int, msgspec.Meta(ge=1)] = 2
    label: str = "a"  # has no effect
    fault: Literal["none", "branch"] = "none"
    pause: Annotated[float, Static] = 0.0  # seconds that every step sleeps on the host


def check(config):
    """Refuse the one pair of values that makes no sense."""
    if config.copies > 5 and config.num_steps > 50:
        raise ValueError(f"copies is {config.copies} with num_steps {config.num_steps}; at most 5")


def build(config, spec):
    """Return the experiment."""
    assert spec.arrays["effect"].shape == (8,)

    def init(key, data):
        if config.fault == "branch" and config.rate > 0.5:  # a float must not decide this
            return {}
        return {
            "w": jax.random.normal(key, (config.copies,)),
            "seen": jnp.int32(0),
            "sum": jnp.zeros(3),
        }

    def loss(w, data):
        y = data["effect"] / 10
        return jnp.mean((w[:, None] - y[None, :]) ** 2) * config.fixed

    def step(key, state, data):
        value, grads = jax.value_and_grad(loss)(state["w"], data)
        kick = config.noise * jax.random.normal(key, state["w"].shape)
        if config.pause:
            jax.debug.callback(lambda: time.sleep(config.pause))
        moved = state["w"] - config.rate * grads + kick
        after = {"w": moved, "seen": state["seen"] + 1, "sum": state["sum"] + moved.mean()}
        return after, {"loss": value}

    def evaluate(state, data):
        seen = state["seen"]
        late = jnp.where(seen > 20, jnp.nan, seen.astype(state["w"].dtype))
        return {"test_loss": loss(state["w"], data), "seen": seen, "test_nan_after_20": late}

    def predict(state, x):
        return {"predictions": x["features"][:, 0] * state["w"].sum()}

    def example(data):
        return {"features": data["effect"][:, None]}

    return Experiment(init, step, evaluate, {"predict": predict}, example)
