"""How much of it? A number for each row, by ridge regression or a multilayer perceptron."""

from collections.abc import Callable
from typing import Annotated, Any

import jax
from msgspec import Meta, Struct

from experiments.blocks import (
    BatchSize,
    Init,
    Mlp,
    Optimizer,
    State,
    Step,
    by_mlp,
    check_steps,
    in_one_go,
    standardize,
)
from mastery_jax.learning.linear import ridge
from mastery_jax.probability.metrics import regression
from mastery_jax.workflow.data import Regression
from mastery_jax.workflow.experiment import Experiment, RunConfig, Spec

__all__ = ["Config", "Ridge", "build", "check"]

Rows = dict[str, jax.Array]
Scores = Callable[[State, jax.Array], jax.Array]  # (state, X) -> y in units of its spread


class Ridge(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="ridge"
):
    """Ridge regression, in closed form in ``init``."""

    l2: Annotated[float, Meta(gt=0, description="penalty on the squared weights, per row")] = 1e-3


class Config(RunConfig, frozen=True, kw_only=True):
    """One regression on one set of rows."""

    data: Regression
    model: Ridge | Mlp = Ridge()
    optimizer: Optimizer = Optimizer()
    batch_size: BatchSize = 128


def check(config: Config) -> None:
    """Refuse a number of steps that does not go with the model."""
    check_steps(config, Ridge)


def build(config: Config, spec: Spec) -> Experiment:
    """Write the experiment as pure functions of (key, state, data)."""
    if isinstance(config.model, Ridge):
        init, step, scores = _ridge(config.model.l2)
    else:
        init, step, scores = _mlp(config, spec)

    def expected(state: State, X: jax.Array) -> jax.Array:  # unit of y
        return scores(state, X) * state.scaling["y_scale"] + state.scaling["y_center"]

    def evaluate(state: State, data: Any) -> Rows:
        found = {}
        for part in ("test", "train"):
            predictions, y = expected(state, data[part]["X"]), data[part]["y"]
            found[f"{part}_rmse"] = regression.rmse(predictions, y)  # unit of y
            found[f"{part}_r2"] = regression.r2(predictions, y)
        return found

    return Experiment(
        init=init,
        step=step,
        evaluate=evaluate,
        methods={"predict": lambda state, x: {"predictions": expected(state, x["features"])}},
        example=lambda data: {"features": data["train"]["X"][:8]},
    )


def _standard(scaling: Rows, y: jax.Array) -> jax.Array:
    return (y - scaling["y_center"]) / scaling["y_scale"]


def _ridge(l2: Any) -> tuple[Init, Step, Scores]:
    def fit(scaling: Rows, rows: Rows) -> ridge.State:
        X = standardize(scaling, rows["X"])
        return ridge.fit(X, _standard(scaling, rows["y"]), l2=l2)

    def scores(state: State, X: jax.Array) -> jax.Array:
        return ridge.predict(state.model, standardize(state.scaling, X))

    return *in_one_go(fit), scores


def _mlp(config: Config, spec: Spec) -> tuple[Init, Step, Scores]:
    def objective(outputs: jax.Array, scaling: Rows, rows: Rows) -> jax.Array:
        return ((outputs[:, 0] - _standard(scaling, rows["y"])) ** 2).mean()

    init, step, outputs = by_mlp(config, len(spec.features), 1, objective)
    return init, step, lambda state, X: outputs(state, X)[:, 0]
