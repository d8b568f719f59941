import pathlib
import re
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from mastery_jax.workflow import labels, manifest
from mastery_jax.workflow.errors import ConfigError
from serving.settings import Settings, check
from tests.serving import served
from tests.serving.recorded import PATIENCE, until
from tests.serving.served import post, samples, start


def line(client, row=(1.0, 0.0, 0.0)):
    body = post(client, "/predict", {"features": list(row), "model_id": "line"}).json()
    return body["model_version"], body["predictions"]


def test_reload(shelf):
    shelf.add("line", 1)
    with start(shelf.folder) as client:
        assert line(client) == (1, [1.0])
        same = client.post("/models/reload")
        assert same.status_code == 200
        assert same.json() == {"models_loaded": 1, "loaded": [], "removed": [], "failed": []}
        shelf.add("line", 2)
        assert line(client) == (1, [1.0]), "nothing changes before it is asked for"
        changes = client.post("/models/reload").json()
        assert (changes["loaded"], changes["removed"]) == (["line/2"], ["line/1"])
        assert line(client) == (2, [2.0])
        shutil.rmtree(shelf.folder / "line" / "2")
        assert client.post("/models/reload").json()["loaded"] == ["line/1"]
        shutil.rmtree(shelf.folder / "line")
        assert client.post("/models/reload").json()["removed"] == ["line/1"]
        assert client.get("/health").json()["models_loaded"] == 0
        assert samples(client)["ml_recompiles_total", ()] == 0


def test_a_version_that_fails_leaves_the_old_one(shelf):
    shelf.add("line", 1)
    with start(shelf.folder) as client:
        program = shelf.add("line", 2) / "predict.stablehlo"
        program.write_bytes(program.read_bytes()[:-1])
        changes = client.post("/models/reload").json()
        assert changes["loaded"] == changes["removed"] == []
        (failure,) = changes["failed"]
        assert (failure["model_id"], failure["version"]) == ("line", 2)
        assert "predict.stablehlo" in failure["reason"]
        assert client.get("/models").json()["failed"] == [failure]
        assert line(client) == (1, [1.0])
        shutil.rmtree(shelf.folder)
        gone = client.post("/models/reload")
        assert gone.status_code == 409
        assert line(client) == (1, [1.0])


def test_the_old_version_answers_while_the_new_one_loads(shelf, monkeypatch):
    shelf.add("line", 1)
    with start(shelf.folder) as client:
        shelf.add("line", 2)
        registry = client.app.state.registry
        begun, go_on, load = threading.Event(), threading.Event(), registry._load

        def slow(folder):
            begun.set()
            assert go_on.wait(30)
            return load(folder)

        monkeypatch.setattr(registry, "_load", slow)
        running = registry.reload()
        assert begun.wait(30)
        assert line(client) == (1, [1.0])
        waiting = registry.reload()
        assert waiting is registry.reload(), "they share the next rescan"
        assert waiting is not running, "which sees what came after the first one looked"
        go_on.set()
        assert running.result().loaded == ["line/2"]
        assert waiting.result().loaded == []
        assert line(client) == (2, [2.0])


def test_requests_in_the_queue_of_a_model_that_is_unloaded(shelf, monkeypatch):
    shelf.add("line", 1)
    begun, go_on = threading.Event(), threading.Event()

    def held(*batch):
        begun.set()
        assert go_on.wait(PATIENCE)
        return run(*batch)

    with start(shelf.folder) as client, ThreadPoolExecutor(6) as callers:
        batcher = client.app.state.registry.snapshot.models["line"].default.predictor.batcher
        run = batcher._run
        monkeypatch.setattr(batcher, "_seconds", lambda rows: 0.5)  # so that a thread computes
        monkeypatch.setattr(batcher, "_run", held)
        asked = [callers.submit(line, client, (0, 0, 0))]
        assert begun.wait(PATIENCE)
        asked += [callers.submit(line, client, (i, 0, 0)) for i in range(1, 6)]
        until(lambda: batcher.depth == 5)
        assert post(client, "/v2/repository/models/line/unload", b"").status_code == 200
        assert post(client, "/predict", {"features": [1, 0, 0]}).status_code == 503
        assert not any(each.done() for each in asked)
        go_on.set()
        assert [each.result() for each in asked] == [(1, [float(i)]) for i in range(6)]


@pytest.mark.parametrize("file", ["SHA256SUMS", "manifest.json", "params.safetensors"])
def test_a_folder_that_is_deleted_while_it_is_loaded(shelf, monkeypatch, file):
    shelf.add("line", 1)
    read = manifest._content
    with start(shelf.folder) as client:
        second = shelf.add("line", 2)

        def gone(folder, name, size):
            if (folder, name) == (second, file):
                shutil.rmtree(second, ignore_errors=True)
            return read(folder, name, size)

        monkeypatch.setattr(manifest, "_content", gone)
        changes = client.post("/models/reload").json()
        assert (changes["loaded"], changes["removed"]) == ([], [])
        (failure,) = changes["failed"]
        assert (failure["model_id"], failure["version"]) == ("line", 2)
        assert failure["reason"]
        assert line(client) == (1, [1.0]), "the old one goes on"
        assert client.get("/models").json()["failed"] == [failure]
        monkeypatch.undo()
        assert client.post("/models/reload").json()["failed"] == []
        shelf.add("line", 2)
        assert client.post("/models/reload").json()["loaded"] == ["line/2"]


@pytest.fixture
def other(tmp_path):
    """Another model under the name and the number of one that is served."""
    served.put(tmp_path / "other", "line", served.LINE, scale=3.0)
    return tmp_path / "other" / "line" / "1"


def test_other_content_under_the_same_number(shelf, other):
    place = shelf.add("line", 1)
    with start(shelf.folder) as client:
        shutil.rmtree(place)
        shutil.copytree(other, place)
        changes = client.post("/models/reload").json()
        assert changes["loaded"] == changes["removed"] == ["line/1"]
        assert line(client) == (1, [3.0])
        sums = place / "SHA256SUMS"
        sums.write_text(sums.read_text().replace("0", "1"))
        changes = client.post("/models/reload").json()
        assert [(f["model_id"], f["version"]) for f in changes["failed"]] == [("line", 1)]
        assert line(client) == (1, [3.0]), "what was loaded goes on"


def test_what_has_failed_is_tried_again_only_when_it_changes(shelf, monkeypatch):
    shelf.add("line", 1)
    with start(shelf.folder) as client:
        registry = client.app.state.registry
        loads, load = [], registry._load
        monkeypatch.setattr(registry, "_load", lambda folder: loads.append(folder) or load(folder))
        params = shelf.add("line", 2) / "params.safetensors"
        whole = params.read_bytes()
        params.write_bytes(whole[:-1])
        first = client.post("/models/reload").json()
        assert len(first["failed"]) == len(loads) == 1
        assert client.post("/models/reload").json() == first
        assert len(loads) == 1
        params.write_bytes(whole)
        assert client.post("/models/reload").json()["loaded"] == ["line/2"]


def test_a_model_folder_that_cannot_be_read(shelf, monkeypatch):
    shelf.add("flower", 1)
    shelf.add("line", 1)
    numbers = manifest.numbers

    def refuse(folder):
        if folder.name == "line":
            raise PermissionError(13, "Permission denied")
        return numbers(folder)

    with start(shelf.folder) as client:
        monkeypatch.setattr(manifest, "numbers", refuse)
        shutil.rmtree(shelf.folder / "flower")
        changes = client.post("/models/reload").json()
        assert changes["removed"] == ["flower/1"]
        (failure,) = changes["failed"]
        assert (failure["model_id"], failure["version"]) == ("line", None)
        assert "Permission denied" in failure["reason"]
        assert line(client) == (1, [1.0])


def test_a_renamed_model(shelf):
    shelf.add("line", 1).parent.rename(shelf.folder / "lane")
    with start(shelf.folder) as client:
        (failure,) = client.get("/models").json()["failed"]
        assert "was renamed, its manifest.json says line/1" in failure["reason"]


def test_a_broken_model_among_good_ones(shelf):
    shelf.add("flower", 1)
    shelf.add("line", 1)
    (shelf.add("line", 2) / "manifest.json").write_text("{}")
    (shelf.add("walk", 1) / "params.safetensors").unlink()
    shutil.copytree(shelf.folder / "flower", shelf.folder / "reload")
    (shelf.folder / "notes.txt").write_text("not a model")
    with start(shelf.folder) as client:
        assert client.get("/health").json()["models_loaded"] == 2
        failed = {
            (f["model_id"], f["version"]): f["reason"]
            for f in client.get("/models").json()["failed"]
        }
        assert failed.keys() == {("line", 2), ("walk", 1), ("reload", 1)}
        assert "rename the folder" in failed["reload", 1]
        assert line(client) == (1, [1.0]), "the newest that loads"


def test_no_model_at_all(shelf):
    with start(shelf.folder) as client:
        health = client.get("/health")
        assert (health.status_code, health.json()["models_loaded"]) == (200, 0)
        answer = post(client, "/predict", {"features": [1]})
        assert (answer.status_code, answer.json()["detail"]) == (503, "no model is loaded")
        assert post(client, "/predict", {"features": [1], "model_id": "a"}).status_code == 404


def test_the_only_model_needs_no_name(shelf):
    shelf.add("line", 1)
    with start(shelf.folder) as client:
        assert post(client, "/predict", {"features": [2, 0, 0]}).json()["predictions"] == [2.0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"models": pathlib.Path("nowhere")}, "models: nowhere is not a folder"),
        ({"port": 70_000}, "port: 70000"),
        ({"buckets": ()}, "buckets: ()"),
        ({"buckets": (4, 2)}, "buckets: (4, 2)"),
        ({"buckets": (1, 2)}, "buckets: 1 is below 2"),
    ],
)
def test_settings(tmp_path, change, words):
    with pytest.raises(ConfigError, match=re.escape(words)):
        check(Settings(**{"models": tmp_path} | change))


def test_labels_are_no_versions_and_no_trouble(shelf, caplog):
    shelf.add("line", 1)
    shelf.add("line", 2)
    labels.promote(shelf.folder, "line", 1, label="stable")
    assert {"labels.json", "labels-history.jsonl", "lock"} <= {
        path.name for path in (shelf.folder / "line").iterdir()
    }
    caplog.clear()
    with start(shelf.folder) as client:
        assert line(client) == (1, [1.0]), "stable answers who names no version"
        labels.promote(shelf.folder, "line", 2, label="stable")
        changes = client.post("/models/reload").json()
        assert (changes["loaded"], changes["removed"]) == ([], ["line/1"])
        assert line(client) == (2, [2.0])
        assert client.get("/models").json()["failed"] == []
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []
