"""HEAD: the headers of GET and no body, on every route that GET has."""

import asyncio
import http.client

import pytest

from serving.access.table import ROUTES
from serving.app import create_app
from serving.settings import Settings
from tests.serving import served

FILLED = {
    "{model}": "flower",
    "{model_id}": "flower",
    "{version}": "1",
    "{file_path:path}": "swagger-ui/LICENSE",
    "{path}": "nothing",
}


def filled(path):
    for name, value in FILLED.items():
        path = path.replace(name, value)
    return path


SERVED = [filled(path) for method, path in ROUTES if method == "GET"]


@pytest.fixture(scope="module")
def server(published):
    with served.running(models=published) as (address, app):
        yield address, app.state.metrics.registry.get_sample_value


def ask(address, method, path):
    """Return the status and the headers of an answer without a body."""
    connection = http.client.HTTPConnection(address, timeout=60)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        answer.read()
        # Whatever else came would be taken for the next answer.
        connection.request("GET", "/v2/health/live")
        assert connection.getresponse().status == 200
        return answer.status, answer.headers
    finally:
        connection.close()


@pytest.mark.parametrize("path", SERVED)
def test_the_head_of_what_is_served(server, path):
    address, _ = server
    status, headers = ask(address, "HEAD", path)
    like, wanted = ask(address, "GET", path)
    assert status == like
    assert headers["content-type"] == wanted["content-type"]
    assert (headers["content-length"] == "0") is (wanted["content-length"] == "0")
    allowed = ask(address, "PUT", path)[1]["allow"].split(", ")
    assert {"GET", "HEAD"} <= set(allowed)
    assert {"GET", "HEAD"} <= set(ask(address, "OPTIONS", path)[1]["allow"].split(", "))


def test_it_is_counted_as_what_it_is(server):
    address, count = server
    labels = {"method": "HEAD", "endpoint": "/health", "status": "200"}
    before = count("http_requests_total", labels) or 0
    ask(address, "HEAD", "/health")
    assert count("http_requests_total", labels) == before + 1


@pytest.mark.parametrize(("path", "status"), [("/predict", 405), ("/nothing", 404)])
def test_the_head_of_what_is_not(server, path, status):
    found, headers = ask(server[0], "HEAD", path)
    assert found == status
    if status == 405:
        assert set(headers["allow"].split(", ")) == {"POST", "OPTIONS"}


def test_no_body_is_sent_whatever_the_http_server_does(published):
    app = create_app(Settings(models=published))
    sent = []

    async def session():
        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": "HEAD", "path": "/", "headers": [], "state": {}}
        await app({**scope, "root_path": "", "query_string": b""}, None, send)

    asyncio.run(session())
    start, *bodies = sent
    assert start["status"] == 200
    assert int(dict(start["headers"])[b"content-length"]) > 0
    assert b"".join(message["body"] for message in bodies) == b""
