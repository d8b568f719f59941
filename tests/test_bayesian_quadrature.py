"""Bayesian quadrature: its closed forms are integrals, and its variance that of the integral."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.special import erf

from mastery_jax.probability import bayesian_quadrature
from mastery_jax.probability.gaussian_process import embedding, gp_regression, kernels
from tests.statistics import FALSE_ALARM

BOX = embedding.Box(np.array([-1.0]), np.array([2.0]))
NORMAL = embedding.Normal(np.array([0.3]), np.array([0.8]))
X = np.array([[-0.8], [0.1], [0.9], [1.7]])
y = np.array([0.2, -0.4, 1.1, 0.3])


def rule(measure, size=400):
    """Return points and weights that integrate over a measure of one coordinate."""
    if isinstance(measure, embedding.Box):
        u, w = np.polynomial.legendre.leggauss(size)
        half = (measure.upper - measure.lower) / 2
        return measure.lower + half * (u[:, None] + 1), w * half
    u, w = np.polynomial.hermite_e.hermegauss(100)
    return measure.mean + measure.scale * u[:, None], w / w.sum()


@pytest.mark.parametrize(
    ("kernel", "measure", "rtol"),
    [
        (kernels.RBF(0.6), BOX, 1e-10),
        (kernels.RBF(0.6), NORMAL, 1e-10),
        (kernels.Matern12(0.7), BOX, 1e-4),  # a kink: the rule is what errs
        (kernels.Matern32(0.7), BOX, 1e-6),
        (kernels.Matern52(0.7), BOX, 1e-8),
        (kernels.Sum((kernels.RBF(0.5), kernels.Constant(2.0))), NORMAL, 1e-10),
    ],
    ids=["rbf box", "rbf normal", "matern12", "matern32", "matern52", "sum"],
)
def test_closed_forms_are_the_integrals(kernel, measure, rtol):
    with jax.enable_x64(True):
        points, weights = rule(measure)
        matrix = np.asarray(kernels.cross(kernel, points, np.vstack([points, X])))
        n = len(points)
        means, energy = embedding.mean(kernel, measure, X), embedding.energy(kernel, measure)
    np.testing.assert_allclose(means, weights @ matrix[:, n:], rtol=rtol)
    np.testing.assert_allclose(energy, weights @ matrix[:, :n] @ weights, rtol=rtol)


def test_variance_is_that_of_integrals_of_drawn_functions():
    kernel = kernels.Matern32(0.7)
    count, measure = 4000, BOX
    with jax.enable_x64(True):
        state = bayesian_quadrature.fit(kernel, measure, X, y, noise=0.05)
        mean, variance = (float(a) for a in bayesian_quadrature.integrate(state))
        points, weights = rule(measure, 60)
        draws = gp_regression.sample(
            jax.random.key(2),
            state.posterior,
            jnp.asarray(points),
            num_samples=count,
            jitter=1e-10,
        )
    integrals = np.asarray(draws) @ weights
    z = (integrals.mean() - mean) * np.sqrt(count / variance)
    squares = ((integrals - mean) ** 2).sum() / variance
    low, high = stats.chi2.ppf([FALSE_ALARM / 4, 1 - FALSE_ALARM / 4], count)
    assert abs(z) < stats.norm.isf(FALSE_ALARM / 4)
    assert low < squares < high
    assert not low < squares * 1.3 < high  # the mean of var f, say, would be found out


def test_it_finds_a_known_integral_within_its_interval():
    with jax.enable_x64(True):
        points = np.linspace(-1, 2, 9)[:, None]
        state = bayesian_quadrature.fit(
            kernels.RBF(0.8), BOX, points, np.exp(-(points[:, 0] ** 2)), noise=1e-10
        )
        estimate, variance = (float(a) for a in bayesian_quadrature.integrate(state))
    exact = np.sqrt(np.pi) / 2 * (erf(2) + erf(1))
    assert abs(estimate - exact) < 1e-4
    assert abs(estimate - exact) < 4 * np.sqrt(variance)


@pytest.mark.parametrize(
    "measure", [BOX, pytest.param(NORMAL, marks=pytest.mark.slow)], ids=["box", "normal"]
)
def test_next_point_lowers_the_variance_most(measure):
    kernel = kernels.RBF(0.6)

    def variance_with(x):
        more = bayesian_quadrature.fit(
            kernel, measure, np.vstack([X, x[None]]), np.append(y, 0.0), noise=0.05
        )
        return float(bayesian_quadrature.integrate(more)[1])

    with jax.enable_x64(True):
        state = bayesian_quadrature.fit(kernel, measure, X, y, noise=0.05)
        before = float(bayesian_quadrature.integrate(state)[1])
        x, info = bayesian_quadrature.ask(jax.random.key(0), state, num_candidates=64)
        after = variance_with(np.asarray(x))
        others = [variance_with(np.array([t])) for t in np.linspace(-1, 2, 25)]
    np.testing.assert_allclose(-info.value, before - after, rtol=1e-8)
    assert after <= min(others) + 1e-9


def test_what_has_no_closed_form_is_refused_by_name():
    sentence = "embedding: kernel is Matern32, whose integral over a Normal of 1 dimensions is not"
    with pytest.raises(ValueError, match=sentence):
        embedding.mean(kernels.Matern32(1.0), NORMAL, X)
    with pytest.raises(ValueError, match="embedding: kernel is Linear"):
        embedding.energy(kernels.Linear(1.0), BOX)


def test_values_on_one_point_without_noise_give_nan():
    with jax.enable_x64(True):
        state = bayesian_quadrature.fit(kernels.RBF(1.0), BOX, np.zeros((2, 1)), np.ones(2))
        estimate, variance = bayesian_quadrature.integrate(state)
    assert np.isnan(estimate)
    assert np.isnan(variance)


@pytest.mark.parametrize("kernel", [kernels.Matern12, kernels.Matern32, kernels.Matern52])
def test_a_point_outside_of_the_interval_has_its_mean_too(kernel):
    box = embedding.Box(jnp.zeros(1), jnp.ones(1))
    points = jnp.array([[-1.0], [-0.1], [0.3], [2.0]])
    x = (np.arange(20_000) + 0.5) / 20_000
    wanted = kernels.cross(kernel(0.5), points, jnp.asarray(x[:, None], jnp.float32)).mean(axis=1)
    np.testing.assert_allclose(embedding.mean(kernel(0.5), box, points), wanted, rtol=1e-4)
