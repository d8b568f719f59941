"""Clients that are slow, rude or wrong, over raw sockets: the others are answered meanwhile."""

import contextlib
import socket
import struct
import time

import pytest

from tests.serving import processes
from tests.serving.processes import read_all

HASTY = """
import pathlib, sys
import msgspec
from serving import main
from serving.settings import Settings

main.run(Settings(models=pathlib.Path(sys.argv[2]), port=int(sys.argv[4]), buckets=(2, 4),
                  body_seconds=1.0, head_seconds=1.0))
"""
BODY = b'{"features": [1, 2, 3], "model_name": "line"}'
HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n" % len(BODY)
REPOSITORY = ("index", "models/line/load", "models/line/unload")
GET = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def server(published):
    """Serve with deadlines of a second."""
    port = processes.free_port()
    command = [processes.MASTERY[0], "-c", HASTY]
    server = processes.Running([*command, "--models", str(published), "--port", str(port)], port)
    try:
        yield server.wait_ready()
    finally:
        server.kill()


@pytest.fixture(autouse=True)
def others_are_answered(server):
    """Hold that the server lives, and is alone again."""
    yield
    with server.client() as client:
        assert len(client.predict([1.0, 2.0, 3.0], "line").predictions) == 1
    assert server.process.poll() is None


def status_of(answer):
    return int(answer.split(b" ", 2)[1]) if answer else None


def trickle(connection, content):
    """Send a byte at a time until it is sent or refused."""
    with contextlib.suppress(OSError):
        for i in range(len(content)):
            connection.sendall(content[i : i + 1])
            time.sleep(0.1)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"", None),
        (b"POST /predict HTTP/1.1\r\nHost: ", 408),
        (HEAD, 408),
        (HEAD + b"\r\n", 408),
        (HEAD + b"\r\n" + BODY[:-1], 408),
        (GET + b"POST /predict HTTP/1.1\r\nHo", 200),
    ],
)
def test_half_a_request(server, sent, status):
    with server.connect() as connection:
        connection.sendall(sent)
        answer = read_all(connection)
    assert status_of(answer) == status
    if status == 408:
        assert b"application/problem+json" in answer
    if status == 200:
        assert b" 408 " in answer, "the second one is not waited for"


@pytest.mark.parametrize("path", REPOSITORY)
def test_half_a_body_of_a_route_that_may_have_none(server, path):
    head = HEAD.replace(b"/predict", b"/v2/repository/" + path.encode())
    with server.connect() as connection:
        connection.sendall(head + b"\r\n{")
        answer = read_all(connection)
    assert status_of(answer) == 408
    assert b"the body did not come in 1 s" in answer


@pytest.mark.parametrize("start", [b"", HEAD, HEAD + b"\r\n"], ids=["line", "head", "body"])
def test_a_byte_at_a_time(server, start):
    with server.connect() as connection:
        connection.sendall(start)
        rest = BODY + BODY if start.endswith(b"\r\n\r\n") else b"X-Long: " + b"a" * 100
        trickle(connection, rest if start else HEAD + b"\r\n" + BODY)
        assert status_of(read_all(connection)) in (408, None)  # None: reset as it was still sent


def test_half_a_request_and_the_end(server):
    for sent in (HEAD, HEAD + b"\r\n" + BODY[:5]):
        with server.connect() as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            assert read_all(connection) == b""


def test_a_reset_while_it_is_answered(server):
    rows = b'{"features": [' + b",".join([b"[1,2,3]"] * 50_000) + b'], "model_name": "line"}'
    request = b"POST /predict/batch HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(rows)
    for _ in range(5):
        with server.connect() as connection:
            connection.sendall(request + rows)
            connection.recv(1)  # the answer is on its way
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


ROWS = b'{"features": [' + b",".join([b"[1,2,3]"] * 60_000) + b'], "model_name": "flower"}'
LARGE = b"POST /predict/batch HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(ROWS)


def ask_for_much(server, room):
    """Return a connection on which 3 MiB are asked for, with room for some bytes of them."""
    connection = socket.socket()
    connection.settimeout(processes.PATIENCE)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    connection.connect(("127.0.0.1", server.port))
    connection.sendall(LARGE + ROWS)
    return connection


def test_an_answer_that_is_not_read(server):
    before = server.descriptors()
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(ask_for_much(server, 4096)) for _ in range(5)]
        for connection in connections:
            assert connection.recv(12) == b"HTTP/1.1 200"
        processes.until(lambda: server.descriptors() <= before)


def test_an_answer_that_is_read_slowly(server):
    with ask_for_much(server, 2**17) as connection:
        pieces = []
        while not pieces or not pieces[-1].endswith(b"}"):
            time.sleep(0.1)
            pieces.append(connection.recv(2**17))
    head, _, body = b"".join(pieces).partition(b"\r\n\r\n")
    assert b"content-length: %d" % len(body) in head


def test_many_idle_connections(server):
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(server.connect()) for _ in range(1000)]
        with server.client() as client:
            for _ in range(20):
                client.predict([1.0, 2.0, 3.0], "line")
        assert [read_all(connection) for connection in idle] == [b""] * len(idle), "all are closed"


def test_requests_in_a_row(server):
    request = HEAD + b"\r\n" + BODY
    with server.connect() as connection:
        connection.sendall(request * 50 + GET.replace(b"Host", b"Connection: close\r\nHost"))
        answer = read_all(connection)
    assert answer.count(b"HTTP/1.1 200 OK") == 51
    assert answer.count(b'"predictions"') == 50
    assert b'"healthy"' in answer.rpartition(b"HTTP/1.1")[2], "in the order of the requests"


TWICE = b"Content-Length: %d\r\n" % (len(BODY) - 1)
CHUNKED = b"Transfer-Encoding: chunked\r\n"


@pytest.mark.parametrize(
    "head",
    [
        HEAD + TWICE,
        HEAD + CHUNKED,
        HEAD.replace(b"Content-Length: ", b"Content-Length: +"),
        HEAD.replace(b"Content-Length: ", b"Content-Length: -"),
        HEAD.replace(b"Content-Length: ", b"Content-Length: 0x"),
        HEAD.replace(b"Content-Length: ", b"Content-Length: " + b"9" * 30),
        HEAD.replace(b"Host: x", b"Host: x\r\nTransfer-Encoding: chunked, chunked"),
        b"POST /predict HTTP/1.1\nHost : x\r\n",
        b"NONSENSE\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /\x00 HTTP/1.1\r\n",
        b"GET / HTTP/9.9\r\n",
    ],
)
def test_a_head_that_is_none(server, head):
    with server.connect() as connection:
        connection.sendall(head + b"\r\n" + BODY)
        answer = read_all(connection)
    assert status_of(answer) in (400, 413)
    assert answer.count(b"HTTP/1.1") == 1, "what follows is not read as a request"


@pytest.mark.parametrize("flood", [b"X-A: " + b"a" * 2**21, b"X-A: b\r\n" * 2**18, b"a" * 2**21])
def test_a_flood_of_headers(server, flood):
    with server.connect() as connection:
        with contextlib.suppress(OSError):
            connection.sendall(b"GET / HTTP/1.1\r\n" + flood)
        assert status_of(read_all(connection)) in (431, 400, None)  # None: reset


@pytest.mark.slow
def test_a_long_head_by_granian(published):
    with processes.running(published, "--server", "granian") as granian:
        granian.wait_ready()
        with granian.connect() as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nX-A: " + b"a" * 150_000 + b"\r\n\r\n")
            assert status_of(read_all(connection)) == 431


SLOW = b'{"features": [' + b",".join([b"[1,2,3]"] * 12_000) + b'], "model_name": "line"}'


@pytest.mark.parametrize(
    ("behind", "status"),
    [
        (b"GET /health HTTP/1.1\r\nX-A: " + b"a" * 100_000, 431),
        (b"GET /health HTTP/1.1\r\nX-A: " + b"a" * 100_000 + b"\r\n\r\n", 431),
        (b"GET /health HTTP/1.1\r\nX-A: ", 408),
        (b"NONSENSE\r\n\r\n", 400),
        (GET.replace(b"Host", b"Connection: close\r\nHost"), 200),
    ],
)
def test_what_comes_behind_a_request_does_not_take_its_answer(server, behind, status):
    head = b"POST /predict/batch HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(SLOW)
    with server.connect() as connection:
        connection.sendall(head + SLOW + behind)
        answer = read_all(connection)
    assert [int(line[:3]) for line in answer.split(b"HTTP/1.1 ")[1:]] == [200, status]


def test_a_body_and_the_next_head_in_one_piece(server):
    padded = BODY + b" " * 120_000
    with server.connect() as connection:
        head = HEAD.replace(b"Length: %d" % len(BODY), b"Length: %d" % len(padded))
        connection.sendall(head + b"\r\n")
        time.sleep(0.1)
        connection.sendall(padded + GET[:-2])
        time.sleep(0.1)
        connection.sendall(b"Connection: close\r\n\r\n")
        answer = read_all(connection)
    assert [int(line[:3]) for line in answer.split(b"HTTP/1.1 ")[1:]] == [200, 200]


def test_a_long_path(server):
    with server.connect() as connection:
        connection.sendall(b"GET /" + b"a" * 30_000 + b" HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert status_of(read_all(connection)) == 404
