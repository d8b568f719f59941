"""Gauss rules: exact to degree 2n − 1 at any order, and as scipy has them."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.tree_util import Partial
from scipy import special

from mastery_jax.core.status import Status
from mastery_jax.numerics.quadrature import gauss_hermite, gauss_laguerre, gauss_legendre

few = settings(max_examples=10, deadline=None, derandomize=True)


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


FAMILIES = {
    "legendre": (gauss_legendre.nodes, special.roots_legendre),
    "hermite": (gauss_hermite.nodes, special.roots_hermite),
    "laguerre": (gauss_laguerre.nodes, special.roots_laguerre),
    "laguerre 0.7": (
        lambda n: gauss_laguerre.nodes(n, 0.7),
        lambda n: special.roots_genlaguerre(n, 0.7),
    ),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_nodes_and_weights_are_scipys(name):
    ours, theirs = FAMILIES[name]
    for n in (1, 2, 5, 16):
        for mine, wanted in zip(ours(n), theirs(n), strict=True):
            np.testing.assert_allclose(mine, wanted, rtol=1e-13, atol=1e-15)
    for n in (64, 101):  # scipy's own weights lose digits here; see the next test
        for mine, wanted, rtol in zip(ours(n), theirs(n), (1e-13, 1e-10), strict=True):
            np.testing.assert_allclose(mine, wanted, rtol=rtol, atol=1e-14)


def test_a_thousand_legendre_nodes_keep_their_digits():
    n = 1000
    x, weights = gauss_legendre.nodes(n)
    wide = np.longdouble(x)  # one Newton step in extended precision, where there is one
    before, value = np.ones_like(wide), wide
    for k in range(1, n):
        before, value = value, ((2 * k + 1) * wide * value - k * before) / (k + 1)
    slope = n * (before - wide * value) / (1 - wide**2)
    wanted = wide - value / slope
    np.testing.assert_allclose(x, np.asarray(wanted, float), rtol=0, atol=2e-16)
    assert abs(weights.sum() - 2) < 1e-13
    for degree in (2, 100, 1998):
        assert abs(weights @ x**degree * (degree + 1) / 2 - 1) < 1e-11


@pytest.mark.slow
def test_a_thousand_nodes_of_the_others():
    x, weights = gauss_hermite.nodes(1000)
    assert (np.diff(x) > 0).all()
    assert np.isfinite(weights).all()
    for power, moment in ((0, 1), (2, 1), (4, 3), (10, 945)):
        np.testing.assert_allclose(
            weights @ (math.sqrt(2) * x) ** power / math.sqrt(math.pi), moment, rtol=1e-12
        )
    x, weights = gauss_laguerre.nodes(1000)
    for power in range(12):
        np.testing.assert_allclose(weights @ x**power, math.factorial(power), rtol=1e-12)


@few
@given(st.integers(2, 9), st.integers(0, 2**32 - 1))
def test_polynomials_of_degree_2n_minus_1_are_exact(n, seed):
    coefficients = np.random.default_rng(seed).normal(size=2 * n)
    poly = np.polynomial.Polynomial(coefficients)
    x, weights = gauss_legendre.nodes(n)
    np.testing.assert_allclose(weights @ poly(x), poly.integ()(1) - poly.integ()(-1), rtol=1e-11)
    x, weights = gauss_laguerre.nodes(n)
    moments = [math.factorial(k) for k in range(2 * n)]
    scale = np.abs(coefficients) @ moments
    np.testing.assert_allclose(weights @ poly(x), coefficients @ moments, atol=1e-12 * scale)
    x, weights = gauss_hermite.nodes(n)
    moments = [math.gamma((k + 1) / 2) if k % 2 == 0 else 0 for k in range(2 * n)]
    scale = np.abs(coefficients) @ moments
    np.testing.assert_allclose(weights @ poly(x), coefficients @ moments, atol=1e-12 * scale)


def test_the_mean_of_a_lognormal():
    estimate, bound = gauss_hermite.expectation(Partial(jnp.exp), 0.3, 0.8)
    np.testing.assert_allclose(estimate, math.exp(0.3 + 0.32), rtol=1e-13)
    assert bound.status == Status.CONVERGED
    slopes = jax.grad(lambda m, s: gauss_hermite.expectation(Partial(jnp.exp), m, s)[0], (0, 1))
    np.testing.assert_allclose(slopes(0.3, 0.8), estimate * np.array([1, 0.8]), rtol=1e-11)


def test_the_error_is_no_smaller_than_it_is():
    for fn, value in ((jnp.sqrt, 2 / 3), (lambda x: jnp.abs(x - 0.3), 0.29), (jnp.exp, math.e - 1)):
        estimate, bound = gauss_legendre.integrate(Partial(fn), 0.0, 1.0, num_nodes=20)
        assert abs(estimate - value) <= bound.error + 1e-15


@pytest.mark.parametrize(
    "result",
    [
        lambda: gauss_legendre.integrate(Partial(jnp.exp), 0.0, jnp.inf),
        lambda: gauss_legendre.integrate(Partial(jnp.exp), jnp.nan, 1.0),
        lambda: gauss_laguerre.integrate(Partial(jnp.exp), -jnp.inf),
        lambda: gauss_laguerre.integrate(Partial(jnp.exp), 0.0, rate=-1.0),
        lambda: gauss_hermite.expectation(Partial(jnp.exp), 0.0, -1.0),
    ],
)
def test_bad_input_gives_nan_and_says_so(result):
    estimate, bound = result()
    assert jnp.isnan(estimate)
    assert bound.status == Status.BAD_INPUT


def test_what_is_known_to_be_wrong_while_tracing():
    with pytest.raises(ValueError, match=r"gauss_legendre\.nodes: num_nodes is 0"):
        gauss_legendre.nodes(0)
    with pytest.raises(ValueError, match=r"gauss_laguerre\.nodes: alpha is -1"):
        gauss_laguerre.nodes(3, -1.0)
    with pytest.raises(ValueError, match=r"gauss_hermite\.expectation: num_nodes is 1, not at"):
        gauss_hermite.expectation(Partial(jnp.exp), 0.0, 1.0, num_nodes=1)
    estimate, bound = gauss_legendre.integrate(Partial(lambda x: 1 / (x - x)), 0.0, 1.0)
    assert not jnp.isfinite(estimate)
    assert bound.status == Status.NOT_FINITE
