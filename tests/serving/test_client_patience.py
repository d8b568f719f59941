"""What a client does when it is refused, or when nobody answers."""

import asyncio
import email.utils
import itertools
import time

import httpx
import pytest

from serving.caller import patience
from serving.client import AsyncClient, Client, ServingError

URL = "http://testserver.local"
HEALTH = {"status": "healthy", "models_loaded": 1, "timestamp": 0.0}
FULL = {
    **{"type": "about:blank", "title": "Service Unavailable", "status": 503, "instance": "/"},
    **{"detail": "the queue is full", "error": "the queue is full", "request_id": "abc"},
}


class Server:
    """Answers as it is told, the last answer for ever; keeps what it was asked."""

    def __init__(self, *answers):
        self.answers = itertools.chain(answers, itertools.repeat(answers[-1]))
        self.asked = []

    def __call__(self, request):
        self.asked.append(request)
        answer = next(self.answers)
        if isinstance(answer, Exception):
            raise answer
        # A response is read once.
        return httpx.Response(answer.status_code, content=answer.content, headers=answer.headers)

    def client(self, **options):
        client = Client(URL, **options)
        client._http = httpx.Client(transport=httpx.MockTransport(self), base_url=URL)
        return client


def refusal(status=503, retry_after="0"):
    return httpx.Response(status, json=FULL, headers={"Retry-After": retry_after})


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Let pauses be short."""
    monkeypatch.setattr(patience, "FIRST", 1e-3)


GOOD = httpx.Response(200, json=HEALTH)


@pytest.mark.parametrize(
    "refused", [refusal(), refusal(429), httpx.ConnectError("refused"), httpx.ReadError("reset")]
)
def test_what_is_refused_is_asked_again(refused):
    server = Server(refused, refused, GOOD)
    assert server.client().health().models_loaded == 1
    assert len(server.asked) == 3
    assert len({request.headers["x-request-id"] for request in server.asked}) == 1

    async def ask():
        async with AsyncClient(URL) as client:
            transport = httpx.MockTransport(Server(refused, refused, GOOD))
            client._http = httpx.AsyncClient(transport=transport, base_url=URL)
            return await client.health()

    assert asyncio.run(ask()).models_loaded == 1


@pytest.mark.parametrize("retries", [0, 2])
def test_only_so_often(retries):
    server = Server(refusal())
    with pytest.raises(ServingError, match="503: the queue is full") as error:
        server.client(retries=retries).predict([1.0])
    assert error.value.request_id == "abc"
    assert len(server.asked) == 1 + retries


@pytest.mark.parametrize("status", [400, 404, 408, 413, 500, 504])
def test_what_will_not_be_better_is_asked_once(status):
    server = Server(refusal(status))
    with pytest.raises(ServingError, match=f"{status}: "):
        server.client().predict([1.0])
    assert len(server.asked) == 1


def test_what_may_have_been_done_is_not_done_again():
    server = Server(httpx.ReadError("reset"))
    for change in (Client.reload, lambda c: c.load("iris"), lambda c: c.unload("iris")):
        with pytest.raises(ServingError, match="did not answer: reset"):
            change(server.client())
    assert len(server.asked) == 3
    with pytest.raises(ServingError, match="did not answer: reset"):
        server.client(retries=2).predict([1.0])
    assert len(server.asked) == 3 + 3


def test_the_time_is_over_before_the_pause_is():
    server = Server(refusal(retry_after="3600"))
    start = time.monotonic()
    with pytest.raises(ServingError, match="503"):
        server.client(timeout=30.0).health()
    assert len(server.asked) == 1
    assert time.monotonic() - start < 30


def test_retry_after_is_kept():
    server = Server(refusal(retry_after="1"), GOOD)
    start = time.monotonic()
    server.client().health()
    assert time.monotonic() - start >= 1
    soon = email.utils.formatdate(time.time() + 60, usegmt=True)
    assert 50 < patience._retry_after(soon) <= 60
    assert patience._retry_after("nonsense") == patience._retry_after("") == 0


@pytest.mark.parametrize(
    ("timeout", "told"), [(2.5, range(2000, 2501)), (1e-5, [1]), (1e6, [86_400_000])]
)
def test_the_server_is_told_the_time(timeout, told):
    server = Server(GOOD)
    server.client(timeout=timeout).health()
    assert int(server.asked[0].headers["x-request-timeout-ms"]) in told


def test_no_limit():
    server = Server(GOOD)
    server.client(timeout=None).health()
    assert "x-request-timeout-ms" not in server.asked[0].headers


def test_who_asks():
    server = Server(GOOD)
    server.client(key="secret", routing_key="ada").health()
    assert server.asked[0].headers["x-api-key"] == "secret"
    assert server.asked[0].headers["x-routing-key"] == "ada"


@pytest.mark.parametrize(
    ("options", "words"), [({"retries": -1}, "retries is -1"), ({"timeout": 0}, "timeout is 0")]
)
def test_options_that_cannot_be(options, words):
    with pytest.raises(ValueError, match=words):
        Client(URL, **options)


@pytest.mark.parametrize(
    ("answer", "is_ready"),
    [(httpx.Response(200), True), (refusal(503), False), (httpx.ConnectError("refused"), False)],
)
def test_ready_does_not_insist(answer, is_ready):
    server = Server(answer)
    assert server.client().ready() is is_ready
    assert len(server.asked) == 1
    with pytest.raises(ServingError, match="404"):
        Server(refusal(404)).client().ready("nope")
