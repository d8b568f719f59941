"""A search asks for trials, runs their lanes, and tells what they measured."""

import json
import math
import statistics

import pytest

from mastery_jax.workflow import config
from mastery_jax.workflow.errors import ConfigError, RunError
from mastery_jax.workflow.stops import Interrupt
from mastery_jax.workflow.sweep import asks, plan, sampled, session, store, strategies
from mastery_jax.workflow.sweep.ledger import Ledger
from tests.sweep.searches import best, load, measured, quadratic, search, table, trials


def test_lanes_are_trials_with_the_grid(toy, tmp_path):
    swept = load(toy)
    ran = search(tmp_path, swept)
    assert [lane.number for lane in ran] == list(range(48))
    assert [lane.fields["seed"] for lane in ran] == [0, 1] * 24
    assert sampled.num_lanes(swept) == 48
    for one, other in zip(ran[::2], ran[1::2], strict=True):
        assert one.fields | {"seed": 1} == other.fields
        assert one.value == config.replace(swept.loaded.value, one.fields)
    assert len({lane.fields["rate"] for lane in ran}) == 24
    assert store.points(tmp_path) == {lane.number: lane.fields for lane in ran}
    assert sampled.points(tmp_path, swept) == {lane.number: lane.fields for lane in ran}


def test_points_are_written_before_a_lane_runs(toy, tmp_path):
    def watch(lane):
        if lane:
            assert store.points(tmp_path)[lane.number] == lane.fields
            assert len(store.points(tmp_path)) % 16 == 0

    search(tmp_path, load(toy), watch=watch)


def test_a_sampler_finds_a_better_minimum_than_chance(toy, tmp_path):
    """Of 48, in the median over five seeds: 2e-4 against 0.04 when this was written."""
    found = {"tpe": [], "random": []}
    for seed in range(5):
        fields = ["rate=loguniform(1e-4,1)", "noise=uniform(0,1)", f"search.seed={seed}"]
        search(tmp_path / f"{seed}", load(toy, samples=48, fields=fields))
        found["tpe"].append(best(tmp_path / f"{seed}"))
        how = ["search.draw=random", "search.num_samples=48"]
        drawn = config.load_sweep(toy, [*fields, *how]).points
        lanes = [plan.Lane(number, point, None) for number, point in enumerate(drawn)]
        found["random"].append(min(map(quadratic, lanes)))
    assert statistics.median(found["tpe"]) < statistics.median(found["random"]) / 10, found


@pytest.mark.parametrize("sampler", ["tpe", "nsga", "cma"])
def test_the_same_search_gives_the_same_table(toy, tmp_path, sampler):
    for name in ("one", "other"):
        search(tmp_path / name, load(toy, sampler=sampler))
    assert table(tmp_path / "one") == table(tmp_path / "other")
    search(tmp_path / "seeded", load(toy, "search.seed=1", sampler=sampler))
    assert table(tmp_path / "one") != table(tmp_path / "seeded")


def test_an_interrupt_between_batches_asks_for_no_more(toy, tmp_path):
    interrupt = Interrupt()

    def rows(lane):
        interrupt.asked = lane.number == 15
        return measured(lane)

    search(tmp_path, load(toy), rows=rows, interrupt=interrupt)
    assert len(store.points(tmp_path)) == 16


def test_a_trial_is_worth_the_mean_of_its_lanes(toy, tmp_path):
    ran = search(tmp_path, load(toy))
    for trial in trials(tmp_path):
        lanes = ran[2 * trial.number : 2 * trial.number + 2]
        assert trial.value == statistics.fmean(map(quadratic, lanes))


def test_lanes_fail_and_are_stopped(toy, tmp_path):
    def rows(lane):
        *before, last = measured(lane)
        return {
            2: [*before, {"step": 9, "reason": "loss became nan"}],
            5: [*before, last | {"test_loss": math.nan}],
            6: [*before, {"step": 7, "stopped": "halving: worse"}],
            7: [*before, {"step": 7, "stopped": "halving: worse"}],
            8: [*before, {"step": 7, "stopped": "halving: worse"}],
            10: [{"step": 20, "loss": 1.0}],
        }.get(lane.number, [*before, last])

    ran = search(tmp_path, load(toy), rows=rows)
    told = trials(tmp_path)
    found = [trial.state.name for trial in told[:6]]
    assert found == ["COMPLETE", "FAIL", "FAIL", "PRUNED", "COMPLETE", "FAIL"]
    assert told[3].value == statistics.fmean(quadratic(lane) + 1 for lane in ran[6:8])
    assert told[3].last_step == 7
    assert told[4].value == statistics.fmean([quadratic(ran[8]) + 1, quadratic(ran[9])])


def test_choices_that_are_lists_come_back_typed(path, tmp_path):
    fields = ["optimizer.learning_rate=loguniform(1e-4,1)", "model.widths=choice([32],[64,64])"]
    fields += ["model=choice(mlp,{kind: mlp, dropout: 0.25})", "num_steps=integers(1,9)"]
    swept = load(path, metrics="loss:min", fields=fields)

    def rows(lane):
        config.replace(swept.loaded.value, lane.fields)
        return [{"step": 1, "loss": len(lane.fields["model.widths"]) + lane.fields["num_steps"]}]

    ran = search(tmp_path, swept, rows=rows)
    assert {lane.fields["model.widths"] for lane in ran} == {(32,), (64, 64)}
    assert {type(lane.fields["model"]) for lane in ran} - {str}
    assert sampled.points(tmp_path, swept) == {lane.number: lane.fields for lane in ran}


@pytest.mark.parametrize("sampler", ["tpe", "nsga"])
def test_several_metrics_have_a_front(toy, tmp_path, sampler):
    """One falls where the other grows, along rate alone: the front is at noise 0."""

    def rows(lane):
        rate, noise = math.log10(lane.fields["rate"]), lane.fields["noise"]
        return [{"step": 1, "low": rate + noise, "high": rate - noise}]

    fields = ["rate=loguniform(1e-4,1)", "noise=uniform(0,1)"]
    swept = load(toy, sampler=sampler, metrics="low:min,high:max", samples=96, fields=fields)
    ran = search(tmp_path, swept, rows=rows)
    early = statistics.fmean(lane.fields["noise"] for lane in ran[:32])
    late = statistics.fmean(lane.fields["noise"] for lane in ran[-32:])
    assert late < 0.75 * early


def test_a_point_that_breaks_a_rule_fails_and_the_others_go_on(toy, tmp_path):
    fields = ["rate=loguniform(1e-4,1)", "copies=integers(1,8)", "num_steps=20,60"]
    swept = load(toy, fields=fields)
    ran = search(tmp_path, swept, rows=lambda lane: [{"step": 1, "test_loss": 0.5}])
    assert {lane.fields["copies"] for lane in ran} == {1, 2, 3, 4, 5}
    rows = store.lane_rows(tmp_path)
    assert [row["lane"] for row in rows] == list(range(48))
    failed = [row for row in rows if row["state"] == "failed"]
    assert failed
    assert {row["copies"] for row in failed} <= {6, 7, 8}
    assert len(failed) + len(ran) == 48
    record = store.record(tmp_path, failed[0]["lane"]).read_text()
    assert "with num_steps 60; at most 5" in json.loads(record.splitlines()[-1])["reason"]


def test_a_preview_has_a_batch_with_the_grid(toy):
    swept = load(toy, "label=choice(a,b)")
    points = sampled.preview(swept)
    assert len(points) == 16
    assert [point["seed"] for point in points] == [0, 1] * 8
    assert list(points[0]) == list(swept.swept)
    assert len(sampled.preview(load(toy, samples=3))) == 6


def test_a_preview_leaves_out_points_that_break_a_rule(toy):
    fields = ["rate=uniform(0.1,1)", "copies=integers(1,8)"]
    made = load(toy, fields=[*fields, "num_steps=20,60"])
    assert {point["copies"] for point in sampled.preview(made)} <= {1, 2, 3, 4, 5}
    made = load(toy, fields=["rate=uniform(0.1,1)", "copies=integers(6,8)", "num_steps=60,70"])
    with pytest.raises(ConfigError, match="at most 5"):
        sampled.preview(made)


def test_a_preview_refuses_what_is_not_installed(toy, monkeypatch):
    monkeypatch.setattr(asks, "find_spec", lambda name: None)
    with pytest.raises(RunError, match=r"pip install 'mastery-jax\[search\]'"):
        sampled.preview(load(toy))


def test_real_lanes_are_searched_with_a_rule_and_resumed(toy, tmp_path):
    fields = ["rate=loguniform(1e-3,0.5)", "seed=0,1"]
    stop = ["search.stop=halving", "search.stop.min_steps=5"]
    swept = load(toy, *stop, fields=fields, samples=8, batch=4)

    def real(folder, kill=None):
        folder.mkdir(exist_ok=True)
        ledger, interrupt = Ledger(folder, say=pytest.fail), Interrupt()
        place = strategies.Here("tests.toy", strategy="loop", width=4, say=pytest.fail)

        def run_lanes(lanes):
            groups = [each.group for each in plan.lay(swept.loaded, lanes, swept.search)]
            interrupt.asked = lanes[0].number == kill
            how = {"place": place, "ledger": ledger, "interrupt": interrupt}
            session.run(groups, swept.search, **how)

        how = {"ledger": ledger, "interrupt": interrupt, "say": pytest.fail}
        sampled.run(folder, swept, swept.search, run_lanes=run_lanes, **how)
        store.write_table(folder)

    real(tmp_path / "whole")
    real(tmp_path / "parts", kill=8)
    assert len(store.lane_rows(tmp_path / "parts")) == 8
    real(tmp_path / "parts")
    assert table(tmp_path / "parts") == table(tmp_path / "whole")
    states = [row["state"] for row in store.lane_rows(tmp_path / "whole")]
    assert len(states) == 16
    assert {"done", "stopped"} == set(states)
    assert {trial.state.name for trial in trials(tmp_path / "whole")} >= {"PRUNED"}
