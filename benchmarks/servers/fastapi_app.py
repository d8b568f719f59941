"""The peers: FastAPI and uvicorn, with scikit-learn or with our compiled program.

python fastapi_app.py twice|once MODEL.joblib PORT
python fastapi_app.py program FOLDER_OF_A_VERSION PORT

``twice`` does what is usually done for one prediction, and asks the model for the class and
again for the probabilities. ``once`` takes the class from the probabilities, and leaves out what
scikit-learn checks of its input. ``program`` calls what ``mastery serve`` calls, for two rows of
which one is padding.
"""

import pathlib
import sys
import time

import numpy as np
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()
models = {}


class PredictionRequest(BaseModel):
    """One row, and which model is asked."""

    features: list[float]
    model_name: str


class PredictionResponse(BaseModel):
    """One answer."""

    predictions: list[int]
    probabilities: list[list[float]] | None = None
    model_type: str
    processing_time: float


@app.get("/health")
async def health() -> dict[str, int]:
    return {"models_loaded": len(models)}


async def predict_twice(request: PredictionRequest) -> PredictionResponse:
    start = time.time()
    model = models[request.model_name]
    X = np.array([request.features])
    return PredictionResponse(
        predictions=model.predict(X).tolist(),
        probabilities=model.predict_proba(X).tolist(),
        model_type=type(model).__name__,
        processing_time=time.time() - start,
    )


async def predict_once(request: PredictionRequest) -> PredictionResponse:
    start = time.time()
    model = models[request.model_name]
    probabilities = model.predict_proba(np.array([request.features]))
    return PredictionResponse(
        predictions=model.classes_[probabilities.argmax(axis=1)].tolist(),
        probabilities=probabilities.tolist(),
        model_type=type(model).__name__,
        processing_time=time.time() - start,
    )


async def predict_program(request: PredictionRequest) -> PredictionResponse:
    start = time.time()
    x = np.zeros((2, len(request.features)), np.float32)
    x[0] = request.features
    answer = models[request.model_name]({"features": x})
    return PredictionResponse(
        predictions=answer["predictions"][:1].tolist(),
        probabilities=answer["probabilities"][:1].tolist(),
        model_type="classify",
        processing_time=time.time() - start,
    )


def fitted(path: str, *, is_checked: bool) -> object:
    """Return a model of scikit-learn, for this thread alone, which is the one that computes."""
    import joblib
    import sklearn

    sklearn.set_config(assume_finite=not is_checked)
    return joblib.load(path)


def program(path: str) -> object:
    """Return our compiled program."""
    from mastery_jax.workflow import launch

    launch.prepare(sync_dispatch=True)
    from mastery_jax.workflow import artifact

    return artifact.load(pathlib.Path(path)).compile("predict_proba", 2)


HOW = {
    "twice": (predict_twice, lambda path: fitted(path, is_checked=True)),
    "once": (predict_once, lambda path: fitted(path, is_checked=False)),
    "program": (predict_program, program),
}

if __name__ == "__main__":
    how, path, port = sys.argv[1:]
    predict, load = HOW[how]
    app.post("/predict")(predict)
    models["digits"] = load(path)
    uvicorn.run(
        app,
        port=int(port),
        http="httptools",
        loop="uvloop",
        access_log=False,
        log_level="warning",
    )
