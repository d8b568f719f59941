"""A plan says what a sweep would do, by tracing only."""

import json

import msgspec
import pytest

from mastery_jax.workflow import config, program, trace
from mastery_jax.workflow.sweep import budget, plan, stopping, strategies
from mastery_jax.workflow.sweep.search import Halving, Median, Population

FIELDS = ["rate=0.05,0.1", "seed=range(3)", "copies=2,3"]
HALVING = ["search.metrics=[test_loss:min]", "search.stop={kind: halving, min_steps: 3, eta: 2}"]


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    path = tmp_path_factory.mktemp("configs") / "toy.yaml"
    path.write_text("experiment: tests.toy\nnum_steps: 20\nevaluate_every: 7\n")
    return path


def test_the_plan_counts_programs_lanes_and_bytes(toy):
    made = plan.plan(config.load_sweep(toy, [*FIELDS, "idle=1,2", "label=a,b"]))
    assert made.num_lanes == 48
    assert [len(group.lanes) for group in made.groups] == [12] * 4
    assert {group.state_bytes for group in made.groups} == {2 * 4 + 16, 3 * 4 + 16}
    assert made.without_effect == ("idle", "label")
    assert made.strategy == "loop"
    text = made.describe()
    assert "toy: 48 lanes in 4 programs, strategy loop on 4 x cpu" in text
    assert "at a time: 4 lanes, one a device" in text
    assert "swept as lanes: rate (2), seed (3), idle (2)" in text
    assert "swept as programs: copies (2), label (2)" in text
    assert "without effect: idle, label" in text


def test_runner_fields_may_be_swept(toy):
    made = plan.plan(config.load_sweep(toy, ["num_steps=5,10", "fixed=1.0,2.0"]))
    assert len(made.groups) == 4
    assert made.without_effect == ()


def test_fields_of_the_data_act():
    fields = ["data.split_seed=0,1", "data.standardize=true,false", "best=a:max,b:max"]
    made = plan.plan(config.load_sweep("digits_logistic", fields))
    assert made.without_effect == ("best",)


def test_a_program_is_traced_once_and_written_out_only_where_it_must(toy, monkeypatch):
    started, texts = [], []

    def functions(*args, original=program.functions):
        made = original(*args)

        def start(lane, data):
            started.append(args)
            return made.start(lane, data)

        return made._replace(start=start)

    monkeypatch.setattr(program, "functions", functions)
    text = trace.usage.Reading.__dict__["text"].func

    def told(self):
        texts.append(self)
        return text(self)

    monkeypatch.setattr(trace.usage.Reading, "text", property(told))
    plan.plan(config.load_sweep(toy, ["rate=0.05,0.1", "copies=2,3"]))
    assert len(started) == 2
    assert not texts  # states of other sizes tell two programs apart
    made = plan.plan(config.load_sweep(toy, ["label=a,b"]))
    assert len(texts) == 2
    assert made.without_effect == ("label",)


def test_the_plan_says_how_many_lanes_share_a_device(toy):
    swept = config.load_sweep(toy, ["rate=0.05,0.1", "seed=range(12)", "copies=2,3"])
    for width, wanted, chunk in ((None, 24, 6), (16, 16, 4), (3, 4, 1)):
        made = plan.plan(swept, strategy="vmap", width=width)
        assert made.width == strategies.choose_width(made.groups, width) == wanted
        assert [made.chunk(group) for group in made.groups] == [chunk, chunk]
        assert f"bytes of state a lane, {chunk} at a time a device" in made.describe()
        told = made.to_json()
        assert told["width"] == told["at_once"] == wanted
        assert [each["lanes_per_device"] for each in told["programs"]] == [chunk, chunk]


def test_the_plan_says_who_goes_on_at_each_rung(toy):
    fields = ["rate=0.01,0.02,0.04,0.08,0.1,0.2", "seed=range(4)"]
    made = plan.plan(config.load_sweep(toy, [*fields, *HALVING]))
    share = (24 * 3 + 12 * 3 + 6 * 6 + 3 * 8) / (24 * 20)  # as the running of it is tested to be
    assert made.budget.share == pytest.approx(share)
    assert (
        "halving: at most 12 of 24 after step 3, 6 of 12 after step 6, 3 of 6 after step 12 go on: "
        "35% of the steps of the full sweep"
    ) in made.describe()
    told = json.loads(msgspec.json.encode(made.to_json()))
    assert told["rungs"][0] == {"step": 3, "lanes": 24, "going": 12}
    assert told["share_of_steps"] == pytest.approx(share)
    assert told["programs"][0]["share_of_steps"] == pytest.approx(share)


def test_a_plan_without_a_rule_takes_all_steps(toy):
    made = plan.plan(config.load_sweep(toy, FIELDS))
    assert made.budget.share == 1
    assert made.budget.visits == (6, 6)
    assert "of the steps" not in made.describe()
    assert made.to_json()["rungs"] == []


@pytest.mark.parametrize("stop", [Median(every=5), Population(every=5)])
def test_of_rules_that_may_keep_every_lane_all_is_counted(stop):
    found = budget.spend(stop, [(6, 20), (4, 10)])
    assert found.share == 1
    assert [rung.going for rung in found.rungs] == [10, 6, 6]  # short lanes end by themselves
    assert found.visits == (24, 8)


def test_halving_counts_the_lanes_of_all_programs():
    stop = Halving(min_steps=1, eta=3)
    found = budget.spend(stop, [(9, 9), (18, 9)])
    assert [rung.going for rung in found.rungs] == [9, 3]
    assert found.steps == pytest.approx((9 + 3 * 2 + 1 * 6, 18 + 6 * 2 + 2 * 6))
    assert found.whole == 243
    kept = stopping.keep(stop, {n: [n] for n in range(27)}, range(27), 27)
    assert len(kept) == found.rungs[0].going


def test_many_rungs_are_told_in_short():
    found = budget.spend(Median(every=1), [(4, 100)])
    text = found.describe(Median(every=1))
    assert "..." in text
    assert "4 of 4 after step 99" in text
    assert len(text) < 300
    late = Halving(min_steps=200)
    assert "no lane is looked at" in budget.spend(late, [(4, 100)]).describe(late)


SAMPLED = [
    *("rate=loguniform(1e-3,1e-1)", "copies=choice(2,3)", "seed=0,1", "search.sampler=tpe"),
    *("search.num_samples=20", "search.metrics=[test_loss:min]"),
]


def test_a_sampler_is_planned_from_points_that_are_given(toy):
    swept = config.load_sweep(toy, SAMPLED)
    with pytest.raises(ValueError, match="needs some to trace"):
        plan.plan(swept)
    points = [
        point for copies in (2, 3) for point in config.join(swept, {"rate": 0.01, "copies": copies})
    ]
    made = plan.plan(swept, points=points)
    assert made.num_lanes == 40
    assert [len(group.lanes) for group in made.groups] == [2, 2]
    assert "toy: 40 lanes in 2 programs" in made.describe()
    assert "sampler tpe chooses 20 trials x 2 lanes of the grid; this is traced from 4" in (
        made.describe()
    )
    assert made.to_json()["sampler"] == {"sampler": "tpe", "trials": 20, "grid": 2}
    assert plan.plan(swept, points=points, num_lanes=60).num_lanes == 60
