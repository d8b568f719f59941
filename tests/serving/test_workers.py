"""Several workers: one is killed, one is told to reload, all are counted."""

import os
import signal

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from serving.access import keys
from serving.client import ServingError
from serving.process.metrics import merge
from tests.serving import served
from tests.serving.processes import children, is_alive, running, until

WORKERS = 2
ROW = [1.0, 2.0, 3.0]


@pytest.fixture(params=["uvicorn", pytest.param("granian", marks=pytest.mark.slow)])
def server(request, shelf):
    shelf.add("line", 1)
    options = ("--workers", str(WORKERS), "--server", request.param)
    with running(shelf.folder, *options) as server:
        yield server.wait_ready()


def answers(server, count=16):
    """Return the versions that answer over connections of their own."""
    found = set()
    for _ in range(count):
        with server.client() as client:
            found.add(client.predict(ROW, "line").model_version)
    return found


def samples(server):
    text = httpx.get(f"{server.url}/metrics").text
    families = list(text_string_to_metric_families(text))
    assert len({family.name for family in families}) == len(families), "no family twice"
    return [sample for family in families for sample in family.samples]


def test_life_with_several_workers(server, shelf):
    shelf.add("line", 2)
    with server.client() as client:
        assert client.reload().loaded == ["line/2"]
        assert client.ready()
        assert answers(server) == {2}, "all have it"
        client.unload("line")
        assert not client.ready()
        family = children(server.process.pid)
        os.kill(family[0], signal.SIGKILL)
        until(lambda: len(set(children(server.process.pid)) - set(family)) == 1)
        client.load("line")  # whoever is there; the new one reads it so
        until(client.ready)
    assert answers(server) == {2}
    counted = [s for s in samples(server) if s.name == "ml_models_loaded_total"]
    assert {s.labels["worker"] for s in counted} == {"0", "1"}
    assert [s.value for s in counted] == [1, 1]
    assert server.stop(signal.SIGTERM) == 0
    assert not server.is_bound()


def test_a_worker_that_is_killed(server):
    family = children(server.process.pid)
    assert len(family) == WORKERS
    os.kill(family[0], signal.SIGKILL)
    with server.client(retries=0) as client:
        until(lambda: not client.ready())
        assert client.predict(ROW, "line").model_version == 1, "the other one answers"
        until(client.ready)
    assert len(children(server.process.pid)) == WORKERS


def test_counts_add_up(server):
    asked = 40
    for _ in range(asked):
        with server.client() as client:
            client.predict(ROW, "line")
    rows = [s for s in samples(server) if s.name == "ml_predictions_total"]
    assert sum(s.value for s in rows) == asked


def test_a_new_worker_knows_what_was_unloaded(server):
    with server.client() as client:
        client.unload("line")
        family = children(server.process.pid)
        os.kill(family[0], signal.SIGKILL)
        until(lambda: len(set(children(server.process.pid)) - set(family)) == 1)
        metric = "ml_models_loaded_total"
        until(lambda: len([s for s in samples(server) if s.name == metric]) == WORKERS)
        assert [s.value for s in samples(server) if s.name == metric] == [0, 0]


def test_texts_become_one():
    a = '# HELP x_total X\n# TYPE x_total counter\nx_total 1.0\nx_total{a="} 9"} 2.0\n'
    b = "# HELP y Y\n# TYPE y gauge\ny 3.0\n" + a
    merged = merge({0: a, 1: b})
    families = {f.name: f for f in text_string_to_metric_families(merged)}
    found = {(s.labels["worker"], s.labels.get("a"), s.value) for s in families["x"].samples}
    assert found == {
        ("0", None, 1.0),
        ("0", "} 9", 2.0),
        ("1", None, 1.0),
        ("1", "} 9", 2.0),
    }
    assert [s.value for s in families["y"].samples] == [3.0]
    assert merged.count("# TYPE x_total") == 1


def test_one_process_has_no_workers_label(client):
    assert all("worker" not in dict(labels) for _, labels in served.samples(client))


def test_the_rate_of_a_key_is_that_of_all(shelf, tmp_path):
    shelf.add("line", 1)
    path = tmp_path / "keys.json"
    key = keys.add(path, "shop", ["predict", "read"], rate=0.001, burst=6.0)
    with running(shelf.folder, "--workers", str(WORKERS), "--keys", str(path)) as server:
        server.wait_ready()
        statuses = []
        for _ in range(20):  # connections of their own, which any worker may take
            with server.client(key=key, retries=0) as client:
                try:
                    client.predict(ROW, "line")
                    statuses.append(200)
                except ServingError as error:
                    statuses.append(error.status)
    assert statuses == [200] * 6 + [429] * 14


def test_a_worker_that_does_nothing_is_replaced(shelf):
    shelf.add("line", 1)
    sooner = "supervisor.SILENCE = 100"
    with running(shelf.folder, "--workers", str(WORKERS), before=sooner) as server:
        server.wait_ready()
        family = children(server.process.pid)
        os.kill(family[0], signal.SIGSTOP)
        until(lambda: len(set(children(server.process.pid)) - set(family)) == 1)
        assert family[1] in children(server.process.pid), "the other one is none of it"
        with server.client() as client:
            until(client.ready)
        assert server.stop(signal.SIGTERM) == 0
        assert "does nothing for 5 s, and is killed" in server.process.stderr.read()


def test_a_worker_that_does_not_end_is_killed(shelf):
    shelf.add("line", 1)
    sooner = "supervisor.GRACE = 1.0"
    with running(shelf.folder, "--workers", str(WORKERS), before=sooner) as server:
        server.wait_ready()
        family = children(server.process.pid)
        os.kill(family[0], signal.SIGSTOP)
        assert server.stop(signal.SIGTERM) == 1
        assert not any(map(is_alive, family))
        assert not server.is_bound()
        assert "did not end in 1 s, and is killed" in server.process.stderr.read()
