"""What can be asked of a table: the best first, tests, lanes that were stopped."""

import numpy as np
import pytest
import scipy.stats

from mastery_jax.workflow.compare import table as compare
from mastery_jax.workflow.compare import text
from mastery_jax.workflow.errors import RunError
from tests.compare.known import RATES, VALUES, gather
from tests.folders import write_sweep


def test_the_best_come_first(sweep):
    made = compare.table(gather(sweep), best="test_log_loss:min")
    rates = [row.fields["optimizer.learning_rate"] for row in made.rows]
    order = np.argsort((2 - VALUES).mean(axis=1), kind="stable")
    assert rates == [RATES[i] for i in order]
    assert made.reference["test_log_loss"] == 0
    upside = compare.table(gather(sweep), best="loss:max")
    assert [row.fields["optimizer.learning_rate"] for row in upside.rows] == [
        RATES[i] for i in np.argsort(VALUES.mean(axis=1), kind="stable")
    ]
    assert [m.name for m in upside.metrics] == ["test_accuracy", "test_log_loss", "loss"]
    cut = compare.top(made, 2)
    assert cut.rows == made.rows[:2]
    assert cut.notes == ("the best 2 of 3 groups",)
    assert compare.top(made, 3) is made
    plain = compare.top(compare.table(gather(sweep)), 1)
    assert plain.notes == ("the first 1 of 3 groups",)
    assert plain.reference == {}
    assert "minus best" in text.text(plain)
    with pytest.raises(RunError, match="which way is size better\\? write size:max or size:min"):
        compare.table([m._replace(metrics={"size": 1.0}) for m in gather(sweep)], best="size")


def test_ties_are_in_the_order_of_lanes(tmp_path):
    points = [{"num_steps": n, "seed": 0} for n in (3, 1, 2, 4)]
    values = {1: 0.5, 2: 0.5, 3: 0.5, 4: 0.75}
    measure = lambda num_steps, seed: {"test_accuracy": values[num_steps]}  # noqa: E731
    folder = write_sweep(tmp_path, "a", {}, measure, points=points)
    made = compare.table(gather(folder), best="test_accuracy:max")
    assert [row.fields["num_steps"] for row in made.rows] == [4, 3, 1, 2]
    assert [row.fields["num_steps"] for row in compare.table(gather(folder)).rows] == [1, 2, 3, 4]


def test_one_row_more_for_every_seed_is_no_proof(tmp_path):
    """The differences are the same, though float32 has them a rounding apart."""
    points = [{"num_steps": n, "seed": seed} for n in (1, 2) for seed in range(3)]

    def measure(num_steps, seed):
        rights = (350, 347, 341)[seed] - (num_steps == 1)
        return {"test_accuracy": float(np.float32(rights) / np.float32(360))}

    folder = write_sweep(tmp_path, "a", {}, measure, points=points)
    made = compare.table(gather(folder), test=True, best="test_accuracy:max")
    assert np.isnan(made.rows[1].tests["test_accuracy"].p)
    assert made.notes[-1] == "1 differences have fewer than two pairs or no spread: no p"


def test_differences_are_tested_as_scipy_does_and_corrected_over_rows(sweep):
    made = compare.table(gather(sweep), test=True, metrics=["test_accuracy"])
    ps = [scipy.stats.ttest_rel(VALUES[i], VALUES[1]).pvalue for i in (0, 2)]
    tests = [made.rows[i].tests["test_accuracy"] for i in (0, 2)]
    np.testing.assert_allclose([test.p for test in tests], ps, rtol=1e-9)
    np.testing.assert_allclose(
        sorted(t.holm for t in tests), [2 * min(ps), max(2 * min(ps), max(ps))]
    )
    assert made.rows[1].tests == {}
    head, _, *rows = text.text(made).splitlines()
    assert head.split()[-1] == "p"
    assert rows[0].split()[-1] == f"{tests[0].holm:.2g}"
    assert "after Holm's correction over the rows" in text.text(made)
    assert "test_accuracy_p_holm" in text.to_csv(made).splitlines()[0]
    assert text.to_json(made)["rows"][0]["tests"]["test_accuracy"]["p"] == tests[0].p
    assert "p_holm" not in text.to_csv(compare.table(gather(sweep)))


def test_what_cannot_be_tested_is_told(tmp_path):
    measure = lambda num_steps, seed: {"test_accuracy": num_steps + seed / 4}  # noqa: E731
    folder = write_sweep(tmp_path, "a", {"num_steps": [1, 2], "seed": [0, 1]}, measure)
    made = compare.table(gather(folder), test=True)
    assert "1 differences have fewer than two pairs or no spread: no p" in made.notes
    assert "p" not in text.heads(made), "a column that would be empty"
    assert "test_accuracy_p_holm" in text.to_csv(made)


def halved(num_steps, seed):
    """Of three steps only seed 1 goes on; with the others the mean would be 0.5."""
    value = {"test_accuracy": num_steps / 10 + seed / 100}
    return value | ({"stopped": "halving"} if num_steps == 3 and seed != 1 else {})


def test_stopped_lanes_are_left_out_counted_and_brought_back(tmp_path):
    swept = {"num_steps": [2, 3], "seed": [0, 1, 2]}
    folder = write_sweep(tmp_path, "a", swept, halved)
    made = compare.table(gather(folder))
    whole, cut = made.rows
    assert (cut.num_stopped, cut.num_broken, cut.counted) == (2, 0, ("a#4",))
    assert cut.estimates["test_accuracy"][0::3] == (0.31, 1)
    assert whole.num_stopped == 0
    told = "2 of 6 were stopped early: left out of the means; --include-stopped lets them count"
    assert told in made.notes
    assert "1 (2 stopped)" in text.text(made)
    third = lambda num_steps, seed: halved(num_steps, 0)  # noqa: E731
    (told,) = compare.table(gather(write_sweep(tmp_path, "b", swept, third))).notes
    assert told.startswith("3 of 6 were stopped early: left out of the means, so that 1 of 2 rows")
    back = compare.table(gather(folder), include_stopped=True)
    assert back.rows[1].estimates["test_accuracy"].n == 3
    assert "2 of 6 were stopped early: their last values count" in back.notes
    assert "stopped)" not in text.text(back)
    rows = text.to_json(made)["rows"]
    assert [row["num_stopped"] for row in rows] == [0, 2]
    (folder / "lanes.csv").unlink()
    assert compare.table(gather(folder)) == made, "the records say the same"


def test_each_lane_of_a_population_is_a_row(tmp_path):
    """They ended with fields of each other: equal ones, seed and all, are no repetitions."""
    search = {"metrics": ["test_accuracy:max"], "stop": {"kind": "population", "every": 10}}
    points = [{"optimizer.learning_rate": rate} for rate in (0.1, 0.1, 0.2, 0.2)]
    measure = lambda learning_rate: {"test_accuracy": learning_rate}  # noqa: E731
    found = gather(write_sweep(tmp_path, "a", {}, measure, points=points, search=search))
    made = compare.table(found)
    assert made.by == ("run", "optimizer.learning_rate")
    assert [row.fields["run"] for row in made.rows] == ["a#0", "a#1", "a#2", "a#3"]
    assert "lanes of a population took states and fields of each other: one row each" in made.notes
    assert not any("averaged" in note for note in made.notes)
    assert len(compare.table(found, by=["optimizer.learning_rate"]).rows) == 2
