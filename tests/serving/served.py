"""What the tests of the server share: small published models, and servers of them."""

import contextlib
import json
import pathlib
import socket
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import uvicorn
from litestar.testing import TestClient
from prometheus_client.parser import text_string_to_metric_families

from mastery_jax.workflow import publish
from mastery_jax.workflow.experiment import Experiment
from serving.app import create_app
from serving.settings import Settings

BUCKETS = (2, 4)

W = np.array([[1.0, -1.0], [0.5, 2.0], [-3.0, 0.25]], np.float32)
ROWS = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)


def _probabilities(state, x):
    return jax.nn.softmax(x["features"] @ state["w"])


def _step(state, x):
    def one(mean, cov, y, seed):
        noise = jax.random.normal(jax.random.key(seed), ())
        return {"mean": state["w"][0, 0] * (mean + cov @ y), "noise": noise}

    return jax.vmap(one)(x["mean"], x["cov"], x["y"], x["seed"])


CLASSIFIER = {
    "predict": lambda s, x: {"predictions": _probabilities(s, x).argmax(1).astype(jnp.int32)},
    "predict_proba": lambda s, x: {
        "predictions": _probabilities(s, x).argmax(1).astype(jnp.int32),
        "probabilities": _probabilities(s, x),
    },
}
# A row that begins with more than 50 is a fault of the model: its class is none.
FAULTY = {
    "predict": lambda s, x: {
        "predictions": _probabilities(s, x).argmax(1).astype(jnp.int32)
        + 5 * (x["features"][:, 0] > 50).astype(jnp.int32)
    }
}
LINE = {"predict": lambda s, x: {"predictions": x["features"] @ s["w"][:, 0]}}
WALK = {"step": _step}


def put(
    models: pathlib.Path,
    name: str,
    methods,
    *,
    scale: float = 1.0,
    classes=(),
    reference=None,
    example=None,
) -> None:
    """Publish the next version of a model whose weights are ``scale * W``."""
    data = {
        "features": ROWS[:4],
        "mean": ROWS[:4, :2],
        "cov": np.ones((4, 2, 2), np.float32),
        "y": ROWS[:4, :2],
        "seed": np.arange(4, dtype=np.uint32),
    }
    used = ("features",) if methods is not WALK else ("mean", "cov", "y", "seed")
    example = example or {field: data[field] for field in used}
    publish.publish(
        models,
        name,
        experiment=Experiment(
            init=lambda key, data: data,
            step=lambda key, state, data: (state, {}),
            evaluate=lambda state, data: {},
            methods=methods,
            example=lambda _: example,
        ),
        state={"w": jnp.asarray(scale * W)},
        data=data,
        task="classify" if classes else "regress",
        features=("a", "b", "c") if "features" in example else (),
        classes=classes,
        metrics={"test_accuracy": 0.75} if classes else {"test_rmse": 0.5},
        provenance={},
        reference=reference,
    )


@contextlib.contextmanager
def running(**settings):
    """Serve at a real port, in a thread; give ``host:port`` and the application."""
    app = create_app(Settings(**{"buckets": BUCKETS, **settings}))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="on"))
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen()
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]})
        thread.start()
        while thread.is_alive() and not server.started:  # it has loaded the models then
            time.sleep(0.01)
        try:
            yield f"127.0.0.1:{door.getsockname()[1]}", app
        finally:
            server.should_exit = True
            thread.join()


def start(folder, **settings):
    return TestClient(create_app(Settings(**{"models": folder, "buckets": BUCKETS, **settings})))


def post(client, path, content):
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return client.post(path, content=body)


def samples(client):
    """Return every sample of /metrics by name and labels."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    found = [
        (s.name, tuple(sorted(s.labels.items())), s.value) for f in families for s in f.samples
    ]
    assert len({key[:2] for key in found}) == len(found), "no series twice"
    return {(name, labels): value for name, labels, value in found}
