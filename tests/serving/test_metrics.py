"""The metrics are those that the page names, and no client can make more series of them."""

import asyncio
import re

import pytest

from serving.models.registry import Registry
from serving.monitor.metrics import Metrics
from tests.pages import DOCS
from tests.serving.served import post, start

ROW = re.compile(r"^\| `(?P<name>\w+)` \| (?P<kind>\w+) \|(?P<labels>[^|]*)\|", re.MULTILINE)
SUFFIX = {"counter": "_total", "gauge": "", "histogram": ""}


def families(client):
    """Return every metric as a page names it, and its kind."""
    app = client.app
    found = {}
    for family in app.state.metrics.registry.collect():
        found[family.name + SUFFIX[family.type]] = family
    return found


def test_the_page_has_every_metric(shelf, tmp_path):
    shelf.add("flower", 1)
    with start(shelf.folder, store=f"sqlite:///{tmp_path}/predictions.sqlite3") as client:
        post(client, "/predict", {"features": [1, 2, 3]})
        found = families(client)
        text = client.get("/metrics").text
    page = (DOCS / "monitoring.md").read_text()
    told = {row["name"]: (row["kind"], row["labels"].strip()) for row in ROW.finditer(page)}
    assert {name: kind for name, (kind, _) in told.items()} == {
        name: family.type for name, family in found.items()
    }
    for name, family in found.items():
        assert family.documentation
        for sample in family.samples:
            labels = ", ".join(label for label in sample.labels if label != "le")
            assert labels == told[name][1], name
        assert re.search(rf"^# TYPE {name} ", text, re.MULTILINE) or family.type == "counter"


def test_ten_thousand_paths_make_one_series(shelf):
    shelf.add("flower", 1)

    async def session(app):
        async def send(message):
            pass

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        for number in range(10_000):
            scope = {
                "type": "http",
                "asgi": {"version": "3.0"},
                "http_version": "1.1",
                "scheme": "http",
                "method": f"VERB{number}" if number % 2 else "GET",
                "path": f"/{number}/models/{number}",
                "raw_path": b"",
                "query_string": b"",
                "root_path": "",
                "headers": [(b"x-request-id", b"%d" % number)],
                "client": ("127.0.0.1", 1),
                "server": ("127.0.0.1", 8000),
                "state": {},
            }
            await app(scope, receive, send)

    with start(shelf.folder) as client:
        client.get("/nowhere")
        client.request("VERB", "/nowhere")
        before = sum(len(family.samples) for family in families(client).values())
        asyncio.run(session(client.app))
        after = sum(len(family.samples) for family in families(client).values())
    assert after == before


def test_memory_of_devices(tmp_path, monkeypatch):
    import jax

    class Device:
        platform, id = "gpu", 0

        @staticmethod
        def memory_stats():
            return {"bytes_in_use": 3, "bytes_limit": 8, "num_allocs": 1}

    class Silent(Device):
        @staticmethod
        def memory_stats():
            return None

    monkeypatch.setattr(jax, "local_devices", lambda: [Device(), Silent()])
    with Registry(tmp_path, load=lambda folder: pytest.fail(str(folder))) as registry:
        collected = {f.name: f for f in Metrics(registry).registry.collect()}
    samples = collected["ml_device_memory_bytes"].samples
    assert [(s.labels["device"], s.labels["kind"], s.value) for s in samples] == [
        ("gpu:0", "used", 3),
        ("gpu:0", "limit", 8),
    ]


def test_readiness_is_a_metric(shelf):
    with start(shelf.folder) as client:
        assert "\nml_ready 0.0\n" in client.get("/metrics").text
        shelf.add("flower", 1)
        client.post("/models/reload")
        assert "\nml_ready 1.0\n" in client.get("/metrics").text
