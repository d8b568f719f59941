"""CPU a request and requests a second: ours against FastAPI, uvicorn and scikit-learn.

One multilayer perceptron 64-256-10 on the digits behind ``POST /predict``, one row a request. One
peer calls scikit-learn's ``predict`` and ``predict_proba``, as is usual, another one
``predict_proba`` alone; ours is the same weights, published and served by ``mastery serve``. All
must give the same answers first. The servers are loaded in turn, in another order every round, at
1 and at 64 connections, by a load generator in a process of its own. On a busy machine compare the
CPU, not the requests a second.

    python -m benchmarks.serving
"""

import contextlib
import json
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks import harness
from mastery_jax.workflow import launch

HERE = pathlib.Path(__file__).parent
FAMILY = "serving"
CONNECTIONS = (1, 64)
BODIES = 64
ROUNDS = 7
SECONDS = 3.0  # of one turn
OURS = "mastery serve"
PEERS = {  # by name: how it is started, and how many times less we want to take
    "FastAPI, scikit-learn": ("twice", 3),
    "FastAPI, scikit-learn, one pass": ("once", 2),
}
LATENCY = 2  # times less than any peer
MASTERY = [sys.executable, "-c", "from mastery_jax.cli import main; main()"]


class Server(NamedTuple):
    """A process that answers ``POST /predict`` at a port."""

    name: str
    process: Any  # psutil.Process
    port: int

    def cpu(self) -> float:
        """Return the seconds that it and its children have computed."""
        family = (self.process, *self.process.children(recursive=True))
        return sum(sum(one.cpu_times()[:2]) for one in family)


def prepare(folder: pathlib.Path) -> None:
    """Fit the network; write it for both servers, and the bodies that they are asked."""
    import jax
    import joblib
    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.neural_network import MLPClassifier

    from mastery_jax.workflow import publish
    from mastery_jax.workflow.experiment import Experiment

    X, y = load_digits(return_X_y=True)
    network = MLPClassifier((256,), max_iter=200, random_state=0).fit(X, y)
    joblib.dump(network, folder / "digits.joblib")
    rows = [json.dumps({"features": row.tolist(), "model_name": "digits"}) for row in X[:BODIES]]
    (folder / "bodies.json").write_text(json.dumps(rows))

    def predict_proba(state: Any, x: Any) -> dict[str, jax.Array]:
        hidden = jax.nn.relu(x["features"] @ state["A"] + state["a"][None, :])
        logits = hidden @ state["B"] + state["b"][None, :]
        predictions = logits.argmax(axis=1).astype("int32")
        return {"predictions": predictions, "probabilities": jax.nn.softmax(logits)}

    weights = zip("ABab", (*network.coefs_, *network.intercepts_), strict=True)
    publish.publish(
        folder / "models",
        "digits",
        experiment=Experiment(
            init=lambda key, data: None,
            step=lambda key, state, data: (state, {}),
            evaluate=lambda state, data: {},
            methods={"predict_proba": predict_proba},
            example=lambda data: {"features": data},
        ),
        state={name: array.astype(np.float32) for name, array in weights},
        data=X[:8].astype(np.float32),
        task="classify",
        features=[f"pixel_{i}" for i in range(64)],
        classes=[str(digit) for digit in range(10)],
        metrics={},
        provenance={},
    )


@contextlib.contextmanager
def started(name: str, command: Sequence[str]) -> Iterator[Server]:
    """Run a server, whose last argument will be its port, until it is no longer needed."""
    import psutil

    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        port = door.getsockname()[1]
    process = subprocess.Popen([*command, str(port)], stderr=subprocess.DEVNULL)
    try:
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=60).close()
                break
            if process.poll() is not None:
                raise SystemExit(f"{name} ended with status {process.returncode}")
            time.sleep(0.1)
        yield Server(name, psutil.Process(process.pid), port)
    finally:
        process.terminate()
        process.wait()


def ask(server: Server, body: str) -> dict[str, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}/predict",
        body.encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def agree(ours: Server, peer: Server, bodies: list[str]) -> float:
    """Hold all answers against each other; return the largest difference of a probability."""
    worst = 0.0
    for body in bodies:
        mine, theirs = ask(ours, body), ask(peer, body)
        if mine["predictions"] != theirs["predictions"]:
            raise SystemExit(f"the servers disagree: {mine} and {theirs}")
        pairs = zip(mine["probabilities"][0], theirs["probabilities"][0], strict=True)
        worst = max(worst, *(abs(a - b) for a, b in pairs))
    return worst


class Load(NamedTuple):
    """What a server made of one turn."""

    cpu: float  # milliseconds a request
    rate: float  # requests a second
    latency: float  # milliseconds, the median


def load(server: Server, connections: int, bodies: pathlib.Path) -> Load:
    """Ask one server as fast as it answers."""
    script = [sys.executable, str(HERE / "servers" / "load.py")]
    before = server.cpu()
    done = subprocess.run(
        [*script, str(server.port), str(connections), str(SECONDS), str(bodies)],
        capture_output=True,
        check=True,
    )
    found = json.loads(done.stdout)
    if found["bad"]:
        raise SystemExit(f"{server.name} refused {found['bad']} requests")
    cpu = 1e3 * (server.cpu() - before) / found["good"]
    return Load(cpu, found["good"] / found["seconds"], found["p50_ms"])


def in_turn(servers: Sequence[Server], connections: int, bodies: pathlib.Path) -> dict[str, Load]:
    """Return the medians of each server; a first turn warms up. The order rotates by round."""
    turns: dict[str, list[Load]] = {server.name: [] for server in servers}
    for turn in range(ROUNDS + 1):
        first = turn % len(servers)
        for server in (*servers[first:], *servers[:first]):
            turns[server.name].append(load(server, connections, bodies))
    return {
        name: Load(*(statistics.median(getattr(t, f) for t in each[1:]) for f in Load._fields))
        for name, each in turns.items()
    }


def rows(connections: int, found: Mapping[str, Load]) -> Iterator[harness.Row]:
    """Give the lines of the table for one number of connections."""
    at = f"{connections} connection{'s' if connections > 1 else ''}"
    ours = found[OURS]
    for peer, (_, goal) in PEERS.items():
        cpu, rate, latency = found[peer]
        yield harness.Row(f"CPU of a request, {at}", peer, ours.cpu, cpu, "ms", goal)
        yield harness.Row(
            f"requests, {at}", peer, ours.rate, rate, "1/s", goal, more_is_better=True
        )
        yield harness.Row(f"median latency, {at}", peer, ours.latency, latency, "ms", LATENCY)


def main() -> None:
    """Measure the servers in turn, and keep the medians."""
    harness.enter(FAMILY)
    launch.prepare()
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        prepare(folder)
        bodies, script = folder / "bodies.json", str(HERE / "servers" / "fastapi_sklearn.py")
        commands = {
            OURS: [*MASTERY, "serve", "--models", str(folder / "models"), "--port"],
            **{
                peer: [sys.executable, script, calls, str(folder / "digits.joblib")]
                for peer, (calls, _) in PEERS.items()
            },
        }
        servers = [stack.enter_context(started(*each)) for each in commands.items()]
        ours, *peers = servers
        worst = max(agree(ours, peer, json.loads(bodies.read_text())) for peer in peers)
        found = [row for n in CONNECTIONS for row in rows(n, in_turn(servers, n, bodies))]
    notes = [
        f"Same weights, same predictions; probabilities differ by at most {worst:.0e}.",
        "The first peer calls the network twice, as is usual: predict, then predict_proba. The one "
        "of one pass takes the class from predict_proba, with scikit-learn's assume_finite.",
    ]
    harness.save(FAMILY, "Serving: one row through a network 64-256-10", found, notes=notes)


if __name__ == "__main__":
    main()
