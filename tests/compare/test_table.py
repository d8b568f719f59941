"""Comparison: grouping, intervals and paired differences, held against scipy.stats."""

import math

import numpy as np
import pytest
import scipy.stats

from mastery_jax.workflow.compare import metrics, text
from mastery_jax.workflow.compare import table as compare
from mastery_jax.workflow.errors import RunError
from tests.compare.known import RATES, SEEDS, SWEEP, VALUES, close, gather
from tests.folders import write_run, write_sweep


def test_a_sweep_is_grouped_by_what_differs_but_the_seed(sweep):
    made = compare.table(gather(sweep))
    assert made.by == ("optimizer.learning_rate",)
    assert made.metrics == (("test_accuracy", "max"), ("test_log_loss", "min"))
    assert [row.fields["optimizer.learning_rate"] for row in made.rows] == RATES
    assert made.reference == {"test_accuracy": 1, "test_log_loss": 1}
    assert made.notes == ()
    for row, values in zip(made.rows, VALUES, strict=True):
        interval = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
        close(row.estimates["test_accuracy"], values.mean(), interval, 4)
        assert row.values["test_accuracy"] == dict(zip(SEEDS, values, strict=True))


def test_differences_are_paired_by_seed(sweep):
    rows = compare.table(gather(sweep)).rows
    assert rows[1].differences == {}
    for index in (0, 2):
        paired = scipy.stats.ttest_rel(VALUES[index], VALUES[1])
        difference = (VALUES[index] - VALUES[1]).mean()
        close(rows[index].differences["test_accuracy"], difference, paired.confidence_interval(), 4)


def test_a_shift_that_seeds_share_drops_out_of_the_difference(tmp_path):
    """An unpaired comparison would see nothing here: seeds differ a hundred times more."""

    def shifted(learning_rate, seed):
        return {"test_accuracy": 10.0 * seed + learning_rate}

    folder = write_sweep(tmp_path, "a", SWEEP, shifted)
    row = compare.table(gather(folder)).rows[0]
    difference = row.differences["test_accuracy"]
    np.testing.assert_allclose(difference[:3], -0.099, rtol=1e-9)
    own = row.estimates["test_accuracy"]
    assert own.high - own.low > 10


def test_only_common_seeds_are_paired(tmp_path):
    kept = {
        (0.1, 0): 1.0,
        (0.1, 1): 2.0,
        (0.1, 2): 4.0,
        (0.2, 1): 7.0,
        (0.2, 2): 8.0,
        (0.2, 3): 9.0,
    }
    folders = [
        write_run(
            tmp_path,
            f"r{rate}-{seed}",
            config={"seed": seed, "optimizer": {"learning_rate": rate}},
            metrics={"test_accuracy": value},
        )
        for (rate, seed), value in kept.items()
    ]
    made = compare.table(gather(*folders))
    difference = made.rows[0].differences["test_accuracy"]
    paired = scipy.stats.ttest_rel([2, 4], [7, 8])
    close(difference, -4.5, paired.confidence_interval(), 2)


def test_runs_and_sweeps_with_different_configs(tmp_path, sweep):
    cnn = {"model": {"kind": "cnn", "channels": 8}, "seed": 1}
    run = write_run(tmp_path, "b", name="digits_cnn", config=cnn, metrics={"test_accuracy": 0.95})
    made = compare.table(gather(sweep, run))
    assert made.by == ("model.kind", "model.widths", "optimizer.learning_rate", "model.channels")
    assert [row.fields["model.channels"] for row in made.rows] == [8, None, None, None]
    assert made.rows[0].fields["optimizer.learning_rate"] == 1e-5
    assert made.rows[3].differences["test_accuracy"].n == 1
    assert made.notes == ("some groups have one seed only: no interval",)
    by_config = compare.table(gather(sweep, run), by=["config"], metrics=["test_accuracy"])
    assert [row.fields["config"] for row in by_config.rows] == ["digits", "digits_cnn"]
    np.testing.assert_allclose(
        list(by_config.rows[0].values["test_accuracy"].values()), VALUES.mean(axis=0)
    )
    assert (
        "optimizer.learning_rate, model.channels also differ: averaged within each seed"
        in (by_config.notes[0])
    )


def test_swept_choices_and_elements(tmp_path):
    swept = {
        "model": [{"kind": "linear"}, {"kind": "mlp", "widths": [8]}],
        "optimizer.betas.0": [0.5],
    }
    folder = write_sweep(tmp_path, "a", swept, lambda **lane: {"test_accuracy": 0.5})
    linear, mlp = gather(folder)
    assert linear.fields["model.kind"] == "linear"
    assert "model.widths" not in linear.fields
    assert mlp.fields["model.widths"] == (8,)
    assert mlp.fields["optimizer.betas.0"] == 0.5
    assert mlp.fields["optimizer.betas.1"] == 0.999
    assert mlp.label == "a#1"


def test_runs_that_are_alike(tmp_path):
    one, two = (
        write_run(tmp_path, id, metrics={"test_accuracy": x}) for id, x in [("a", 1), ("b", 3)]
    )
    made = compare.table(gather(one, two))
    assert made.by == ("run",)
    assert [row.fields["run"] for row in made.rows] == ["a", "b"]
    three = write_run(tmp_path, "c", config={"seed": 1}, metrics={"test_accuracy": 5})
    made = compare.table(gather(one, two, three))
    assert made.by == ()
    assert made.rows[0].values["test_accuracy"] == {0: 2.0, 1: 5.0}
    assert made.notes == ("some runs are alike, seed and all: averaged before n is counted",)
    alone = compare.table(gather(one))
    assert alone.by == ()
    assert alone.notes == ("there is one seed only: no interval",)


def test_broken_lanes_are_counted_and_never_best(tmp_path):
    def measure(learning_rate, seed):
        broken = learning_rate == 0.1 and seed != 2
        return (
            None if broken else {"test_accuracy": 1.0 if learning_rate == 0.1 else 0.5 + seed / 8}
        )

    made = compare.table(gather(write_sweep(tmp_path, "a", SWEEP, measure)))
    lucky = made.rows[2]
    assert lucky.estimates["test_accuracy"].mean == 1.0
    assert lucky.estimates["test_accuracy"].n == 1
    assert lucky.num_broken == 3
    assert made.reference["test_accuracy"] == 0
    assert "3 of 12 failed or met NaN: left out of the means" in made.notes
    by_seed = compare.table(gather(tmp_path / "digits" / "a"), by=["seed"], over="num_steps")
    assert [row.num_broken for row in by_seed.rows] == [1, 1, 0, 1]
    assert by_seed.rows[3].values["test_accuracy"] == {100: 0.875}
    assert "3 (3 broken)" not in text.text(made)
    assert "1 (3 broken)" in text.text(made)
    failed = write_run(tmp_path, "f", state="failed", metrics={"test_accuracy": 0.9})
    assert compare.table(gather(failed)).rows[0].estimates["test_accuracy"].n == 0


def test_values_that_are_not_finite_are_told_and_never_best(tmp_path):
    def measure(learning_rate, seed):
        return {"test_nll": math.inf if learning_rate == 0.1 and seed else 1.0 - learning_rate}

    made = compare.table(gather(write_sweep(tmp_path, "a", SWEEP, measure)))
    assert [row.estimates["test_nll"].n for row in made.rows] == [4, 4, 1]
    assert made.rows[2].estimates["test_nll"].mean == 0.9
    assert made.reference == {"test_nll": 1}
    assert made.notes[0] == "3 values of test_nll are not finite: left out of the means"


def test_unfinished_runs_are_told(tmp_path):
    rows = [{"step": 10, "test_accuracy": 0.25}, {"step": 20, "test_accuracy": 0.5}]
    folder = write_run(tmp_path, "a", state="interrupted", rows=rows, metrics={})
    made = compare.table(gather(folder))
    assert made.rows[0].estimates["test_accuracy"].mean == 0.5
    assert "1 of 1 have not ended: their last values count" in made.notes


@pytest.mark.parametrize(
    ("name", "best", "mode"),
    [
        ("test_accuracy", [], "max"),
        ("test_log_loss", [], "min"),
        ("loss", [], "min"),
        ("test_r2", [], "max"),
        ("step_size", [], ""),
        ("step_size", ["step_size:min"], "min"),
        ("test_accuracy:min", ["test_accuracy:max"], "min"),
    ],
)
def test_which_way_is_better(name, best, mode):
    assert metrics.metric(name, best) == (name.partition(":")[0], mode)


def test_without_a_direction_the_first_group_is_the_reference(sweep):
    made = compare.table(
        gather(sweep), metrics=["loss"], by=["seed"], over="optimizer.learning_rate"
    )
    assert made.reference == {"loss": 0} or made.metrics[0].mode
    unknown = [m._replace(metrics={"size": 1.0 - m.fields["seed"]}) for m in gather(sweep)]
    made = compare.table(unknown, by=["seed"], over="optimizer.learning_rate")
    assert made.reference == {"size": 0}
    assert made.rows[3].differences["size"].mean == -3.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"by": ["optimizer.rate"]},
            "optimizer.rate is not a field of these runs; did you mean opt",
        ),
        ({"over": "zebra"}, "zebra is not a field of these runs; there is best, config, "),
        (
            {"metrics": ["test_acuracy"]},
            "test_acuracy is not a metric .*; did you mean test_accuracy",
        ),
        ({"metrics": ["loss:up"]}, "metric loss:up: after the colon stands max or min, not up"),
    ],
)
def test_what_does_not_exist(sweep, options, message):
    with pytest.raises(RunError, match=message):
        compare.table(gather(sweep), **options)


def test_nothing_to_compare(tmp_path):
    with pytest.raises(RunError, match="the sweep has no lanes yet"):
        compare.table([])
    with pytest.raises(RunError, match="no metric has been recorded yet"):
        compare.table(gather(write_run(tmp_path, "a", rows=[], metrics={})))


def test_a_lane_that_the_sweep_does_not_have(sweep):
    table = sweep / "lanes.csv"
    table.write_text(table.read_text().replace("\n11,", "\n12,"))
    assert [member.label for member in gather(sweep)][-1].endswith("#11"), "from the records"


def test_a_metric_that_was_never_reported_names_those_that_were(sweep):
    for asked, hint in (("test_acuracy", "; did you mean test_accuracy? They"), ("x", "; they")):
        with pytest.raises(RunError) as error:
            compare.table(gather(sweep), metrics=[asked])
        assert str(error.value) == (
            f"{asked} is not a metric of these runs{hint} report loss, test_accuracy, test_log_loss"
        )
