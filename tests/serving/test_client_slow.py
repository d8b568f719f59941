"""A call ends when its time is over, however the server spreads its answer; and broken answers."""

import asyncio
import contextlib
import socket
import threading

import httpx
import pytest

from serving.caller import bounded
from serving.client import AsyncClient, Client, ServingError
from tests.serving import served
from tests.serving.processes import PATIENCE

BODY = b'{"status": "healthy", "models_loaded": 1, "timestamp": 0.0}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY)
BROKEN = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 8\r\n\r\nnot gzip"


@contextlib.contextmanager
def answering(at_once, slowly=b""):
    """Give the URL of a server that sends the rest of each answer byte by byte, in 6 s or more."""
    over = threading.Event()

    def answer(connection):
        with connection, contextlib.suppress(OSError):
            while connection.recv(2**16):
                connection.sendall(at_once)
                for byte in slowly:
                    if over.wait(0.1):
                        return
                    connection.sendall(bytes([byte]))

    def accept(door):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = door.accept()
                threading.Thread(target=answer, args=[connection], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as door:
        thread = threading.Thread(target=accept, args=[door])
        thread.start()
        try:
            yield f"http://127.0.0.1:{door.getsockname()[1]}"
        finally:
            over.set()
            door.shutdown(socket.SHUT_RDWR)
            thread.join()


def blocking(url, **options):
    with Client(url, **options) as client:
        return client.health()


def awaiting(url, **options):
    async def ask():
        async with AsyncClient(url, **options) as client:
            return await client.health()

    return asyncio.run(ask())


@pytest.mark.parametrize("ask", [blocking, awaiting])
@pytest.mark.parametrize("parts", [(HEAD, BODY), (b"", HEAD + BODY)], ids=["body", "head"])
def test_a_server_that_drips_is_left_in_time(ask, parts):
    with answering(*parts) as url, pytest.raises(ServingError, match="did not answer: timed out"):
        ask(url, timeout=0.5)


@pytest.mark.parametrize("ask", [blocking, awaiting])
@pytest.mark.parametrize("timeout", [None, 60.0])
def test_who_has_time_gets_the_answer(ask, timeout):
    with answering(HEAD + BODY[:-3], BODY[-3:]) as url:
        assert ask(url, timeout=timeout).models_loaded == 1


@pytest.mark.parametrize("ask", [blocking, awaiting])
def test_an_answer_that_cannot_be_decompressed(ask):
    with (
        answering(BROKEN) as url,
        pytest.raises(ServingError, match="does not answer as a mastery_jax server does: Error -3"),
    ):
        ask(url)


def test_a_proxy_is_bounded_too(monkeypatch):
    with answering(HEAD, BODY) as url:
        monkeypatch.setenv("http_proxy", url)
        with pytest.raises(ServingError, match="did not answer: timed out"):
            blocking("http://models.example.com", timeout=0.5)


def test_every_socket_of_a_client_is_bounded():
    with httpx.Client() as client:
        assert isinstance(bounded.bound(client)._transport._pool._network_backend, bounded.Backend)


def test_a_crowd_of_calls_has_its_turn(published):
    async def session(url):
        async with AsyncClient(url, timeout=PATIENCE) as asked:
            calls = (asked.predict([float(i), 0.0, 0.0], "line") for i in range(1000))
            return [answer.predictions[0] for answer in await asyncio.gather(*calls)]

    with served.running(models=published) as (address, _):
        assert asyncio.run(session(f"http://{address}")) == [2.0 * i for i in range(1000)]
