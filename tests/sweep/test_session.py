"""Lanes that are stopped early change nothing for those that go on."""

import json
import math

import pytest

from mastery_jax.workflow import checkpoint, config, export, records
from mastery_jax.workflow.errors import ConfigError
from mastery_jax.workflow.progress import Progress
from mastery_jax.workflow.sweep import batch, driver, loop, plan, states, store
from mastery_jax.workflow.sweep.search import Halving, Median, Population, Search

QUIET = Progress(quiet=True)
METRICS = ("test_loss:min",)
FIELDS = ["rate=0.01,0.02,0.04,0.08,0.1,0.2", "seed=range(2)", "copies=2,3"]
HALVING = Search(metrics=METRICS, stop=Halving(min_steps=3, eta=2))


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    path = tmp_path_factory.mktemp("configs") / "toy.yaml"
    path.write_text("experiment: tests.toy\nnum_steps: 20\nevaluate_every: 7\n")
    return path


def swept(toy, search, fields=FIELDS):
    return config.load_sweep(toy, fields)._replace(search=search)


def sweep(toy, tmp_path, search, strategy="loop", fields=FIELDS, **options):
    made = swept(toy, search, fields)
    return driver.sweep(made, runs=tmp_path, strategy=strategy, progress=QUIET, **options)


@pytest.fixture(scope="module")
def whole(toy, tmp_path_factory):
    return sweep(toy, tmp_path_factory.mktemp("whole"), Search())


def rows(folder, number):
    return records.metrics(store.record(folder, number))


def at(found, step):
    """Return what was measured at a step, the lanes being evaluated there or not."""
    return {k: v for row in found if row["step"] == step for k, v in row.items()}


@pytest.mark.parametrize("stop", [HALVING.stop, Median(every=4), Population(every=100)])
def test_who_goes_on_has_the_bits_of_an_unstopped_sweep(toy, whole, tmp_path, stop):
    folder = sweep(toy, tmp_path, Search(metrics=METRICS, stop=stop))
    lanes = store.lanes(folder)
    assert len(lanes) == 24
    for lane in lanes:
        mine, theirs = rows(folder, lane["lane"]), rows(whole, lane["lane"])
        assert all(at(theirs, row["step"]).items() <= row.items() for row in mine[:3])
        if lane["state"] == "done":
            assert [row for row in mine if row["step"] in (7, 14, 20)] == [
                row for row in theirs if row["step"] in (7, 14, 20)
            ]
    assert records.status(folder)["lanes_done"] == 24
    kept = 24 if isinstance(stop, Population) else 0  # of a population no lane can be run alone
    assert len(list((folder / "lanes").glob("*.state"))) == kept


@pytest.mark.parametrize("strategy", ["loop", "vmap", "map"])
def test_halving_keeps_the_best_of_each_rung(toy, tmp_path, strategy):
    folder = sweep(toy, tmp_path, HALVING, strategy)
    lanes = store.lanes(folder)
    stopped = [lane["step"] for lane in lanes if lane["state"] == "stopped"]
    assert sorted(stopped) == [3] * 12 + [6] * 6 + [12] * 3
    for rung, count in ((3, 24), (6, 12), (12, 6)):
        measured = [at(rows(folder, lane["lane"]), rung).get("test_loss") for lane in lanes]
        here = [loss for loss in measured if loss is not None]
        on = [x for lane, x in zip(lanes, measured, strict=True) if x and lane["step"] > rung]
        assert (len(here), len(on)) == (count, count // 2)
        assert max(on) == sorted(here)[len(on) - 1]
    said = rows(folder, next(lane["lane"] for lane in lanes if lane["state"] == "stopped"))[-1]
    assert said["stopped"].startswith("halving: test_loss ")


def test_a_stopped_lane_is_not_called_again_and_nothing_recompiles(toy, tmp_path, monkeypatch):
    compiled, steps = [], []

    def prepare(*args, original=loop.program.prepare, **options):
        compiled.append(args)
        return original(*args, **options)

    def drive(*args, original=loop.program.drive, **options):
        for event in original(*args, **options):
            steps.append(next(iter(event.metrics.values())).shape[-1])
            yield event

    monkeypatch.setattr(loop.program, "prepare", prepare)
    monkeypatch.setattr(loop.program, "drive", drive)
    sweep(toy, tmp_path, HALVING, fields=["rate=0.01,0.02,0.04,0.08", "seed=range(6)"])
    assert len(compiled) == 4  # one for each device
    assert sum(steps) == 24 * 3 + 12 * 3 + 6 * 6 + 3 * 8


def test_batches_shrink_with_their_lanes(toy, tmp_path, monkeypatch):
    widths = []

    def drive(compiled, lanes, *args, original=batch.program.drive, **options):
        widths.append((lanes["rate"].shape[0], options["first"], options["num_steps"]))
        return original(compiled, lanes, *args, **options)

    monkeypatch.setattr(batch.program, "drive", drive)
    folder = sweep(
        toy, tmp_path, HALVING, "vmap", ["rate=0.01,0.02,0.04,0.08", "seed=range(8)"], width=32
    )
    assert widths == [(32, 0, 3), (16, 3, 6), (8, 6, 12), (4, 12, 20)]
    assert [lane["state"] for lane in store.lanes(folder)].count("done") == 4


def test_lanes_that_diverge_make_room(toy, tmp_path, monkeypatch):
    """Of eight lanes six meet infinity; the others go on in a batch of four."""
    monkeypatch.setattr(batch.program, "LONGEST_CHUNK", 5)
    widths = []

    def drive(compiled, lanes, *args, original=batch.program.drive, **options):
        widths.append((lanes["rate"].shape[0], options["first"]))
        return original(compiled, lanes, *args, **options)

    monkeypatch.setattr(batch.program, "drive", drive)
    fields = ["rate=0.1,1e30,2e30,3e30", "seed=range(2)"]
    folder = sweep(toy, tmp_path, Search(), "vmap", fields)
    assert widths == [(8, 0), (4, 5)]
    monkeypatch.undo()
    alone = sweep(toy, tmp_path / "alone", Search(), "loop", fields)
    states_ = [lane["state"] for lane in store.lanes(folder)]
    assert states_ == ["done"] * 2 + ["failed"] * 6
    for number in (0, 1):
        mine, theirs = rows(folder, number), rows(alone, number)
        assert [row["step"] for row in mine] == [row["step"] for row in theirs]
        assert mine[-1]["test_loss"] == pytest.approx(theirs[-1]["test_loss"], rel=1e-5)


def test_a_population_moves_states_and_fields(toy, tmp_path):
    search = Search(metrics=METRICS, stop=Population(every=5, fraction=0.25), seed=3)
    fields = ["rate=1e-4,0.01,0.1,0.2", "seed=range(2)"]
    folder = sweep(toy, tmp_path, search, fields=fields)
    lanes = store.lanes(folder)
    assert {lane["state"] for lane in lanes} == {"done"}
    moved = [lane for lane in lanes if lane["rate"] not in (1e-4, 0.01, 0.1, 0.2)]
    assert moved
    assert all(lane["rate"] > 1e-3 for lane in moved)
    assert [lane["seed"] for lane in lanes] == [0, 1] * 4
    alone = sweep(toy, tmp_path / "alone", Search(), fields=fields)
    best = [min(lane["test_loss"] for lane in store.lanes(each)) for each in (folder, alone)]
    mean = [sum(lane["test_loss"] for lane in store.lanes(each)) for each in (folder, alone)]
    assert best[0] <= best[1] + 1e-3
    assert mean[0] < mean[1]
    best_lane = min(lanes, key=lambda lane: lane["test_loss"])
    run_folder = export.materialize(folder, best_lane["lane"], progress=QUIET)
    assert records.status(run_folder)["metrics"]["test_loss"] == best_lane["test_loss"]
    assert checkpoint.steps(run_folder) == [20]
    again = sweep(toy, tmp_path / "again", search, fields=fields)
    assert (again / "lanes.csv").read_text() == (folder / "lanes.csv").read_text()


def test_a_metric_that_no_evaluation_has_is_refused(toy, tmp_path):
    search = Search(metrics=("test_los:min",), stop=Median(every=5))
    with pytest.raises(ConfigError, match=r"search\.metrics: test_los is not measured; did you"):
        plan.plan(swept(toy, search))


def test_a_state_comes_back_as_it_was():
    import jax
    import jax.numpy as jnp

    tree = {
        "key": jax.random.key(3),
        "half": jnp.arange(4, dtype=jnp.bfloat16),
        "none": jnp.zeros((0, 3)),
        "scalar": jnp.int32(7),
        "flags": jnp.array([True, False]),
    }
    lines = [{"step": 4, "loss": math.nan}, {"step": 5, "loss": 0.1}]
    content = states.dump(tree, step=5, rows=lines, fields={"rate": 0.1})
    like = jax.eval_shape(lambda: tree)
    back = states.load(content, like)
    for one, other in zip(jax.tree.leaves(tree), jax.tree.leaves(back), strict=True):
        assert one.dtype == other.dtype
        assert (one == other).all()
    said = states.head(content)
    assert (said.step, said.fields, said.rows[1]) == (5, {"rate": 0.1}, lines[1])
    assert math.isnan(said.rows[0]["loss"])
    with pytest.raises(ValueError, match="it has 5 arrays, not 1"):
        states.load(content, like["key"])
    with pytest.raises(ValueError, match=r"float32\[0, 3\]"):
        states.load(content, {**like, "none": jax.ShapeDtypeStruct((3,), jnp.float32)})
    for damaged in (b"", content[:20], json.dumps({}).encode()):
        with pytest.raises(ValueError, match="head"):
            states.head(damaged)
