"""What a plan says of lanes, rungs and cost."""

import pytest

from mastery_jax.workflow import config
from mastery_jax.workflow.errors import ConfigError
from mastery_jax.workflow.progress import Progress
from mastery_jax.workflow.sweep import driver, plan, probe, strategies
from mastery_jax.workflow.sweep.search import Halving, Median, Search

FIELDS = ["rate=0.05,0.1", "seed=range(8)"]


@pytest.fixture
def toy(tmp_path):
    path = tmp_path / "toy.yaml"
    path.write_text("experiment: tests.toy\nnum_steps: 270\n")
    return path


def planned(toy, *, strategy="loop", search=None, fields=FIELDS):
    swept = config.load_sweep(toy, fields)._replace(search=search or Search())
    made = plan.plan(swept, strategy=strategy)
    return made._replace(width=strategies.choose_width(made.groups, None))


@pytest.mark.parametrize(("rate", "shown"), [("1e-60", "0.0"), ("1e60", "inf")])
def test_a_number_that_no_lane_can_hold_is_refused_before_any_runs(toy, rate, shown):
    with pytest.raises(ConfigError, match=f"^rate is 1e.?60, which is {shown} as a float32$"):
        planned(toy, fields=[f"rate=0.1,{rate}", "seed=0,1"])


def test_rungs_and_their_steps(toy):
    search = Search(metrics=("test_loss:min",), stop=Halving(min_steps=10))
    made = planned(toy, search=search)
    assert made.rungs == [(10, 16), (30, 5), (90, 1), (270, 1)]
    assert made.share == (16 * 10 + 5 * 20 + 1 * 60 + 1 * 180) / (16 * 270)
    text = made.describe()
    assert "halving: lanes 16 to step 10, 5 to step 30, 1 to step 90, 1 to step 270" in text
    assert "at most 12% of the steps of the whole" in text
    assert made.to_json()["rungs"][0] == [10, 16]


@pytest.mark.parametrize(
    ("stop", "step"), [(Halving(min_steps=270), 270), (Median(every=300, min_steps=10), 300)]
)
def test_a_rule_that_looks_too_late_is_told(toy, tmp_path, monkeypatch, stop, step):
    search, said, progress = Search(metrics=("test_loss:min",), stop=stop), [], Progress(quiet=True)
    why = f"first looks after step {step}, and no lane goes beyond step 270: it does nothing"
    assert why in planned(toy, search=search).describe()
    monkeypatch.setattr(progress, "say", said.append)
    swept = config.load_sweep(toy, FIELDS[:1])._replace(search=search)
    driver.sweep(swept, runs=tmp_path, progress=progress)
    assert said == [f"warning: search.stop={type(stop).__name__.lower()} {why}"]


def test_one_lane_is_no_lanes(toy):
    text = planned(toy, fields=["seed=range(1)"]).describe()
    assert "toy: 1 lane in 1 program, " in text
    assert "program 0: 1 lane x 270 steps, " in text
    assert "at a time: 1 lane, each by itself" in text


def test_the_lanes_of_one_program_are_sorted_by_one_look(toy, monkeypatch):
    """Of a million, a look at the fields of each would take minutes."""
    looks = []

    def lane_paths(value, original=config.lane_paths):
        looks.append(value)
        return original(value)

    monkeypatch.setattr(config, "lane_paths", lane_paths)
    counts = []
    for lanes in (10, 1000):
        looks.clear()
        made = planned(toy, fields=[f"seed=range({lanes})", "rate=0.1,0.2", "copies=2,3"])
        assert [len(group.lanes) for group in made.groups] == [2 * lanes] * 2
        counts.append(len(looks))
    assert counts[0] == counts[1]


def test_how_many_at_a_time(toy):
    assert "at a time: 4 lanes, each by itself" in planned(toy).describe()
    batched = planned(toy, strategy="vmap")
    assert "at a time: 16 lanes, 4 on each of 4 devices" in batched.describe()


@pytest.mark.parametrize("strategy", ["loop", "vmap", "map"])
def test_a_probe_counts_and_times(toy, strategy):
    found = probe.probe(planned(toy, strategy=strategy))
    (cost,) = found.programs
    # A step of the toy: two copies of eight squared differences and their gradient, and a kick.
    assert 50 < cost.flops_per_step < 2000
    assert 2 * 4 <= cost.bytes_per_lane < 100_000
    assert found.wall_seconds > cost.compile_seconds > 0
    assert "FLOP and" in found.describe()
    assert " of it to compile: now that this is done, it is left out" in found.describe()
    assert found.to_json()["programs"][0]["flops_per_step"] == cost.flops_per_step


@pytest.mark.engine
def test_flops_of_a_step_are_those_of_its_products():
    """A ridge of digits_mlp's size is dominated by three products, forward and twice backward."""
    swept = config.load_sweep("digits_mlp", ["seed=0,1", "model.widths=[256,256]"])
    (cost,) = probe.probe(plan.plan(swept, strategy="loop")).programs
    products = 6 * 128 * (64 * 256 + 256 * 256 + 256 * 10) - 2 * 128 * 64 * 256
    assert cost.flops_per_step == pytest.approx(products, rel=0.15)
