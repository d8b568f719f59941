"""Every shipped config: it runs, its lanes are its solo runs bit for bit, and it can be served."""

import pathlib

import numpy as np
import pytest

from mastery_jax.workflow import artifact, config, export, records, run
from mastery_jax.workflow.progress import Progress
from mastery_jax.workflow.sweep import driver, store

pytestmark = pytest.mark.engine

QUIET = Progress(quiet=True)

# A small size of each config, a swept field, and one value of another field: with that swept too,
# its default first, lane 2 i of the wider sweep is lane i of the narrow one.
SMALL = {
    "digits_mlp": (["num_steps=6"], "optimizer.learning_rate=1e-3,1e-2", "model.dropout=0.5"),
    "digits_logistic": ([], "model.l2=1e-2,1e-1", "seed=1"),
    "breast_cancer_forest": (
        ["model.num_trees=4", "model.max_depth=3"],
        "model.min_samples_leaf=1,20",
        "seed=1",
    ),
    "friedman_boosting": (
        ["model.num_rounds=4"],
        "model.learning_rate=0.1,0.2",
        "model.min_child_weight=40",
    ),
    "diabetes_ridge": ([], "model.l2=1e-3,1e-2", "seed=1"),
    "diabetes_mlp": (
        ["num_steps=6"],
        "optimizer.learning_rate=1e-3,1e-2",
        "optimizer.weight_decay=0.5",
    ),
    "two_moons_flow": (
        ["num_steps=4", "model.num_layers=2", "model.widths=[8]"],
        "optimizer.learning_rate=1e-3,1e-2",
        "seed=1",
    ),
    "eight_schools": (
        ["num_steps=8", "num_warmup=4", "num_chains=2"],
        "target_accept=0.8,0.9",
        "seed=1",
    ),
    "nile": (["num_steps=4"], "optimizer.learning_rate=1e-2,1e-1", "seed=1"),
}


def arguments(name, *fields):
    """Return a small sweep over ``fields``; a small run has no middle to evaluate."""
    return [*SMALL[name][0], "evaluate_every=0", "save_every=0", *fields]


def lane_rows(folder, number):
    return records.metrics(folder / "lanes" / f"{number:04d}.jsonl")


@pytest.fixture(scope="module", params=sorted(SMALL))
def swept(request, tmp_path_factory):
    """Return a config's name, and the folder of its small sweep."""
    field = SMALL[request.param][1]
    swept = config.load_sweep(request.param, arguments(request.param, field))
    runs = tmp_path_factory.mktemp(request.param)
    return request.param, driver.sweep(swept, runs=runs, strategy="loop", progress=QUIET)


@pytest.fixture(scope="module")
def solo(swept):
    """Return the last lane as a run of its own."""
    return export.materialize(swept[1], 1, progress=QUIET)


def test_there_is_a_small_size_of_every_config():
    shipped = pathlib.Path(__file__).parents[1] / "configs"
    assert {path.stem for path in shipped.glob("*.yaml")} == set(SMALL)


def test_every_lane_finishes(swept):
    lanes = store.lanes(swept[1])
    assert [lane["state"] for lane in lanes] == ["done", "done"]
    path = SMALL[swept[0]][1].partition("=")[0]
    metrics = [{k: v for k, v in lane.items() if k not in ("lane", path)} for lane in lanes]
    assert metrics[0] != metrics[1]  # what is swept acts


def test_a_lane_is_its_solo_run_bit_for_bit(swept, solo):
    assert records.metrics(solo) == lane_rows(swept[1], 1)


def test_a_wider_sweep_gives_equal_lanes(swept, tmp_path):
    name, folder = swept
    _, field, another = SMALL[name]
    path, _, value = another.partition("=")
    default = config.flatten(config.load(name).value)[path]
    wider = arguments(name, field, f"{path}={default},{value}")
    swept = config.load_sweep(name, wider)
    other = driver.sweep(swept, runs=tmp_path, strategy="loop", progress=QUIET)
    for number in range(2):
        assert lane_rows(other, 2 * number) == lane_rows(folder, number)


def test_it_is_exported_and_answers_as_before(solo, tmp_path):
    folder = export.export(solo, name="model", models=tmp_path, progress=QUIET)
    loaded = artifact.load(folder)
    assert loaded.manifest.methods
    prepared = run.ready(config.load(solo / "config.yaml"))
    example = prepared.functions.experiment(prepared.lane).example(prepared.data)
    for name, method in loaded.manifest.methods.items():
        x = {field: np.asarray(example[field]) for field in method.inputs}
        answer = loaded.call(name, x)
        assert set(answer) == set(method.outputs)
        assert all(len(rows) == len(next(iter(x.values()))) for rows in answer.values())
