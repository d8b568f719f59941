"""The front of several objectives, held against its definition."""

import math

from hypothesis import given
from hypothesis import strategies as st

from mastery_jax.workflow.compare import table as compare
from mastery_jax.workflow.compare import text
from mastery_jax.workflow.compare.pareto import front
from tests.compare.known import gather
from tests.folders import write_sweep

VALUES = st.integers(-2, 2).map(float) | st.sampled_from([math.nan, math.inf, -math.inf])
POINTS = st.integers(1, 3).flatmap(
    lambda width: st.lists(st.tuples(*[VALUES] * width), max_size=12)
)


@given(POINTS)
def test_front_is_what_nothing_dominates(points):
    def dominates(a, b):
        return all(x >= y for x, y in zip(a, b, strict=True)) and any(
            x > y for x, y in zip(a, b, strict=True)
        )

    whole = [point for point in points if not any(map(math.isnan, point))]
    wanted = [p in whole and not any(dominates(other, p) for other in whole) for p in points]
    assert front(points) == wanted


SEARCH = {"metrics": ["test_accuracy:max", "test_nll:min"]}
TRADED = {1: (0.9, 0.5), 2: (0.8, 0.2), 3: (0.7, 0.3), 4: (0.9, 0.6)}  # 3 and 4 are dominated


def traded(num_steps, seed):
    accuracy, nll = TRADED[num_steps]
    return {"loss": float(num_steps), "test_accuracy": accuracy + seed / 100, "test_nll": nll}


def test_a_sweep_that_seeks_several_has_a_front(tmp_path):
    folder = write_sweep(
        tmp_path, "a", {"num_steps": [1, 2, 3, 4], "seed": [0, 1]}, traded, search=SEARCH
    )
    made = compare.table(gather(folder))
    assert made.by == ("num_steps",), "search is no field"
    assert made.objectives == (("test_accuracy", "max"), ("test_nll", "min"))
    assert [row.fields["num_steps"] for row in made.front] == [1, 2]
    assert [row.is_front for row in made.rows] == [True, True, False, False]
    shown = text.text(made).splitlines()
    assert [line.endswith("*") for line in shown[2:6]] == [True, True, False, False]
    place = shown.index("not dominated in test_accuracy:max and test_nll:min: 2 groups")
    assert [line.split()[0] for line in shown[place + 3 : place + 5]] == ["1", "2"]
    assert "is_front" in text.to_csv(made).splitlines()[0]
    assert text.to_json(made)["objectives"] == {"test_accuracy": "max", "test_nll": "min"}
    other = compare.table(gather(folder), objectives=["loss:min", "test_accuracy"])
    assert [row.fields["num_steps"] for row in other.front] == [1]


def test_one_goal_is_the_direction_of_its_metric(tmp_path):
    search = {"metrics": ["test_nll:max"]}
    folder = write_sweep(tmp_path, "a", {"num_steps": [1, 2], "seed": [0]}, traded, search=search)
    made = compare.table(gather(folder))
    assert made.objectives == ()
    assert dict(made.metrics)["test_nll"] == "max"
