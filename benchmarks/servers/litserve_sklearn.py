"""The peer LitServe, with batching: python litserve_sklearn.py MODEL.joblib PORT."""

import sys

import joblib
import litserve
import numpy as np


class Digits(litserve.LitAPI):
    """Probabilities of the ten digits; rows of several requests make a batch."""

    def setup(self, device):
        self.model = joblib.load(sys.argv[1])

    def decode_request(self, request):
        return np.array(request["features"])

    def batch(self, inputs):
        return np.stack(inputs)

    def predict(self, x):
        return self.model.predict_proba(x)

    def unbatch(self, output):
        return list(output)

    def encode_response(self, output):
        return {"predictions": [int(output.argmax())], "probabilities": [output.tolist()]}


if __name__ == "__main__":
    api = Digits(max_batch_size=64, batch_timeout=0.005)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(port=int(sys.argv[2]), generate_client_file=False, log_level="warning")
