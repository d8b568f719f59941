"""Line searches: the conditions they promise, held against scipy's, and what they refuse."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.tree_util import Partial
from scipy import optimize

from mastery_jax.core.status import Status
from mastery_jax.numerics.optimize import (
    gauss_newton,
    lagrange,
    lbfgs,
    levenberg_marquardt,
    line_search,
    newton,
    newton_raphson,
    quadratic_program,
)
from tests.optimize import problems

few = settings(max_examples=12, deadline=None, derandomize=True)
ROSENBROCK = Partial(problems.rosenbrock, 100.0)
BOTH = (line_search.backtracking, line_search.strong_wolfe)


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


def downhill(seed):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2, 2, 4)
    half = rng.normal(size=(4, 4))
    direction = -(half @ half.T + 0.05 * np.eye(4)) @ optimize.rosen_der(x)
    return x, direction * rng.uniform(1e-4, 10) / np.linalg.norm(direction)


@few
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.1, 0.9]))
def test_strong_wolfe_meets_both_conditions_where_scipy_does(seed, c2):
    x, direction = downhill(seed)
    t, info = line_search.strong_wolfe(ROSENBROCK, x, direction, c2=c2)
    theirs = optimize.line_search(optimize.rosen, optimize.rosen_der, x, direction, c2=c2)
    assert info.is_done
    assert theirs[0] is None or int(info.num_evals) <= 3 * theirs[1] + 12
    slope = optimize.rosen_der(x) @ direction
    there = x + float(t) * direction
    np.testing.assert_allclose(info.value, optimize.rosen(there), rtol=1e-9)
    assert info.value <= optimize.rosen(x) + 1e-4 * float(t) * slope
    assert abs(optimize.rosen_der(there) @ direction) <= c2 * abs(slope)


@few
@given(st.integers(0, 2**32 - 1))
def test_backtracking_takes_the_first_power_that_falls_enough(seed):
    x, direction = downhill(seed)
    t, info = line_search.backtracking(ROSENBROCK, x, direction, c1=0.1)
    slope = optimize.rosen_der(x) @ direction

    def falls(t):
        return optimize.rosen(x + t * direction) <= optimize.rosen(x) + 0.1 * t * slope

    t = float(t)
    assert info.is_done
    assert falls(t)
    assert t == 1 or not falls(2 * t)
    assert int(info.num_evals) == 2 - np.log2(t)


@pytest.mark.slow
def test_it_goes_far_where_the_first_step_is_short():
    t, info = line_search.strong_wolfe(ROSENBROCK, np.zeros(2), np.array([1e-7, 0.0]), c2=0.1)
    assert info.is_done
    assert t > 1e5


@pytest.mark.parametrize("search", BOTH)
def test_a_step_out_of_the_domain_is_too_far(search):
    fn = Partial(problems.logarithm, 1.0)
    t, info = search(fn, jnp.array([2.0]), jnp.array([-64.0]))
    assert info.is_done
    assert 0 < t < 2 / 64


@pytest.mark.slow
@pytest.mark.parametrize("search", BOTH)
@pytest.mark.parametrize(
    ("x", "direction", "options", "status"),
    [
        ([1.0, 2.0], [0.0, 1.0], {}, Status.BAD_INPUT),  # goes up
        ([1.0, 2.0], [0.0, 0.0], {}, Status.BAD_INPUT),  # goes nowhere
        ([1.0, 2.0], [0.0, -1.0], {"step_size": 0.0}, Status.BAD_INPUT),
        ([1.0, 2.0], [0.0, -1.0], {"c1": -1.0}, Status.BAD_INPUT),
        ([jnp.nan, 2.0], [0.0, -1.0], {}, Status.NOT_FINITE),
        ([1.0, 2.0], [0.0, -1e6], {"max_evals": 2}, Status.OUT_OF_STEPS),
    ],
)
def test_how_it_ends_without_a_step(search, x, direction, options, status):
    t, info = search(ROSENBROCK, jnp.array(x), jnp.array(direction), **options)
    assert t == 0
    assert info.status == status
    assert not info.is_done


@pytest.mark.slow
def test_a_line_without_end():
    t, info = line_search.strong_wolfe(Partial(jnp.sum), -jnp.ones(2), -jnp.ones(2))
    assert info.status == Status.OUT_OF_STEPS
    assert t == 0


@pytest.mark.slow
def test_lanes_do_not_disturb_each_other():
    xs, directions = map(np.stack, zip(*map(downhill, range(6)), strict=True))
    whole, info = jax.vmap(lambda x, d: line_search.strong_wolfe(ROSENBROCK, x, d))(xs, directions)
    for i in range(6):
        t, own = line_search.strong_wolfe(ROSENBROCK, xs[i], directions[i])
        np.testing.assert_allclose(whole[i], t, rtol=1e-10)
        assert info.num_evals[i] == own.num_evals


def budgets():
    """Return each search with a budget that it cannot begin with, and the least that it can."""
    fn, x = Partial(lambda x: (x**2).sum()), jnp.ones(2)
    vector = Partial(lambda x: x)
    sides = (jnp.eye(2), jnp.ones(2), jnp.eye(2), jnp.zeros(2), jnp.ones(2))
    for search in (line_search.backtracking, line_search.strong_wolfe):
        yield partial(search, fn, x, -x, max_evals=1), "max_evals is 1, not at least 2"
    none = "max_steps is 0, not at least 1"
    for method in (lbfgs, newton):
        yield partial(method.minimize, fn, x, max_steps=0), none
    for method in (gauss_newton, levenberg_marquardt):
        yield partial(method.minimize, vector, x, max_steps=0), none
    yield partial(newton_raphson.solve, vector, x, max_steps=0), none
    yield partial(lagrange.minimize, fn, Partial(lambda x: x[:1]), x, max_steps=0), none
    yield partial(quadratic_program.solve, *sides, max_steps=0), none


def test_a_budget_that_is_too_small_to_begin_with_is_refused():
    for search, said in budgets():
        with pytest.raises(ValueError, match=said):
            search()
