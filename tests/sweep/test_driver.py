"""A sweep's lanes are what solo runs would be; a stop loses nothing."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from mastery_jax.workflow import config, export, records, run
from mastery_jax.workflow.errors import ConfigError, RunError, UserError
from mastery_jax.workflow.progress import Progress
from mastery_jax.workflow.sweep import driver, loop, plan, store, strategies

QUIET = Progress(quiet=True)
FIELDS = ["rate=0.05,0.1", "seed=range(3)", "copies=2,3"]


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    path = tmp_path_factory.mktemp("configs") / "toy.yaml"
    path.write_text("experiment: tests.toy\nnum_steps: 20\nevaluate_every: 7\n")
    return path


@pytest.fixture(scope="module")
def looped(toy, tmp_path_factory):
    swept = config.load_sweep(toy, FIELDS)
    runs = tmp_path_factory.mktemp("runs")
    return driver.sweep(swept, runs=runs, strategy="loop", progress=QUIET)


def lane_rows(folder, number):
    return records.metrics(folder / "lanes" / f"{number:04d}.jsonl")


def test_the_table_has_every_lane(looped):
    lanes = store.lanes(looped)
    assert [lane["lane"] for lane in lanes] == list(range(12))
    assert {lane["state"] for lane in lanes} == {"done"}
    assert [(lane["rate"], lane["seed"], lane["copies"]) for lane in lanes[:3]] == [
        (0.05, 0, 2),
        (0.05, 0, 3),
        (0.05, 1, 2),
    ]
    assert records.status(looped)["lanes_done"] == 12
    assert all(lane["seen"] == 20 for lane in lanes)


@pytest.mark.parametrize("number", [0, 5, 11])
def test_a_looped_lane_is_its_solo_run(looped, toy, tmp_path, number):
    """Bit for bit, though lanes were dealt over four devices."""
    solo = run.run(driver.lane_config(looped, number), runs=tmp_path, progress=QUIET)
    assert records.metrics(solo) == lane_rows(looped, number)


def test_what_else_is_swept_does_not_change_a_lane(looped, toy, tmp_path):
    swept = config.load_sweep(toy, ["rate=0.05,0.1", "noise=0.01,0.2", "idle=1,2"])
    wider = driver.sweep(swept, runs=tmp_path, strategy="loop", progress=QUIET)
    # rate, noise, idle = 0.05, 0.01, 1 is lane 0; rate, seed, copies = 0.05, 0, 2 is lane 0
    assert lane_rows(wider, 0) == lane_rows(looped, 0)
    assert lane_rows(wider, 4) == lane_rows(looped, 6)


def test_one_device_gives_the_same_lanes(looped, toy, tmp_path):
    """The same sweep in a process with one CPU device, its lanes dealt over threads."""
    words = [sys.executable, "-m", "mastery_jax.cli", "sweep", str(toy), *FIELDS, "--exact"]
    environment = {"PATH": "/usr/bin:/bin", "JAX_PLATFORMS": "cpu", "HOME": str(tmp_path)}
    subprocess.run(
        [*words, "--runs", str(tmp_path), "--quiet"], env=environment, check=True, timeout=120
    )
    (folder,) = (tmp_path / "toy").iterdir()
    recorded = json.loads((folder / "environment.json").read_text())
    assert recorded["devices"]["count"] == 1
    assert (folder / "lanes.csv").read_text() == (looped / "lanes.csv").read_text()


@pytest.mark.parametrize("strategy", ["vmap", "map"])
@pytest.mark.parametrize("width", [None, 4])
def test_batched_lanes_agree_to_a_tolerance(looped, toy, tmp_path, strategy, width):
    swept = config.load_sweep(toy, FIELDS)
    folder = driver.sweep(swept, runs=tmp_path, strategy=strategy, width=width, progress=QUIET)
    for lane, other in zip(store.lanes(folder), store.lanes(looped), strict=True):
        assert lane["seen"] == other["seen"]
        assert lane["test_loss"] == pytest.approx(other["test_loss"], rel=1e-5)
        assert len(lane_rows(folder, lane["lane"])) == len(lane_rows(looped, lane["lane"]))


def test_a_lane_that_diverges_is_marked_and_alone(toy, tmp_path):
    swept = config.load_sweep(toy, ["rate=0.1,1e30", "seed=range(2)"])
    for strategy in ("loop", "vmap"):
        folder = driver.sweep(swept, runs=tmp_path, strategy=strategy, progress=QUIET)
        lanes = store.lanes(folder)
        assert [lane["state"] for lane in lanes] == ["done", "done", "failed", "failed"]
        assert "loss became" in lane_rows(folder, 2)[-1]["reason"]
        assert lanes[0]["test_loss"] < 10


def test_the_plan_counts_programs_lanes_and_bytes(toy):
    made = plan.plan(config.load_sweep(toy, [*FIELDS, "idle=1,2", "label=a,b"]))
    assert made.num_lanes == 48
    assert [len(group.lanes) for group in made.groups] == [12] * 4
    assert {group.state_bytes for group in made.groups} == {2 * 4 + 16, 3 * 4 + 16}
    assert made.without_effect == ("idle", "label")
    assert made.strategy == "loop"
    text = made.describe()
    assert "toy: 48 lanes in 4 programs, strategy loop on 4 x cpu" in text
    assert "swept as lanes: rate (2), seed (3), idle (2)" in text
    assert "swept as programs: copies (2), label (2)" in text
    assert "without effect: idle, label" in text


def test_runner_fields_may_be_swept(toy):
    made = plan.plan(config.load_sweep(toy, ["num_steps=5,10", "fixed=1.0,2.0"]))
    assert len(made.groups) == 4
    assert made.without_effect == ()


def test_an_unsound_lane_is_refused_before_anything_is_written(toy, tmp_path):
    with pytest.raises(ConfigError, match="copies is 6 with num_steps 60"):
        config.load_sweep(toy, ["copies=2,6", "num_steps=60"])
    swept = config.load_sweep(toy, ["fault=none,branch"])
    with pytest.raises(ConfigError, match="rate cannot be an argument of the program"):
        driver.sweep(swept, runs=tmp_path, progress=QUIET)
    assert list(tmp_path.iterdir()) == []


def test_a_finished_sweep_is_not_resumed(looped):
    with pytest.raises(RunError, match="is finished"):
        driver.resume(looped, progress=QUIET)


def test_a_killed_sweep_goes_on_with_what_is_missing(toy, tmp_path):
    words = [sys.executable, "-m", "mastery_jax.cli", "sweep", str(toy), *FIELDS]
    process = subprocess.Popen([*words, "pause=0.02", "--runs", str(tmp_path), "--quiet"])
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("toy/*/lanes/*.jsonl")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    (folder,) = (tmp_path / "toy").iterdir()
    before = {path.name: path.stat().st_mtime_ns for path in (folder / "lanes").glob("*.jsonl")}
    assert 0 < len(before) < 12
    driver.resume(folder, progress=QUIET)
    for name, time_ns in before.items():
        assert (folder / "lanes" / name).stat().st_mtime_ns == time_ns
    # The callback that pauses is part of the program, how long it sleeps is not.
    swept = config.load_sweep(toy, [*FIELDS, "pause=1e-6"])
    undisturbed = driver.sweep(swept, runs=tmp_path / "again", progress=QUIET)
    assert (folder / "lanes.csv").read_text() == (undisturbed / "lanes.csv").read_text()


@pytest.mark.parametrize("devices", [1, 4])
def test_a_shipped_config_has_the_same_lanes_on_any_number_of_devices(tmp_path, devices):
    """XLA splits large products by its number of threads, which must not follow the devices."""
    tables = []
    for count in (devices, 2):
        words = [sys.executable, "-m", "mastery_jax.cli", "sweep", "digits_logistic", "seed=0,1"]
        environment = os.environ | {
            "XLA_FLAGS": f"--xla_force_host_platform_device_count={count}",
        }
        environment.pop("NPROC", None)
        runs = tmp_path / str(count)
        subprocess.run(
            [*words, "--exact", "--runs", str(runs), "--quiet"], env=environment, check=True
        )
        (folder,) = (runs / "digits_logistic").iterdir()
        assert json.loads((folder / "environment.json").read_text())["devices"]["count"] == count
        tables.append((folder / "lanes.csv").read_text())
    assert tables[0] == tables[1]


def test_fields_of_the_data_act(toy):
    fields = ["data.split_seed=0,1", "data.standardize=true,false", "best=a:max,b:max"]
    made = plan.plan(config.load_sweep("digits_logistic", fields))
    assert made.without_effect == ("best",)


def test_a_sweep_killed_before_its_first_lane_is_resumed(toy, tmp_path):
    swept = config.load_sweep(toy, ["seed=0,1"])
    folder = driver.sweep(swept, runs=tmp_path, progress=QUIET)
    table = (folder / "lanes.csv").read_text()
    for left_out in ("status.json", "environment.json", "lanes.csv", "lanes/0000.jsonl"):
        (folder / left_out).unlink()
    (folder / "lanes" / "0001.jsonl").write_text("")
    driver.resume(folder, progress=QUIET)
    assert (folder / "lanes.csv").read_text() == table


def test_an_error_in_one_lane_stops_the_others(toy, tmp_path, monkeypatch):
    seen = []

    def fails(self, event, add=loop.Log.add):
        seen.append(event)
        raise FloatingPointError("planted")

    monkeypatch.setattr(loop.Log, "add", fails)
    swept = config.load_sweep(toy, ["seed=range(40)"])
    with pytest.raises(FloatingPointError, match="planted"):
        driver.sweep(swept, runs=tmp_path, progress=QUIET)
    assert len(seen) <= 4


@pytest.mark.parametrize(
    ("best", "message"),
    [
        ("test_los:max", "test_los is not measured; did you mean test_loss"),
        ("rate:max", "rate is not measured"),
        ("test_loss", "wanted METRIC:max or METRIC:min"),
        ("test_nan_after_20:max", "test_nan_after_20 is not finite in any lane"),
    ],
)
def test_a_best_lane_that_cannot_be_chosen(looped, best, message, tmp_path):
    folder = tmp_path / "toy" / "sweep"
    shutil.copytree(looped, folder)
    table = (folder / "lanes.csv").read_text().replace(",20.0\n", ",nan\n")
    (folder / "lanes.csv").write_text(table)
    with pytest.raises(UserError, match=message):
        export.export(folder, name="toy", models=tmp_path, best=best, progress=QUIET)


def test_a_run_is_not_exported_with_other_data(toy, tmp_path):
    schools = tmp_path / "schools.csv"
    schools.write_text("effect,std_error\n" + "28,15\n" * 8)
    loaded = config.load(toy, [f"data.source={schools}"])
    folder = run.run(loaded, runs=tmp_path, progress=QUIET)
    schools.write_text("effect,std_error\n" + "29,15\n" * 8)
    with pytest.raises(RunError, match="its data changed since it began"):
        export.export(folder, name="toy", models=tmp_path / "models", progress=QUIET)
    assert not (tmp_path / "models").exists()


def test_a_width_is_a_multiple_of_the_devices(toy):
    made = plan.plan(config.load_sweep(toy, ["seed=range(6)"]), strategy="vmap")
    assert strategies.choose_width(made.groups, None) == 8  # six lanes on four devices
    assert strategies.choose_width(made.groups, 3) == 4


def test_the_best_lane_becomes_a_run_of_its_own(looped):
    best = min(store.lanes(looped), key=lambda lane: lane["test_loss"])["lane"]
    folder = export.materialize(looped, best, progress=QUIET)
    assert folder == looped / "runs" / f"{best:04d}"
    assert records.metrics(folder) == lane_rows(looped, best)
    assert export.materialize(looped, best, progress=QUIET) == folder
