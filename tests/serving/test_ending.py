"""How a server ends: nobody who was let in goes without an answer, and nothing is left."""

import json
import signal
import subprocess
import sys

import httpx
import jax
import pytest

from serving.monitor import spans
from serving.process import server, supervisor
from serving.settings import DRAIN, Settings
from serving.store import writer
from tests.serving import processes, served
from tests.serving.processes import MASTERY, children, is_alive, read_all, running, until

ROWS = 64
REQUESTS = 20


def _slow(state, x):
    """Take some 30 ms a batch."""
    start = x["features"] @ state["w"][:, 0]
    return {"predictions": jax.lax.fori_loop(0, 20_000, lambda _, y: jax.numpy.sin(y), start)}


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    models = tmp_path_factory.mktemp("slow")
    served.put(models, "slow", {"predict": _slow})
    return models


@pytest.fixture(params=["uvicorn", pytest.param("granian", marks=pytest.mark.slow)])
def kind(request):
    return request.param


def question(rows):
    body = json.dumps({"features": [[1.0, 2.0, 3.0]] * rows}).encode()
    return b"POST /predict/batch HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )


def told(server, name):
    """Return the sum of a metric."""
    lines = httpx.get(f"{server.url}/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def status(server, path="/v2/health/ready"):
    return httpx.get(server.url + path).status_code


def test_a_full_queue_is_answered(slow, kind):
    with running(slow, "--server", kind, "--drain-seconds", "0.5") as server:
        server.wait_ready()
        connections = [server.connect() for _ in range(REQUESTS)]
        for connection in connections:
            connection.sendall(question(ROWS))
        until(
            lambda: (
                told(server, "ml_inference_count_total") + told(server, "ml_queue_depth") / ROWS
                >= REQUESTS - 1  # and one is computed now
            )
        )
        assert server.stop(signal.SIGTERM) == 0
        for connection in connections:
            answer = read_all(connection)
            assert answer.startswith(b"HTTP/1.1 200 OK")
            assert answer.count(b"0.") >= ROWS
            connection.close()
        assert not server.is_bound()


def test_it_says_that_it_will_stop(published, kind):
    with running(published, "--server", kind, "--drain-seconds", "600") as server:
        server.wait_ready()
        server.process.send_signal(signal.SIGTERM)
        until(lambda: status(server) == 503)
        assert status(server, "/health") == 200
        with server.client() as client:
            client.predict([1.0, 2.0, 3.0], "line")


def test_connections_end_with_their_answers(published, kind):
    with running(published, "--server", kind, "--drain-seconds", "600") as server:
        server.wait_ready()
        kept = [server.connect() for _ in range(3)]
        heads = [b"GET /health", b"GET /nowhere", b"POST /predict"]
        for connection, head in zip(kept, heads, strict=True):
            connection.sendall(head + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            assert b"connection: close" not in connection.recv(2**16)
        server.process.send_signal(signal.SIGTERM)
        until(lambda: status(server) == 503)
        for connection, head in zip(kept, heads, strict=True):
            connection.sendall(head + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            answer = read_all(connection).lower()
            assert answer.count(b"connection: close") == 1
            connection.close()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_second_word_ends_it_at_once(published, workers):
    with running(published, "--workers", workers, "--drain-seconds", "600") as server:
        server.wait_ready()
        family = children(server.process.pid)
        server.process.send_signal(signal.SIGTERM)
        until(lambda: status(server) == 503)
        assert server.stop(signal.SIGTERM) == 128 + signal.SIGTERM
        until(lambda: not any(map(is_alive, family)))
        until(lambda: not server.is_bound())


def test_told_to_stop_before_it_answers(slow, kind):
    with running(slow, "--server", kind) as server:
        until(server.is_bound)  # it listens, and has not loaded
        assert server.stop(signal.SIGTERM) == 0
        assert not server.is_bound()


def test_workers_end_with_their_supervisor(published):
    with running(published, "--workers", "2") as server:
        server.wait_ready()
        family = children(server.process.pid)
        assert len(family) == 2
        assert server.stop(signal.SIGINT) == 0
        assert not any(map(is_alive, family))
        assert not server.is_bound()


def test_workers_end_when_their_supervisor_is_killed(published):
    with running(published, "--workers", "2") as server:
        server.wait_ready()
        family = children(server.process.pid)
        server.process.kill()
        until(lambda: not any(map(is_alive, family)))
        until(lambda: not server.is_bound())


def test_a_trial_ends_with_who_started_it():
    code = "import os, subprocess, sys; sys.stdin = None\n"
    code += "r, w = os.pipe()\n"
    code += "c = subprocess.Popen([sys.executable, '-c', sys.argv[1]], stdin=r)\n"
    code += "print(c.pid, flush=True); c.wait()"
    child = "import threading, time\nfrom serving.engine import trial\n"
    child += "threading.Thread(target=trial._end_with_the_parent, daemon=True).start()\n"
    child += "time.sleep(600)"
    parent = subprocess.Popen([sys.executable, "-c", code, child], stdout=subprocess.PIPE)
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    until(lambda: not is_alive(pid))


def test_the_parts_of_an_end_fit_in_the_whole():
    parts = server.GRACE + writer.GRACE + spans.STOP_SECONDS
    assert parts < supervisor.GRACE, "or a worker is killed that would have ended"
    assert supervisor.GRACE + DRAIN < 30, "what Kubernetes gives"


def test_the_drain_is_no_time_on_loopback():
    def drain(**given):
        return Settings(models=None, **given).drain

    assert drain() == drain(host="localhost") == drain(host="::1") == 0
    assert drain(host="0.0.0.0") == drain(host="models.example") == 5
    assert drain(drain_seconds=2.0) == drain(host="0.0.0.0", drain_seconds=2.0) == 2


def test_what_is_no_option(published):
    for option, value in (("--workers", "0"), ("--drain-seconds", "-1"), ("--server", "apache")):
        assert option in processes.refused([*MASTERY, "serve", option, value])
