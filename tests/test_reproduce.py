"""What is run again from its record gives the same numbers, or says which differs first."""

import importlib.metadata
import json
import shutil

import pytest

from mastery_jax.workflow import config, environment, files, records, reproduce, run, stops
from mastery_jax.workflow.errors import ConfigError, RunError
from mastery_jax.workflow.progress import Progress
from mastery_jax.workflow.sweep import driver, store
from tests.folders import write_run

QUIET = Progress(quiet=True)


class Told(Progress):
    """Remembers what was said."""

    def __init__(self):
        super().__init__(quiet=True)
        self.lines = []

    def say(self, line):
        self.lines.append(line)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    path = tmp_path_factory.mktemp("configs") / "toy.yaml"
    path.write_text("experiment: tests.toy\nnum_steps: 30\nevaluate_every: 7\nnoise: 0.2\n")
    return path


@pytest.fixture(scope="module")
def whole(toy, tmp_path_factory):
    return run.run(config.load(toy), runs=tmp_path_factory.mktemp("runs"), progress=QUIET)


@pytest.fixture
def copied(whole, tmp_path):
    """Give a copy of the run that a test may change."""
    folder = tmp_path / "runs" / "toy" / whole.name
    shutil.copytree(whole, folder)
    return folder


def again(source, runs, progress=QUIET):
    return reproduce.reproduce(reproduce.find(str(source), runs), runs=runs, progress=progress)


def change_metric(folder, step, **values):
    rows = [row | values if row["step"] == step else row for row in records.metrics(folder)]
    files.write_lines(folder / "metrics.jsonl", rows)


def edit(folder, **entries):
    path = folder / "environment.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def test_the_same_numbers(copied, tmp_path):
    told = Told()
    report = again(copied, tmp_path / "runs", told)
    assert report.is_equal
    assert report.describe().splitlines()[0] == "equal, bit for bit: 30 rows"
    assert report.describe().splitlines()[-1] == f"folder: {report.folder}"
    assert report.folder.parent == copied.parent
    assert report.folder.name.endswith(f"-{copied.name.split('-', 2)[2]}-reproduced")
    assert records.read(report.folder).state == "finished"
    assert environment.read(report.folder)["reproduces"] == {"folder": str(copied), "lane": None}
    assert json.loads((report.folder / "reproduction.json").read_text())["is_equal"] is True
    assert not any("module" in note or "launch" in note for note in report.notes)
    assert told.lines[: len(report.notes)] == [f"note: {note}" for note in report.notes]
    assert records.find(copied.name.split("-", 2)[2], tmp_path / "runs").folder == copied


def test_the_first_number_that_differs_is_named(copied, tmp_path):
    was = next(row["loss"] for row in records.metrics(copied) if row["step"] == 12)
    change_metric(copied, 12, loss=was * 2)
    change_metric(copied, 20, loss=0.0)
    report = again(copied, tmp_path / "runs")
    assert not report.is_equal
    assert report.describe().startswith(
        f"different in 2 of 30 rows, first at step 12: loss was {was * 2!r} and is {was!r} "
        "(relative difference 0.5)\n"
    )
    found = json.loads((report.folder / "reproduction.json").read_text())
    assert (found["first"]["step"], found["first"]["metric"]) == (12, "loss")


def test_what_is_not_as_it_was_is_listed(copied, tmp_path):
    found = environment.read(copied)
    edit(
        copied,
        packages=found["packages"] | {"jax": "0.1.0"},
        code=found["code"] | {"tests.toy": "0" * 64},
        devices={"kind": "H200", "count": 1},
        git={"revision": "abc", "is_dirty": True},
        programs=["1" * 64],
        forced=[{"time": "2026-11-01T00:00:00+00:00", "differences": ["x"]}],
    )
    (copied / "code.patch").write_text("+x = 1\n")
    told = Told()
    report = again(copied, tmp_path / "runs", told)
    said = "\n".join(report.notes)
    for part in (
        "module tests.toy was 000000000000 and is ",
        "jax was 0.1.0 and is ",
        'devices.kind was "H200" and is "cpu"',
        "git was abc and is ",
        f"not all of its code was committed: see {copied / 'code.patch'}",
        "the program was 111111111111 and is ",
        "it was forced on 2026-11-01",
    ):
        assert part in said
    assert report.is_equal
    assert f"note: {report.notes[0]}" in report.describe().splitlines()


def test_without_a_record_of_its_environment(copied, tmp_path):
    (copied / "environment.json").unlink()
    report = again(copied, tmp_path / "runs")
    assert report.notes == ("what it was made with is not known: it has no environment.json",)
    assert report.is_equal


def test_an_interrupted_run_is_compared_as_far_as_it_went(toy, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(stops.Interrupt, "__init__", lambda self: setattr(self, "asked", True))
        folder = run.run(config.load(toy), runs=tmp_path, progress=QUIET)
    last = records.status(folder)["step"]
    assert 0 < last < 30
    report = again(folder, tmp_path)
    assert report.is_equal
    assert (report.found.rows, report.is_cut) == (last, False)
    assert f"compared up to step {last} of 30: both went so far" in report.describe()
    assert records.read(report.folder).status["reason"] == f"asked to stop after step {last}"
    assert records.read(report.folder).status["step"] < 30


def test_a_failed_run_fails_again(toy, tmp_path):
    folder = run.run(config.load(toy, ["rate=1e30"]), runs=tmp_path, progress=QUIET)
    report = again(folder, tmp_path)
    assert report.is_equal
    assert report.ended == "failed"


def test_a_reproduction_that_is_interrupted_says_so(copied, tmp_path, monkeypatch):
    monkeypatch.setattr(stops.Interrupt, "__init__", lambda self: setattr(self, "asked", True))
    report = again(copied, tmp_path / "runs")
    assert report.is_equal
    assert report.is_cut
    assert "of 30: both went so far" in report.describe()


def test_a_field_that_there_is_no_more_is_left_out(copied, tmp_path):
    text = (copied / "config.yaml").read_text()
    (copied / "config.yaml").write_text(text + "gone: 3\n")
    told = Told()
    report = again(copied, tmp_path / "runs", told)
    assert told.lines[0].startswith(
        "its config no longer loads: gone is not a field of toy's config"
    )
    assert told.lines[0].endswith("; it is run without gone")
    assert report.is_equal
    (copied / "config.yaml").write_text(text.replace("tests.toy", "tests.gone"))
    with pytest.raises(ConfigError, match=r"no module is named tests\.gone"):
        again(copied, tmp_path / "runs")
    wrong = text.replace("copies: 2", "copies: 9").replace("num_steps: 30", "num_steps: 60")
    (copied / "config.yaml").write_text(wrong)
    with pytest.raises(ConfigError, match="copies is 9 with num_steps 60"):
        again(copied, tmp_path / "runs")


def test_what_cannot_be_reproduced(copied, tmp_path):
    (copied / "metrics.jsonl").unlink()
    with pytest.raises(RunError, match="has measured nothing: there is nothing to compare"):
        again(copied, tmp_path / "runs")
    with pytest.raises(RunError, match="is a run, and has no lanes"):
        again(f"{copied}#0", tmp_path / "runs")
    (copied / "environment.json").write_text("{")
    with pytest.raises(RunError, match=r"environment\.json is damaged"):
        again(copied, tmp_path / "runs")


@pytest.fixture(scope="module")
def swept(toy, tmp_path_factory):
    """Run one sweep under each strategy."""
    fields, runs = ["rate=0.05,0.1", "copies=2,3"], tmp_path_factory.mktemp("sweeps")

    def one(strategy):
        found = config.load_sweep(toy, fields)
        return driver.sweep(found, runs=runs / strategy, strategy=strategy, progress=QUIET)

    return {strategy: one(strategy) for strategy in ("loop", "vmap")}


def test_a_lane_of_a_loop_has_the_same_bits(swept, tmp_path):
    report = again(f"{swept['loop']}#3", tmp_path)
    assert report.describe().startswith("equal, bit for bit: 30 rows\n")
    assert report.folder.name.endswith("-3-reproduced")
    assert config.load(report.folder / "config.yaml").value.copies == 3
    assert environment.read(report.folder)["reproduces"]["lane"] == 3
    assert not any(" and is " in note for note in report.notes), report.notes


def test_a_lane_of_vmap_is_compared_to_a_tolerance(swept, tmp_path):
    report = again(f"{swept['vmap']}#1", tmp_path)
    assert report.is_equal
    assert report.found.rtol == reproduce.RTOL
    assert "a lane of vmap is its own run up to rounding only" in report.describe().splitlines()
    found = report.to_json()
    assert (found["strategy"], found["rtol"], found["is_equal"]) == ("vmap", 1e-4, True)
    assert found["source"] == f"{swept['vmap']}#1"


@pytest.mark.parametrize("lane", range(4))
def test_a_lane_that_was_looked_at_is_measured_at_the_same_steps(toy, tmp_path, lane):
    how = ["search.stop=halving", "search.stop.min_steps=5", "search.metrics=[test_loss:min]"]
    found = config.load_sweep(toy, ["rate=0.05,0.1,0.15,0.2", *how])
    folder = driver.sweep(found, runs=tmp_path, strategy="loop", progress=QUIET)
    last = (5, 5, 5, 30)[lane]
    report = again(f"{folder}#{lane}", tmp_path / "again")
    assert report.describe().startswith(f"equal, bit for bit: {last} rows\n")
    assert "test_loss" in records.metrics(report.folder)[4]
    change = records.metrics(store.record(folder, lane))
    change[4]["test_loss"] += 1e-6
    store.write_lane(folder, lane, {"rate": 0.05 * (lane + 1)}, change)
    assert not again(f"{folder}#{lane}", tmp_path / "changed").is_equal


def test_a_lane_of_a_population_cannot_be_run_alone(toy, tmp_path):
    how = ["search.stop=population", "search.stop.every=10", "search.metrics=[test_loss:min]"]
    found = config.load_sweep(toy, ["rate=0.05,0.1", *how])
    folder = driver.sweep(found, runs=tmp_path, progress=QUIET)
    with pytest.raises(RunError, match=r"#1 is of a population, .*mastery sweep .*sweep\.yaml"):
        again(f"{folder}#1", tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_a_lane_that_is_not_there(swept, tmp_path):
    with pytest.raises(RunError, match=r"is a sweep: say which lane, as in .*#0"):
        again(swept["loop"], tmp_path)
    with pytest.raises(RunError, match="#9 has measured nothing"):
        again(f"{swept['loop']}#9", tmp_path)


def test_settings_that_decide_bits_are_those_of_the_record(tmp_path):
    folder = write_run(tmp_path, "x")
    launched = {"NPROC": "3", "XLA_FLAGS": "--a", "JAX_PLATFORMS": "tpu"}
    jaxlib = importlib.metadata.version("jaxlib")
    for version, names in ((jaxlib, {"NPROC", "XLA_FLAGS"}), ("0.1", {"NPROC"})):
        edit(folder, config="", launch=launched, packages={"jaxlib": version})
        assert reproduce.settings(reproduce.find(str(folder), tmp_path)).keys() == names
    (folder / "environment.json").unlink()
    assert reproduce.settings(reproduce.find(str(folder), tmp_path)) == {}
