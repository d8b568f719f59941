"""What a user or a disk can do to a sweep, and the one sentence that follows."""

import errno
import shutil

import pytest

from mastery_jax.workflow import config, environment, files, records
from mastery_jax.workflow.errors import RunError
from mastery_jax.workflow.progress import Progress
from mastery_jax.workflow.sweep import driver, loop, store

QUIET = Progress(quiet=True)
FIELDS = ["rate=0.05,0.1", "seed=range(2)"]


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    path = tmp_path_factory.mktemp("configs") / "toy.yaml"
    path.write_text("experiment: tests.toy\nnum_steps: 20\n")
    return path


@pytest.fixture(scope="module")
def whole(toy, tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    return driver.sweep(config.load_sweep(toy, FIELDS), runs=runs, progress=QUIET)


@pytest.fixture
def killed(whole, tmp_path):
    """Return a copy of the sweep as a kill leaves it after three lanes."""
    folder = tmp_path / "toy" / whole.name
    shutil.copytree(whole, folder)
    (folder / "lanes.csv").unlink()
    (folder / "lanes" / "0003.jsonl").unlink()
    found = records.status(folder) | {"state": "running"}
    files.write_json(folder / "status.json", found)
    return folder


def table(folder):
    return (folder / "lanes.csv").read_text()


def test_what_is_missing_is_run(killed, whole):
    driver.resume(killed, progress=QUIET)
    assert table(killed) == table(whole)


@pytest.mark.parametrize("content", ["", "{", '{"lane":2,"fields":{}}\n{"step":}\n{"step":20}\n'])
def test_a_damaged_record_is_run_again(killed, whole, content):
    store.record(killed, 2).write_text(content)
    driver.resume(killed, progress=QUIET)
    assert table(killed) == table(whole)


@pytest.mark.parametrize("content", [b"", b"\0" * 40, None])
def test_a_damaged_state_begins_anew(killed, whole, content, monkeypatch):
    said = []
    progress = Progress(quiet=True)
    monkeypatch.setattr(progress, "say", said.append)
    if content is not None:
        store.state(killed, 3).write_bytes(content)
    driver.resume(killed, progress=progress)
    assert table(killed) == table(whole)
    assert len([line for line in said if "is damaged" in line]) == (content is not None)


@pytest.mark.parametrize("content", ["{", "[]", '{"strategy": "loop"}'])
def test_a_damaged_plan(killed, content):
    (killed / "plan.json").write_text(content)
    with pytest.raises(RunError, match=r"plan\.json is missing or damaged, .*mastery sweep .*yaml"):
        driver.resume(killed, progress=QUIET)


def test_the_folder_of_another_sweep(killed):
    store.write_points(killed, [{"rate": 0.5, "seed": number} for number in range(4)])
    with pytest.raises(RunError, match=r"is not what it was: lane 0 had .*0\.5.* and has .*0\.05"):
        driver.resume(killed, progress=QUIET)


def test_an_edited_sweep(killed):
    text = (killed / "sweep.yaml").read_text()
    (killed / "sweep.yaml").write_text(text.replace("0.1", "0.3"))
    with pytest.raises(RunError, match="is not what it was"):
        driver.resume(killed, progress=QUIET)


def test_an_edited_space(killed):
    text = (killed / "sweep.yaml").read_text()
    (killed / "sweep.yaml").write_text(text.replace("seed: range(2)", "seed: range(3)"))
    assert (killed / "sweep.yaml").read_text() != text
    with pytest.raises(RunError, match="had 4 lanes and has 6"):
        driver.resume(killed, progress=QUIET)


LISTS = ["data.columns=[effect,std_error],[std_error,effect]", "seed=range(2)"]


def test_fields_that_are_lists_are_what_they_were(toy, tmp_path):
    folder = driver.sweep(config.load_sweep(toy, LISTS), runs=tmp_path, progress=QUIET)
    before = table(folder)
    store.record(folder, 1).unlink()
    files.write_json(folder / "status.json", records.status(folder) | {"state": "running"})
    driver.resume(folder, progress=QUIET)
    assert table(folder) == before


SAMPLED = ["rate=loguniform(1e-3,1e-1)", "seed=0,1", "copies=2,3", "search.sampler=tpe"]
SAMPLED += ["search.metrics=[test_loss:min]", "search.num_samples=2", "search.batch=1"]
EDITS = {
    "loguniform(1e-3,1e-1)": ("loguniform(1e-3,5e-1)", r"rate was \S+,1e-1\) and is \S+,5e-1\)"),
    "seed: [0, 1]": ("seed: [0, 1, 2]", r"seed was \[0, 1\] and is \[0, 1, 2\]"),
    "  copies: [2, 3]\n": ("", r"copies was \[2, 3\] and is missing"),
    "  seed: [0, 1]\n  copies: [2, 3]\n": (
        "  copies: [2, 3]\n  seed: [0, 1]\n",
        "its fields stand in another order",
    ),
}


@pytest.fixture(scope="module")
def searched(toy, tmp_path_factory):
    runs = tmp_path_factory.mktemp("searched")
    return driver.sweep(config.load_sweep(toy, SAMPLED), runs=runs, progress=QUIET)


@pytest.mark.parametrize("old", EDITS)
def test_an_edited_space_of_a_sampler(searched, tmp_path, old):
    """Its lanes are numbered by its lists: others would take the records of these for theirs."""
    folder = tmp_path / "toy" / searched.name
    shutil.copytree(searched, folder)
    files.write_json(folder / "status.json", records.status(folder) | {"state": "running"})
    text, (new, said) = (folder / "sweep.yaml").read_text(), EDITS[old]
    assert text.count(old) == 1
    (folder / "sweep.yaml").write_text(text.replace(old, new))
    with pytest.raises(RunError, match=f"is not what it was: {said}; sweep.yaml was edited"):
        driver.resume(folder, progress=QUIET, force=True)
    (folder / "sweep.yaml").write_text(text)
    driver.resume(folder, progress=QUIET)
    assert table(folder) == table(searched)


def test_a_kill_before_anything_was_run_leaves_no_half_of_a_sweep(toy, tmp_path, monkeypatch):
    """What is listed can be resumed: a folder is a sweep once all that a resume needs is there."""

    def write(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(environment, "write", write)
    with pytest.raises(KeyboardInterrupt):
        driver.sweep(config.load_sweep(toy, FIELDS), runs=tmp_path, progress=QUIET)
    assert len(list((tmp_path / "toy").iterdir())) == 1
    assert records.ls(tmp_path) == []


def test_another_search(killed, whole):
    text = (killed / "sweep.yaml").read_text()
    asked = "search: {metrics: [test_loss:min], stop: {kind: median, every: 5}}\n"
    (killed / "sweep.yaml").write_text(text + asked)
    with pytest.raises(RunError, match=r"search\.metrics was \[\] and is \['test_loss:min'\]"):
        driver.resume(killed, progress=QUIET)
    driver.resume(killed, progress=QUIET, force=True)
    assert environment.read(killed)["forced"][0]["differences"][0].startswith("search.metrics")


def test_a_full_disk_loses_nothing(toy, whole, tmp_path, monkeypatch):
    """The third lane cannot be written; when there is room again the rest is run."""
    written = []

    def write(folder, number, *args, original=store.write_lane):
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(number)
        return original(folder, number, *args)

    monkeypatch.setattr(store, "write_lane", write)
    with pytest.raises(RunError, match="cannot be written: No space left on device"):
        driver.sweep(config.load_sweep(toy, FIELDS), runs=tmp_path, progress=QUIET)
    monkeypatch.undo()
    (folder,) = (tmp_path / "toy").iterdir()
    assert records.read(folder).state == "failed"
    assert len(list((folder / "lanes").glob("*.jsonl"))) == 2
    driver.resume(folder, progress=QUIET)
    assert table(folder) == table(whole)


def test_a_folder_that_cannot_be_written(toy, tmp_path):
    (tmp_path / "toy").write_text("a file where a folder should be")
    with pytest.raises(RunError, match="a run cannot be kept under"):
        driver.sweep(config.load_sweep(toy, FIELDS), runs=tmp_path, progress=QUIET)


def test_two_drivers(killed):
    with files.lock(killed), pytest.raises(RunError, match="is in use by process"):
        driver.resume(killed, progress=QUIET)


def test_an_interrupted_sweep_goes_on_within_its_lanes(toy, tmp_path, monkeypatch):
    """A signal in the middle of lanes: each goes on from its own step."""
    fields = ["seed=range(3)", "num_steps=40"]
    alone = driver.sweep(config.load_sweep(toy, fields), runs=tmp_path / "alone", progress=QUIET)
    monkeypatch.setattr(loop.program, "LONGEST_CHUNK", 5)
    with monkeypatch.context() as patch:
        patch.setattr(driver, "interrupts", asked_at_once)
        made = config.load_sweep(toy, fields)
        folder = driver.sweep(made, runs=tmp_path, progress=QUIET)
    assert records.read(folder).state == "interrupted"
    assert list((folder / "lanes").glob("*.state"))
    driver.resume(folder, progress=QUIET)
    assert table(folder) == table(alone)


class asked_at_once:
    """Stand in for ``stops.interrupts``: asked after the first event of a lane."""

    def __enter__(self):
        self.seen = 0
        return self

    def __exit__(self, *_):
        pass

    @property
    def asked(self):
        self.seen += 1
        return self.seen > 4
