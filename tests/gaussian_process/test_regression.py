"""The posterior: the stored answer, its symmetries, and draws with the right moments."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from sklearn.datasets import load_diabetes

from mastery_jax.probability.gaussian_process import gp_regression, kernels, marginal_likelihood
from tests.statistics import FALSE_ALARM

rng = np.random.default_rng(11)
X, Z = rng.uniform(-2, 2, (6, 2)), rng.uniform(-2, 2, (4, 2))
y = rng.normal(size=6)
kernel = kernels.Product((kernels.Constant(1.4), kernels.Matern52(np.array([0.9, 1.6]))))


@pytest.mark.reference
def test_stored_likelihood_and_predictions(reference):
    file = reference / "sklearn_reference" / "reference.json"
    key = "gp_diabetes_first100_fixed_kernel_1*RBF(3)+White(0.5)"
    stored = json.loads(file.read_text())["deterministic"][key]
    inputs, target = load_diabetes(return_X_y=True)
    first, target = inputs[:100], target[:100]
    inputs = (inputs - first.mean(axis=0)) / first.std(axis=0)
    first, later = inputs[:100], inputs[100:105]
    target = (target - target.mean()) / target.std()
    known = kernels.Sum((kernels.RBF(3.0), kernels.White(0.5)))
    with jax.enable_x64(True):
        value = marginal_likelihood.log_prob(known, first, target)
        mean, _ = gp_regression.predict(gp_regression.fit(known, first, target), later)
    np.testing.assert_allclose(value, stored["lml"], rtol=1e-8)
    np.testing.assert_allclose(mean, stored["pred5"], rtol=1e-8)


def test_leave_one_out_is_a_refit_without_it():
    with jax.enable_x64(True):
        mean, variance = gp_regression.leave_one_out(
            gp_regression.fit(kernel, X, y, noise=0.2, mean=0.3)
        )
        for i in range(len(X)):
            others = np.arange(len(X)) != i
            state = gp_regression.fit(kernel, X[others], y[others], noise=0.2, mean=0.3)
            value, spread = gp_regression.predict(state, X[i : i + 1])
            np.testing.assert_allclose([mean[i], variance[i]], [value[0], spread[0] + 0.2])


def test_rows_that_fill_up_change_nothing():
    with jax.enable_x64(True):
        alone = gp_regression.fit(kernel, X, y, noise=0.2, mean=0.3)
        filled = gp_regression.fit(
            kernel,
            np.vstack([X[:2], np.full((2, 2), 7.0), X[2:]]),
            np.concatenate([y[:2], [np.nan, 1e9], y[2:]]),
            noise=0.2,
            mean=0.3,
            is_observed=np.array([True] * 2 + [False] * 2 + [True] * 4),
        )
        for a, b in zip(
            gp_regression.predict_joint(alone, Z),
            gp_regression.predict_joint(filled, Z),
            strict=True,
        ):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_noise_of_each_value_and_white_noise_agree():
    white = kernels.Sum((kernel, kernels.White(0.2)))
    with jax.enable_x64(True):
        for state in (
            gp_regression.fit(kernel, X, y, noise=np.full(6, 0.2)),
            gp_regression.fit(white, X, y),
        ):
            found = gp_regression.predict(state, Z)
            expected = gp_regression.predict(gp_regression.fit(kernel, X, y, noise=0.2), Z)
            np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_without_noise_it_goes_through_the_values():
    with jax.enable_x64(True):
        mean, variance = gp_regression.predict(gp_regression.fit(kernel, X, y), X)
    np.testing.assert_allclose(mean, y, rtol=1e-9)
    np.testing.assert_allclose(variance, 0, atol=1e-12)


def moments_are_right(draws, mean, covariance):
    """Whiten draws by their law, and test mean and variance of every direction."""
    white = np.linalg.solve(np.linalg.cholesky(covariance), (draws - mean).T)
    n, tests = len(draws), 2 * len(mean) + 1
    level = FALSE_ALARM / tests  # so that all tests together cry wolf once in a million keys
    shifts = np.abs(white.mean(axis=1)) * np.sqrt(n)
    squares = (white**2).sum(axis=1)
    low, high = stats.chi2.ppf([level / 2, 1 - level / 2], n)
    across = np.abs((white[0] * white[1]).sum()) / np.sqrt(n)
    return (
        bool((shifts < stats.norm.isf(level / 2)).all())
        and bool(((squares > low) & (squares < high)).all())
        and across < stats.norm.isf(level / 2)
    )


def test_draws_have_the_moments_of_the_posterior():
    with jax.enable_x64(True):
        state = gp_regression.fit(kernel, X, y, noise=0.2)
        draws = gp_regression.sample(jax.random.key(4), state, jnp.asarray(Z), num_samples=20_000)
        mean, covariance = (np.asarray(a) for a in gp_regression.predict_joint(state, Z))
    assert moments_are_right(np.asarray(draws), mean, covariance)
    assert not moments_are_right(np.asarray(draws) + 0.1, mean, covariance)
    assert not moments_are_right(np.asarray(draws), mean, 1.1 * covariance)


def test_what_is_not_positive_definite_is_nan():
    state = gp_regression.fit(kernels.RBF(1.0), jnp.zeros((2, 1)), jnp.ones(2))
    assert jnp.isnan(state.factor).any()
    mean, variance = gp_regression.predict(state, jnp.ones((1, 1)))
    assert jnp.isnan(mean).all()
    assert jnp.isnan(variance).all()
    flat = gp_regression.fit(kernels.RBF(1.0), jnp.zeros((1, 1)), jnp.ones(1))
    draws = gp_regression.sample(jax.random.key(0), flat, jnp.zeros((2, 1)), num_samples=1)
    assert jnp.isnan(draws).all()


def test_slopes_are_finite_where_inputs_coincide():
    """Matern kernels have a root of the distance, whose slope is infinite at 0."""
    twice = jnp.zeros((2, 1))
    for rough in (kernels.Matern12, kernels.Matern32, kernels.Matern52):
        slope = jax.grad(
            lambda length, rough=rough: marginal_likelihood.log_prob(
                rough(length), twice, jnp.ones(2), noise=0.1
            )
        )(jnp.array(1.0))
        assert jnp.isfinite(slope)
