"""The peer BentoML, with batching: python bentoml_sklearn.py MODEL.joblib PORT."""

import os
import pathlib
import sys

if __name__ == "__main__":
    folder = pathlib.Path(__file__).parent
    path, port = sys.argv[1:]
    os.environ |= {
        "BENTOML_DO_NOT_TRACK": "True",
        "BENTOML_HOME": str(pathlib.Path(path).parent / "bentoml"),
        "DIGITS": path,
    }
    command = ["-m", "bentoml", "serve", f"{pathlib.Path(__file__).stem}:Digits"]
    os.chdir(folder)
    os.execv(sys.executable, [sys.executable, *command, "--host", "127.0.0.1", "--port", port])

import bentoml
import joblib
import numpy as np


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Digits:
    """Probabilities of the ten digits; rows of several requests make a batch."""

    def __init__(self) -> None:
        self.model = joblib.load(os.environ["DIGITS"])

    @bentoml.api(batchable=True, max_batch_size=64, max_latency_ms=1000)
    def predict(self, features: np.ndarray) -> np.ndarray:
        return self.model.predict_proba(features)
