"""How much of it? A number for each row, by any regressor, or a multilayer perceptron."""

from collections.abc import Callable
from typing import Any

import jax

from experiments.blocks import (
    BatchSize,
    Fitted,
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
from experiments.regressors import (
    BayesianRidge,
    Boosting,
    ElasticNet,
    Forest,
    Huber,
    Knn,
    LinearRegression,
    Regressor,
    Ridge,
    Svm,
    Tree,
)
from mastery_jax.probability.metrics import regression
from mastery_jax.workflow.data import Regression
from mastery_jax.workflow.experiment import Experiment, RunConfig, Spec

__all__ = ["Config", "build", "check"]

Rows = dict[str, jax.Array]
Scores = Callable[[State, jax.Array], jax.Array]  # (state, X) -> y in units of its spread


class Config(RunConfig, frozen=True, kw_only=True):
    """One regression on one set of rows."""

    data: Regression
    model: (
        BayesianRidge
        | Boosting
        | ElasticNet
        | Forest
        | Huber
        | Knn
        | LinearRegression
        | Mlp
        | Ridge
        | Svm
        | Tree
    ) = Ridge()
    optimizer: Optimizer = Optimizer()
    batch_size: BatchSize = 128


def check(config: Config) -> None:
    """Refuse a number of steps that does not go with the model."""
    check_steps(config)


def build(config: Config, spec: Spec) -> Experiment:
    """Write the experiment as pure functions of (key, state, data)."""
    if isinstance(config.model, Regressor):
        config.model.check(*spec.arrays["train"]["X"].shape)
        init, step, scores = _in_one_go(config.model)
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
        if isinstance(config.model, Regressor):
            found |= state.model[1]
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


def _in_one_go(model: Regressor) -> tuple[Init, Step, Scores]:
    def fit(key: Any, scaling: Rows, rows: Rows) -> Fitted:
        return model.fit(key, standardize(scaling, rows["X"]), _standard(scaling, rows["y"]))

    def scores(state: State, X: jax.Array) -> jax.Array:
        return model.predict(state.model[0], standardize(state.scaling, X))

    return *in_one_go(fit), scores


def _mlp(config: Config, spec: Spec) -> tuple[Init, Step, Scores]:
    def objective(outputs: jax.Array, scaling: Rows, rows: Rows) -> jax.Array:
        return ((outputs[:, 0] - _standard(scaling, rows["y"])) ** 2).mean()

    init, step, outputs = by_mlp(config, len(spec.features), 1, objective)
    return init, step, lambda state, X: outputs(state, X)[:, 0]
