"""The peers: FastAPI, uvicorn and scikit-learn.

python fastapi_sklearn.py twice|once MODEL.joblib PORT

``twice`` does what is usually done for one prediction, and asks the model for the class and
again for the probabilities. ``once`` takes the class from the probabilities, and leaves out what
scikit-learn checks of its input.
"""

import sys
import time

import joblib
import numpy as np
import sklearn
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


if __name__ == "__main__":
    calls, path, port = sys.argv[1:]
    app.post("/predict")({"twice": predict_twice, "once": predict_once}[calls])
    # For this thread alone, which is the one that computes.
    sklearn.set_config(assume_finite=calls == "once")
    models["digits"] = joblib.load(path)
    uvicorn.run(
        app,
        port=int(port),
        http="httptools",
        loop="uvloop",
        access_log=False,
        log_level="warning",
    )
