"""Servers as processes: ours, and the peers that could be installed and started."""

import contextlib
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from benchmarks import harness
from benchmarks.serving_models import NAME

__all__ = [
    "HEADERS",
    "OURS",
    "PEERS",
    "SCRIPTS",
    "Peer",
    "Server",
    "command",
    "free_port",
    "peer_command",
    "started",
]

SCRIPTS = pathlib.Path(__file__).parent / "servers"
MASTERY = [sys.executable, "-c", "from mastery_jax.cli import main; main()"]
OURS = "mastery serve"
OPTIONS: tuple[str, ...] = ()  # of `mastery serve`, beyond its defaults
HEADERS: dict[str, str] = {}  # that each request to ours carries
PATIENCE = 90.0  # seconds for a server to answer at all


class Peer(NamedTuple):
    """How another server is installed, started and asked."""

    family: str  # of its environment
    script: tuple[str, ...]  # of servers/, and arguments before the model and the port
    protocol: str
    is_up: str  # a path that answers once it is ready
    model: str = "model.joblib"  # in the folder of what was prepared
    waits: bool = False  # for other requests, by a timer, before it computes

    @property
    def is_alone(self) -> bool:
        """Whether it has an environment of its own, without this project."""
        return self.family != "serving"


def fastapi(how: str, model: str = "model.joblib") -> Peer:
    """Return FastAPI with one way to predict."""
    return Peer("serving", ("fastapi_app.py", how), "plain", "/health", model)


PEERS = {
    "FastAPI, scikit-learn": fastapi("twice"),
    "FastAPI, scikit-learn, one pass": fastapi("once"),
    "FastAPI, our program": fastapi("program", f"models/{NAME}/1"),
    "MLServer, batching": Peer(
        "serving_mlserver",
        ("mlserver_sklearn.py",),
        "v2",
        f"/v2/models/{NAME}/ready",
        waits=True,
    ),
    "LitServe, batching": Peer(
        "serving_litserve", ("litserve_sklearn.py",), "plain", "/health", waits=True
    ),
    "BentoML, batching": Peer("serving_bentoml", ("bentoml_sklearn.py",), "rows", "/readyz"),
}


class Server(NamedTuple):
    """A process that answers at a port."""

    name: str
    process: Any  # psutil.Process
    port: int

    def cpu(self) -> float:
        """Return the seconds that it and its children have computed."""
        family = (self.process, *self.process.children(recursive=True))
        return sum(sum(one.cpu_times()[:2]) for one in family)

    def settle(self) -> None:
        """Wait until it has done what nobody waits for any more."""
        before, end = self.cpu(), time.monotonic() + 10
        while time.monotonic() < end:
            time.sleep(0.1)
            now = self.cpu()
            if now - before < 0.05:
                return
            before = now


def command(models: pathlib.Path) -> list[str]:
    """Return how ours is started; the port comes last."""
    return [*MASTERY, "serve", "--models", str(models), *OPTIONS, "--port"]


def peer_command(peer: Peer, folder: pathlib.Path) -> list[str]:
    """Return how a peer is started on what was prepared, its environment made if need be."""
    python = harness.environment(peer.family, is_alone=peer.is_alone)
    script, *arguments = peer.script
    return [str(python), str(SCRIPTS / script), *arguments, str(folder / peer.model)]


def free_port() -> int:
    """Return a port that nobody has."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return door.getsockname()[1]


@contextlib.contextmanager
def started(name: str, command: Sequence[str], is_up: str = "/health") -> Iterator[Server]:
    """Run a server, whose last argument will be its port, until it is no longer needed.

    Raises:
        RuntimeError: it ended, or did not answer in time; with the end of what it wrote.
    """
    import psutil

    port = free_port()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen([*command, str(port)], stdout=log, stderr=log)
        server = Server(name, psutil.Process(process.pid), port)
        try:
            if not is_answering(process, f"http://127.0.0.1:{port}{is_up}"):
                log.seek(0)
                said = log.read().decode(errors="replace").strip().rpartition("\n")[2]
                raise RuntimeError(f"{name} does not start: {said or 'it says nothing'}")
            yield server
        finally:
            stop(process, server)


def is_answering(process: subprocess.Popen, url: str) -> bool:
    """Wait for the first good answer; say whether it came."""
    end = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(url, timeout=PATIENCE).close()
            return True
        time.sleep(0.1)
    return False


def stop(process: subprocess.Popen, server: Server) -> None:
    """End a server, and what it leaves running."""
    import psutil

    family = server.process.children(recursive=True) if process.poll() is None else []
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=15)
    for one in (*family, server.process):
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    process.wait()
