"""What deploy/ ships starts, can be scraped, and keeps what it must: all but Docker itself."""

import contextlib
import json
import os
import re
import shlex
import subprocess

import pytest
import yaml

from serving.client import Client
from tests.serving import served
from tests.serving.processes import MASTERY, PATIENCE, free_port, until
from tests.serving.test_prometheus import DEPLOY, ROOT, running, scraping

DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
PUBLIC = "--public-metrics"


def test_compose_fits_together():
    config = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    (target,) = job["static_configs"][0]["targets"]
    host, _, port = target.partition(":")
    assert SERVICES[host]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert f"EXPOSE {port}" in DOCKERFILE
    for name, service in SERVICES.items():
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            is_file = source.startswith("./")
            assert not is_file or (DEPLOY / source).exists(), f"{name}: {source}"
            assert is_file or source.startswith("$") or source in COMPOSE["volumes"]
        assert set(service.get("depends_on", [])) <= SERVICES.keys()
    kept = [v.split(":")[1] for v in SERVICES["server"]["volumes"] if v.startswith("data:")]
    assert re.findall(r"install -d -o mastery -g mastery -m 700 (\S+)", DOCKERFILE) == kept
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.M)
    for name in " ".join(copied).split():
        assert (ROOT / name).exists(), name
    (provider,) = yaml.safe_load(
        (DEPLOY / "grafana/provisioning/dashboards/mastery.yaml").read_text()
    )["providers"]
    mounted = SERVICES["grafana"]["volumes"][1].split(":")[1]
    assert provider["options"]["path"] == mounted


class Container:
    """The server as its image starts it, with folders here for those of the container."""

    def __init__(self, home, models):
        self.port, self.log = free_port(), home / "server.log"
        self.places = {"/models": str(models), "/data": str(home / "data")}
        said = " ".join(re.findall(r"^ENV (.+)$", DOCKERFILE, re.M))
        given = dict(word.split("=", 1) for word in shlex.split(said))
        self.env = os.environ | {
            name: self.here(value) for name, value in given.items() if "$" not in value
        }
        entry, command = (
            json.loads(re.findall(rf"^{word} (\[.+\])$", DOCKERFILE, re.M)[-1])
            for word in ("ENTRYPOINT", "CMD")
        )
        self.words = [*entry, *SERVICES["server"].get("command", command)]

    def here(self, text):
        for there, here in self.places.items():
            text = re.sub(rf"{there}\b", here, text)
        return text

    def mastery(self, words):
        assert words[0] == "mastery"
        return [*MASTERY, *map(self.here, words[1:])]

    def run(self, *words):
        """Run a command as `docker compose run --entrypoint mastery server` does."""
        command = self.mastery(["mastery", *words])
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    @contextlib.contextmanager
    def started(self, *left_out):
        words = [word for word in self.words if word not in left_out]
        command = [*self.mastery(words), "--port", str(self.port)]
        with running(command, self.log, self.env) as process, self.client() as client:
            until(lambda: client.ready() or process.poll() is not None)
            assert process.poll() is None, self.log.read_text()
            yield

    def client(self, **given):
        return Client(f"http://127.0.0.1:{self.port}", timeout=PATIENCE, **given)

    def first_key(self):
        return re.findall(r"the first key.*: (mastery_\S+)", self.log.read_text())


@pytest.fixture
def container(shelf, tmp_path):
    shelf.add("flower", 1)
    return Container(tmp_path, shelf.folder)


def is_scraped(ask):
    found = ask("query", query='up{job="mastery"}')["result"]
    loaded = ask("query", query="ml_models_loaded_total")["result"]
    return [float(each["value"][1]) for each in (*found, *loaded)] == [1, 1]


@pytest.mark.services("prometheus")
def test_the_server_is_scraped(container, tmp_path):
    with container.started(), scraping(tmp_path, container.port) as ask:
        until(lambda: is_scraped(ask))


@pytest.mark.services("prometheus")
def test_the_server_is_scraped_by_a_key(container, tmp_path):
    file = tmp_path / "prometheus.key"
    file.write_text(container.run("keys", "add", "prometheus", "--scope", "read"))
    shown = {"authorization": {"credentials_file": str(file)}}
    with (
        container.started(PUBLIC),
        scraping(tmp_path, container.port, **shown) as ask,
    ):
        until(lambda: is_scraped(ask))


def test_keys_and_predictions_outlive_a_container(container, shelf):
    before = sorted(shelf.folder.rglob("*"))
    with container.started():
        (key,) = container.first_key()
        with container.client(key=key) as client:
            assert client.predict(served.ROWS[0]).model_id == "flower"
            until(lambda: client.predictions())
    with container.started(), container.client(key=key) as client:
        assert not container.first_key()
        assert len(client.predictions()) == 1
    assert sorted(shelf.folder.rglob("*")) == before, "the models are mounted to be read"


def test_a_key_that_is_made_before_the_start_is_the_first(container):
    key = container.run("keys", "add", "shop", "--scope", "predict")
    with container.started(), container.client(key=key) as client:
        assert client.predict(served.ROWS[0]).model_id == "flower"
        assert not container.first_key()
