"""A run leaves what it should, and a resumed one ends in the same bits."""

import errno
import json
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from mastery_jax.workflow import checkpoint, config, files, records, run, stops
from mastery_jax.workflow.errors import ConfigError, RunError
from mastery_jax.workflow.progress import Progress

QUIET = Progress(quiet=True)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    path = tmp_path_factory.mktemp("configs") / "toy.yaml"
    path.write_text("experiment: tests.toy\nnum_steps: 40\nevaluate_every: 10\nsave_every: 10\n")
    return path


def final(folder):
    """Return the last state's bytes and the recorded metrics."""
    step = checkpoint.steps(folder)[-1]
    prepared = run.ready(config.load(folder / "config.yaml"))
    state = checkpoint.restore(folder, step, prepared.program.state)
    return jax.tree.map(lambda x: np.asarray(x).tobytes(), state), records.metrics(folder)


@pytest.fixture(scope="module")
def whole(toy, tmp_path_factory):
    return run.run(config.load(toy), runs=tmp_path_factory.mktemp("runs"), progress=QUIET)


def test_a_run_leaves_its_files(whole):
    assert whole.parent.name == "toy"
    status = json.loads((whole / "status.json").read_text())
    assert status["state"] == "finished"
    assert status["step"] == 40
    assert status["metrics"]["seen"] == 40
    rows = records.metrics(whole)
    assert [row["step"] for row in rows if "loss" in row] == list(range(1, 41))
    assert [row["step"] for row in rows if "test_loss" in row] == [10, 20, 30, 40]
    assert rows[-1]["test_loss"] < rows[0]["loss"]
    assert (whole / "plots" / "loss.png").stat().st_size > 1000
    assert checkpoint.steps(whole) == [40]
    environment = json.loads((whole / "environment.json").read_text())
    assert environment["packages"]["jax"] == jax.__version__
    assert "xla_cpu_small_while_loop" in environment["launch"]["XLA_FLAGS"]
    assert config.load(whole / "config.yaml").value.num_steps == 40


def test_a_finished_run_is_not_resumed(whole):
    with pytest.raises(RunError, match="is finished: there is nothing to resume"):
        run.resume(whole, progress=QUIET)


def test_an_interrupted_run_resumes_to_the_same_bits(toy, whole, tmp_path, monkeypatch):
    class AskedAtOnce(stops.Interrupt):
        def __init__(self):
            self.asked = True

    with monkeypatch.context() as patch:
        patch.setattr(stops, "Interrupt", AskedAtOnce)
        folder = run.run(config.load(toy), runs=tmp_path, progress=QUIET)
    status = records.status(folder)
    assert status["state"] == "interrupted"
    assert 0 < status["step"] < 40
    run.resume(folder, progress=QUIET)
    assert final(folder) == final(whole)


def test_metrics_after_the_last_checkpoint_are_taken_again(toy, whole, tmp_path, monkeypatch):
    def dies_at_30(folder, rows, append=files.append_lines):
        append(folder, rows)
        if rows and rows[-1]["step"] == 30:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files, "append_lines", dies_at_30)
        with pytest.raises(RunError, match="No space left on device"):
            run.run(config.load(toy), runs=tmp_path, progress=QUIET)
    (folder,) = (tmp_path / "toy").iterdir()
    assert records.status(folder)["state"] == "failed"
    assert checkpoint.steps(folder) == [20]
    run.resume(folder, progress=QUIET)
    assert final(folder) == final(whole)


def test_the_best_checkpoint_is_kept(toy, tmp_path):
    loaded = config.load(toy, ["best=test_loss:max"])  # the loss falls: the first is the largest
    folder = run.run(loaded, runs=tmp_path, progress=QUIET)
    assert records.status(folder)["best"]["step"] == 10
    assert checkpoint.steps(folder) == [10, 40]


def test_a_metric_that_is_not_finite_is_never_best(toy, tmp_path):
    loaded = config.load(toy, ["best=test_nan_after_20:max"])
    folder = run.run(loaded, runs=tmp_path, progress=QUIET)
    assert records.status(folder)["best"]["step"] == 20
    assert checkpoint.steps(folder) == [20, 40]


def test_the_best_is_found_again_by_a_resumed_run(toy, tmp_path, monkeypatch):
    def full_at_30(folder, step, state, save=checkpoint.save):
        if step == 30:
            raise RunError("the disk is full")
        save(folder, step, state)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", full_at_30)
        with pytest.raises(RunError, match="the disk is full"):
            run.run(config.load(toy, ["best=seen:max"]), runs=tmp_path, progress=QUIET)
    (folder,) = (tmp_path / "toy").iterdir()
    assert records.status(folder)["best"]["step"] == 20
    (folder / "status.json").unlink()  # as if killed before it was written
    (folder / "environment.json").unlink()
    run.resume(folder, progress=QUIET)
    assert records.status(folder)["best"]["step"] == 40


def test_a_best_that_is_not_measured_is_named(toy, tmp_path):
    with pytest.raises(ConfigError, match="best: test_los is not measured; did you mean test_loss"):
        run.run(config.load(toy, ["best=test_los:max"]), runs=tmp_path, progress=QUIET)
    with pytest.raises(ConfigError, match="best is 'test_loss', wanted METRIC:max or METRIC:min"):
        run.run(config.load(toy, ["best=test_loss"]), runs=tmp_path, progress=QUIET)
    assert list(tmp_path.iterdir()) == []


def test_a_loss_that_is_not_finite_fails_the_run(toy, tmp_path):
    folder = run.run(config.load(toy, ["rate=1e30"]), runs=tmp_path, progress=QUIET)
    status = records.status(folder)
    assert status["state"] == "failed"
    last = records.metrics(folder)[-2]["step"]
    first = next(r["step"] for r in records.metrics(folder) if not np.isfinite(r["loss"]))
    assert status["reason"].startswith("loss became ")
    assert status["reason"].endswith(f"at step {first}")
    assert 1 < first <= last
    assert checkpoint.steps(folder) == []


def test_a_float_that_decides_is_named_with_its_line(toy, tmp_path):
    with pytest.raises(ConfigError, match=r"rate cannot be an argument.*toy\.py:\d+: if config"):
        run.run(config.load(toy, ["fault=branch"]), runs=tmp_path, progress=QUIET)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("what", ["config", "data"])
def test_another_config_or_other_data_is_not_mixed_in(toy, tmp_path, monkeypatch, what):
    (tmp_path / "schools.csv").write_text("effect,std_error\n" + "28,15\n" * 8)
    overrides = [f"data.source={tmp_path}/schools.csv"]
    with monkeypatch.context() as patch:
        patch.setattr(stops.Interrupt, "__init__", lambda self: setattr(self, "asked", True))
        folder = run.run(config.load(toy, overrides), runs=tmp_path, progress=QUIET)
    if what == "config":
        edited = (folder / "config.yaml").read_text().replace("rate: 0.1", "rate: 0.2")
        (folder / "config.yaml").write_text(edited)
    else:
        (tmp_path / "schools.csv").write_text("effect,std_error\n" + "29,15\n" * 8)
    with pytest.raises(RunError, match=rf"is not what it was: its {what} .* since it began"):
        run.resume(folder, progress=QUIET)


def test_a_float_that_the_dtype_cannot_hold_is_refused(toy, tmp_path):
    for rate, why in (("1e39", "inf"), ("1e-46", "0.0")):
        with pytest.raises(ConfigError, match=f"rate is .*, which is {why} as a float32"):
            run.run(config.load(toy, [f"rate={rate}"]), runs=tmp_path, progress=QUIET)


def test_two_processes_cannot_share_a_run(toy, whole, tmp_path):
    held = (
        "import sys, time, pathlib; from mastery_jax.workflow import files\n"
        "with files.lock(pathlib.Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    folder = tmp_path / "toy" / "x"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text((whole / "config.yaml").read_text())
    with subprocess.Popen([sys.executable, "-c", held, folder], stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(RunError, match=f"is in use by process {other.pid}"):
            run.resume(folder, progress=QUIET)
        other.terminate()


@pytest.mark.parametrize("damage", ["cut", "empty"])
def test_a_damaged_checkpoint_is_named(toy, tmp_path, monkeypatch, damage):
    monkeypatch.setattr(stops.Interrupt, "__init__", lambda self: setattr(self, "asked", True))
    folder = run.run(config.load(toy), runs=tmp_path, progress=QUIET)
    (newest,) = (folder / "checkpoints").iterdir()
    for path in newest.rglob("*"):
        if path.is_file() and path.name != "_CHECKPOINT_METADATA":
            content = path.read_bytes()
            path.write_bytes(content[: len(content) // 2] if damage == "cut" else b"")
    with pytest.raises(RunError, match=r"cannot be restored .* remove .* to go on from an older"):
        run.resume(folder, progress=QUIET)


@pytest.mark.parametrize("what", ["file", "dangling link"])
def test_runs_under_no_folder_are_refused(toy, tmp_path, what):
    if what == "file":
        (tmp_path / "runs").write_text("not a folder")
    else:
        (tmp_path / "runs").symlink_to(tmp_path / "nowhere")
    with pytest.raises(RunError, match="a run cannot be kept under"):
        run.run(config.load(toy), runs=tmp_path / "runs", progress=QUIET)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_a_signalled_process_resumes_to_the_same_bits(toy, tmp_path, number):
    """A real process, stopped in the middle: the run ends as if nothing had happened."""
    overrides = ["num_steps=60", "pause=0.03", "noise=0.2", "save_every=5"]
    words = [sys.executable, "-m", "mastery_jax.cli", "run", str(toy), *overrides]
    process = subprocess.Popen([*words, "--runs", str(tmp_path), "--quiet"])
    deadline = time.monotonic() + 120
    while not (saved := list(tmp_path.glob("toy/*/checkpoints/*[0-9]"))):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.11)
    process.send_signal(number)
    code = process.wait(timeout=60)
    folder = saved[0].parents[1]
    assert code == (75 if number == signal.SIGTERM else -signal.SIGKILL)
    assert checkpoint.steps(folder)[-1] < 60
    run.resume(folder, progress=QUIET)
    loaded = config.load(folder / "config.yaml")
    undisturbed = run.run(loaded, runs=tmp_path / "again", progress=QUIET)
    assert final(folder) == final(undisturbed)
