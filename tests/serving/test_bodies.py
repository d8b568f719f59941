"""Bodies under way: what all of them take has a bound, and small ones are let in all the same."""

import contextlib
import gzip
import json
import socket

import pytest

from tests.serving import processes
from tests.serving.served import running
from tests.serving.wire_level import request

LARGEST = 2**19  # bytes of a body here: the server holds four of them
PREDICT, INFER = "/predict", "/v2/models/line/infer"
SMALL = {"features": [1, 2, 3], "model_name": "line"}


@pytest.fixture(scope="module")
def server(published):
    with running(models=published, max_body=LARGEST, max_binary=LARGEST) as (address, app):
        yield address, app


def sent(stack, address, content):
    host, port = address.split(":")
    connection = stack.enter_context(socket.create_connection((host, int(port)), timeout=60))
    connection.sendall(content)
    return connection


def status(connection):
    return int(connection.recv(2**16).split(b" ")[1])


def held(app):
    return app.asgi_handler.app.bodies.held


def half(path=PREDICT):
    """Return a request whose last byte is missing."""
    return request(path, b" " * LARGEST)[:-1]


def tensor(rows):
    entry = {"name": "features", "shape": [rows, 3], "datatype": "FP32", "data": [0] * 3 * rows}
    return json.dumps({"inputs": [entry]}).encode()


@pytest.mark.parametrize("path", [PREDICT, INFER])
def test_one_body_too_many_is_refused_and_small_ones_are_not(server, path):
    address, app = server
    count = app.state.metrics.registry.get_sample_value
    before = count("ml_requests_refused_total", {"reason": "room"})
    with contextlib.ExitStack() as stack:
        waiting = [sent(stack, address, half(path)) for _ in range(4)]
        processes.until(lambda: held(app) == 4 * (LARGEST - 1))
        answer = sent(stack, address, half(path)).recv(2**16)
        assert b" 503 " in answer
        assert b"retry-after: 1" in answer
        assert b"connection: close" in answer
        assert b"the bodies under way have" in answer
        assert count("ml_requests_refused_total", {"reason": "room"}) == before + 1
        assert status(sent(stack, address, request(PREDICT, SMALL))) == 200
        waiting.pop().close()
        processes.until(lambda: held(app) < 4 * (LARGEST - 1))
        again = sent(stack, address, half(path) + b" ")
        assert status(again) == 400, "it was read, and is no JSON"
    processes.until(lambda: held(app) == 0)


def test_a_large_answer_has_its_place_until_it_is_taken(server):
    address, app = server
    gate = app.asgi_handler.app
    # 3 MiB of answer: more than the kernel takes for a client that reads nothing
    rows = b'{"features": [' + b",".join([b"[1,2,3]"] * 60_000) + b'], "model_name": "flower"}'
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            connection = stack.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect((address.split(":")[0], int(address.split(":")[1])))
            connection.sendall(request("/predict/batch", rows))
            assert connection.recv(12) == b"HTTP/1.1 200"
        assert gate.in_flight == 4
    processes.until(lambda: gate.in_flight == 0)


def test_a_body_counts_as_what_it_is_once_it_is_decompressed(server):
    address, app = server
    whole = tensor(40_000)  # 480 kB of numbers
    packed = request(INFER, gzip.compress(whole), **{"Content-Encoding": "gzip"})
    assert len(whole) < LARGEST
    assert len(packed) < 2**12
    with contextlib.ExitStack() as stack:
        assert status(sent(stack, address, packed)) == 200
        for _ in range(4):
            sent(stack, address, half(INFER))
        processes.until(lambda: held(app) == 4 * (LARGEST - 1))
        assert status(sent(stack, address, packed)) == 503
    processes.until(lambda: held(app) == 0)
