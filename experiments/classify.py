"""What is it? Rows into classes, by any classifier, or a multilayer perceptron."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

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
from experiments.classifiers import (
    AdaBoost,
    Boosting,
    Classifier,
    Forest,
    Knn,
    Logistic,
    NaiveBayes,
    Svm,
    Tree,
)
from mastery_jax.probability.metrics import classification
from mastery_jax.workflow.data import Classification
from mastery_jax.workflow.experiment import Experiment, RunConfig, Spec

__all__ = ["Config", "build", "check"]

Answer = Callable[[State, jax.Array], jax.Array]  # (state, X) -> one row of numbers a sample


class Answers(NamedTuple):
    """What a state says of rows."""

    log_probs: Answer  # nats
    probs: Answer
    codes: Answer


class Config(RunConfig, frozen=True, kw_only=True):
    """One classifier on one set of labeled rows."""

    data: Classification
    model: AdaBoost | Boosting | Forest | Knn | Logistic | Mlp | NaiveBayes | Svm | Tree = Mlp()
    optimizer: Optimizer = Optimizer()
    batch_size: BatchSize = 128


def check(config: Config) -> None:
    """Refuse a number of steps that does not go with the model."""
    check_steps(config)


def build(config: Config, spec: Spec) -> Experiment:
    """Write the experiment as pure functions of (key, state, data)."""
    if isinstance(config.model, Classifier):
        config.model.check(*spec.arrays["train"]["X"].shape)
        init, step, answers = _in_one_go(config.model, len(spec.classes))
    else:
        init, step, answers = _mlp(config, spec)

    def evaluate(state: State, data: Any) -> dict[str, jax.Array]:
        found = {}
        for part in ("test", "train"):
            rows = data[part]
            accuracy = classification.accuracy(answers.codes(state, rows["X"]), rows["y"])
            found[f"{part}_accuracy"] = accuracy
            log_loss = classification.log_loss(answers.log_probs(state, rows["X"]), rows["y"])
            found[f"{part}_log_loss"] = log_loss  # nats
        if isinstance(config.model, Classifier):
            found |= state.model[1]
        return found

    def predict(state: State, x: Any) -> dict[str, jax.Array]:
        return {"predictions": answers.codes(state, x["features"]).astype(jnp.int32)}

    def predict_proba(state: State, x: Any) -> dict[str, jax.Array]:
        return predict(state, x) | {"probabilities": answers.probs(state, x["features"])}

    return Experiment(
        init=init,
        step=step,
        evaluate=evaluate,
        methods={"predict": predict, "predict_proba": predict_proba},
        example=lambda data: {"features": data["train"]["X"][:8]},
    )


def _in_one_go(model: Classifier, num_classes: int) -> tuple[Init, Step, Answers]:
    def fit(key: Any, scaling: dict[str, jax.Array], rows: dict[str, jax.Array]) -> Fitted:
        return model.fit(key, standardize(scaling, rows["X"]), rows["y"], num_classes)

    def answer(say: Callable[[Any, jax.Array], jax.Array]) -> Answer:
        return lambda state, X: say(state.model[0], standardize(state.scaling, X))

    answers = Answers(answer(model.log_proba), answer(model.proba), answer(model.predict))
    return *in_one_go(fit), answers


def _mlp(config: Config, spec: Spec) -> tuple[Init, Step, Answers]:
    def objective(logits: jax.Array, _, rows: dict[str, jax.Array]) -> jax.Array:
        return classification.log_loss(jax.nn.log_softmax(logits), rows["y"])

    init, step, logits = by_mlp(config, len(spec.features), len(spec.classes), objective)

    def answer(say: Callable[[jax.Array], jax.Array]) -> Answer:
        return lambda state, X: say(logits(state, X))

    likeliest = answer(lambda rows: rows.argmax(axis=1))
    return init, step, Answers(answer(jax.nn.log_softmax), answer(jax.nn.softmax), likeliest)
