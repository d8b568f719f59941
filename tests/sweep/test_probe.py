"""A probe measures what a plan can only count."""

import json
import time

import msgspec
import pytest

from mastery_jax.workflow import config
from mastery_jax.workflow.progress import Progress
from mastery_jax.workflow.sweep import driver, memory, plan, probe

FIELDS = ["optimizer.learning_rate=0.001,0.01", "seed=range(4)"]
SMALL = ["num_steps=40", "evaluate_every=20", "model.dropout=null", "model.widths=[32]"]
BATCH, SIZES = 128, (64, 32, 10)
# A product forward, and two backward, but for the first layer's inputs: they have no gradient.
FLOPS = 2 * BATCH * (2 * SIZES[0] * SIZES[1] + 3 * SIZES[1] * SIZES[2])


@pytest.fixture(scope="module", params=["loop", "vmap", "map"])
def probed(request):
    made = plan.plan(config.load_sweep("digits_mlp", [*SMALL, *FIELDS]), strategy=request.param)
    return made, probe.probe(made)


@pytest.mark.engine
def test_the_flops_of_a_step_of_a_lane_are_those_of_its_products(probed):
    """The loop over steps has no known length, so that its body is counted once."""
    _, found = probed
    (one,) = found.programs
    assert FLOPS < one.flops < 1.35 * FLOPS


@pytest.mark.engine
def test_bytes_are_of_one_lane(probed):
    made, found = probed
    (one,) = found.programs
    assert one.peak_bytes > 2 * made.groups[0].state_bytes  # the old state and the new one
    assert 0 < one.temporary_bytes < one.peak_bytes


@pytest.mark.engine
def test_the_whole_is_the_sum_of_what_is_done(probed):
    made, found = probed
    (one,) = found.programs
    assert one.num_compilations == (4 if made.strategy == "loop" else 1)
    parts = one.num_compilations * one.compilation.cpu + 8 * one.visit.cpu + 320 * one.step.cpu
    assert found.whole.cpu == pytest.approx(parts)
    assert one.step.wall > 0
    assert one.compilation.wall > one.step.wall


@pytest.mark.engine
def test_a_probe_is_told_as_text_and_as_data(probed):
    made, found = probed
    assert f"digits_mlp, strategy {made.strategy}: about " in found.describe()
    assert "program 0: compiled in" in found.describe()
    told = json.loads(msgspec.json.encode(found.to_json()))
    assert told["programs"][0]["step"].keys() == {"wall", "cpu"}
    assert told["whole"]["cpu"] == pytest.approx(found.whole.cpu)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    path = tmp_path_factory.mktemp("configs") / "toy.yaml"
    path.write_text("experiment: tests.toy\nnum_steps: 20\nevaluate_every: 7\n")
    return path


def test_rungs_are_counted(toy):
    rule = ["search.metrics=[test_loss:min]", "search.stop={kind: halving, min_steps: 5, eta: 2}"]
    made = plan.plan(config.load_sweep(toy, ["seed=range(32)", *rule]), strategy="vmap")
    found = probe.probe(made, width=16)
    (one,) = found.programs
    assert one.num_compilations == 2  # 16 lanes, then 8 of them
    steps, visits = 32 * 5 + 16 * 5 + 8 * 10, 32 + 16 + 8
    parts = 2 * one.compilation.cpu + visits * one.visit.cpu + steps * one.step.cpu
    assert found.whole.cpu == pytest.approx(parts)


def test_an_experiment_without_steps_costs_its_visits(toy):
    made = plan.plan(config.load_sweep(toy, ["num_steps=0", "seed=range(3)"]))
    (one,) = probe.probe(made).programs
    assert one.step == probe.Cost(0.0, 0.0)
    assert one.visit.wall > 0


def test_what_does_not_fit_is_measured_at_the_width_that_does(toy, monkeypatch):
    made = plan.plan(config.load_sweep(toy, ["seed=range(16)"]), strategy="vmap", width=16)
    whole = probe.probe(made).programs[0].peak_bytes * 4
    monkeypatch.setattr(memory, "available", lambda: whole * 0.7 / memory.SHARE_OF_PROGRAMS)
    (one,) = probe.probe(made).programs
    assert one.peak_bytes < whole * 0.7


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.parametrize("strategy", ["loop", "vmap"])
def test_the_estimate_is_near_the_truth(tmp_path, strategy, capsys):
    swept = config.load_sweep("digits_mlp", ["optimizer.learning_rate=log(1e-3,1e-1,8)", FIELDS[1]])
    made = plan.plan(swept, strategy=strategy)
    probe.probe(made)  # so that estimate and truth alike find the programs in a cache, if there is
    found = probe.probe(made).whole
    wall, cpu = time.perf_counter(), time.process_time()
    driver.sweep(swept, runs=tmp_path, strategy=strategy, progress=Progress(quiet=True))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    with capsys.disabled():
        print(f"{strategy}: {found.wall:.2f} s of {wall:.2f}, CPU {found.cpu:.2f} of {cpu:.2f}")
    assert cpu / 3 < found.cpu < 3 * cpu
