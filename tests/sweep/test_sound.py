"""Lanes whose record was damaged, lost or exchanged: they are named, and run again."""

import shutil

import pytest

from mastery_jax.workflow import config, files, records
from mastery_jax.workflow.compare import gaps, members
from mastery_jax.workflow.errors import RunError
from mastery_jax.workflow.progress import Progress
from mastery_jax.workflow.sweep import driver, store
from tests.cli.calls import call, process

QUIET = Progress(quiet=True)
HOW = {
    "grid": ["rate=0.05,0.1", "seed=range(2)"],
    "halving": [
        *("rate=0.01,0.03,0.1,0.2", "search.stop=halving", "search.stop.min_steps=3"),
        *("search.stop.eta=2", "search.metrics=[test_loss:min]"),
    ],
    "median": [
        *("rate=0.01,0.03,0.05,0.1,0.2,0.9", "search.stop=median", "search.stop.every=4"),
        *("search.stop.min_lanes=1", "search.metrics=[test_loss:min]"),
    ],
    "tpe": [
        *("rate=loguniform(1e-3,1e-1)", "seed=0,1", "search.sampler=tpe", "search.batch=2"),
        *("search.num_samples=4", "search.metrics=[test_loss:min]"),
        *("search.stop=halving", "search.stop.min_steps=3"),
    ],
}


@pytest.fixture(scope="module")
def sweeps(toy, tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    return {
        how: driver.sweep(config.load_sweep(toy, fields), runs=runs, progress=QUIET)
        for how, fields in HOW.items()
    }


@pytest.fixture
def copied(sweeps, tmp_path):
    """Return a copy of a sweep, as it ended or as a kill leaves it."""

    def copy(how, *, is_killed=False):
        folder = tmp_path / "runs" / "toy" / sweeps[how].name
        shutil.copytree(sweeps[how], folder)
        if is_killed:
            (folder / "lanes.csv").unlink()
            files.write_json(folder / "status.json", records.status(folder) | {"state": "running"})
        return folder

    return copy


def table(folder):
    return (folder / "lanes.csv").read_text()


def cut(path):
    path.write_bytes(path.read_bytes()[:60])


def cut_at_a_line(path):
    path.write_text("".join(path.read_text().splitlines(True)[:-1]))


def spoilt(path):
    head, line, *lines = path.read_text().splitlines(True)
    path.write_text("".join([head, "\0" * len(line), *lines]))


def exchanged(path):
    shutil.copy(path.with_name("0003.jsonl"), path)


def of_another_sweep(path):
    number, fields = store.lane_fields(path)
    rows = records.metrics(path)
    store.write_lane(path.parent.parent, number, fields | {"rate": 0.5}, rows)


DAMAGE = {
    "cut": (cut, "is damaged: it is cut off"),
    "a line": (spoilt, "is damaged: a line is no object with a step"),
    "cut at a line": (cut_at_a_line, "is damaged: it is cut off"),
    "no head": (lambda path: path.write_text('{"la'), "is damaged: its first line does not name"),
    "missing": (lambda path: path.unlink(), "is missing"),
    "another lane's": (exchanged, "is that of another lane, 3"),
    "another sweep's": (of_another_sweep, r"is that of another sweep: it has {'rate': 0.5"),
}


@pytest.mark.parametrize("is_killed", [False, True])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_lane_is_named_and_run_again(sweeps, copied, damage, is_killed):
    folder, (spoil, said) = copied("grid", is_killed=is_killed), DAMAGE[damage]
    spoil(store.record(folder, 1))
    (note,) = gaps.notes([records.read(folder)])
    if is_killed:
        assert (
            note == f"1 of 4 lanes of {folder.name} is not over; to go on: mastery resume {folder}"
        )
        found = members.members(records.read(folder))
        assert [member.label for member in found] == [f"{folder.name}#{n}" for n in (0, 2, 3)]
    else:
        assert note.startswith(
            f"1 of 4 lanes of {folder.name} is damaged or lost, the first: lanes/0001.jsonl {said}"
        )
        assert note.endswith(f"; to run it again: mastery resume {folder}")
    driver.resume(folder, progress=QUIET)
    assert table(folder) == table(sweeps["grid"])
    assert gaps.notes([records.read(folder)]) == []
    with pytest.raises(RunError, match="is finished: there is nothing to resume"):
        driver.resume(folder, progress=QUIET)


@pytest.mark.parametrize("lane", range(6))
@pytest.mark.parametrize("how", ["halving", "median", "tpe"])
def test_a_lane_that_is_run_again_is_judged_as_it_was(sweeps, copied, how, lane):
    """Alone at its rungs it would go on to the end."""
    folder, whole = copied(how, is_killed=how == "tpe"), table(sweeps[how])
    lane %= whole.count("\n") - 1
    assert "stopped" in whole
    store.record(folder, lane).write_text('{"la')
    driver.resume(folder, progress=QUIET)
    assert records.read(folder).state == "finished"
    assert table(folder) == whole
    assert not list((folder / "lanes").glob("*.state"))


def test_compare_says_what_it_lacks(copied):
    folder = copied("grid")
    cut(store.record(folder, 2))
    code, out, err = call("compare", str(folder), "--json", "-")
    assert code == 0
    assert err.startswith("note: 1 of 4 lanes")
    assert "lanes/0002.jsonl is damaged" in out
    shutil.rmtree(folder / "lanes")
    assert "note: 4 of 4 lanes" in call("compare", str(folder))[2]


def test_an_unfinished_sweep_is_said_to_be_one(copied):
    folder = copied("grid", is_killed=True)
    for lane in (1, 3):
        store.record(folder, lane).unlink()
    err = call("compare", str(folder))[2]
    assert err.startswith(f"note: 2 of 4 lanes of {folder.name} are not over; to go on: mastery")
    assert records.read(folder).status["lanes_done"] == 2
    assert "2/4" in call("ls", "--runs", str(folder.parents[1]))[1]


def test_a_lost_table_is_written_again_without_jax(sweeps, copied):
    folder = copied("grid")
    (folder / "lanes.csv").unlink()
    assert "to write it again: mastery resume" in call("compare", str(folder))[2]
    done = process("resume", str(folder))
    assert (done.returncode, done.stderr) == (0, "False")
    assert "finished, 4/4 lanes" in done.stdout
    assert table(folder) == table(sweeps["grid"])
    done = process("resume", str(folder))
    assert done.returncode == 2
    assert "there is nothing to resume" in done.stderr


def test_a_table_that_lacks_a_lane_is_written_again(sweeps, copied):
    folder = copied("grid")
    (folder / "lanes.csv").write_text("".join(table(folder).splitlines(True)[:-1]))
    assert len(members.members(records.read(folder))) == 4
    assert driver.resume(folder, progress=QUIET) == folder
    assert table(folder) == table(sweeps["grid"])


def test_the_points_of_another_search_are_refused(copied):
    folder = copied("tpe", is_killed=True)
    for lane in range(4, 8):
        store.record(folder, lane).unlink()
    before = (folder / "study.journal").read_bytes()
    points = {n: fields | {"rate": 0.5} for n, fields in store.points(folder).items()}
    store.write_points(folder, points)
    with pytest.raises(RunError, match=r"lane 0 was run with .* and points\.jsonl has .*0\.5"):
        driver.resume(folder, progress=QUIET)
    shutil.rmtree(folder / "lanes")
    with pytest.raises(RunError, match=r"differ in trial 0: {'rate': .*} and what is not of its"):
        driver.resume(folder, progress=QUIET)
    assert (folder / "study.journal").read_bytes() == before
