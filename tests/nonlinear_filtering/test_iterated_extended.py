"""The iterated filter finds the likeliest state, and leaves a linear model alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from mastery_jax.inference.filtering import extended, iterated_extended, nonlinear
from tests.nonlinear_filtering.models import linear, radar

few = settings(deadline=None, max_examples=10, derandomize=True)
seeds = st.integers(0, 2**31)


@pytest.fixture(autouse=True, scope="module")
def x64():
    with jax.enable_x64(True):
        yield


def close(got, expected, rtol=1e-12):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol, 1e-12), got, expected)


@few
@given(seeds)
def test_iterating_on_a_linear_model_changes_nothing(seed):
    state, _, functions, ys, seen = linear(seed)
    once, many = [
        iterated_extended.filter(state, ys, model=functions, is_observed=seen, num_iterations=n)
        for n in (1, 10)
    ]
    close(many[0], once[0])
    close(many[1][:3], once[1][:3])
    assert abs(many[1].last_move).max() < 1e-12


@few
@given(seeds)
def test_one_iteration_is_the_extended_filter(seed):
    state, model, ys, pushes, seen = radar(seed)
    given_all = {"model": model, "inputs": pushes, "is_observed": seen}
    beliefs, info = iterated_extended.filter(state, ys, num_iterations=1, **given_all)
    close(
        (beliefs, info[:3]), (lambda b, i: (b, tuple(i)))(*extended.filter(state, ys, **given_all))
    )


@jax.jit
def objective(x, state, y, model, push):
    away, r = x - state.mean, y - model.emission(x, push)
    return (
        away @ jnp.linalg.solve(state.cov, away) + r @ jnp.linalg.solve(model.emission_cov, r)
    ) / 2


def test_where_it_comes_to_rest_is_the_likeliest_state():
    slope, num_at_rest = jax.jit(jax.grad(objective)), 0
    for seed in range(12):
        state, model, ys, pushes, _ = radar(seed)
        found, info = iterated_extended.update(
            state, ys[0], model=model, inputs=pushes[0], num_iterations=100
        )
        if abs(info.last_move).max() < 1e-9:
            num_at_rest += 1
            given_all = (state, ys[0], model, pushes[0])
            best = optimize.minimize(objective, state.mean, given_all, jac=slope, tol=1e-10)
            np.testing.assert_allclose(found.mean, best.x, atol=1e-5)
            assert abs(slope(found.mean, *given_all)).max() < 1e-6
    assert num_at_rest > 9


def test_the_likelihood_is_laplaces():
    """log p(y, x) at its maximum, and the curvature of Gauss and Newton there."""
    state, model, ys, pushes, _ = radar(3)
    y, push = ys[0], pushes[0]
    found, info = iterated_extended.update(state, y, model=model, inputs=push, num_iterations=30)
    halves = [np.linalg.slogdet(2 * np.pi * cov)[1] / 2 for cov in (state.cov, model.emission_cov)]
    at_best = -objective(found.mean, state, y, model, push) - sum(halves)
    laplace = at_best + np.linalg.slogdet(2 * np.pi * found.cov)[1] / 2
    np.testing.assert_allclose(info.log_likelihood, laplace, rtol=1e-9)


def test_a_precise_range_is_believed_where_the_extended_filter_misses_it():
    def distance(x):
        return jnp.sqrt((x**2).sum())[None]

    model = nonlinear.Model(
        transition=jax.tree_util.Partial(jnp.positive),
        process_cov=jnp.eye(2),
        emission=jax.tree_util.Partial(distance),
        emission_cov=1e-6 * jnp.eye(1),
    )
    state = nonlinear.State(jnp.array([1.0, 0.2]), jnp.array([[1.0, 0.8], [0.8, 1.0]]))
    y = jnp.array([3.0])
    once, _ = extended.update(state, y, model=model)
    many, _ = iterated_extended.update(state, y, model=model, num_iterations=20)
    assert abs(distance(once.mean) - y)[0] > 0.05
    assert abs(distance(many.mean) - y)[0] < 1e-4


def test_no_iteration_is_refused():
    state, model, ys, pushes, _ = radar(0)
    with pytest.raises(ValueError, match=r"iterated_extended.filter: num_iterations is 0, not at"):
        iterated_extended.filter(state, ys, model=model, inputs=pushes, num_iterations=0)
