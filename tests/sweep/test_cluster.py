"""Lanes on a real cluster of Ray: the table of one process, though a machine is lost."""

import collections
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from mastery_jax.workflow import config, environment, records
from mastery_jax.workflow.errors import RunError
from mastery_jax.workflow.progress import Progress
from mastery_jax.workflow.sweep import cluster as clusters
from mastery_jax.workflow.sweep import driver, joining, places, remote, store
from mastery_jax.workflow.sweep.search import Halving, Search

QUIET = Progress(quiet=True)
RAY = driver.Where("ray")
ROOT = pathlib.Path(__file__).parents[2]

pytestmark = [
    pytest.mark.xdist_group("ray"),
    # Ray forks to start its own programs at once: nothing of jax runs in between.
    pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning"),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Two machines of one core each, and a third without any for the driver."""
    import ray
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    made.nodes = [made.add_node(num_cpus=1) for _ in range(2)]
    ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    path = tmp_path_factory.mktemp("configs") / "toy.yaml"
    path.write_text("experiment: tests.toy\nnum_steps: 20\nevaluate_every: 7\n")
    return path


def programs(folder):
    return environment.read(folder).get("programs")


def table(folder):
    return (folder / "lanes.csv").read_text()


def test_a_cluster_gives_the_table_of_one_process(cluster, toy, tmp_path):
    search = Search(metrics=("test_loss:min",), stop=Halving(min_steps=5))
    made = config.load_sweep(toy, ["rate=0.05,0.1", "seed=range(3)", "copies=2,3"])
    made = made._replace(search=search)
    here = driver.sweep(made, runs=tmp_path / "here", strategy="loop", progress=QUIET)
    there = driver.sweep(made, runs=tmp_path / "ray", strategy="loop", where=RAY, progress=QUIET)
    assert table(there) == table(here)
    assert programs(there) == programs(here) != []


def test_a_machine_is_lost(cluster, toy, tmp_path, monkeypatch):
    """Its lanes begin again elsewhere, those that were over do not."""
    ended = collections.Counter()

    def tell(news, lane, keeper, original=remote.tell):
        ended[news.number] += news.step is None
        return original(news, lane, keeper)

    monkeypatch.setattr(remote, "tell", tell)
    made = config.load_sweep(toy, ["rate=0.05,0.1", "seed=range(8)", "pause=0.02"])

    def kill():
        while sum(ended.values()) < 4:
            time.sleep(0.02)
        cluster.remove_node(cluster.nodes.pop(), allow_graceful=False)

    killer = threading.Thread(target=kill)
    killer.start()
    folder = driver.sweep(made, runs=tmp_path, strategy="loop", where=RAY, progress=QUIET)
    killer.join()
    assert [lane["state"] for lane in store.lanes(folder)] == ["done"] * 16
    assert ended == dict.fromkeys(range(16), 1)
    faster = config.load_sweep(toy, ["rate=0.05,0.1", "seed=range(8)", "pause=1e-6"])
    here = driver.sweep(faster, runs=tmp_path / "here", strategy="loop", progress=QUIET)
    assert table(folder) == table(here)


def test_what_no_machine_has_is_refused_before_anything_is_written(cluster, toy, tmp_path):
    where, made = RAY._replace(resources={"CPU": 99}), config.load_sweep(toy, ["seed=0,1"])
    said = r"--resource: a task takes CPU=99, and no machine of the cluster has .* CPU=1\)"
    with pytest.raises(RunError, match=said):
        driver.sweep(made, runs=tmp_path, where=where, progress=QUIET)
    assert list(tmp_path.iterdir()) == []


def test_tasks_that_wait_say_for_what_and_a_signal_ends_them(cluster, toy, tmp_path, monkeypatch):
    """A cluster that was joined may yet grow."""
    monkeypatch.setattr(clusters, "SECONDS_TO_BEGIN", 0.0)
    said, progress = [], Progress(quiet=True)

    def say(line):
        said.append(line)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(progress, "say", say)
    where = RAY._replace(address=cluster.address, resources={"CPU": 99})
    made = config.load_sweep(toy, ["seed=0,1"])
    folder = driver.sweep(made, runs=tmp_path, where=where, progress=progress)
    (line,) = said
    assert line.startswith("no task has begun yet: each waits for CPU=99; no machine")
    assert records.status(folder)["state"] == "interrupted"


def test_a_resource_that_is_no_number():
    with pytest.raises(RunError, match=r"--resource: CPU=two must be a number, as in CPU=2"):
        joining.join(None, {"CPU": "two"})


def test_an_address_where_nobody_is(toy, tmp_path):
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        where, made = RAY._replace(address=address), config.load_sweep(toy, ["seed=0,1"])
        with pytest.raises(RunError, match=rf"--address: .* no cluster of Ray at {address}: "):
            driver.sweep(made, runs=tmp_path, where=where, progress=QUIET)
    assert list(tmp_path.iterdir()) == []


def test_a_signal_that_an_engine_took_for_itself_is_heard(toy, tmp_path, monkeypatch):
    """Ray does so when it starts, whoever had it before."""
    before = signal.getsignal(signal.SIGTERM)

    def join(address, resources):
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(number))

    def place(where, folder, *args, original=places.place, **options):
        signal.raise_signal(signal.SIGTERM)
        return original(driver.Where(), folder, *args, **options)

    monkeypatch.setattr(joining, "join", join)
    monkeypatch.setattr(driver, "place", place)
    made = config.load_sweep(toy, ["seed=0,1"])
    try:
        folder = driver.sweep(made, runs=tmp_path, where=RAY, progress=QUIET)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert records.status(folder)["state"] == "interrupted"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_command_loses_nothing(toy, tmp_path, number):
    words = [sys.executable, "-m", "mastery_jax.cli", "sweep", str(toy), "seed=0,1,2", "pause=0.5"]
    process = subprocess.Popen(
        [*words, "--engine", "ray", "--resource", "CPU=1"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    while process.poll() is None and not list(tmp_path.glob("runs/toy/*/status.json")):
        time.sleep(0.1)
    process.send_signal(number)
    said, _ = process.communicate(timeout=100)
    assert process.returncode == 75
    assert "to go on: mastery resume" in said
