"""How the command line reproduces, and what its exit code says."""

import json
import os

import pytest

from mastery_jax.workflow import launch, records, reproduce
from mastery_jax.workflow.compare import rows
from tests.cli.calls import FIRST, SWEEP, call


@pytest.fixture
def outcome(engines, runs, monkeypatch):
    """Give reproductions an outcome."""

    def give(before, after, *, ended="finished", num_steps=100):
        def stand_in(source, *, runs, progress):
            found = rows.compare(before, after)
            return reproduce.Report(
                source, source.run.folder, ended, num_steps, before[-1]["step"], found, ("a note",)
            )

        monkeypatch.setattr(reproduce, "reproduce", stand_in)

    return give


ROWS = [{"step": 50, "loss": 0.5}, {"step": 100, "loss": 0.25}]


def test_equal_is_exit_0(outcome, runs):
    outcome(ROWS, ROWS)
    folder = records.find(FIRST, runs).folder
    (folder / "environment.json").unlink()
    code, out, _ = call("reproduce", FIRST)
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "equal, bit for bit: 2 rows"
    assert lines[1:3] == ["note: a note", f"folder: runs/digits/{FIRST}"]


def test_a_difference_is_exit_4(outcome, runs):
    (runs / "digits" / FIRST / "environment.json").unlink()
    outcome(ROWS, [ROWS[0], {"step": 100, "loss": 0.3}])
    code, out, _ = call("reproduce", FIRST)
    assert code == 4
    assert out.startswith("different in 1 of 2 rows, first at step 100: loss was 0.25 and is 0.3 (")
    code, out, _ = call("reproduce", FIRST, "--json")
    found = json.loads(out)
    assert (code, found["is_equal"], found["first"]["step"]) == (4, False, 100)


def test_what_was_cut_is_exit_75(outcome, runs):
    (runs / "digits" / FIRST / "environment.json").unlink()
    outcome(ROWS, ROWS[:1], ended="interrupted")
    code, out, _ = call("reproduce", FIRST)
    assert code == 75
    assert "compared up to step 50 of 100: both went so far" in out


def test_the_settings_of_the_record_stand_before_jax_is_prepared(outcome, runs, monkeypatch):
    outcome(ROWS, ROWS)
    record = {"config": "a", "launch": {"NPROC": "7"}}
    (runs / "digits" / SWEEP / "environment.json").write_text(json.dumps(record))
    seen = []
    monkeypatch.setenv("NPROC", "3")
    monkeypatch.setattr(launch, "prepare", lambda: seen.append(os.environ["NPROC"]))
    assert call("reproduce", f"{SWEEP}#1")[0] == 0
    monkeypatch.delenv("NPROC")
    assert call("reproduce", f"{SWEEP}#1")[0] == 0
    assert seen == ["3", "7"]
    monkeypatch.delenv("NPROC")


def test_a_sweep_needs_a_lane(engines, runs):
    code, _, err = call("reproduce", SWEEP)
    assert code == 2
    assert err == f"mastery: {SWEEP} is a sweep: say which lane, as in {SWEEP}#0\n"
