"""The routes that compute."""

import time

from litestar.datastructures import State
from litestar.exceptions import ClientException, HTTPException
from litestar.params import FromPath, JSONBody

from serving.errors import shown
from serving.model import Arrays, Method, Model
from serving.raw import raw_post
from serving.wire import Batch, Call, Outputs, Prediction, Rows, Single

__all__ = ["call", "predict", "predict_batch"]


@raw_post("/predict")
def predict(data: JSONBody[Single], state: State) -> Prediction:
    """Predict for one row of features."""
    return answer(state, data.model_name, data.model_id, [data.features])


@raw_post("/predict/batch")
def predict_batch(data: JSONBody[Batch], state: State) -> Prediction:
    """Predict for rows of features."""
    return answer(state, data.model_name, data.model_id, data.features)


@raw_post("/models/{model_id:str}/{method:str}")
def call(
    data: JSONBody[Call], state: State, model_id: FromPath[str], method: FromPath[str]
) -> Outputs:
    """Call any method of a model: its inputs by name, nested lists with a row each."""
    start = time.perf_counter()
    model: Model = state.registry.find(model_id)
    run = model.method(method)
    outputs = compute(state, model, run, run.read(data.inputs))
    return Outputs(
        outputs={name: array.tolist() for name, array in outputs.items()},
        model_id=model.name,
        model_version=model.version,
        processing_time=time.perf_counter() - start,
    )


def answer(state: State, by_name: str | None, by_id: str | None, features: Rows) -> Prediction:
    """Predict by the model that is meant: given by either name, or the only one."""
    start = time.perf_counter()
    if by_name is not None and by_id is not None and by_name != by_id:
        raise ClientException(
            f"model_name is {shown(by_name)} and model_id is {shown(by_id)}: give one of them"
        )
    model: Model = state.registry.find(by_name if by_id is None else by_id)
    run = model.predictor
    outputs = compute(state, model, run, {"features": run.fields["features"].read(features)})
    predictions = outputs["predictions"].tolist()
    probabilities, classes = outputs.get("probabilities"), model.info.classes
    return Prediction(
        predictions=predictions,
        probabilities=None if probabilities is None else probabilities.tolist(),
        labels=[classes[code] for code in predictions] if classes else None,
        model_type=model.info.model_type,
        model_id=model.name,
        model_version=model.version,
        processing_time=time.perf_counter() - start,
    )


def compute(state: State, model: Model, run: Method, x: Arrays) -> Arrays:
    """Run a method and count its rows.

    Raises:
        HTTPException: 413, more rows than one request may have.
    """
    rows, most = len(next(iter(x.values()))), state.settings.max_rows
    if rows > most:
        raise HTTPException(f"{rows} rows came, wanted at most {most}", status_code=413)
    outputs = run(x, rows)
    state.metrics.predictions.labels(model.name).inc(rows)
    return outputs
