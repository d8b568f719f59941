"""Two real processes that meet on loopback run one sweep: the table of one process."""

import os
import pathlib
import queue
import socket
import subprocess
import sys
import time
import types

import jax
import pytest

from mastery_jax.workflow import config, launch
from mastery_jax.workflow.errors import RunError
from mastery_jax.workflow.progress import Progress
from mastery_jax.workflow.stops import Interrupt
from mastery_jax.workflow.sweep import driver, hosts, processes, store
from mastery_jax.workflow.sweep.ledger import Entry
from mastery_jax.workflow.sweep.plan import Lane
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


def start(arguments, runs, count=2):
    """Start one command in several processes."""
    address = f"127.0.0.1:{free_port()}"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    environment.pop("XLA_FLAGS", None)
    started = []
    for number in range(count):
        words = [sys.executable, "-m", "mastery_jax.cli", *arguments]
        words += ["--engine", "hosts", "--address", address, "--process", f"{number}/{count}"]
        started.append(
            subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True, cwd=runs)
        )
    return started


def together(arguments, runs, count=2):
    """Run one command in several processes; return the folder that the first one wrote."""
    started = start([*arguments, "--quiet"], runs, count)
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


def test_a_process_that_is_killed_ends_the_others_and_costs_no_lane(toy, tmp_path):
    lanes = 8 * 4 * launch.cores()  # two rounds
    words = ["sweep", str(toy), f"seed=range({lanes})", "pause=0.02"]
    first, second = start(words, tmp_path)
    while first.poll() is None and not list(tmp_path.glob("runs/toy/*/lanes/*.jsonl")):
        time.sleep(0.1)
    second.kill()
    second.communicate()
    said, _ = first.communicate(timeout=100)  # jax itself would wait longer for the second
    assert first.returncode == 75
    assert "reason: process 1 of 2 is gone; mastery resume on all of them goes on\n" in said
    (folder,) = tmp_path.glob("runs/toy/*")
    driver.resume(folder, progress=Progress(quiet=True))
    assert [lane["state"] for lane in store.lanes(folder)] == ["done"] * lanes


def test_what_this_process_has_done_is_kept_when_another_is_gone(tmp_path, monkeypatch):
    ended = []

    def gather(content):
        raise processes.Gone("process 1 of 2 is gone")

    def advance(due, until, reporter, interrupt):
        for entry in due[0][1]:
            reporter.end(entry.lane, [{"step": until}])

    listener = types.SimpleNamespace(
        keeps_states=False, end=lambda lane, rows: ended.append(lane.number)
    )
    monkeypatch.setattr(processes, "gather", gather)
    made = object.__new__(hosts.Hosts)
    made._here = types.SimpleNamespace(advance=advance)
    entries = [Entry(Lane(number, {}, None), 0, [], None) for number in (3, 4)]
    with pytest.raises(processes.Gone):
        made._round(None, entries, 20, listener, Interrupt())
    assert ended == [3, 4]


@pytest.mark.parametrize(
    ("address", "process", "said"),
    [
        (None, None, "--engine hosts: nothing says which processes there are, .* --process 0/2"),
        ("10.0.0.1", (0, 2), "--address: 10.0.0.1 is not HOST:PORT"),
    ],
)
def test_processes_that_nothing_names(monkeypatch, address, process, said):
    def initialize(*args):
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr(processes, "_keep_quiet", lambda: None)
    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    with pytest.raises(RunError, match=said):
        processes.join(address, process, pytest.fail)


def test_a_process_that_waits_says_so(monkeypatch):
    """jax is asked to meet, and does not come back before that is said."""
    said = queue.SimpleQueue()

    def initialize(*args):
        assert said.get(timeout=60) == "process 0 of 2 waits for the others at 127.0.0.1:1"
        raise RuntimeError("DEADLINE_EXCEEDED: nobody came")

    monkeypatch.setattr(processes, "_keep_quiet", lambda: None)
    monkeypatch.setattr(processes, "SECONDS_TO_MEET", 0.0)
    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    with pytest.raises(RunError, match="--engine hosts: DEADLINE_EXCEEDED"):
        processes.join("127.0.0.1:1", (0, 2), said.put)
