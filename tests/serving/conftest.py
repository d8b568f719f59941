"""Published models, and servers of them."""

import shutil
import socket
import subprocess

import pytest
from litestar.testing import TestClient

from serving.app import create_app
from serving.settings import Settings
from tests import services
from tests.serving import served


@pytest.fixture(scope="session", autouse=True)
def no_keys_of_the_user(tmp_path_factory):
    """Keep the keys of whoever runs the tests out of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        patch.delenv("MASTERY_API_KEY", raising=False)
        yield


@pytest.fixture(scope="session")
def published(tmp_path_factory):
    """Publish every model that the tests of the server need, once."""
    models = tmp_path_factory.mktemp("published")
    served.put(models, "flower", served.CLASSIFIER, classes=("red", "blue"))
    served.put(models, "line", served.LINE)
    served.put(models, "line", served.LINE, scale=2.0)
    served.put(models, "walk", served.WALK)
    return models


@pytest.fixture
def shelf(published, tmp_path):
    """Give an empty folder of models, and a function that puts published versions into it."""

    class Shelf:
        folder = tmp_path / "models"

        def add(self, name, version):
            to = self.folder / name / str(version)
            shutil.copytree(published / name / str(version), to)
            return to

    Shelf.folder.mkdir()
    return Shelf()


@pytest.fixture(scope="module")
def postgres():
    """Run PostgreSQL; every test makes a database of its own."""
    with services.postgres() as server:
        yield server


@pytest.fixture
def redis():
    """Run Redis."""
    with services.redis() as server:
        yield server


@pytest.fixture
def cached(shelf):
    """Give a folder of models whose answers may be remembered."""
    for name in ("flower", "line", "walk"):
        shelf.add(name, 1)
        (shelf.folder / name / "serving.json").write_text('{"cache": true}')
    return shelf.folder


@pytest.fixture(scope="module")
def client(published):
    """Serve everything; no test of this client changes the folder."""
    settings = Settings(models=published, buckets=served.BUCKETS, max_body=2**16, max_rows=10)
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def port():
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return door.getsockname()[1]


@pytest.fixture
def launch():
    """Give a function that starts a process, which does not outlive the test."""
    started = []

    def start(command):
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
