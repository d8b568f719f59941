"""Lanes on a real cluster of Ray: the table of one process, though a machine is lost."""

import collections
import threading
import time

import pytest

from mastery_jax.workflow import config
from mastery_jax.workflow.progress import Progress
from mastery_jax.workflow.sweep import driver, remote, store
from mastery_jax.workflow.sweep.search import Halving, Search

QUIET = Progress(quiet=True)
RAY = driver.Where("ray")

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


def table(folder):
    return (folder / "lanes.csv").read_text()


def test_a_cluster_gives_the_table_of_one_process(cluster, toy, tmp_path):
    search = Search(metrics=("test_loss:min",), stop=Halving(min_steps=5))
    made = config.load_sweep(toy, ["rate=0.05,0.1", "seed=range(3)", "copies=2,3"])
    made = made._replace(search=search)
    here = driver.sweep(made, runs=tmp_path / "here", strategy="loop", progress=QUIET)
    there = driver.sweep(made, runs=tmp_path / "ray", strategy="loop", where=RAY, progress=QUIET)
    assert table(there) == table(here)


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
