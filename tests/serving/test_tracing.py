"""Spans say what a request was, who asked before, and where its time went."""

import asyncio
import http.server
import subprocess
import sys
import threading

import pytest
from litestar.testing import TestClient
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from mastery_jax.workflow.errors import ConfigError
from serving.app import create_app
from serving.monitor import spans, tracing
from serving.settings import Settings
from tests.serving import served
from tests.serving.served import BUCKETS

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HEADERS = {"traceparent": f"00-{TRACE}-{PARENT}-01", "User-Agent": "a-test"}

WITHOUT = """
import pathlib, sys
sys.modules["opentelemetry"] = None
from mastery_jax.cli import main
main()
"""
LIGHT = """
import pathlib, sys
from serving.app import create_app
from serving.settings import Settings
create_app(Settings(models=pathlib.Path(sys.argv[1]), buckets=(2,)))
print(*sys.modules)
"""


@pytest.fixture
def asked(published, tmp_path, monkeypatch):
    """Serve with spans that stay here; give the client, and the spans of all requests by now."""
    served.put(tmp_path, "faulty", served.FAULTY, classes=("red", "blue"))
    for name in ("flower", "line"):
        (tmp_path / name).symlink_to(published / name)
    kept = InMemorySpanExporter()
    monkeypatch.setattr(spans, "exporter", lambda url: kept)
    app = create_app(Settings(models=tmp_path, buckets=BUCKETS, otel="http://nowhere:4318"))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client, lambda: (app.state.traces.flush(), kept.get_finished_spans())[1]


def test_a_request_and_where_its_time_went(asked):
    client, finished = asked
    body = {"features": [1, 2, 3], "model_id": "flower"}
    answer = client.post("/predict?key=secret", json=body, headers=HEADERS)
    assert answer.status_code == 200
    queue, compute, request = finished()
    assert (request.name, request.kind) == ("POST /predict", SpanKind.SERVER)
    assert f"{request.context.trace_id:032x}" == TRACE
    assert f"{request.parent.span_id:016x}" == PARENT
    assert dict(request.attributes) == {
        "http.request.method": "POST",
        "http.route": "/predict",
        "http.response.status_code": 200,
        "url.path": "/predict",
        "url.scheme": "http",
        "network.protocol.version": "1.1",
        "server.address": "testserver.local",
        "server.port": 80,
        "client.address": "testclient",
        "client.port": 50000,
        "user_agent.original": "a-test",
        "mastery.request_id": answer.headers["x-request-id"],
        "mastery.model": "flower",
        "mastery.version": "1",
        "mastery.method": "predict_proba",
    }
    assert request.status.status_code is StatusCode.UNSET
    assert (queue.name, compute.name) == ("queue", "compute")
    assert {queue.parent.span_id, compute.parent.span_id} == {request.context.span_id}
    assert queue.end_time == compute.start_time
    slack = 1e6  # nanoseconds: two clocks are read one after the other
    assert request.start_time - slack <= queue.start_time <= queue.end_time
    assert compute.start_time <= compute.end_time <= request.end_time + slack
    assert request.resource.attributes["service.name"] == "mastery_jax"


def test_faults_refusals_and_paths_that_are_none(asked):
    client, finished = asked
    client.post("/predict", json={"features": [99, 2, 3], "model_id": "faulty"})
    client.post("/predict", json={"features": [1], "model_id": "line"})
    client.request("VERB", "/nowhere")
    requests = [span for span in finished() if span.kind is SpanKind.SERVER]
    fault, refusal, nowhere = requests
    assert fault.status.status_code is StatusCode.ERROR
    assert (fault.attributes["error.type"], fault.attributes["mastery.model"]) == ("500", "faulty")
    assert refusal.status.status_code is StatusCode.UNSET, "the client's mistake"
    assert refusal.attributes["http.response.status_code"] == 400
    assert nowhere.name == "HTTP"
    assert "http.route" not in nowhere.attributes
    assert nowhere.attributes["http.request.method"] == "_OTHER"
    assert nowhere.attributes["http.request.method_original"] == "VERB"
    assert refusal.context.trace_id != nowhere.context.trace_id


def test_a_long_request_has_few_spans(asked):
    client, finished = asked
    rows = [[1, 2, 3]] * (BUCKETS[-1] * (spans.MOST_PARTS + 5))
    body = {"features": rows, "model_id": "line"}
    assert client.post("/predict/batch", json=body).status_code == 200
    names = [span.name for span in finished()]
    assert names.count("queue") == names.count("compute") == spans.MOST_PARTS


class Collector(http.server.BaseHTTPRequestHandler):
    """Keeps what is exported to it."""

    def do_POST(self):
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.came.append((self.path, ExportTraceServiceRequest.FromString(content)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def collector():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    server.came = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("how", ["option", "variable"])
def test_a_collector_gets_them(how, shelf, collector, monkeypatch):
    shelf.add("line", 1)
    url = f"http://127.0.0.1:{collector.server_port}"
    if how == "variable":
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    app = create_app(
        Settings(models=shelf.folder, buckets=(2,), otel=url if how == "option" else None)
    )
    with TestClient(app) as client:
        assert client.post("/predict", json={"features": [1, 2, 3]}).status_code == 200
    ((path, sent),) = collector.came
    assert path == "/v1/traces"
    (of,) = sent.resource_spans
    names = [span.name for scope in of.scope_spans for span in scope.spans]
    assert names == ["queue", "compute", "POST /predict"]
    resource = {each.key: each.value.string_value for each in of.resource.attributes}
    assert resource["service.name"] == ("mastery_jax" if how == "option" else "shop")


def test_a_collector_that_hangs_is_waited_for_once(monkeypatch, caplog):
    monkeypatch.setattr(spans, "STOP_SECONDS", 0.05)
    go_on = threading.Event()

    class Hanging(InMemorySpanExporter):
        def export(self, batch):
            go_on.wait()
            return super().export(batch)

    traces = spans.Tracing(Hanging())
    traces._tracer.start_span("a").end()
    try:
        asyncio.run(traces.stop())  # which waits for the threads of its executor
        assert [t.name for t in threading.enumerate() if t.name == "traces" and t.daemon]
    finally:
        go_on.set()
    assert "does not answer" in caplog.text


def test_where_they_go():
    for url in ("http://a:4318", "http://a:4318/", "http://a:4318/v1/traces"):
        exporter = spans.exporter(url)
        assert isinstance(exporter, OTLPSpanExporter)
        assert exporter._endpoint == "http://a:4318/v1/traces"
        exporter.shutdown()


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://a"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
    ],
)
def test_the_standard_variables(environment, wanted):
    assert tracing.is_wanted(environment) is wanted


@pytest.mark.parametrize("url", ["collector:4318", "ftp://a", "http://", ""])
def test_what_is_no_address(url):
    with pytest.raises(ConfigError, match=r"^otel: .* is no address, as http://127"):
        tracing.start(url)


def test_a_missing_extra_is_one_sentence(shelf):
    shelf.add("line", 1)
    options = ["serve", "--models", str(shelf.folder), "--port", "0", "--otel", "http://a:4318"]
    command = [sys.executable, "-c", WITHOUT, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.endswith("OpenTelemetry is not installed: pip install 'mastery-jax[otel]'")


def test_nobody_pays_who_wants_none(published):
    command = [sys.executable, "-c", LIGHT, str(published)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "opentelemetry.sdk" not in done.stdout.split()
