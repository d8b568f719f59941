"""Reading run folders, whole, cut off and damaged."""

import json
import math
import os
import subprocess
import sys

import pytest

from mastery_jax.workflow import files, records
from mastery_jax.workflow.errors import RunError
from tests.folders import write_run, write_sweep

FIRST, SECOND, SWEEP = (
    "20261123-081200-a1b2c3",
    "20261123-091200-a1ffff",
    "20261124-091200-sweep-0123ab",
)


@pytest.fixture
def runs(tmp_path):
    write_run(tmp_path, FIRST)
    write_run(tmp_path, SECOND, name="digits_cnn", state="failed", reason="loss became nan")
    write_sweep(tmp_path, SWEEP, {"seed": [0, 1]}, lambda seed: {"test_accuracy": 0.5 + seed})
    return tmp_path


def test_ls_is_newest_first(runs):
    (runs / "digits" / "notes").mkdir()
    found = records.ls(runs)
    assert [(run.id, run.name, run.kind, run.state) for run in found] == [
        (SWEEP, "digits", "sweep", "finished"),
        (SECOND, "digits_cnn", "run", "failed"),
        (FIRST, "digits", "run", "finished"),
    ]
    assert records.ls(runs / "nowhere") == []


def test_ls_shows_what_is_damaged(runs):
    (runs / "digits" / FIRST / "status.json").write_text('{"state": ')
    (runs / "digits" / SWEEP / "status.json").write_text("[]")
    states = {run.id: (run.state, run.status.get("reason")) for run in records.ls(runs)}
    assert states[SECOND] == ("failed", "loss became nan")
    assert states[FIRST][0] == states[SWEEP][0] == "damaged"
    assert "status.json cannot be read" in states[FIRST][1]
    assert "holds list, not an object" in states[SWEEP][1]
    with pytest.raises(RunError, match=r"status\.json cannot be read"):
        records.find(FIRST, runs)


@pytest.mark.parametrize(
    ("argument", "id"),
    [
        (FIRST, FIRST),
        ("20261123-08", FIRST),
        ("digits/20261123", FIRST),
        ("digits_cnn/", SECOND),
        ("a1b2c3", FIRST),
        ("sweep", SWEEP),
        ("sweep-0123ab", SWEEP),
        ("0123ab", SWEEP),
        ("0123", SWEEP),
    ],
)
def test_find_by_the_beginning_of_a_name(runs, argument, id):
    assert records.find(argument, runs).id == id


def test_a_run_goes_before_a_sweep_of_the_same_digest(runs):
    id = "20261125-091200-0123ab"
    write_run(runs, id)
    assert records.find("0123ab", runs).id == id
    assert records.find("sweep-0123ab", runs).id == SWEEP


def test_find_takes_any_spelling_of_a_path(runs, monkeypatch):
    monkeypatch.chdir(runs / "digits" / FIRST)
    for argument in (".", f"../{FIRST}/", str(runs / "digits" / FIRST)):
        found = records.find(argument, runs / "elsewhere")
        assert (found.name, found.id) == ("digits", FIRST)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("2026", f"2026 means 3 runs: digits/{FIRST}, digits/{SWEEP}, digits_cnn/{SECOND}; give"),
        ("a1", "a1 means 2 runs"),
        ("20261123-081200-a1b2d3", f"not an id below .*; did you mean {FIRST}?"),
        ("zebra", "zebra is not a folder of a run, .*; see: mastery ls"),
    ],
)
def test_find_says_what_is_wrong(runs, argument, message):
    with pytest.raises(RunError, match=message):
        records.find(argument, runs)


def test_an_exact_id_goes_before_longer_ones(runs):
    write_run(runs, f"{FIRST}-2")
    assert records.find(FIRST, runs).id == FIRST


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(RunError, match=r"is not a run or a sweep: no config\.yaml or sweep\.yaml"):
        records.read(tmp_path)


def test_running_needs_a_living_process(runs):
    folder = write_run(runs, "20261125-000000-aaaaaa", state="running")
    assert records.read(folder).state == "killed"
    program = (
        "import pathlib, sys\nfrom mastery_jax.workflow import files\n"
        "with files.lock(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(folder)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, env=os.environ) as process:
        assert process.stdout.readline() == b"held\n"
        assert records.read(folder).state == "running"
        process.kill()
    assert records.read(folder).state == "killed"
    with files.lock(folder):
        assert records.read(folder).state == "running"


def test_killed_before_the_first_status(runs):
    (runs / "digits" / FIRST / "status.json").unlink()
    assert records.read(runs / "digits" / FIRST).state == "killed"
    assert records.status(runs / "digits" / FIRST, missing={}) == {}
    with pytest.raises(RunError, match=r"has no status\.json"):
        records.status(runs / "digits" / FIRST)


def test_nan_survives_json(runs):
    folder = write_run(runs, "x", metrics={"loss": None, "test_accuracy": 0.5})
    found = records.status(folder)["metrics"]
    assert math.isnan(found["loss"])
    assert found["test_accuracy"] == 0.5


def test_config_keeps_numbers_and_takes_the_sweep_apart(runs):
    config, swept = records.config(records.find(FIRST, runs))
    assert config["optimizer"]["learning_rate"] == 1e-5
    assert swept == {}
    config, swept = records.config(records.find(SWEEP, runs))
    assert swept == {"seed": [0, 1]}
    assert "sweep" not in config


@pytest.mark.parametrize(
    ("text", "message"), [("a: [", "cannot be read: line"), ("- a", "no fields")]
)
def test_a_damaged_config(runs, text, message):
    (runs / "digits" / FIRST / "config.yaml").write_text(text)
    with pytest.raises(RunError, match=message):
        records.config(records.find(FIRST, runs))


def test_metrics_and_series(runs):
    path = runs / "digits" / FIRST / "metrics.jsonl"
    path.write_text(
        '{"step": 10, "loss": 0.5}\n{"step": 20, "loss": null, "test_accuracy": 0.75}\n'
        '{"step": 20, "reason": "loss became nan at step 20"}\n'
    )
    rows = records.metrics(path.parent)
    assert rows == records.metrics(path)
    assert [row["step"] for row in rows] == [10, 20, 20]
    assert math.isnan(rows[1]["loss"])
    found = records.series(rows)
    assert set(found) == {"loss", "test_accuracy"}
    assert found["test_accuracy"] == ([20], [0.75])


def test_a_line_may_be_cut_off_anywhere(tmp_path):
    whole = b"".join(json.dumps({"step": i, "loss": 0.5}).encode() + b"\n" for i in range(3))
    path = tmp_path / "metrics.jsonl"
    line = len(whole) // 3
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        found = records.metrics(tmp_path)
        assert found == [{"step": i, "loss": 0.5} for i in range((size + 1) // line)]
    path.unlink()
    assert records.metrics(tmp_path) == []


@pytest.mark.parametrize(
    "line", [b"{", b"[1]", b'{"loss": 1}', b"\xff", b'{"step": 1, "a": {}}', b""]
)
def test_a_damaged_line_inside_is_an_error(tmp_path, line):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n' + line + b'\n{"step": 2}\n')
    with pytest.raises(RunError, match=r"metrics.jsonl, line 2 is damaged: no object with a step"):
        records.metrics(tmp_path)
