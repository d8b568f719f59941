"""The Kalman filter and the smoother: what holds for every model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg

from mastery_jax.core import loop
from mastery_jax.inference.filtering import kalman, linear_gaussian, rts
from mastery_jax.inference.filtering.linear_gaussian import Model, State
from tests.cases.filtering import conditioned, filter_by_conditioning, joint, with_start
from tests.statistics import assert_mean

few = settings(deadline=None, max_examples=15, derandomize=True)
seeds = st.integers(0, 2**31)
STEPS = 5


@pytest.fixture(autouse=True, scope="module")
def x64():
    with jax.enable_x64(True):
        yield


def covariance(rng, n):
    half = rng.normal(size=(n, n))
    return half @ half.T + 0.1 * np.eye(n)


def drawn(seed, n=3, m=2, num_steps=STEPS):
    """Return a belief, a model, a series and what is seen of it, all at random."""
    rng = np.random.default_rng(seed)
    model = Model(
        transition=rng.normal(size=(n, n)) / np.sqrt(n),
        process_cov=covariance(rng, n),
        emission=rng.normal(size=(m, n)),
        emission_cov=covariance(rng, m),
    )
    state = State(mean=rng.normal(size=n), cov=covariance(rng, n))
    return state, model, rng.normal(size=(num_steps, m)), rng.random((num_steps, m)) < 0.6


def on_device(tree):
    return jax.tree.map(jnp.asarray, tree)


def close(got, expected, atol=1e-10):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=atol), got, expected)


@few
@given(seeds)
def test_filter_and_smoother_condition_the_joint_gaussian(seed):
    state, model, ys, seen = drawn(seed)
    given_all = on_device((state, ys, model, seen))
    filtered, info = kalman.filter(
        given_all[0], given_all[1], model=given_all[2], is_observed=given_all[3]
    )
    close((filtered, info), filter_by_conditioning(state, ys, model=model, is_observed=seen), 1e-8)
    smoothed = rts.smooth(with_start(given_all[0], filtered), model=given_all[2])
    mean, cov = conditioned(state, model, ys, seen)
    close(smoothed, kalman.Beliefs(mean, cov), 1e-8)
    close(jax.tree.map(lambda x: x[-1], smoothed), jax.tree.map(lambda x: x[-1], filtered), 0)


def test_more_components_than_are_unrolled():
    state, model, ys, seen = drawn(0, n=10, m=9, num_steps=3)
    filtered, info = kalman.filter(
        on_device(state), jnp.array(ys), model=on_device(model), is_observed=jnp.array(seen)
    )
    close((filtered, info), filter_by_conditioning(state, ys, model=model, is_observed=seen), 1e-8)
    smoothed = rts.smooth(with_start(on_device(state), filtered), model=on_device(model))
    close(smoothed, kalman.Beliefs(*conditioned(state, model, ys, seen)), 1e-8)


@few
@given(seeds)
def test_filter_is_repeated_steps(seed):
    state, model, ys, seen = on_device(drawn(seed))
    filtered, info = kalman.filter(state, ys, model=model, is_observed=seen)

    def step(state, y_and_seen):
        y, seen = y_and_seen
        state, info = kalman.step(state, y, model=model, is_observed=seen)
        return state, (kalman.Beliefs(*state), info)

    close((filtered, info), loop.scan(step, state, (ys, seen))[1])


@few
@given(seeds)
def test_many_series_are_the_filter_mapped_over_each(seed):
    state, model, _, seen = on_device(drawn(seed))
    yss = jnp.array(np.random.default_rng(seed).normal(size=(4, STEPS, 2)))
    shared = (
        kalman.Beliefs(mean=0, cov=None),
        kalman.Info(log_likelihood=0, innovation=0, innovation_cov=None),
    )
    for is_observed in (None, seen):

        def one(ys, is_observed=is_observed):
            return kalman.filter(state, ys, model=model, is_observed=is_observed)

        got = kalman.filter_many(state, yss, model=model, is_observed=is_observed)
        close(got, jax.vmap(one, out_axes=shared)(yss))


@few
@given(seeds)
def test_what_is_missing_may_hold_anything(seed):
    state, model, ys, seen = on_device(drawn(seed))

    def log_likelihood(model, ys):
        return kalman.filter(state, ys, model=model, is_observed=seen)[1].log_likelihood.sum()

    by_zeros, by_nans = [
        jax.value_and_grad(log_likelihood)(model, jnp.where(seen, ys, hole))
        for hole in (0.0, jnp.nan)
    ]
    close(by_zeros, by_nans, 0)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(by_nans))


def test_a_series_of_which_nothing_is_seen_is_predicted():
    state, model, ys, _ = on_device(drawn(1))
    nothing = jnp.zeros(ys.shape, bool)
    filtered, info = kalman.filter(state, ys, model=model, is_observed=nothing)
    for t in range(STEPS):
        state = kalman.predict(state, model=model)
        close(State(filtered.mean[t], filtered.cov[t]), state)
    np.testing.assert_array_equal(info.log_likelihood, 0)


@few
@given(seeds)
def test_what_comes_later_adds_knowledge_and_what_does_not_come_adds_none(seed):
    state, model, ys, _ = on_device(drawn(seed))
    seen = jnp.arange(STEPS)[:, None] < jnp.array([[3, 3]])
    filtered, _ = kalman.filter(state, ys, model=model, is_observed=seen)
    smoothed = rts.smooth(filtered, model=model)
    close(
        jax.tree.map(lambda x: x[2:], smoothed), jax.tree.map(lambda x: x[2:], filtered), atol=1e-9
    )
    gained = np.linalg.eigvalsh(filtered.cov[:2] - smoothed.cov[:2])
    assert gained.min() > -1e-9
    assert gained.max() > 1e-6


@few
@given(seeds)
def test_a_stationary_series_read_backwards_is_smoothed_to_the_same(seed):
    _, model, ys, _ = drawn(seed)
    _, Q, H, R = model[:4]
    F = 0.9 * model.transition / np.abs(np.linalg.eigvals(model.transition)).max()
    spread = linalg.solve_discrete_lyapunov(F, Q)
    back = spread @ F.T @ np.linalg.inv(spread)
    reverse = Model(back, spread - back @ spread @ back.T, H, R)
    stationary = on_device(State(mean=np.zeros(3), cov=spread))

    def smoothed(model, ys):
        model = on_device(model)
        return rts.smooth(kalman.filter(stationary, ys, model=model)[0], model=model)

    forward = smoothed(Model(F, Q, H, R), jnp.array(ys))
    backward = smoothed(reverse, jnp.array(ys[::-1]))
    close(jax.tree.map(lambda x: x[::-1], backward), forward, atol=1e-7)


@few
@given(seeds)
def test_units_of_the_data_change_nothing_but_the_units(seed):
    state, model, ys, _ = on_device(drawn(seed))
    units = jnp.array([1e3, 1e-2])
    scaled = model._replace(
        emission=units[:, None] * model.emission,
        emission_cov=units[:, None] * model.emission_cov * units[None, :],
    )
    filtered, info = kalman.filter(state, ys, model=model)
    again, info_again = kalman.filter(state, ys * units[None, :], model=scaled)
    close(again, filtered, atol=1e-8)
    jacobian = jnp.log(units).sum()
    close(info_again.log_likelihood, info.log_likelihood - jacobian, atol=1e-8)


def precise(seed):
    """Return a model in float32 whose observations are far more precise than its beliefs."""
    state, model, ys, _ = drawn(seed, num_steps=30)
    model = model._replace(
        process_cov=1e4 * model.process_cov, emission_cov=1e-4 * model.emission_cov
    )
    return jax.tree.map(lambda x: jnp.array(x, jnp.float32), (state, model, ys))


def least_eigenvalue(cov):
    """Return the least eigenvalue of correlation matrices, at most 1."""
    cov = np.asarray(cov, np.float64)
    scale = np.sqrt(np.abs(np.diagonal(cov, axis1=1, axis2=2)))
    return np.linalg.eigvalsh(cov / (scale[:, :, None] * scale[:, None, :])).min()


def by_subtraction(state, ys, model):
    """Return the covariances of the textbook update P − K S Kᵀ."""
    F, Q, H, R = model[:4]

    def step(cov, _):
        cov = F @ cov @ F.T + Q
        S = H @ cov @ H.T + R
        gain = jnp.linalg.solve(S, H @ cov).T
        cov = cov - gain @ S @ gain.T
        return cov, cov

    return loop.scan(step, state.cov, ys)[1]


@few
@given(seeds)
def test_covariances_stay_positive_in_single_precision(seed):
    state, model, ys = precise(seed)
    filtered, info = kalman.filter(state, ys, model=model)
    smoothed = rts.smooth(filtered, model=model)
    for beliefs in (filtered, smoothed):
        np.testing.assert_array_equal(beliefs.cov, beliefs.cov.swapaxes(1, 2))
        assert least_eigenvalue(beliefs.cov) > -1e-5
    assert jnp.isfinite(info.log_likelihood).all()


def test_the_textbook_update_does_not_keep_them_positive():
    state, model, ys = precise(0)
    assert least_eigenvalue(by_subtraction(state, ys, model)) < -1e-5


def test_an_impossible_covariance_is_nan_from_there_on():
    state, model, ys, _ = on_device(drawn(2))
    model = model._replace(emission_cov=-100 * jnp.eye(2))
    state, info = kalman.step(state, ys[0], model=model)
    assert all(jnp.isnan(leaf).all() for leaf in (*state, info.log_likelihood))


@pytest.mark.parametrize("cov", [[[1.0, 2.0], [2.0, 1.0]], [[1.0, 0.0], [0.0, -1e-3]]])
@pytest.mark.parametrize("field", ["cov", "process_cov", "emission_cov"])
def test_what_is_no_covariance_is_nan_however_well_the_rest_hides_it(field, cov):
    """In a sum with other covariances it would pass for one, and variances come out negative."""
    eye, no_covariance = jnp.eye(2), jnp.array(cov)
    state, model = State(jnp.zeros(2), 9 * eye), Model(eye, 9 * eye, eye, 9 * eye)
    if field == "cov":
        state = state._replace(cov=no_covariance)
    else:
        model = model._replace(**{field: no_covariance})
    ys = jnp.ones((2, 2))
    for beliefs, info in (
        kalman.filter(state, ys, model=model),
        kalman.filter_many(state, ys[None], model=model),
        kalman.step(state, ys[0], model=model),
    ):
        assert jnp.isnan(info.log_likelihood).all()
        assert jnp.isnan(beliefs.mean).all()
    path = linear_gaussian.simulate(jax.random.key(0), state, model=model, num_steps=2)
    assert jnp.isnan(path.observations).all()


def test_disagreeing_shapes_are_refused():
    state, model, ys, _ = on_device(drawn(2))
    with pytest.raises(ValueError, match=r"kalman.filter: ys is float64\[2\], not Float.*time obs"):
        kalman.filter(state, ys[0], model=model)


def test_simulated_paths_have_the_moments_of_the_model():
    state, model, _, _ = drawn(3, num_steps=3)
    shape = np.array([[1.0, 2.0, -1.0]])
    model = model._replace(process_cov=shape.T @ shape)  # singular: one shock moves all
    mean, cov = joint(state, model, 3)

    def last_of_path(key):
        path = linear_gaussian.simulate(key, on_device(state), model=on_device(model), num_steps=3)
        return jnp.concatenate([path.states[-1], path.observations[-1]])

    draws = np.asarray(jax.vmap(last_of_path)(jax.random.split(jax.random.key(0), 4000)))
    last = np.r_[9:12, mean.size - 2 : mean.size]
    mean, cov = mean[last], cov[np.ix_(last, last)]
    white = np.linalg.solve(np.linalg.cholesky(cov), (draws - mean).T)
    products = white[:, None, :] * white[None, :, :]
    for i in range(5):
        assert_mean(white[i][:, None], 0)
        for j in range(i + 1):
            assert_mean(products[i, j][:, None], float(i == j))
    with pytest.raises(AssertionError):
        assert_mean(1.2 * white[0][:, None] + 0.2, 0)
