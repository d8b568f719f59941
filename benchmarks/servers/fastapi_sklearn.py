"""The peer: FastAPI, uvicorn and scikit-learn, doing what is usually done for one prediction.

python fastapi_sklearn.py MODEL.joblib PORT
"""

import sys
import time

import joblib
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


@app.post("/predict")
async def predict(request: PredictionRequest) -> PredictionResponse:
    start = time.time()
    model = models[request.model_name]
    X = np.array([request.features])
    return PredictionResponse(
        predictions=model.predict(X).tolist(),
        probabilities=model.predict_proba(X).tolist(),
        model_type=type(model).__name__,
        processing_time=time.time() - start,
    )


if __name__ == "__main__":
    models["digits"] = joblib.load(sys.argv[1])
    uvicorn.run(
        app,
        port=int(sys.argv[2]),
        http="httptools",
        loop="uvloop",
        access_log=False,
        log_level="warning",
    )
