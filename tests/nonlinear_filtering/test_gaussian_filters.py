"""Filters that make a model linear: what holds for every model."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.tree_util import Partial

from mastery_jax.core import loop
from mastery_jax.inference.filtering import (
    cubature,
    extended,
    iterated_extended,
    kalman,
    nonlinear,
    rts,
    sigma_points,
    unscented,
)
from tests.nonlinear_filtering.models import linear, radar
from tests.statistics import assert_mean
from tests.test_xla_loop import loops

few = settings(deadline=None, max_examples=5, derandomize=True)
seeds = st.integers(0, 2**31)
MODULES = {"extended": extended, "unscented": unscented, "cubature": cubature}
FILTERS = {
    **{name: module.filter for name, module in MODULES.items()},
    "iterated_extended": partial(iterated_extended.filter, num_iterations=3),
}
SMOOTHERS = {name: module.smooth for name, module in MODULES.items()} | {
    "iterated_extended": extended.smooth
}
by_filter = pytest.mark.parametrize("name", FILTERS)
by_module = pytest.mark.parametrize("name", MODULES)


@pytest.fixture(autouse=True, scope="module")
def x64():
    with jax.enable_x64(True):
        yield


def close(got, expected, atol=1e-10):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=atol), got, expected
    )


def with_start(state, beliefs):
    return jax.tree.map(
        lambda first, rest: jnp.concatenate([first[None], rest]), kalman.Beliefs(*state), beliefs
    )


@by_filter
@few
@given(seed=seeds)
def test_a_linear_model_is_filtered_and_smoothed_as_by_kalman(name, seed):
    state, model, functions, ys, seen = linear(seed)
    for is_observed in (None, seen):
        filtered, info = FILTERS[name](state, ys, model=functions, is_observed=is_observed)
        exact, exact_info = kalman.filter(state, ys, model=model, is_observed=is_observed)
        close((filtered, kalman.Info(*info[:3])), (exact, exact_info))
        close(
            SMOOTHERS[name](with_start(state, filtered), model=functions),
            rts.smooth(with_start(state, exact), model=model),
        )


@by_filter
@pytest.mark.slow
def test_more_components_than_are_unrolled(name):
    state, model, functions, ys, seen = linear(0, n=10, m=9, num_steps=3)
    filtered, info = FILTERS[name](state, ys, model=functions, is_observed=seen)
    exact, exact_info = kalman.filter(state, ys, model=model, is_observed=seen)
    close((filtered, kalman.Info(*info[:3])), (exact, exact_info), 1e-9)
    close(SMOOTHERS[name](filtered, model=functions), rts.smooth(exact, model=model), 1e-9)


@by_module
@few
@given(seed=seeds)
@pytest.mark.slow
def test_filter_is_repeated_steps_of_what_changes_in_time(name, seed):
    state, model, ys, pushes, seen = radar(seed)
    growth = jnp.arange(1.0, 1 + len(ys))[:, None, None]
    changing = model._replace(
        process_cov=growth * model.process_cov[None], emission_cov=model.emission_cov[None] / growth
    )
    found = MODULES[name].filter(state, ys, model=changing, inputs=pushes, is_observed=seen)

    def step(state, now):
        y, push, seen, process_cov, emission_cov = now
        here = model._replace(process_cov=process_cov, emission_cov=emission_cov)
        state, info = MODULES[name].step(state, y, model=here, inputs=push, is_observed=seen)
        return state, (kalman.Beliefs(*state), info)

    rows = (ys, pushes, seen, changing.process_cov, changing.emission_cov)
    close(found, loop.scan(step, state, rows)[1])


@by_module
@pytest.mark.slow
def test_smoothing_begins_at_any_belief(name):
    """With or without x_0 in front, each move backwards finds its own input and covariance."""
    state, model, ys, pushes, _ = radar(1)
    growth = jnp.arange(1.0, 1 + len(ys))[:, None, None]
    model = model._replace(process_cov=growth * model.process_cov[None])
    filtered, _ = MODULES[name].filter(state, ys, model=model, inputs=pushes)
    smooth = partial(MODULES[name].smooth, model=model, inputs=pushes)
    whole = smooth(with_start(state, filtered))
    close(jax.tree.map(lambda x: x[1:], whole), smooth(filtered))
    close(jax.tree.map(lambda x: x[-1], whole), jax.tree.map(lambda x: x[-1], filtered), 0)
    gained = np.linalg.eigvalsh(filtered.cov - whole.cov[1:])
    assert gained.min() > -1e-3
    shifted = partial(MODULES[name].smooth, model=model, inputs=pushes[::-1])(filtered)
    assert abs(shifted.mean - whole.mean[1:]).max() > 1e-4


@by_filter
@few
@given(seed=seeds)
@pytest.mark.slow
def test_what_is_missing_may_hold_anything(name, seed):
    state, model, ys, pushes, seen = radar(seed)

    def log_likelihood(model, ys):
        found = FILTERS[name](state, ys, model=model, inputs=pushes, is_observed=seen)
        return found[1].log_likelihood.sum()

    by_zeros, by_nans = [
        jax.value_and_grad(log_likelihood)(model, jnp.where(seen, ys, hole))
        for hole in (0.0, jnp.nan)
    ]
    close(by_zeros, by_nans, 0)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(by_nans))


def square_of(matrix, x):
    return (x @ matrix @ x)[None]


@few
@given(seed=seeds)
def test_points_carry_a_correlated_belief_through_a_quadratic_function(seed):
    """E xᵀAx = mᵀAm + tr AP: exact by columns of the factor, and wrong by its rows."""
    state, model, _, _, _ = linear(seed)
    form = model.transition + model.transition.T
    squares = nonlinear.Model(
        Partial(jnp.sin), model.process_cov, Partial(square_of, form), jnp.eye(1)
    )
    exact = state.mean @ form @ state.mean + jnp.trace(form @ state.cov)
    for name, options in (
        ("cubature", {}),
        ("unscented", {}),
        ("unscented", {"alpha": 0.3, "kappa": 1.0, "beta": 0.5}),
    ):
        _, info = MODULES[name].update(state, jnp.zeros(1), model=squares, **options)
        np.testing.assert_allclose(-info.innovation[0], exact, rtol=1e-9, atol=1e-9)
    rows = np.sqrt(3) * np.linalg.cholesky(state.cov)
    points = np.concatenate([np.asarray(state.mean) + rows, np.asarray(state.mean) - rows])
    by_rows = np.einsum("ni,ij,nj->n", points, form, points).mean()
    assert abs(by_rows - exact) > 1e-6


def test_a_small_alpha_costs_digits_and_no_signs():
    """As the module says: some eps/alpha² of the mean, while covariances stay covariances."""
    wide, model, ys, pushes, _ = radar(0)
    single = partial(jax.tree.map, lambda x: x.astype(jnp.float32))
    errors = {}
    for alpha in (1.0, 0.1, 0.001):
        exact, _ = unscented.filter(wide, ys, model=model, inputs=pushes, alpha=alpha)
        found, _ = unscented.filter(
            *single((wide, ys)), model=single(model), inputs=single(pushes), alpha=alpha
        )
        errors[alpha] = abs(np.asarray(found.mean) - np.asarray(exact.mean)).max()
        assert np.linalg.eigvalsh(found.cov).min() > 0
    assert errors[1.0] < 1e-5
    assert errors[0.1] < 1e-3
    assert errors[0.001] > 1e-2


@by_filter
def test_covariances_stay_positive_in_single_precision(name):
    """Observations are far more precise than what was believed before."""
    for seed in range(5):
        state, _, functions, ys, _ = linear(seed, num_steps=30)
        functions = functions._replace(
            process_cov=1e4 * functions.process_cov, emission_cov=1e-4 * functions.emission_cov
        )
        state, functions, ys = jax.tree.map(lambda x: x.astype(jnp.float32), (state, functions, ys))
        filtered, info = FILTERS[name](state, ys, model=functions)
        for beliefs in (filtered, SMOOTHERS[name](filtered, model=functions)):
            np.testing.assert_array_equal(beliefs.cov, beliefs.cov.swapaxes(1, 2))
            assert least_eigenvalue(beliefs.cov) > -1e-5
        assert jnp.isfinite(info.log_likelihood).all()


def test_a_factor_is_one_of_a_covariance_that_may_be_singular():
    one_shock = jnp.array([[1.0, 2.0, 0.0], [2.0, 4.0, 0.0], [0.0, 0.0, 1.0]])
    root = sigma_points.root_of(one_shock)
    np.testing.assert_allclose(root @ root.T, one_shock, atol=1e-15)
    # A variance of zero beside a covariance that is not, and one below what the rest explains.
    for entries in ([[0.0, 1.0], [1.0, 1.0]], [[1.0, 2.0], [2.0, 1.0]], [[-1.0, 0.0], [0.0, 1.0]]):
        assert jnp.isnan(sigma_points.root_of(jnp.array(entries))).any()


def least_eigenvalue(cov):
    """Return the least eigenvalue of correlation matrices, at most 1."""
    cov = np.asarray(cov, np.float64)
    scale = np.sqrt(np.abs(np.diagonal(cov, axis1=1, axis2=2)))
    return np.linalg.eigvalsh(cov / (scale[:, :, None] * scale[:, None, :])).min()


@by_filter
def test_the_loop_is_one_kernel(name):
    state, model, ys, pushes, _ = radar(0, num_steps=50)
    given = jax.tree.map(lambda x: x.astype(jnp.float32), (state, ys, model, pushes))

    def text(run, *args, model, inputs):
        return jax.jit(run).lower(*args, model=model, inputs=inputs).compile().as_text()

    state, ys, model, pushes = given
    beliefs, _ = FILTERS[name](state, ys, model=model, inputs=pushes)
    for program in (
        text(FILTERS[name], state, ys, model=model, inputs=pushes),
        text(SMOOTHERS[name], beliefs, model=model, inputs=pushes),
    ):
        holding, in_one_kernel = loops(program)
        assert holding
        assert holding <= in_one_kernel
        assert "custom-call" not in program


@pytest.mark.slow
def test_simulated_paths_have_the_noise_of_the_model():
    state, model, _, pushes, _ = radar(2, num_steps=3)
    growth = jnp.array([1.0, 4.0, 9.0])[:, None, None]
    model = model._replace(process_cov=growth * model.process_cov[None])

    def shocks(key):
        path = nonlinear.simulate(key, state, model=model, num_steps=3, inputs=pushes)
        ahead = jax.vmap(model.transition)(path.states[:-1], pushes[1:])
        seen = jax.vmap(model.emission)(path.states, pushes)
        return path.states[1:] - ahead, path.observations - seen

    moves, noises = jax.vmap(shocks)(jax.random.split(jax.random.key(0), 4000))
    for t, cov in enumerate(model.process_cov[1:]):
        white = np.linalg.solve(np.linalg.cholesky(cov), moves[:, t].T)
        assert_white(white)
    white = np.linalg.solve(np.linalg.cholesky(model.emission_cov), noises[:, 0].T)
    assert_white(white)
    with pytest.raises(AssertionError):
        assert_white(1.2 * white)


def assert_white(draws):
    for i, row in enumerate(draws):
        assert_mean(row[:, None], 0)
        for j, other in enumerate(draws[: i + 1]):
            assert_mean((row * other)[:, None], float(i == j))


@by_filter
@pytest.mark.slow
def test_what_is_known_without_error_stays_known(name):
    state, model, functions, ys, _ = linear(1)
    direction = jnp.array([[1.0], [-2.0], [0.5]])
    for cov in (0 * state.cov, direction @ direction.T):
        known = state._replace(cov=cov)
        exact, exact_info = kalman.filter(known, ys, model=model)
        filtered, info = FILTERS[name](known, ys, model=functions)
        close((filtered, kalman.Info(*info[:3])), (exact, exact_info), 1e-9)
    slope = jax.grad(
        lambda mean: FILTERS[name](known._replace(mean=mean), ys, model=functions)[1][0].sum()
    )
    assert jnp.isfinite(slope(state.mean)).all()
