"""Two series are equal bit for bit, to a tolerance, or part at a named number."""

import math

import pytest

from mastery_jax.workflow.compare.rows import compare

ROWS = [
    {"step": 1, "loss": 0.5},
    {"step": 2, "loss": 0.25, "test": 3},
    {"step": 3, "loss": math.nan},
    {"step": 3, "reason": "loss became nan at step 3"},
]


def other(step, **values):
    return [row | values if row["step"] == step and "loss" in row else row for row in ROWS]


def test_equal():
    found = compare(ROWS, ROWS)
    assert (found.rows, found.last, found.first, found.largest) == (3, 3, None, None)
    assert found.describe() == "equal, bit for bit: 3 rows"
    assert compare(ROWS[:1], ROWS[:1]).describe() == "equal, bit for bit: 1 row"
    assert compare(ROWS, ROWS, rtol=1e-4).describe() == "equal, bit for bit: 3 rows"


@pytest.mark.parametrize(
    ("step", "values", "said"),
    [
        (1, {"loss": 0.4}, "step 1: loss was 0.5 and is 0.4 (relative difference 0.2)"),
        (1, {"loss": math.nan}, "step 1: loss was 0.5 and is nan"),
        (1, {"loss": math.inf}, "step 1: loss was 0.5 and is inf (relative difference inf)"),
        (1, {"more": 1}, "step 1: more was missing and is 1"),
        (2, {"test": 3.0}, "step 2: test was 3 and is 3.0 (relative difference 0)"),
        (3, {"loss": 0.0}, "step 3: loss was nan and is 0.0"),
    ],
)
def test_the_first_difference_is_named(step, values, said):
    found = compare(ROWS, other(step, **values))
    assert found.describe() == f"different in 1 of 3 rows, first at {said}"


def test_a_sign_of_zero_is_a_bit():
    either, negative = ([{"step": 0, "x": x}] for x in (0.0, -0.0))
    assert compare(either, negative).first.relative == 0
    assert compare(either, negative, rtol=1e-4).first is None


def test_only_what_both_have_is_compared():
    found = compare(ROWS, ROWS[:2])
    assert (found.rows, found.last, found.first) == (2, 2, None)
    assert compare(ROWS, []).rows == 0


def test_a_row_that_is_missing_in_between():
    found = compare(ROWS, [ROWS[0], *ROWS[2:]])
    assert (found.first.step, found.first.metric, found.first.after) == (2, "loss", None)
    assert found.differing == 1


def test_a_tolerance():
    near = other(2, loss=0.25 * (1 + 3e-5))
    assert compare(ROWS, near).first.step == 2
    found = compare(ROWS, near, rtol=1e-4)
    assert found.first is None
    assert found.largest.relative == pytest.approx(3e-5, rel=1e-3)
    assert (
        "equal to 0.0001: 3 rows, the furthest at step 2: loss was 0.25 and is 0.25"
        in found.describe()
    )
    far = other(2, loss=0.25 * (1 + 3e-4))
    assert compare(ROWS, far, rtol=1e-4).first.step == 2
    assert compare(ROWS, far, rtol=1e-4, atol=1e-3).first is None
    assert compare(ROWS, other(1, more=1.0), rtol=1e-4).first.metric == "more"


def test_as_plain_data():
    found = compare(ROWS, other(1, loss=0.4)).to_json()
    assert (found["rows"], found["differing"], found["rtol"]) == (3, 1, 0)
    assert found["first"]["before"] == 0.5
    assert compare(ROWS, ROWS).to_json()["first"] is None
