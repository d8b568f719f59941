"""How likely is it? The density of rows, by a normalizing flow of maximum likelihood."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from msgspec import Meta, Struct

from experiments.blocks import (
    BatchSize,
    Optimizer,
    State,
    Widths,
    by_gradient,
    check_steps,
    standardize,
)
from mastery_jax.probability.flows import affine_coupling, chain, planar
from mastery_jax.workflow.data import Samples
from mastery_jax.workflow.errors import ConfigError
from mastery_jax.workflow.experiment import Experiment, RunConfig, Spec

__all__ = ["Config", "Coupling", "Planar", "build", "check"]

NumLayers = Annotated[int, Meta(ge=1, description="layers, all of one kind")]


class Coupling(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="coupling"
):
    """Affine coupling layers, at least two columns."""

    num_layers: NumLayers = 12
    widths: Widths = (16, 16)


class Planar(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="planar"
):
    """Planar layers; their inverse, and its gradient, are numerical."""

    num_layers: NumLayers = 32
    scale: Annotated[float, Meta(ge=0, description="spread of the first layers' steps")] = 0.1


class Config(RunConfig, frozen=True, kw_only=True):
    """One flow on one set of rows."""

    data: Samples
    model: Coupling | Planar = Coupling()
    optimizer: Optimizer = Optimizer()
    batch_size: BatchSize = 256


def check(config: Config) -> None:
    """Refuse a run without steps."""
    check_steps(config)


def _flow(model: Coupling | Planar, dim: int) -> tuple[Any, Callable[[Any], tuple[Any, Any]]]:
    """Return the block of layers, and ``make(key) -> (params, statistics)``."""
    if isinstance(model, Planar):
        layer, draw = planar, partial(planar.init, scale=model.scale)
    elif dim > 1:
        layer, draw = affine_coupling, partial(affine_coupling.init, widths=model.widths)
    else:
        raise ConfigError(
            f"model.kind: coupling needs at least 2 columns, data gives {dim}; wanted planar"
        )

    def make(key: Any) -> tuple[Any, Any]:
        keys = jax.random.split(key, model.num_layers)
        return (jax.vmap(lambda key: draw(key, dim=dim))(keys),), {}

    return (layer,), make


def build(config: Config, spec: Spec) -> Experiment:
    """Write the experiment as pure functions of (key, state, data)."""
    dim = len(spec.features)
    layers, make = _flow(config.model, dim)

    def log_probs(scaling: Any, params: Any, X: jax.Array) -> jax.Array:  # nats per unit of X
        inside = partial(chain.log_prob, params, layers=layers)
        return jax.vmap(inside)(standardize(scaling, X)) - jnp.log(scaling["scale"]).sum()

    def loss(_, params: Any, statistics: Any, batch: Any) -> tuple[jax.Array, Any]:
        scaling, rows = batch
        return -log_probs(scaling, params, rows["X"]).mean(), statistics

    def evaluate(state: State, data: Any) -> dict[str, jax.Array]:
        return {
            f"{part}_nll": -log_probs(state.scaling, state.model.params, data[part]["X"]).mean()
            for part in ("test", "train")
        }

    def log_prob(state: State, x: Any) -> dict[str, jax.Array]:
        return {"log_prob": log_probs(state.scaling, state.model.params, x["features"])}

    def sample(state: State, x: Any) -> dict[str, jax.Array]:
        def one(seed: jax.Array) -> jax.Array:
            key = jax.random.key(seed)
            z = chain.sample(key, state.model.params, layers=layers, dim=dim)
            return z * state.scaling["scale"] + state.scaling["center"]

        return {"samples": jax.vmap(one)(x["seed"])}

    init, step = by_gradient(config, make, Partial(loss))
    return Experiment(
        init=init,
        step=step,
        evaluate=evaluate,
        methods={"log_prob": log_prob, "sample": sample},
        example=lambda data: {
            "features": data["train"]["X"][:8],
            "seed": jnp.arange(8, dtype=jnp.uint32),
        },
    )
