"""What a measurement is worth: in the far tail, against draws, and where nothing is uncertain."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from mastery_jax.inference.bayesopt import acquisition, batch
from tests.statistics import FALSE_ALARM


def log_ei(z):
    """Return log h(z) by the moments of a normal's tail, h = ∫_0^∞ t φ(t + |z|) dt.

    With erfcx (which does not underflow), h(z) = φ(z) (1 − √(π/2) |z| erfcx(|z|/√2)); what cancels
    there is left to the series 1/z² − 3/z⁴ + 15/z⁶ − …, in fractions.
    """
    x2 = Fraction(z) ** 2
    term = total = 1 / x2
    for k in range(1, 12):  # at z = −40 the next term is below 1e-24 of the first
        term *= -(2 * k + 1) / x2
        total += term
    return -float(x2) / 2 - np.log(2 * np.pi) / 2 + np.log(float(total))


@pytest.mark.parametrize("z", [-40, -60, -1000])
def test_logarithm_is_right_in_the_tail(z):
    one = np.ones(1)
    with jax.enable_x64(True):
        value = acquisition.log_expected_improvement(-z * one, one, 0.0)
        slope = jax.grad(lambda m: acquisition.log_expected_improvement(m, one, 0.0)[0])(-z * one)
    np.testing.assert_allclose(value, log_ei(z), rtol=1e-14)
    # −Φ/h, by SciPy, where Φ(z) = φ(z) √(π/2) erfcx(|z|/√2)
    ratio = np.log(np.sqrt(np.pi / 2) * special.erfcx(-z / np.sqrt(2)))
    log_phi = -(z**2) / 2 - np.log(2 * np.pi) / 2
    np.testing.assert_allclose(slope, -np.exp(ratio + log_phi - log_ei(z)), rtol=1e-9)


def test_it_is_smooth_where_the_formula_changes():
    """The sum above z = −5 and the fraction below agree, in value and in slope."""
    z = -5 + np.array([-1e-9, 1e-9])
    with jax.enable_x64(True):
        value = np.asarray(acquisition.log_expected_improvement(-z, np.ones(2), 0.0))
        # h'/h = Φ/h is about 5.4 there
        x = 5.0
        h = stats.norm.pdf(x) * (1 - np.sqrt(np.pi / 2) * x * special.erfcx(x / np.sqrt(2)))
    np.testing.assert_allclose(value[1] - value[0], 2e-9 * stats.norm.cdf(-x) / h, atol=1e-12)


def test_in_single_precision_it_tells_points_apart_where_ei_is_0():
    mean = jnp.array([20.0, 21.0])
    assert (acquisition.expected_improvement(mean, jnp.ones(2), 0.0) == 0).all()
    logs = acquisition.log_expected_improvement(mean, jnp.ones(2), 0.0)
    np.testing.assert_allclose(logs, [log_ei(-20), log_ei(-21)], rtol=1e-6)


def test_the_slope_far_away_has_its_digits_in_single_precision():
    """Φ(z)/h(z) = x + 2/x − … for x = −z; as a difference of logs it was 0.4 % off at 500."""
    mean = jnp.array([50.0, 500.0, 5000.0])
    slope = jax.grad(lambda m: acquisition.log_expected_improvement(m, jnp.ones(3), 0.0).sum())
    np.testing.assert_allclose(slope(mean), -mean - 2 / mean, rtol=1e-6)


def mean_is(draws, expected):
    """Say whether draws may have this mean; wrong once in a million keys."""
    error = draws.std(ddof=1) / np.sqrt(len(draws))
    return abs(draws.mean() - expected) < stats.norm.isf(FALSE_ALARM / 2) * error


def test_expected_improvement_is_the_mean_of_improvements():
    mean, variance, best = 0.4, 0.7, 0.2
    f = mean + np.sqrt(variance) * np.random.default_rng(0).normal(size=400_000)
    given = np.array([mean]), np.array([variance]), best
    with jax.enable_x64(True):
        worth = float(acquisition.expected_improvement(*given)[0])
        chance = float(acquisition.probability_of_improvement(*given)[0])
    assert mean_is(np.maximum(best - f, 0), worth)
    assert not mean_is(np.maximum(best - f, 0), 1.02 * worth)
    assert mean_is((f < best).astype(float), chance)


def test_joint_improvement_of_independent_points_is_the_closed_form():
    """With q = 1, by normals at quantiles; and two equal points are worth one."""
    normals = stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)[:, None]
    mean, cov, best = np.array([0.4]), np.array([[0.7]]), 0.2
    with jax.enable_x64(True):
        alone = acquisition.log_expected_improvement(mean, np.array([0.7]), best)[0]
        value = jnp.log(batch.expected_improvement(normals, mean, cov, best))
        smooth = batch.log_expected_improvement(normals, mean, cov, best, temperature=1e-4)
        twice = np.array([[0.7, 0.7 - 1e-9], [0.7 - 1e-9, 0.7]])
        both = np.hstack([normals, np.zeros_like(normals)])
        pair = jnp.log(batch.expected_improvement(both, np.repeat(mean, 2), twice, best))
    np.testing.assert_allclose(value, alone, atol=1e-4)
    np.testing.assert_allclose(smooth, alone, atol=1e-3)
    np.testing.assert_allclose(pair, alone, atol=1e-3)


def test_smooth_logarithm_keeps_a_slope_where_no_sample_improves():
    normals = jax.random.normal(jax.random.key(0), (16, 2))
    cov = 1e-4 * jnp.eye(2)

    def worth(mean):
        return batch.log_expected_improvement(normals, mean, cov, 0.0)

    value, slope = jax.value_and_grad(worth)(jnp.array([3.0, 3.1]))
    assert jnp.isfinite(value)
    assert slope[0] < -100  # nats per unit of y, downhill
    assert batch.expected_improvement(normals, jnp.array([3.0, 3.1]), cov, 0.0) == 0


def test_certainty_is_no_division_by_zero():
    mean, none = jnp.array([-1.0, 1.0]), jnp.array([0.0, -1e-9])
    np.testing.assert_allclose(acquisition.expected_improvement(mean, none, 0.0), [1, 0])
    np.testing.assert_allclose(acquisition.probability_of_improvement(mean, none, 0.0), [1, 0])
    np.testing.assert_allclose(acquisition.log_feasibility(mean, none, 0.0), [0, -np.inf])
    np.testing.assert_allclose(acquisition.confidence_bound(mean, none, 0.0), [1, -1])
    slope = jax.grad(lambda v: acquisition.log_expected_improvement(mean, v, 0.0)[0])(none)
    assert jnp.isfinite(slope).all()
