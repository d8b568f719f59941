"""A real Prometheus scrapes a real server: every expression that we ship or show is evaluated."""

import contextlib
import json
import re
import subprocess
import time

import httpx
import numpy as np
import pytest
import yaml

from serving.client import Client
from tests.pages import ROOT
from tests.serving import served
from tests.serving.processes import free_port, until
from tests.serving.test_process import MASTERY, ready

DEPLOY = ROOT / "deploy"
BOARDS = sorted((DEPLOY / "grafana/dashboards").glob("*.json"))
PANELS = ["Models Loaded", "API Status", "Response Time", "Request Rate", "Error Rate"]
EXAMPLES = [  # as users of a server like this one know them
    """rate(http_request_duration_seconds_sum[5m])
         / rate(http_request_duration_seconds_count[5m])""",
    "histogram_quantile(0.95, rate(http_request_duration_seconds_bucket[5m]))",
    """sum(rate(http_requests_total{status=~"5.."}[5m]))
         / sum(rate(http_requests_total[5m])) * 100""",
    "sum by (endpoint) (rate(http_requests_total[5m]))",
]
# Nothing of it happens in a sound server on a CPU, so that there is nothing to see.
SILENT = re.compile(r"ml_requests_rejected_total|ml_device_memory_bytes")
# Of the record of predictions, where there is one.
ELSEWHERE = {"ml_prediction_log_dropped_total"}
METRIC = re.compile(r"\b(?:ml|http|log|process)_\w+")


def alerts():
    groups = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


def drawn(board):
    """Return every expression of a dashboard, its variables filled in as for all models."""
    panels = json.loads(board.read_text())["panels"]
    return {
        (panel["title"], target["refId"]): re.sub(r"\$(model|version)\b", ".*", target["expr"])
        for panel in panels
        for target in panel["targets"]
    }


def test_the_dashboards_are_whole():
    first, *_ = [json.loads(board.read_text()) for board in BOARDS]
    assert [panel["title"] for panel in first["panels"]][:5] == PANELS
    for board in (json.loads(path.read_text()) for path in BOARDS):
        ids = [panel["id"] for panel in board["panels"]]
        assert len(set(ids)) == len(ids)
        places = [tuple(panel["gridPos"].values()) for panel in board["panels"]]
        assert len(set(places)) == len(places)
    sources = yaml.safe_load(
        (DEPLOY / "grafana/provisioning/datasources/prometheus.yaml").read_text()
    )
    (source,) = sources["datasources"]
    assert {t["datasource"]["uid"] for p in first["panels"] for t in p["targets"]} == {
        source["uid"]
    }


@pytest.mark.services("promtool")
def test_promtool_has_nothing_to_say():
    for what, file in (("config", "prometheus.yml"), ("rules", "alerts.yml")):
        command = ["promtool", "check", what, str(DEPLOY / file)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    reference = {"features": np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32)}
    served.put(folder, "flower", served.FAULTY, classes=("red", "blue"), reference=reference)
    return folder


@contextlib.contextmanager
def running(command, log, env=None):
    """Run a program, and end it."""
    with log.open("w") as lines:
        process = subprocess.Popen(command, stderr=lines, stdout=lines, text=True, env=env)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextlib.contextmanager
def scraping(home, port, **job):
    """Run Prometheus on our file, but often and on a port here; give a function that asks it."""
    door = free_port()
    config = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(DEPLOY / "alerts.yml")]
    config["scrape_configs"][0] |= job
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{port}"]
    (home / "prometheus.yml").write_text(yaml.safe_dump(config))
    command = [
        "prometheus",
        f"--config.file={home / 'prometheus.yml'}",
        f"--storage.tsdb.path={home / 'data'}",
        f"--web.listen-address=127.0.0.1:{door}",
    ]
    with (
        httpx.Client(base_url=f"http://127.0.0.1:{door}", timeout=30) as api,
        running(command, home / "prometheus.log"),
    ):

        def is_ready():
            with contextlib.suppress(httpx.TransportError):
                return api.get("/-/ready").is_success

        def ask(path, **params):
            answer = api.get(f"/api/v1/{path}", params=params).json()
            assert answer["status"] == "success", answer
            return answer["data"]

        until(is_ready)
        yield ask


@pytest.fixture(scope="module")
def asked(models, tmp_path_factory):
    """Give a server with traffic, and a function that asks the Prometheus that scrapes it."""
    home, port = tmp_path_factory.mktemp("prometheus"), free_port()
    serve = [*MASTERY, "serve", "--models", str(models), "--port", str(port)]
    url = f"http://127.0.0.1:{port}"
    with (
        running(serve, home / "server.log") as server,
        Client(url, timeout=60) as client,
    ):
        ready(client, server)
        with scraping(home, port) as ask:
            busy(client, url, ask)
            yield ask


def busy(client, url, ask):
    """Send traffic, good and bad, until it has been scraped a few times."""
    rng = np.random.default_rng(1)
    client.predict_batch(rng.normal(size=(6000, 3)))  # fills the reference of predictions
    end = time.monotonic() + 90
    while time.monotonic() < end:
        client.predict_batch(rng.normal(size=(100, 3)))
        client.predict(rng.normal(size=3))
        bad = {"features": [99, 2, 3]}
        assert httpx.post(f"{url}/predict", json=bad).status_code == 500
        time.sleep(0.3)
        found = ask("query", query="min(count_over_time(ml_prediction_shift[5m]))")["result"]
        errors = ask("query", query=EXAMPLES[2])["result"]
        if found and int(found[0]["value"][1]) > 3 and errors:
            return
    raise AssertionError("Prometheus has not scraped the server")


def values(ask, expression):
    return ask("query", query=expression)["result"]


@pytest.mark.services("prometheus")
def test_every_expression_of_the_dashboards_has_data(asked):
    for board in BOARDS:
        for where, expression in drawn(board).items():
            assert values(asked, expression) or SILENT.search(expression), (where, expression)


@pytest.mark.services("prometheus")
def test_the_examples_have_data(asked):
    for expression in EXAMPLES:
        assert values(asked, expression), expression
    ((error_rate),) = [float(each["value"][1]) for each in values(asked, EXAMPLES[2])]
    assert 0 < error_rate < 100


@pytest.mark.services("prometheus")
def test_the_alerts_are_loaded_and_tell_what_is_wrong(asked):
    groups = asked("rules")["groups"]
    rules = {rule["name"]: rule for group in groups for rule in group["rules"]}
    assert rules.keys() == alerts().keys()
    for name, expression in alerts().items():
        assert rules[name]["health"] in ("ok", "unknown"), rules[name]
        is_so = bool(values(asked, expression))
        assert is_so == (name == "ErrorShare"), f"{name}: one answer in three is a fault, no more"


@pytest.mark.services("prometheus")
def test_every_metric_that_is_named_is_there(asked):
    known = set(asked("label/__name__/values"))
    expressions = [*alerts().values(), *EXAMPLES]
    for board in BOARDS:
        expressions += drawn(board).values()
    named = {name for expression in expressions for name in METRIC.findall(expression)}
    absent = named - known - ELSEWHERE
    assert absent == {"ml_requests_rejected_total", "ml_device_memory_bytes"}, "nothing to count"


@pytest.mark.services("prometheus")
def test_the_target_is_scraped_without_a_complaint(asked):
    (target,) = asked("targets")["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")
