"""Intervals and tests, held against scipy.stats; Holm's correction, against closed testing."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from mastery_jax.workflow.compare.estimates import estimate, holm, paired
from tests.compare.known import close


@pytest.mark.parametrize("n", [2, 3, 5, 40])
def test_interval_and_p_are_scipy_s(n):
    values = np.random.default_rng(n).normal(3, 2, size=n)
    found = scipy.stats.ttest_1samp(values, 0)
    close(estimate(values), values.mean(), found.confidence_interval(0.95), n)
    np.testing.assert_allclose(paired(values.tolist()), found.pvalue, rtol=1e-10)
    assert paired((-values).tolist()) == paired(values.tolist())


def test_interval_of_one_of_none_and_of_equal_values():
    assert estimate([0.5])[0::3] == (0.5, 1)
    assert np.isnan(estimate([0.5])[1:3]).all()
    assert np.isnan(estimate([])[:3]).all()
    assert estimate([math.nan, 2.0, 2.0, math.inf, -math.inf]) == (2.0, 2.0, 2.0, 2)
    assert estimate([0.1] * 7) == (0.1, 0.1, 0.1, 7)
    assert estimate([1e308, -1e308]) == (0.0, -math.inf, math.inf, 2)
    assert estimate([1.7e308, 1.7e308, 1.6e308]).mean == pytest.approx(5 / 3 * 1e308)


@pytest.mark.parametrize("differences", [[], [0.3], [0.3, 0.3, 0.3], [0.0, 0.0], [1.0, math.nan]])
def test_what_does_not_spread_is_not_tested(differences):
    assert math.isnan(paired(differences))


def test_differences_that_are_equal_but_for_rounding_are_not_tested():
    """One row of 360 more for every seed, as float32 has it: they would give p = 5e-11."""
    rights = np.array([[350, 347, 341], [349, 346, 340]], np.float32) / np.float32(360)
    values = rights.astype(float)
    differences = (values[0] - values[1]).tolist()
    assert len(set(differences)) > 1
    assert paired(differences) < 1e-9
    assert math.isnan(paired(differences, rounding=2.0**-22))
    assert paired([0.1, 0.2, 0.1], rounding=2.0**-22) == paired([0.1, 0.2, 0.1])


ps = st.lists(st.floats(0, 1) | st.just(math.nan), max_size=6)


@given(ps)
def test_holm_is_the_closed_test_of_bonferroni(values):
    """A hypothesis falls where every intersection that holds it falls: the largest such p."""
    tested = [i for i, p in enumerate(values) if not math.isnan(p)]
    for index, found in enumerate(holm(values)):
        if index not in tested:
            assert math.isnan(found)
            continue
        subsets = (
            subset
            for size in range(1, len(tested) + 1)
            for subset in itertools.combinations(tested, size)
            if index in subset
        )
        wanted = max(min(1.0, len(s) * min(values[i] for i in s)) for s in subsets)
        assert found == pytest.approx(wanted, rel=1e-12)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []
