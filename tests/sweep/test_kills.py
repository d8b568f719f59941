"""A sweep that is killed again and again ends with the table of one that never was."""

import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest

from mastery_jax.workflow import config, records
from mastery_jax.workflow.progress import Progress
from mastery_jax.workflow.sweep import driver, store

ROOT = pathlib.Path(__file__).parents[2]
FIELDS = ["rate=0.05,0.1", "seed=range(6)", "copies=2,3"]
SEARCHES = {
    "to the end": [],
    "halving": ["search.stop=halving", "search.stop.min_steps=5"],
    "population": ["search.stop=population", "search.stop.every=5"],
}
METRIC = "search.metrics=[test_loss:min]"


def start(*words):
    """Start a command in a process group of its own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", "mastery_jax.cli", *words, "--quiet"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kill_at_random(process, draw):
    """Kill a process within the time in which it imports, compiles and runs."""
    try:
        process.communicate(timeout=draw.uniform(1.0, 9.0))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)


def records_of(folder):
    return {path.name: path.stat().st_mtime_ns for path in (folder / "lanes").glob("*.jsonl")}


@pytest.mark.parametrize(
    ("search", "kills"),
    [
        pytest.param("halving", 2),
        pytest.param("to the end", 10, marks=pytest.mark.slow),
        pytest.param("halving", 10, marks=pytest.mark.slow),
        pytest.param("population", 10, marks=pytest.mark.slow),
    ],
)
def test_kills_at_random_moments_change_nothing(tmp_path, search, kills):
    toy = tmp_path / "toy.yaml"
    toy.write_text("experiment: tests.toy\nnum_steps: 20\nevaluate_every: 7\n")
    asked = [*FIELDS, *SEARCHES[search], METRIC]
    draw = random.Random(len(search) + kills)
    runs = tmp_path / "runs"
    process = start("sweep", str(toy), *asked, "pause=0.02", "--runs", str(runs))
    while not list(runs.glob("toy/*/environment.json")):  # a sweep that a resume can find
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    kill_at_random(process, draw)
    (folder,) = (runs / "toy").iterdir()
    for _ in range(kills - 1):
        before = records_of(folder)
        if records.status(folder)["state"] == "finished":
            break
        kill_at_random(start("resume", str(folder)), draw)
        after = records_of(folder)
        assert {name: after[name] for name in before} == before  # nothing is run twice
    if records.status(folder)["state"] != "finished":
        process = start("resume", str(folder))
        said = process.communicate(timeout=300)
        assert process.returncode == 0, said
    assert [path.name for path in (runs / "toy").iterdir()] == [folder.name]
    faster = config.load_sweep(toy, [*asked, "pause=1e-6"])
    undisturbed = driver.sweep(faster, runs=tmp_path / "again", progress=Progress(quiet=True))
    assert (folder / "lanes.csv").read_text() == (undisturbed / "lanes.csv").read_text()
    for lane in store.lanes(folder):
        mine, theirs = (store.record(each, lane["lane"]) for each in (folder, undisturbed))
        assert records.metrics(mine) == records.metrics(theirs)
