"""Two real processes that meet on loopback run one sweep: the table of one process."""

import os
import pathlib
import socket
import subprocess
import sys

import pytest

from mastery_jax.workflow import config
from mastery_jax.workflow.progress import Progress
from mastery_jax.workflow.sweep import driver, store
from mastery_jax.workflow.sweep.search import Halving, Search

ROOT = pathlib.Path(__file__).parents[2]
HALVING = ["search.stop=halving", "search.stop.min_steps=5", "search.metrics=[test_loss:min]"]
FIELDS = ["rate=0.05,0.1", "seed=range(3)", "copies=2,3"]


@pytest.fixture
def toy(tmp_path):
    path = tmp_path / "toy.yaml"
    path.write_text("experiment: tests.toy\nnum_steps: 20\nevaluate_every: 7\n")
    return path


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def together(arguments, runs, count=2):
    """Run one command in several processes; return the folder that the first one wrote."""
    address = f"127.0.0.1:{free_port()}"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    environment.pop("XLA_FLAGS", None)
    started = []
    for number in range(count):
        words = [sys.executable, "-m", "mastery_jax.cli", *arguments, "--quiet"]
        words += ["--engine", "hosts", "--address", address, "--process", f"{number}/{count}"]
        started.append(
            subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True, cwd=runs)
        )
    said = [process.communicate(timeout=200)[0] for process in started]
    assert [process.returncode for process in started] == [0] * count
    assert said[1:] == [""] * (count - 1)
    return pathlib.Path(runs / said[0].strip())


@pytest.mark.parametrize("strategy", ["loop", "vmap"])
def test_two_processes_give_the_table_of_one(toy, tmp_path, strategy):
    folder = together(["sweep", str(toy), *FIELDS, *HALVING, "--strategy", strategy], tmp_path)
    search = Search(metrics=("test_loss:min",), stop=Halving(min_steps=5))
    made = config.load_sweep(toy, FIELDS)._replace(search=search)
    alone = driver.sweep(
        made, runs=tmp_path / "one", strategy=strategy, progress=Progress(quiet=True)
    )
    if strategy == "loop":
        assert (folder / "lanes.csv").read_text() == (alone / "lanes.csv").read_text()
    for mine, theirs in zip(store.lanes(folder), store.lanes(alone), strict=True):
        assert (mine["state"], mine["step"]) == (theirs["state"], theirs["step"])
        assert mine["test_loss"] == pytest.approx(theirs["test_loss"], rel=1e-5)
