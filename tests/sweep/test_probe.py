"""A probe measures what a plan can only count: steps, visits at rungs, and compilations."""

import pytest

from mastery_jax.workflow import config
from mastery_jax.workflow.sweep import driver, memory, probe

SMALL = ["num_steps=40", "evaluate_every=20", "model.dropout=null", "model.widths=[32]"]
FIELDS = ["optimizer.learning_rate=0.001,0.01", "seed=range(4)"]
HALVING = ["search.metrics=[test_loss:min]", "search.stop={kind: halving, min_steps: 5, eta: 2}"]
BATCH, SIZES = 128, (64, 32, 10)
# A product forward, and two backward, but for the first layer's inputs: they have no gradient.
FLOPS = 2 * BATCH * (2 * SIZES[0] * SIZES[1] + 3 * SIZES[1] * SIZES[2])


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    path = tmp_path_factory.mktemp("configs") / "toy.yaml"
    path.write_text("experiment: tests.toy\nnum_steps: 20\nevaluate_every: 7\n")
    return path


def planned(name, *fields, **options):
    return driver.planned(config.load_sweep(name, fields), **options)


def confirm_sum(found, compilations, visits, steps):
    """Insist that one program is said to cost its parts."""
    (one,) = found.programs
    assert one.num_compilations == compilations
    apart = compilations * one.compile_seconds
    parts = apart + visits * one.wall_per_visit + steps * one.wall_per_step
    assert found.wall_seconds == one.wall_seconds == pytest.approx(parts)
    more = found.cpu_seconds - visits * one.cpu_per_visit - steps * one.cpu_per_step
    assert more > 0  # the compilations


@pytest.mark.engine
@pytest.mark.parametrize("strategy", ["loop", "vmap", "map"])
def test_every_strategy_counts_one_lane(strategy):
    """The loop over steps has no known length, so that XLA counts its body once."""
    made = planned("digits_mlp", *SMALL, *FIELDS, strategy=strategy)
    found = probe.probe(made)
    (one,) = found.programs
    assert FLOPS < one.flops_per_step < 1.35 * FLOPS
    assert one.bytes_per_lane > 2 * made.groups[0].state_bytes  # the old state and the new one
    assert one.temporary_bytes > 0
    confirm_sum(found, 4 if strategy == "loop" else 1, 8, 320)


def test_rungs_are_visits_and_may_be_narrower_programs(toy):
    made = planned(toy, "seed=range(32)", *HALVING, strategy="vmap", width=16)
    visits, steps = 32 + 16 + 8, 32 * 5 + 16 * 5 + 8 * 10
    confirm_sum(probe.probe(made), 2, visits, steps)  # 16 lanes at a time, and in the end 8
    looped = planned(toy, "seed=range(32)", *HALVING, strategy="loop")
    confirm_sum(probe.probe(looped), 4, visits, steps)


def test_lanes_of_a_shorter_program_end_by_themselves(toy):
    found = probe.probe(planned(toy, "num_steps=4,20", "seed=range(8)", *HALVING))
    short, long = found.programs
    for one, visits, steps in ((short, 8, 8 * 4), (long, 8 + 4 + 2, 8 * 5 + 4 * 5 + 2 * 10)):
        parts = one.num_compilations * one.compile_seconds
        parts += visits * one.wall_per_visit + steps * one.wall_per_step
        assert one.wall_seconds == pytest.approx(parts)
    assert found.wall_seconds == pytest.approx(short.wall_seconds + long.wall_seconds)


def test_an_experiment_without_steps_costs_its_visits(toy):
    found = probe.probe(planned(toy, "num_steps=0", "seed=range(3)"))
    confirm_sum(found, 3, 3, 0)
    assert found.programs[0].wall_per_step == 0


def test_what_a_sampler_will_choose_is_counted(toy):
    asked = ["search.sampler=tpe", "search.num_samples=50", "search.metrics=[test_loss:min]"]
    made = planned(toy, "rate=loguniform(1e-3,1e-1)", "seed=0,1", *asked)
    assert made.num_lanes == 100 > sum(len(group.lanes) for group in made.groups)
    confirm_sum(probe.probe(made), min(4, len(made.groups[0].lanes)), 100, 2000)


def test_what_does_not_fit_is_measured_at_the_width_that_does(toy, monkeypatch):
    made = planned(toy, "seed=range(16)", strategy="vmap", width=16)
    needs = memory.needed
    widths = []

    def needed(programs):
        compiled = tuple(programs)
        widths.append(compiled[0].args_info[0][0]["rate"].shape[0])
        return 10_000 if widths[-1] == 16 else needs(compiled)

    monkeypatch.setattr(memory, "needed", needed)
    monkeypatch.setattr(memory, "available", lambda: 10_000)
    (one,) = probe.probe(made).programs
    assert widths[:2] == [16, 8]
    assert one.bytes_per_lane * 2 < 10_000
