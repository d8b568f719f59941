"""Bayesian quadrature: exact where it must be, honest under its own prior, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from mastery_jax.probability import bayesian_quadrature
from mastery_jax.probability.gaussian_process import embedding, gp_regression, kernels


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


def box(d=1):
    return embedding.Box(jnp.zeros(d), jnp.ones(d))


def test_a_smooth_integral_from_few_values():
    X = jnp.linspace(0, 1, 9)[:, None]
    kernel = kernels.Product((kernels.Constant(4.0), kernels.RBF(0.8)))
    state = bayesian_quadrature.fit(kernel, box(), X, jnp.exp(X[:, 0]), noise=1e-10, mean=1.5)
    estimate, variance = bayesian_quadrature.integrate(state)
    np.testing.assert_allclose(estimate, np.e - 1, atol=1e-5)
    assert variance < 1e-6


def test_intervals_cover_as_often_as_they_say_under_the_prior():
    """With 1000 draws from the prior, the count within 90 % is binomial."""
    kernel = kernels.Matern52(0.4)
    fine = jnp.linspace(0.0025, 0.9975, 200)[:, None]
    X = jnp.array([[0.1], [0.35], [0.8]])
    points = jnp.concatenate([X, fine])
    prior = gp_regression.fit(kernel, points, jnp.zeros(203), is_observed=jnp.zeros(203, bool))
    draws = gp_regression.sample(jax.random.key(0), prior, points, num_samples=1000, jitter=1e-10)
    beliefs = jax.vmap(
        lambda y: bayesian_quadrature.integrate(bayesian_quadrature.fit(kernel, box(), X, y))
    )
    mean, variance = beliefs(draws[:, :3])
    z = (draws[:, 3:].mean(axis=1) - mean) / jnp.sqrt(variance)
    inside = int((jnp.abs(z) < stats.norm.isf(0.05)).sum())
    assert stats.binomtest(inside, 1000, 0.9).pvalue > 1e-6
    shrunk = int((jnp.abs(z) < 0.7 * stats.norm.isf(0.05)).sum())  # a planted overconfidence
    assert stats.binomtest(shrunk, 1000, 0.9).pvalue < 1e-6


def test_what_is_gained_is_what_the_variance_loses():
    X, y = jnp.array([[0.2], [0.9]]), jnp.array([0.3, -0.1])
    kernel = kernels.RBF(0.3)
    state = bayesian_quadrature.fit(kernel, box(), X, y, noise=0.01)
    x, info = bayesian_quadrature.ask(jax.random.key(0), state, num_candidates=32)
    after = bayesian_quadrature.fit(
        kernel, box(), jnp.append(X, x[None, :], axis=0), jnp.append(y, 0.0), noise=0.01
    )
    before, less = (bayesian_quadrature.integrate(s)[1] for s in (state, after))
    np.testing.assert_allclose(before - less, -info.value, rtol=1e-8)
    grid = jnp.linspace(0, 1, 101)[:, None]
    assert -info.value >= bayesian_quadrature.gain(state, grid).max() - 1e-12


@pytest.mark.parametrize(
    ("kernel", "measure"),
    [
        (kernels.Periodic(1.0, 1.0), box()),
        (kernels.Matern32(1.0), box(2)),
        (kernels.Matern32(1.0), embedding.Normal(jnp.zeros(1), jnp.ones(1))),
        (kernels.Product((kernels.RBF(1.0), kernels.RBF(2.0))), box()),
    ],
)
def test_what_has_no_closed_form_is_refused(kernel, measure):
    X = jnp.zeros((1, len(measure[0])))
    with pytest.raises(ValueError, match="is not known in closed form"):
        bayesian_quadrature.fit(kernel, measure, X, jnp.ones(1))


def test_two_values_at_one_point_without_noise_have_no_answer():
    state = bayesian_quadrature.fit(kernels.RBF(1.0), box(), jnp.zeros((2, 1)), jnp.ones(2))
    assert jnp.isnan(bayesian_quadrature.integrate(state)[0])
