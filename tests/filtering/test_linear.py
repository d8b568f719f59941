"""Linear filters and smoothers: what holds for every model, in every form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mastery_jax.inference.filtering import (
    associative,
    factored,
    fixed_lag,
    information,
    kalman,
    linear_gaussian,
    rts,
    square_root,
    two_filter,
)
from mastery_jax.inference.filtering.linear_gaussian import Model, State
from tests.cases.filtering import conditioned, filter_by_conditioning, joint, with_start
from tests.statistics import assert_mean
from tests.test_kalman import close, covariance, least_eigenvalue, on_device
from tests.test_xla_loop import loops

few = settings(deadline=None, max_examples=8, derandomize=True)
seeds = st.integers(0, 2**31)
STEPS, STATE, OBS = 5, 3, 2


@pytest.fixture(autouse=True, scope="module")
def x64():
    with jax.enable_x64(True):
        yield


def drawn(seed, *, is_moving=True):
    """Return a belief, a model with means, a series and what is seen of it, all at random."""
    rng = np.random.default_rng(seed)
    lead = (STEPS,) if is_moving else ()
    model = Model(
        transition=np.eye(STATE) + 0.2 * rng.normal(size=(*lead, STATE, STATE)),
        process_cov=covariance(rng, STATE) * rng.uniform(0.5, 2, (*lead, 1, 1)),
        emission=rng.normal(size=(*lead, OBS, STATE)),
        emission_cov=covariance(rng, OBS) * rng.uniform(0.5, 2, (*lead, 1, 1)),
        process_mean=rng.normal(size=(*lead, STATE)),
        emission_mean=rng.normal(size=(*lead, OBS)),
    )
    if not is_moving:
        model = model._replace(
            process_cov=model.process_cov.reshape(STATE, STATE),
            emission_cov=model.emission_cov.reshape(OBS, OBS),
        )
    state = State(mean=rng.normal(size=STATE), cov=covariance(rng, STATE))
    return state, model, rng.normal(size=(STEPS, OBS)), rng.random((STEPS, OBS)) < 0.6


@few
@given(seeds, st.booleans())
def test_all_forms_condition_the_joint_gaussian(seed, is_moving):
    state, model, ys, seen = drawn(seed, is_moving=is_moving)
    expected, told = filter_by_conditioning(state, ys, model=model, is_observed=seen)
    mean, cov = conditioned(state, model, ys, seen)
    smoothed = kalman.Beliefs(mean[1:], cov[1:])
    state, model, ys, seen = on_device((state, model, ys, seen))

    plain, info = kalman.filter(state, ys, model=model, is_observed=seen)
    close((plain, info), (expected, told), 1e-8)
    close(rts.smooth(with_start(state, plain), model=model), kalman.Beliefs(mean, cov), 1e-8)
    close(rts.smooth(plain, model=model), smoothed, 1e-8)

    parallel, info = associative.filter(state, ys, model=model, is_observed=seen)
    close((parallel, info), (expected, told), 1e-8)
    close(associative.smooth(parallel, model=model), smoothed, 1e-8)

    roots, start = factored.from_linear(model), factored.init(state.mean, state.cov)
    beliefs, info = square_root.filter(start, ys, model=roots, is_observed=seen)
    close((factored.moments(beliefs), info), (expected, told), 1e-8)
    close(factored.moments(square_root.smooth(beliefs, model=roots)), smoothed, 1e-8)

    start = information.init(state.mean, state.cov)
    beliefs, info = information.filter(start, ys, model=model, is_observed=seen)
    assert info.is_known.all()
    close((information.moments(beliefs), kalman.Info(*info[:3])), (expected, told), 1e-7)
    both = two_filter.smooth(beliefs, ys, model=model, is_observed=seen)
    close(information.moments(both), smoothed, 1e-7)


def test_a_mean_moves_what_it_is_added_to_and_nothing_else():
    state, model, ys, _ = on_device(drawn(0))
    centered = model._replace(process_mean=None, emission_mean=None)
    none, info = kalman.filter(state, ys, model=centered)
    seen = centered._replace(emission_mean=model.emission_mean)
    again, info_again = kalman.filter(state, ys + model.emission_mean, model=seen)
    close((again, info_again), (none, info))
    moved, _ = kalman.filter(state, ys, model=model)
    close(moved.cov, none.cov, 0)
    assert jnp.abs(moved.mean - none.mean).max() > 0.1


@few
@given(seeds, st.integers(0, STEPS + 2))
def test_a_lag_waits_for_as_many_observations(seed, lag):
    state, model, ys, seen = drawn(seed)
    given_all = on_device((state, model, ys, seen))
    filtered, _ = kalman.filter(
        given_all[0], given_all[2], model=given_all[1], is_observed=given_all[3]
    )
    found = fixed_lag.smooth(filtered, model=given_all[1], lag=lag)
    for t in range(STEPS):
        mean, cov = conditioned(state, model, ys, seen, until=min(t + 1 + lag, STEPS))
        close(State(found.mean[t], found.cov[t]), State(mean[t + 1], cov[t + 1]), 1e-8)


def test_the_likelihood_of_a_flat_start_is_that_of_a_flat_integral():
    """It is log ∫ p(y | x_0) dx_0 − q log(2π) / 2, here by generalized least squares."""
    state, model, ys, seen = drawn(3)
    for flat in (np.array([True, True, True]), np.array([False, True, False])):
        kept = State(np.where(flat, 0, state.mean), np.where(flat, 0, 1) * np.diag([1.0, 0, 2.0]))
        mean, cov = joint(kept, model, STEPS)
        b = mean.size - ys.size + np.flatnonzero(seen)
        far = [joint(State(kept.mean + unit, kept.cov), model, STEPS)[0] for unit in np.eye(STATE)]
        design = np.stack([row - mean for row in far], axis=1)[b][:, flat]
        weight = np.linalg.inv(cov[np.ix_(b, b)])
        precision = design.T @ weight @ design
        residual = ys[seen] - mean[b]
        residual = residual - design @ np.linalg.solve(precision, design.T @ weight @ residual)
        log_dets = np.linalg.slogdet(precision)[1] - np.linalg.slogdet(weight)[1]
        exact = -(residual @ weight @ residual + log_dets + len(b) * np.log(2 * np.pi)) / 2
        start = information.init(jnp.array(kept.mean), jnp.array(kept.cov), is_flat=jnp.array(flat))
        beliefs, info = information.filter(
            start, jnp.array(ys), model=on_device(model), is_observed=jnp.array(seen)
        )
        np.testing.assert_allclose(info.log_likelihood.sum(), exact, rtol=1e-8)
        assert not info.is_known[0]
        assert jnp.isnan(info.innovation[0]).all()
        smoothed = information.moments(
            two_filter.smooth(
                beliefs, jnp.array(ys), model=on_device(model), is_observed=jnp.array(seen)
            )
        )
        vague = kept._replace(cov=kept.cov + 1e9 * np.diag(flat))
        wide, _ = conditioned(vague, model, ys, seen)
        np.testing.assert_allclose(smoothed.mean, wide[1:], atol=1e-5)


@pytest.mark.slow
def test_a_shock_of_one_dimension_has_the_derivative_of_its_covariance():
    """By a root of Q it would be another; Q of rank one is what a seasonal pattern has."""
    state, model, ys, _ = on_device(drawn(4, is_moving=False))
    shape = jnp.array([1.0, -1.0, 2.0])
    towards = jnp.array([[1.0, 0.5, 0.0], [0.5, 2.0, 0.0], [0.0, 0.0, 1.0]])

    def by(module, start):
        def log_likelihood(size):
            Q = shape[:, None] * shape[None, :] + size * towards
            found = module.filter(start, ys, model=model._replace(process_cov=Q))
            return found[1].log_likelihood.sum()

        return jax.grad(log_likelihood)(0.0)

    start = information.init(state.mean, state.cov)
    np.testing.assert_allclose(by(information, start), by(kalman, state), rtol=1e-8)


def ill_conditioned(dtype, *, spread, noise):
    """Return a track that is seen far more precisely than it is known at first."""
    rng = np.random.default_rng(0)
    roots = factored.Model(
        transition=np.eye(2) + 0.1 * np.eye(2, k=1),
        process_factor=np.array([[0.0], [1e-2]]),
        emission=np.array([[1.0, 0.0], [1.0, 1e-3]]),
        emission_factor=noise * np.eye(2),
    )
    state = factored.State(np.zeros(2), spread * np.eye(2))
    return jax.tree.map(lambda x: jnp.asarray(x, dtype), (state, roots, rng.normal(size=(100, 2))))


def off(found, exact):
    """Return the largest error of covariances, in units of their standard deviations."""
    scale = np.sqrt(np.diagonal(exact, axis1=1, axis2=2))
    return (np.abs(found - exact) / (scale[:, :, None] * scale[:, None, :])).max()


def test_square_roots_hold_in_single_precision_what_covariances_lose():
    def roots_of(dtype):
        state, model, ys = ill_conditioned(dtype, spread=1e2, noise=1e-2)
        filtered, _ = square_root.filter(state, ys, model=model)
        both = filtered, square_root.smooth(filtered, model=model)
        return [np.asarray(factored.moments(x).cov, np.float64) for x in both]

    exact, single = roots_of("float64"), roots_of("float32")
    assert max(map(off, single, exact)) < 2e-3
    assert min(map(least_eigenvalue, single)) > 0

    state, model, ys = ill_conditioned("float32", spread=1e2, noise=1e-2)
    Q, R = (root @ root.T for root in (model.process_factor, model.emission_factor))
    plain = Model(model.transition, Q, model.emission, R)
    lost, _ = kalman.filter(State(state.mean, state.factor @ state.factor.T), ys, model=plain)
    assert off(np.asarray(lost.cov, np.float64), exact[0]) > 0.1


def test_posterior_paths_have_the_moments_of_the_posterior():
    state, model, ys, seen = drawn(5)
    mean, _ = conditioned(state, model, ys, seen)
    given_all = on_device((state, model, ys, seen))
    filtered, _ = kalman.filter(
        given_all[0], given_all[2], model=given_all[1], is_observed=given_all[3]
    )
    smoothed = rts.smooth(filtered, model=given_all[1])
    cross = rts.lag_one_cov(smoothed, rts.conditional(filtered, model=given_all[1]))
    keys = jax.random.split(jax.random.key(0), 4000)
    paths = np.asarray(jax.vmap(lambda key: rts.sample(key, filtered, model=given_all[1]))(keys))
    away = paths - mean[1:]
    for t in range(STEPS):
        for i in range(STATE):
            assert_mean(away[:, t, i][:, None], 0)
            for j in range(STATE):
                products = away[:, t, i] * away[:, t, j]
                assert_mean(products[:, None], float(smoothed.cov[t, i, j]))
                if t:
                    products = away[:, t, i] * away[:, t - 1, j]
                    assert_mean(products[:, None], float(cross[t - 1, i, j]))
    with pytest.raises(AssertionError):
        assert_mean(1.2 * away[:, 0, 0][:, None] + 0.2, 0)


def test_many_models_at_once_are_each_by_itself():
    state, model, ys, _ = on_device(drawn(6))
    models = jax.tree.map(lambda x: jnp.stack([x, 1.1 * x]), model)
    together = jax.vmap(lambda model: kalman.filter(state, ys, model=model))(models)
    for k in range(2):
        alone = kalman.filter(state, ys, model=jax.tree.map(lambda x, k=k: x[k], models))
        close(jax.tree.map(lambda x, k=k: x[k], together), alone)


def test_paths_of_a_model_that_moves_have_its_mean():
    state, model, _, _ = drawn(7)
    mean, _ = joint(state, model, STEPS)
    keys = jax.random.split(jax.random.key(1), 4000)
    paths = jax.vmap(
        lambda key: linear_gaussian.simulate(
            key, on_device(state), model=on_device(model), num_steps=STEPS
        )
    )(keys)
    drawn_all = np.concatenate([np.asarray(x).reshape(len(keys), -1) for x in paths], axis=1)
    for i, expected in enumerate(mean[STATE:]):
        assert_mean(drawn_all[:, i][:, None], expected)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda state, model, ys: kalman.filter(state, ys[:4], model=model),
            r"kalman.filter: model.transition is float64\[5,3,3\], not 4 along its first axis",
        ),
        (
            lambda state, model, ys: kalman.predict(state, model=model),
            r"kalman.predict: model.transition is float64\[5,3,3\], with an axis of steps",
        ),
        (
            lambda state, model, ys: fixed_lag.smooth(
                kalman.filter(state, ys, model=model)[0], model=model, lag=-1
            ),
            "fixed_lag.smooth: lag is -1, not at least 0",
        ),
    ],
)
def test_what_does_not_fit_is_said(call, said):
    state, model, ys, _ = on_device(drawn(8))
    with pytest.raises(ValueError, match=said):
        call(state, model, ys)


def compiled(fn, *given, **fields):
    return fn.lower(*given, **fields).compile().as_text()


@pytest.mark.parametrize(
    "form", ["means", "moving", "square_root", "square_root.smooth", "information"]
)
def test_the_loop_is_one_kernel(form):
    state, model, ys, _ = on_device(drawn(9, is_moving=form == "moving"))
    roots, start = factored.from_linear(model), factored.init(state.mean, state.cov)
    match form:
        case "square_root":
            text = compiled(square_root.filter, start, ys, model=roots)
        case "square_root.smooth":
            beliefs, _ = square_root.filter(start, ys, model=roots)
            text = compiled(square_root.smooth, beliefs, model=roots)
        case "information":
            start = information.init(state.mean, state.cov)
            text = compiled(information.filter, start, ys, model=model)
        case _:
            text = compiled(kalman.filter, state, ys, model=model)
    holding, in_one_kernel = loops(text)
    assert holding
    assert holding <= in_one_kernel
