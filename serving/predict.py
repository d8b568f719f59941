"""The routes that compute."""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec
import numpy as np
from litestar.datastructures import State
from litestar.exceptions import ClientException, HTTPException
from litestar.params import FromPath, JSONBody

from mastery_jax.workflow.stablehlo import Arrays
from serving.errors import shown
from serving.model import Field, Method, Model
from serving.raw import Work, raw_post
from serving.wire import Batch, Call, Outputs, Prediction, Rows, Single

__all__ = ["call", "predict", "predict_batch"]

T = TypeVar("T", bound=msgspec.Struct)


@raw_post("/predict")
def predict(data: JSONBody[Single], state: State) -> Work[Prediction]:
    """Predict for one row of features."""
    return prediction(data, state, Field.read_row)


@raw_post("/predict/batch")
def predict_batch(data: JSONBody[Batch], state: State) -> Work[Prediction]:
    """Predict for rows of features."""
    return prediction(data, state, Field.read)


@raw_post("/models/{model_id:str}/{method:str}")
def call(
    data: JSONBody[Call], state: State, model_id: FromPath[str], method: FromPath[str]
) -> Work[Outputs]:
    """Call any method of a model: its inputs by name, nested lists with a row each."""
    start = time.perf_counter()
    model: Model = state.registry.find(model_id)
    run = model.method(method)

    def answer(outputs: Arrays) -> Outputs:
        return Outputs(
            outputs={name: array.tolist() for name, array in outputs.items()},
            model_id=model.name,
            model_version=model.version,
            processing_time=time.perf_counter() - start,
        )

    return work(state, model, run, run.read(data.inputs), answer)


def prediction(
    data: Single | Batch, state: State, read: Callable[[Field, Rows], np.ndarray]
) -> Work[Prediction]:
    """Predict by the model that is meant: given by either name, or the only one."""
    start = time.perf_counter()
    by_name, by_id = data.model_name, data.model_id
    if by_name is not None and by_id is not None and by_name != by_id:
        raise ClientException(
            f"model_name is {shown(by_name)} and model_id is {shown(by_id)}: give one of them"
        )
    model: Model = state.registry.find(by_name if by_id is None else by_id)
    run = model.predictor

    def answer(outputs: Arrays) -> Prediction:
        predictions, probabilities = outputs["predictions"], outputs.get("probabilities")
        check_finite(predictions)
        if probabilities is not None:
            check_finite(probabilities)
        codes, classes = predictions.tolist(), model.info.classes
        return Prediction(
            predictions=codes,
            probabilities=None if probabilities is None else probabilities.tolist(),
            labels=labels(codes, classes) if classes else None,
            model_type=model.info.model_type,
            model_id=model.name,
            model_version=model.version,
            processing_time=time.perf_counter() - start,
        )

    x = {"features": read(run.fields["features"], data.features)}
    return work(state, model, run, x, answer)


def work(
    state: State, model: Model, run: Method, x: Arrays, answer: Callable[[Arrays], T]
) -> Work[T]:
    """Return the computation of an answer, whose rows are counted when it is done.

    Raises:
        HTTPException: 413, more rows than one request may have.
    """
    rows, settings = len(next(iter(x.values()))), state.settings
    seconds = run.seconds(rows)
    if rows > settings.max_rows or seconds > settings.max_seconds:
        most = min(settings.max_rows, run.most(settings.max_seconds))
        came = f"{rows} rows came, some {seconds:.2g} s of work"
        raise HTTPException(f"{came}, wanted at most {most}", status_code=413)

    def finish() -> T:
        outputs = run(x, rows)
        state.metrics.predictions.labels(model.name).inc(rows)
        return answer(outputs)

    return Work(seconds, finish)


def check_finite(array: np.ndarray) -> None:
    """Refuse rows whose answer would be a made-up one: argmax gives a class for NaN, too.

    Raises:
        ClientException: the first of these rows.
    """
    if array.dtype.kind in "iu":
        return
    finite = np.isfinite(array)
    if not finite.all():
        row = finite.reshape(len(array), -1).all(axis=1).argmin()
        raise ClientException(f"features: row {row} gives an answer that is not finite")


def labels(codes: Sequence[int], classes: Sequence[str]) -> list[str]:
    """Return the names of classes; a code that is none is a fault of the model, and logged."""
    if min(codes) < 0 or max(codes) >= len(classes):
        raise ValueError(f"a prediction in {min(codes)}..{max(codes)} is no class: {classes}")
    return [classes[code] for code in codes]
