"""The guide's routes that compute: one row, rows, and any method by name."""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from litestar.datastructures import State
from litestar.exceptions import ClientException, HTTPException
from litestar.params import FromPath, JSONBody
from litestar.types import Scope

from mastery_jax.workflow.stablehlo import Arrays
from serving.cache.remembered import Remembered
from serving.engine.batcher import Outputs as Answers
from serving.engine.field import Field
from serving.engine.method import Method
from serving.errors import shown
from serving.predict.head import head
from serving.predict.pieces import numbers
from serving.predict.raw import RAW, Work, raw_post
from serving.predict.shadow import shadowed
from serving.settings import Settings
from serving.wire import Batch, Call, Outputs, Prediction, Rows, Single

__all__ = ["BY_PATH", "ROUTES", "limited"]

T = TypeVar("T")


@raw_post("/predict")
def predict(data: JSONBody[Single], state: State, scope: Scope) -> Work[Prediction]:
    """Predict for one row of features."""
    return prediction(data, state, scope, Field.read_row)


@raw_post("/predict/batch")
def predict_batch(data: JSONBody[Batch], state: State, scope: Scope) -> Work[Prediction]:
    """Predict for rows of features."""
    return prediction(data, state, scope, Field.read)


@raw_post("/models/{model_id:str}/{method:str}")
def call(
    data: JSONBody[Call],
    state: State,
    scope: Scope,
    model_id: FromPath[str],
    method: FromPath[str],
) -> Work[Outputs]:
    """Call any method of a model: its inputs by name, nested lists with a row each."""
    start = time.perf_counter()
    served, model = state.registry.find(model_id, key=head(scope).routing_key)
    run = model.method(method)
    answers = state.cache.over(served, model, method, run)
    log, request_id = state.log, scope["state"]["request_id"]

    def answer(outputs: Answers) -> Outputs:
        rows = len(next(iter(x.values())))
        return Outputs(
            outputs={name: numbers(array) for name, array in outputs.items()},
            model_id=model.name,
            model_version=model.version,
            processing_time=time.perf_counter() - start,
            prediction_id=log and log.record(served, model, method, request_id, rows, x, outputs),
        )

    x = run.read(data.inputs)
    then = shadowed(served, model, method, x)
    return limited(state.settings, run, x, answer, answers, then=then)


def prediction(
    data: Single | Batch, state: State, scope: Scope, read: Callable[[Field, Rows], np.ndarray]
) -> Work[Prediction]:
    """Predict by the model that is meant: given by either name, or the only one."""
    start = time.perf_counter()
    by_name, by_id = data.model_name, data.model_id
    if by_name is not None and by_id is not None and by_name != by_id:
        raise ClientException(
            f"model_name is {shown(by_name)} and model_id is {shown(by_id)}: give one of them"
        )
    name = by_name if by_id is None else by_id
    served, model = state.registry.find(name, key=head(scope).routing_key)
    run = model.predictor
    log, request_id = state.log, scope["state"]["request_id"]

    def answer(outputs: Answers) -> Prediction:
        predictions, probabilities = outputs["predictions"], outputs.get("probabilities")
        check_finite(run, predictions)
        if probabilities is not None:
            check_finite(run, probabilities)
        codes, classes = predictions.tolist(), model.info.classes
        named = labels(codes, classes) if classes else None
        recorded = log and log.record(
            served, model, model.default, request_id, len(codes), x, outputs
        )
        return Prediction(
            predictions=codes,
            probabilities=None if probabilities is None else numbers(probabilities),
            labels=named,
            model_type=model.info.model_type,
            model_id=model.name,
            model_version=model.version,
            processing_time=time.perf_counter() - start,
            prediction_id=recorded,
        )

    x = {"features": read(run.fields["features"], data.features)}
    then = shadowed(served, model, model.default, x)
    answers = state.cache.over(served, model, model.default, run)
    return limited(state.settings, run, x, answer, answers, then=then)


def limited(
    settings: Settings,
    run: Method,
    x: Arrays,
    answer: Callable[[Answers], T],
    answers: Method | Remembered,
    *,
    then: Callable[[Answers], None] | None = None,
) -> Work[T]:
    """Return the computation of an answer.

    Args:
        settings: Of the server.
        run: The method.
        x: Its checked inputs.
        answer: What to make of its outputs.
        answers: The method, or its memory.
        then: What is done once the answer is sent.

    Raises:
        HTTPException: 413, more rows than one request may have.
    """
    rows = len(next(iter(x.values())))
    seconds = run.seconds(rows)
    if rows > settings.max_rows or seconds > settings.max_seconds:
        most = min(settings.max_rows, run.most(settings.max_seconds))
        came = f"{rows} rows came, some {seconds:.2g} s of work"
        raise HTTPException(f"{came}, wanted at most {most}", status_code=413)
    return Work(answers, x, rows, answer, then)


def check_finite(run: Method, array: np.ndarray) -> None:
    """Refuse rows whose answer would be a made-up one: argmax gives a class for NaN, too.

    Raises:
        ClientException: the first of these rows.
    """
    if array.dtype.kind in "iu":
        return
    finite = np.isfinite(array)
    if not finite.all():
        run.tally.nonfinite += 1
        row = finite.reshape(len(array), -1).all(axis=1).argmin()
        raise ClientException(f"features: row {row} gives an answer that is not finite")


def labels(codes: Sequence[int], classes: Sequence[str]) -> list[str]:
    """Return the names of classes; a code that is none is a fault of the model, and logged."""
    if codes and (min(codes) < 0 or max(codes) >= len(classes)):
        raise ValueError(f"a prediction in {min(codes)}..{max(codes)} is no class: {classes}")
    return [classes[code] for code in codes]


ROUTES = (predict, predict_batch, call)
BY_PATH = {path: route.opt[RAW] for route in (predict, predict_batch) for path in route.paths}
