"""A comparison measures what it says, and says what it cannot measure."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mastery_jax.inference.filtering import (
    comparison,
    extended,
    factored,
    information,
    kalman,
    linear_gaussian,
)
from mastery_jax.inference.filtering.linear_gaussian import State
from tests.nonlinear_filtering.models import linear

STATE, MODEL, FUNCTIONS, _, _ = linear(0)
PATH = linear_gaussian.simulate(jax.random.key(0), STATE, model=MODEL, num_steps=2000)
SURE = MODEL._replace(process_cov=0.1 * MODEL.process_cov, emission_cov=0.1 * MODEL.emission_cov)
FILTERS = {
    "kalman": lambda ys: kalman.filter(STATE, ys, model=MODEL),
    "extended": lambda ys: extended.filter(STATE, ys, model=FUNCTIONS),
    "too sure": lambda ys: kalman.filter(STATE, ys, model=SURE),
}


def compared(**options):
    return comparison.compare(FILTERS, PATH.observations, **options)


def test_errors_and_coverage_are_those_of_the_definition():
    exact, linearized, sure = compared(states=PATH.states)
    beliefs, info = kalman.filter(STATE, PATH.observations, model=MODEL)
    away = np.asarray(beliefs.mean) - np.asarray(PATH.states)
    np.testing.assert_allclose(exact.rmse, np.sqrt((away**2).mean(axis=0)), rtol=1e-5)
    np.testing.assert_allclose(exact.log_likelihood, info.log_likelihood.sum(), rtol=1e-6)
    # Errors of 2000 steps, some of them alike, tell the share of the band to a percent or so.
    assert abs(exact.coverage - 0.95) < 0.02
    assert abs(linearized.coverage - exact.coverage) < 1e-3
    assert sure.coverage < 0.7
    assert sure.log_likelihood < exact.log_likelihood


def test_a_call_is_timed_by_the_clock_that_is_given():
    ticks = itertools.count()
    rows = compared(clock=lambda: 0.25 * next(ticks), num_repeats=3)
    assert [row.milliseconds for row in rows] == [250.0] * 3
    assert next(ticks) == 18
    assert all(row.rmse is None and row.coverage is None for row in rows)
    assert all(row.milliseconds is None for row in compared())


def test_a_filter_that_failed_covers_nothing_known():
    broken = MODEL._replace(emission_cov=-MODEL.emission_cov * 1e6)
    [row] = comparison.compare(
        {"broken": lambda ys: kalman.filter(STATE, ys, model=broken)},
        PATH.observations,
        states=PATH.states,
    )
    assert np.isnan([row.coverage, row.log_likelihood, *row.rmse]).all()


def test_beliefs_of_any_form_are_compared():
    mean, factor = jnp.array([[0.0], [2.0]]), jnp.full((2, 1, 1), 0.5)
    info = kalman.Info(*jnp.zeros(3))
    beliefs = {
        "covariance": kalman.Beliefs(mean, factor**2),
        "root": factored.Beliefs(mean, factor),
        "inverse": information.Beliefs(4 * mean, 1 / factor**2),
    }
    filters = {name: lambda ys, held=held: (held, info) for name, held in beliefs.items()}
    for row in comparison.compare(filters, mean, states=jnp.zeros((2, 1))):
        assert (row.rmse, row.coverage) == (pytest.approx((2**0.5,)), 0.5), row.name


def test_the_table_has_a_line_for_each_filter():
    lines = comparison.table(compared(states=PATH.states)).splitlines()
    assert lines[0].split() == [
        *("filter", "rmse", "1", "rmse", "2", "rmse", "3", "covered", "log", "likelihood", "ms")
    ]
    assert [line.split()[0] for line in lines[1:]] == ["kalman", "extended", "too"]
    assert all(line.endswith("-") for line in lines[1:])


def test_what_does_not_fit_is_refused():
    ys = PATH.observations
    with pytest.raises(ValueError, match=r"comparison.compare: filters is empty"):
        comparison.compare({}, ys)
    with pytest.raises(ValueError, match=r"comparison.compare: num_repeats is 0, not at least 1"):
        compared(num_repeats=0)
    with pytest.raises(ValueError, match=r"comparison.compare: kalman gives means .* as states"):
        compared(states=jnp.zeros((2000, 2)))
    with pytest.raises(ValueError, match=r"comparison.compare: ys is float32\[2\], not Float"):
        comparison.compare(FILTERS, ys[0])


def test_belief_of_another_kind_is_compared_too():
    """What matters of a belief is its mean and covariance, as of a point that is known."""

    def known(ys):
        _, info = kalman.filter(STATE, ys, model=MODEL)
        return State(PATH.states, 0 * PATH.states[:, :, None] * PATH.states[:, None, :]), info

    [row] = comparison.compare({"known": known}, PATH.observations, states=PATH.states)
    assert row.coverage == 1.0
    assert max(row.rmse) == 0
