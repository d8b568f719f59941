"""The models that are served: fitted once by scikit-learn, the same weights for everyone.

Each is written as a joblib file for the peers, and published for ``mastery serve``: a network
64-256-10, and a forest of 100 trees by the library's import of scikit-learn's. A third one is ours
alone: a recurrent network, whose computing costs many times the HTTP around it, on one core.
"""

import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

__all__ = ["BODIES", "NAME", "PROTOCOLS", "STEPS", "ask", "prepare", "prepare_recurrent", "write"]

NAME = "digits"
BODIES = 64  # different rows, and so different requests
TREES = 100
STEPS = 20_000  # of the recurrent network: some 2 ms a row in a batch of 64

Methods = Mapping[str, Callable[[Any, Any], dict[str, Any]]]


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and their labels."""
    from sklearn.datasets import load_digits

    return load_digits(return_X_y=True)


def prepare(kind: str, folder: pathlib.Path) -> np.ndarray:
    """Fit ``network`` or ``forest``; write it for the peers and for us; return the rows to ask."""
    import joblib

    X, y = digits()
    model, methods, state = {"network": network, "forest": forest}[kind](X, y)
    folder.mkdir(parents=True)
    joblib.dump(model, folder / "model.joblib")
    publish(folder / "models", methods, state, X)
    return X[:BODIES]


def prepare_recurrent(folder: pathlib.Path) -> np.ndarray:
    """Publish the recurrent network, whose weights are drawn; return the rows to ask."""
    X, _ = digits()
    dice = np.random.default_rng(0)
    state = {"back": dice.normal(size=(64, 64)) / 8, "out": dice.normal(size=(64, 10))}

    def predict_proba(state: Any, x: Any) -> dict[str, Any]:
        import jax

        def step(_: Any, h: jax.Array) -> jax.Array:
            return jax.numpy.tanh(h @ state["back"] + x["features"])

        h = jax.lax.fori_loop(0, STEPS, step, jax.numpy.zeros_like(x["features"]))
        return answer(jax.nn.softmax(h @ state["out"]))

    folder.mkdir(parents=True)
    publish(folder / "models", {"predict_proba": predict_proba}, single(state), X)
    return X[:BODIES]


def network(X: np.ndarray, y: np.ndarray) -> tuple[Any, Methods, Any]:
    """Fit the multilayer perceptron."""
    from sklearn.neural_network import MLPClassifier

    fitted = MLPClassifier((256,), max_iter=200, random_state=0).fit(X, y)
    weights = zip("ABab", (*fitted.coefs_, *fitted.intercepts_), strict=True)

    def predict_proba(state: Any, x: Any) -> dict[str, Any]:
        import jax

        hidden = jax.nn.relu(x["features"] @ state["A"] + state["a"][None, :])
        return answer(jax.nn.softmax(hidden @ state["B"] + state["b"][None, :]))

    return fitted, {"predict_proba": predict_proba}, single(dict(weights))


def forest(X: np.ndarray, y: np.ndarray) -> tuple[Any, Methods, Any]:
    """Fit the random forest."""
    from sklearn.ensemble import RandomForestClassifier

    from mastery_jax.learning.trees import ensemble, imported

    fitted = RandomForestClassifier(TREES, random_state=0).fit(X, y)
    read = imported.from_sklearn(fitted)

    def predict_proba(state: Any, x: Any) -> dict[str, Any]:
        return answer(ensemble.evaluate(state["trees"], x["features"]) + state["bias"][None, :])

    return fitted, {"predict_proba": predict_proba}, {"trees": read.trees, "bias": read.bias}


def answer(probabilities: Any) -> dict[str, Any]:
    """Return both outputs of a classifier."""
    return {
        "predictions": probabilities.argmax(axis=1).astype("int32"),
        "probabilities": probabilities,
    }


def single(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return arrays in single precision."""
    return {name: np.asarray(array, np.single) for name, array in state.items()}


def publish(models: pathlib.Path, methods: Methods, state: Any, X: np.ndarray) -> None:
    """Publish a version as ``mastery export`` does."""
    from mastery_jax.workflow import publish as publishing
    from mastery_jax.workflow.experiment import Experiment

    publishing.publish(
        models,
        NAME,
        experiment=Experiment(
            init=lambda key, data: None,
            step=lambda key, state, data: (state, {}),
            evaluate=lambda state, data: {},
            methods=methods,
            example=lambda data: {"features": data},
        ),
        state=state,
        data=X[:8].astype(np.single),
        task="classify",
        features=[f"pixel_{i}" for i in range(64)],
        classes=[str(digit) for digit in range(10)],
        metrics={},
        provenance={},
    )


def plain(row: np.ndarray) -> tuple[str, bytes]:
    """Ask as the guide's route is asked."""
    return "/predict", json.dumps({"features": row.tolist(), "model_name": NAME}).encode()


def rows(row: np.ndarray) -> tuple[str, bytes]:
    """Ask as BentoML is asked: a batch of one row."""
    return "/predict", json.dumps({"features": [row.tolist()]}).encode()


def v2(row: np.ndarray) -> tuple[str, bytes]:
    """Ask by the Open Inference Protocol, in JSON."""
    tensor = {"name": "predict", "shape": [1, len(row)], "datatype": "FP64", "data": row.tolist()}
    content = {"inputs": [tensor], "outputs": [{"name": "predict_proba"}]}
    return f"/v2/models/{NAME}/infer", json.dumps(content).encode()


def binary(row: np.ndarray) -> tuple[str, bytes]:
    """Ask by the Open Inference Protocol: the body is the tensor."""
    return f"/v2/models/{NAME}/infer", row.astype("<f4").tobytes()


def read_binary(body: bytes) -> list[float]:
    """Return the probabilities of a binary answer, which end it."""
    return np.frombuffer(body[-40:], "<f4").tolist()


RAW = {"Inference-Header-Content-Length": "0", "Content-Type": "application/octet-stream"}
JSON = {"Content-Type": "application/json"}
# By name: how to ask, with which headers, and where the probabilities of an answer are.
PROTOCOLS: dict[str, tuple[Any, dict[str, str], Callable[[bytes], list[float]]]] = {
    "plain": (plain, JSON, lambda body: json.loads(body)["probabilities"][0]),
    "rows": (rows, JSON, lambda body: json.loads(body)[0]),
    "v2": (v2, JSON, lambda body: json.loads(body)["outputs"][0]["data"]),
    "binary": (binary, RAW, read_binary),
}


def ask(protocol: str, row: np.ndarray, headers: Mapping[str, str]) -> bytes:
    """Return one whole request."""
    write_body, own, _ = PROTOCOLS[protocol]
    path, body = write_body(row)
    fields = {"Host": "127.0.0.1", **own, **headers, "Content-Length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def write(
    path: pathlib.Path, protocol: str, X: np.ndarray, headers: Mapping[str, str]
) -> pathlib.Path:
    """Write a request a row, each after a line with its length."""
    requests = [ask(protocol, row, headers) for row in X]
    path.write_bytes(b"".join(b"%d\n%s" % (len(each), each) for each in requests))
    return path
