"""What is on disk reaches trackers after the fact, without jax."""

import json

import pytest

from mastery_jax.workflow import files
from tests.cli.calls import FIRST, SWEEP, call, process
from tests.folders import write_run, write_sweep
from tests.track.fakes import Fake
from tests.track.test_tensorboard import hparams, scalars


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "runs", FIRST)
    swept = {"optimizer.learning_rate": [0.1, 0.2], "seed": [0, 1]}

    def measure(learning_rate, seed):
        return {"test_accuracy": learning_rate + seed / 8} if learning_rate < 0.2 else None

    write_sweep(tmp_path / "runs", SWEEP, swept, measure)
    return tmp_path / "runs" / "digits"


def test_a_run(runs):
    code, out, _ = call("push", "a1b2c3", "--to", "tensorboard", "--quiet")
    assert (code, out) == (0, f"1 run of digits/{FIRST} sent to tensorboard\n")
    assert scalars(runs / FIRST / "events") == [(50, "loss", 0.5), (100, "loss", 0.25)]
    start, columns, _ = hparams(runs / FIRST / "events")
    values = start.session_start_info.hparams
    assert values["optimizer.learning_rate"].number_value == 1e-05
    assert values["model.widths"].string_value == "[64,64]"
    assert {each.name.tag for each in columns.experiment.metric_infos} == {"loss", "test_accuracy"}


def test_a_sweep(runs, monkeypatch):
    fake = Fake().replace(monkeypatch)
    found = json.loads(call("push", SWEEP, "--to", "tensorboard", "--json")[1])
    assert found == {"folder": f"runs/digits/{SWEEP}", "to": ["tensorboard"], "sent": 4}
    configs = [config for config, _ in fake.of("start")]
    assert [(c["optimizer.learning_rate"], c["seed"]) for c in configs] == [
        *((0.1, 0), (0.1, 1)),
        *((0.2, 0), (0.2, 1)),
    ]
    assert [number for verb, number, _ in fake.calls if verb == "start"] == [0, 1, 2, 3]
    assert fake.steps == [0, 100, 0, 100]
    assert fake.of("finish")[1] == ("done", {"test_accuracy": 0.225})
    assert fake.of("close") == [("finished",)]


def test_a_long_run_is_sent_whole(runs, monkeypatch):
    fake = Fake().replace(monkeypatch)
    rows = [{"step": step, "loss": 0.5} for step in range(2500)]
    files.write_lines(runs / FIRST / "metrics.jsonl", rows)
    call("push", FIRST, "--to", "tensorboard")
    assert fake.steps == list(range(2500))
    assert len(fake.of("log")) == 3


def test_a_tracker_that_fails_is_an_error_here(runs, monkeypatch):
    Fake(fails={"log": 1}).replace(monkeypatch)
    code, out, err = call("push", FIRST, "--to", "tensorboard", "--quiet")
    assert (code, out) == (2, "")
    assert "mastery: tensorboard gets nothing more (ConnectionError: no answer to log)" in err


def test_a_tracker_that_is_not_there_shows_no_progress(runs, monkeypatch):
    Fake(fails={"open": 1}).replace(monkeypatch)
    code, _, err = call("push", SWEEP, "--to", "tensorboard")
    assert code == 2
    assert "mastery: tensorboard gets nothing more" in err
    assert "lanes" not in err


def test_lanes_whose_record_is_lost_are_named(runs, monkeypatch):
    Fake().replace(monkeypatch)
    (runs / SWEEP / "lanes" / "0001.jsonl").unlink()
    (runs / SWEEP / "lanes.csv").unlink()
    code, out, err = call("push", SWEEP, "--to", "tensorboard")
    assert (code, out) == (0, f"3 lanes of digits/{SWEEP} sent to tensorboard\n")
    assert f"note: 1 of 4 lanes of {SWEEP} is damaged or lost" in err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((FIRST, "--to", "tensorbord"), "no tracker is named tensorbord; did you mean tensorboard"),
        (("zzz", "--to", "mlflow"), "zzz is not a folder of a run"),
        ((FIRST,), "Missing option '--to'"),
        ((FIRST, "--to", ""), "name at least one tracker"),
    ],
)
def test_mistakes(runs, arguments, sentence):
    code, _, err = call("push", *arguments)
    assert code == 2
    assert sentence in err


def test_what_runs_is_not_pushed(runs):
    with files.lock(runs / FIRST):
        status = json.loads((runs / FIRST / "status.json").read_text())
        (runs / FIRST / "status.json").write_text(json.dumps(status | {"state": "running"}))
        code, _, err = call("push", FIRST, "--to", "tensorboard")
    assert code == 2
    assert "is running: push it when it is over" in err


def test_it_never_imports_jax(runs):
    ran = process("push", FIRST, "--to", "tensorboard", "--quiet", cwd=runs.parents[1])
    assert (ran.returncode, ran.stderr) == (0, "False")
    assert scalars(runs / FIRST / "events")
