"""Acquisitions far into the tail, at certainty, and by samples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from mastery_jax.inference.bayesopt import acquisition, batch
from tests.statistics import assert_mean

few = settings(max_examples=20, deadline=None, derandomize=True)
ONE = np.ones(1)


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


def log_h(z):
    """Return log(φ + zΦ) by the scaled error function, whose cancellation is of few digits."""
    x = -z / np.sqrt(2)
    inside = 1 + z * np.sqrt(np.pi / 2) * special.erfcx(x)
    return -(z**2) / 2 - np.log(2 * np.pi) / 2 + np.log(inside)


@pytest.mark.parametrize("z", [-300.0, -40.0, -12.0, -5.1, -4.9, -1.0, 0.0, 2.0, 10.0])
def test_log_ei_has_its_digits_at_any_distance(z):
    got = acquisition.log_expected_improvement(-z * jnp.asarray(ONE), jnp.asarray(ONE), 0.0)[0]
    rtol = 1e-9 if z < -12 else 1e-12
    np.testing.assert_allclose(got, log_h(z), rtol=rtol, atol=1e-12)


def test_where_ei_underflows_its_log_and_slope_do_not():
    far = jnp.array([1e2, 1e4, 1e6])
    assert (acquisition.expected_improvement(far, jnp.ones(3), 0.0) == 0).all()
    logs = acquisition.log_expected_improvement(far, jnp.ones(3), 0.0)
    # φ(x) / x² (1 − 3/x²), to leading order
    wanted = -(far**2) / 2 - jnp.log(2 * jnp.pi) / 2 - 2 * jnp.log(far) + jnp.log1p(-3 / far**2)
    np.testing.assert_allclose(logs, wanted, rtol=1e-9)
    slope = jax.grad(lambda m: acquisition.log_expected_improvement(m, jnp.ones(3), 0.0).sum())(far)
    np.testing.assert_allclose(slope, -far - 2 / far, rtol=1e-7)


def test_float32_is_right_in_the_tail_too():
    z = np.linspace(3, 60, 40)
    with jax.enable_x64(False):
        single = jnp.asarray(z, "float32")
        got = acquisition.log_expected_improvement(single, jnp.ones_like(single), 0.0)
    wanted = acquisition.log_expected_improvement(jnp.asarray(z), jnp.ones(40), 0.0)
    np.testing.assert_allclose(got, wanted, rtol=2e-5)


@few
@given(st.floats(-5, 5), st.floats(0.01, 4), st.floats(-3, 3))
def test_slopes_in_the_mean_and_the_scale_are_the_known_ones(mean, variance, best):
    m, v = jnp.array([mean]), jnp.array([variance])
    d_mean, d_variance = jax.grad(
        lambda m, v: acquisition.expected_improvement(m, v, best)[0], argnums=(0, 1)
    )(m, v)
    z = (best - mean) / np.sqrt(variance)
    np.testing.assert_allclose(d_mean[0], -special.ndtr(z), rtol=1e-9)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(d_variance[0], density / 2 / np.sqrt(variance), rtol=1e-9)


def test_certainty_is_no_accident():
    mean, zero = jnp.array([-1.0, 1.0]), jnp.array([0.0, -1e-18])
    np.testing.assert_allclose(acquisition.expected_improvement(mean, zero, 0.0), [1.0, 0.0])
    np.testing.assert_allclose(acquisition.probability_of_improvement(mean, zero, 0.0), [1, 0])
    np.testing.assert_allclose(acquisition.log_feasibility(mean, zero, 0.0), [0.0, -jnp.inf])
    np.testing.assert_allclose(acquisition.confidence_bound(mean, zero, 0.0), [1.0, -1.0])
    slope = jax.grad(lambda v: acquisition.expected_improvement(mean, v, 0.0).sum())(zero)
    assert jnp.isfinite(slope).all()


def test_ei_of_a_batch_of_one_is_ei_and_a_wrong_one_is_seen():
    mean, cov = jnp.array([0.3]), jnp.array([[0.8]])
    draws = jax.random.normal(jax.random.key(0), (40, 250, 1))
    each = jax.vmap(jax.vmap(lambda z: batch.expected_improvement(z[None, :], mean, cov, 0.5)))(
        draws
    )
    wanted = acquisition.expected_improvement(mean, cov[0], 0.5)[0]
    assert_mean(each, wanted)
    with pytest.raises(AssertionError):
        assert_mean(each, 1.1 * wanted)


def test_the_smooth_log_goes_to_the_log_of_the_samples():
    normals = jax.random.normal(jax.random.key(1), (64, 3))
    mean, cov = jnp.array([0.1, 0.4, 0.0]), 0.3 * jnp.eye(3) + 0.1
    exact = jnp.log(batch.expected_improvement(normals, mean, cov, 0.0))
    smooth = batch.log_expected_improvement(normals, mean, cov, 0.0, temperature=1e-6)
    np.testing.assert_allclose(smooth, exact, rtol=1e-4)
    far = batch.log_expected_improvement(normals, mean + 50, cov, 0.0)
    assert jnp.isfinite(far)
    slope = jax.grad(lambda m: batch.log_expected_improvement(normals, m, cov, 0.0))(mean + 50)
    assert (jnp.abs(slope).sum() > 0) & jnp.isfinite(slope).all()


def test_a_batch_that_repeats_itself_is_not_repaired():
    cov = jnp.ones((2, 2))
    value = batch.expected_improvement(jnp.ones((4, 2)), jnp.zeros(2), cov, 0.0)
    assert jnp.isnan(value)
