import concurrent.futures
import contextlib
import signal
import subprocess
import sys
import threading
import time

import pytest

from mastery_jax.workflow.errors import ConfigError
from serving.client import Client, ServingError
from serving.process.door import address_of, listen
from tests.serving.served import ROWS

MASTERY = [sys.executable, "-c", "from mastery_jax.cli import main; main()"]
LIGHT = """
import sys
from litestar.testing import TestClient
from serving.app import create_app
from serving.settings import Settings
import pathlib
with TestClient(create_app(Settings(models=pathlib.Path(sys.argv[1]), buckets=(2,)))) as client:
    assert client.post("/predict", json={"features": [1, 2, 3], "model_id": "flower"}).is_success
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""

VANISHES = """
import serving.app
from mastery_jax.cli import main
from serving import main as serving_main

check = serving_main.check

def check_and_remove(settings):
    check(settings)
    settings.models.rmdir()

serving_main.check, serving.app.check = check_and_remove, lambda settings: None
main()
"""


def ready(client, process):
    """Wait until the server listens, and then for its answer."""
    while process.poll() is None:
        try:
            return client.health()
        except ServingError:
            time.sleep(0.1)
    raise AssertionError(process.stderr.read())


@contextlib.contextmanager
def asking(url):
    """Ask without a pause meanwhile; give the answers."""
    answers, over = [], threading.Event()

    def ask():
        with Client(url, timeout=60) as client:
            while not over.is_set():
                answers.append(client.predict_batch(ROWS))

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask)
        try:
            yield answers
        finally:
            over.set()
        asked.result()


def refusal(command):
    """Return the one sentence of a command that must be refused."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_from_start_to_stop(shelf, port, launch):
    shelf.add("line", 1)
    command = [*MASTERY, "serve", "--models", str(shelf.folder), "--port", str(port)]
    process = launch(command)
    url = f"http://127.0.0.1:{port}"
    with Client(url, timeout=60) as client:
        assert ready(client, process).models_loaded == 1
        before = client.predict_batch(ROWS)
        shelf.add("line", 2)
        with asking(url) as answers:
            assert client.reload().loaded == ["line/2"]
        after = client.predict_batch(ROWS)
        assert after.predictions == [2 * y for y in before.predictions]
        by_version = {1: before.predictions, 2: after.predictions}
        assert [one.predictions for one in answers] == [
            by_version[one.model_version] for one in answers
        ], "each answer is of one version"
        assert answers
        assert f"port: 127.0.0.1:{port} cannot be had" in refusal(command)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
        with pytest.raises(ServingError, match="no server answers"):
            client.health()


def test_a_missing_folder(tmp_path):
    assert "nowhere" in refusal([*MASTERY, "serve", "--models", str(tmp_path / "nowhere")])


def test_a_folder_that_vanishes_before_it_is_read(tmp_path):
    (tmp_path / "models").mkdir()
    options = ["serve", "--models", str(tmp_path / "models"), "--port", "0"]
    assert "cannot be read as a folder" in refusal([sys.executable, "-c", VANISHES, *options])


@pytest.mark.parametrize("host", ["a..b", "x" * 64])
def test_a_host_that_is_none(host):
    with pytest.raises(ConfigError, match=f"host: {host}: "), listen(host, 0):
        raise AssertionError("there is no such host")


def test_an_address_in_a_url():
    assert address_of("127.0.0.1", 80) == "127.0.0.1:80"
    assert address_of("::1", 80) == "[::1]:80"


def test_a_server_is_light(published):
    command = [sys.executable, "-c", LIGHT, str(published)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {"jax", "litestar"} <= loaded
    heavy = {"sklearn", "flax", "numpyro", "optax", "orbax", "matplotlib", "experiments"}
    assert loaded & heavy == set()
