"""A line for what failed or was slow, one form for all of them, and no secret in any."""

import io
import json
import logging
import signal
import sys
import threading

import httpx
import pytest
from litestar.testing import TestClient

from mastery_jax.workflow.errors import ConfigError
from serving.app import create_app
from serving.monitor import access, logs
from serving.settings import Settings, check
from tests.serving import processes, served
from tests.serving.served import BUCKETS, post

SECRET = "s3cret-of-a-client"
SERVE = [sys.executable, "-c", "from mastery_jax.cli import main; main()", "serve", "--port", "0"]
START = """
import logging, warnings
from serving.monitor import logs
logs.start("json", "debug")
logging.getLogger("uvicorn.error").info("of uvicorn")
logging.getLogger("jax._src.xla_bridge").info("of nobody")
logging.getLogger("serving.x").debug("of ours")
warnings.warn("of the library")
"""


@pytest.fixture
def records(caplog):
    """Give the lines of requests, as they are logged."""
    caplog.set_level(logging.INFO, logger="serving")
    return lambda: [r for r in caplog.records if r.name == access.__name__]


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    models = tmp_path_factory.mktemp("faulty")
    served.put(models, "faulty", served.FAULTY, classes=("red", "blue"))
    served.put(models, "flower", served.CLASSIFIER, classes=("red", "blue"))
    return models


@pytest.fixture(scope="module")
def asked(faulty):
    app = create_app(Settings(models=faulty, buckets=BUCKETS))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def predict(client, model, **headers):
    body = {"features": [99 if model == "faulty" else 1, 2, 3], "model_id": model}
    return client.post("/predict", json=body, headers=headers)


def test_an_ordinary_request_has_no_line(asked, records):
    assert predict(asked, "flower").status_code == 200
    assert predict(asked, "nobody").status_code == 404
    assert records() == []


def test_a_failed_request_has_one(asked, records):
    answer = predict(asked, "faulty", **{"X-Request-ID": "abc"})
    assert answer.status_code == 500
    (line,) = records()
    assert line.getMessage() == "POST /predict 500"
    assert line.levelno == logging.WARNING
    assert (line.request_id, line.method, line.route) == ("abc", "POST", "/predict")
    assert (line.status, line.model, line.version, line.function) == (500, "faulty", "1", "predict")
    assert line.milliseconds > 0


def test_at_debug_each_request_has_one(asked, records, caplog):
    caplog.set_level(logging.DEBUG, logger="serving")
    predict(asked, "flower")
    asked.post("/v2/models/flower/versions/1/infer", json={"inputs": []})
    asked.get("/models/flower")
    asked.get(f"/{SECRET}?key={SECRET}")
    told = [(r.route, r.status, getattr(r, "model", None)) for r in records()]
    assert told == [
        ("/predict", 200, "flower"),
        ("/v2/models/{model}/versions/{version}/infer", 400, None),
        ("/models/{model_id}", 200, None),
        ("<unmatched>", 404, None),
    ]


def test_a_slow_request_has_one(faulty, records):
    with TestClient(create_app(Settings(models=faulty, buckets=(2,), slow_seconds=1e-9))) as client:
        predict(client, "flower")
    (line,) = records()
    assert (line.status, line.levelno) == (200, logging.WARNING)


def test_a_flood_is_cut(records, monkeypatch):
    now = [5.0]
    monkeypatch.setattr(access.time, "monotonic", lambda: now[0])
    see, scope = access.Access(1.0), {"state": {"request_id": "x"}}
    for _ in range(access.MOST + 30):
        see(scope, "POST", "/predict", 503, 0.001)
    assert len(records()) == access.MOST
    now[0] = 6.0
    see(scope, "POST", "/predict", 503, 0.001)
    assert records()[-1].left_out == 30
    assert not hasattr(records()[-2], "left_out")


def test_nothing_that_a_client_keeps_secret_is_written(asked, caplog):
    stream = io.StringIO()
    for form in ("json", "text"):
        handler = logging.StreamHandler(stream)
        handler.setFormatter(logs.formatter(form))
        logging.getLogger("serving").addHandler(handler)
        try:
            caplog.set_level(logging.DEBUG, logger="serving")
            headers = {"Authorization": f"Bearer {SECRET}", "X-API-Key": SECRET, "Cookie": SECRET}
            for model in ("flower", "faulty", SECRET):
                predict(asked, model, **headers)
            post(asked, f"/predict?key={SECRET}", {"features": [99, 2, 3], "model_id": "faulty"})
            asked.post("/predict", content=SECRET.encode())
        finally:
            logging.getLogger("serving").removeHandler(handler)
    written = stream.getvalue()
    assert "Traceback" in written
    assert SECRET not in written


def test_json_and_text():
    record = logging.LogRecord("a.b", logging.ERROR, "f.py", 1, "%d of %s", (3, "x\ny"), None)
    record.request_id, record.color_message = "r1", "no"
    line = logs.formatter("json").format(record)
    assert "\n" not in line
    said = json.loads(line)
    assert list(said)[:3] == ["timestamp", "level", "event"]
    assert said.pop("timestamp").endswith("Z")
    assert said == {"level": "error", "event": "3 of x\ny", "logger": "a.b", "request_id": "r1"}
    text = logs.formatter("text").format(record)
    assert "3 of x" in text
    assert "request_id=r1" in text
    assert "\x1b" not in text


def test_a_stalled_reader_holds_up_nobody():
    gate = threading.Event()

    class Stalled(io.StringIO):
        def write(self, text):
            gate.wait()
            return super().write(text)

    stream = Stalled()
    writer = logs.Writer(stream, logging.Formatter("%(message)s"), most=5)
    for number in range(50):
        writer.handle(logging.LogRecord("a", logging.INFO, "f", 1, "line %d", (number,), None))
    assert 44 <= writer.dropped <= 45, "one may be on its way"
    gate.set()
    writer.close()
    written = stream.getvalue().splitlines()
    assert written == [f"line {i}" for i in range(50 - writer.dropped)]


def test_every_record_of_a_process_has_the_one_form(launch):
    process = launch([sys.executable, "-c", START])
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0
    lines = [json.loads(line) for line in stderr.splitlines()]
    assert [(line["logger"], line["level"]) for line in lines] == [
        ("uvicorn.error", "info"),
        ("serving.x", "debug"),
        ("py.warnings", "warning"),
    ]


@pytest.mark.parametrize(("kind", "name"), [("uvicorn", "uvicorn"), ("granian", "_granian")])
def test_a_server_writes_json_where_nobody_looks(launch, shelf, kind, name):
    shelf.add("line", 1)
    options = ["--models", str(shelf.folder), "--server", kind, "--slow-ms", "0.001"]
    process = launch([*SERVE, *options])
    lines = []
    for line in process.stderr:
        lines.append(json.loads(line))
        if "answers, its documents are at" in lines[-1]["event"]:
            break
    url = lines[-1]["event"].partition(" ")[0]
    processes.until(lambda: answers(url))
    process.send_signal(signal.SIGTERM)
    lines += [json.loads(line) for line in process.stderr]
    assert process.wait(timeout=30) == 0
    said = {line["logger"] for line in lines}
    ours = {"serving.models.registry", "serving.process.worker", access.__name__}
    assert {each for each in said if not each.startswith(name)} == ours < said
    assert any(line["event"] == "GET /health 200" for line in lines)


def test_a_folder_without_models_is_said(launch, shelf):
    process = launch([*SERVE, "--models", str(shelf.folder)])
    lines = []
    for line in process.stderr:
        lines.append(json.loads(line))
        if "answers, its documents are at" in lines[-1]["event"]:
            break
    (warning,) = [line["event"] for line in lines if line["level"] == "warning"]
    assert warning == f"models: {shelf.folder} has no model; `mastery export` makes one"


def answers(url):
    try:
        return httpx.get(f"{url}/health").status_code == 200
    except httpx.TransportError:
        return False


def test_slowness_is_above_0(tmp_path):
    with pytest.raises(ConfigError, match=r"slow_seconds: 0\.0 is not above 0"):
        check(Settings(models=tmp_path, slow_seconds=0.0))
