"""What is it? Rows into classes, by logistic regression or a multilayer perceptron."""

from collections.abc import Callable
from typing import Annotated, Any

import jax
import jax.numpy as jnp
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
from mastery_jax.learning.linear import logistic
from mastery_jax.probability.metrics import classification
from mastery_jax.workflow.data import Classification
from mastery_jax.workflow.experiment import Experiment, RunConfig, Spec

__all__ = ["Config", "Logistic", "build", "check"]

LogProbs = Callable[[State, jax.Array], jax.Array]  # (state, X) -> [n, classes], nats


class Logistic(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="logistic"
):
    """Logistic regression, fitted to convergence in ``init``."""

    l2: Annotated[float, Meta(gt=0, description="penalty on the squared weights, per row")] = 1e-3


class Config(RunConfig, frozen=True, kw_only=True):
    """One classifier on one set of labeled rows."""

    data: Classification
    model: Logistic | Mlp = Mlp()
    optimizer: Optimizer = Optimizer()
    batch_size: BatchSize = 128


def check(config: Config) -> None:
    """Refuse a number of steps that does not go with the model."""
    check_steps(config, Logistic)


def build(config: Config, spec: Spec) -> Experiment:
    """Write the experiment as pure functions of (key, state, data)."""
    if isinstance(config.model, Logistic):
        init, step, log_probs = _logistic(config.model.l2, len(spec.classes))
    else:
        init, step, log_probs = _mlp(config, spec)

    def evaluate(state: State, data: Any) -> dict[str, jax.Array]:
        found = {}
        for part in ("test", "train"):
            rows = data[part]
            predicted = log_probs(state, rows["X"])
            found[f"{part}_accuracy"] = classification.accuracy(predicted.argmax(axis=1), rows["y"])
            found[f"{part}_log_loss"] = classification.log_loss(predicted, rows["y"])  # nats
        if isinstance(config.model, Logistic):
            info = state.model[1]
            found["is_converged"] = info.is_done.astype(info.excess.dtype)
            found["newton_steps"] = info.num_steps
        return found

    def predict(state: State, x: Any) -> dict[str, jax.Array]:
        return {"predictions": log_probs(state, x["features"]).argmax(axis=1).astype(jnp.int32)}

    def predict_proba(state: State, x: Any) -> dict[str, jax.Array]:
        return predict(state, x) | {"probabilities": jnp.exp(log_probs(state, x["features"]))}

    return Experiment(
        init=init,
        step=step,
        evaluate=evaluate,
        methods={"predict": predict, "predict_proba": predict_proba},
        example=lambda data: {"features": data["train"]["X"][:8]},
    )


def _logistic(l2: Any, num_classes: int) -> tuple[Init, Step, LogProbs]:
    def fit(scaling: dict[str, jax.Array], rows: dict[str, jax.Array]) -> Any:
        X = standardize(scaling, rows["X"])
        return logistic.fit(X, rows["y"], num_classes=num_classes, l2=l2)

    def log_probs(state: State, X: jax.Array) -> jax.Array:
        return logistic.predict_log_proba(state.model[0], standardize(state.scaling, X))

    return *in_one_go(fit), log_probs


def _mlp(config: Config, spec: Spec) -> tuple[Init, Step, LogProbs]:
    def objective(logits: jax.Array, _, rows: dict[str, jax.Array]) -> jax.Array:
        return classification.log_loss(jax.nn.log_softmax(logits), rows["y"])

    init, step, logits = by_mlp(config, len(spec.features), len(spec.classes), objective)
    return init, step, lambda state, X: jax.nn.log_softmax(logits(state, X))
