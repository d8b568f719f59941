"""Both tails of the incomplete gamma and beta function, against series in decimals."""

import itertools
from decimal import Decimal, localcontext
from fractions import Fraction

import jax
import numpy as np
import pytest
from scipy import special

from mastery_jax.probability import distributions
from mastery_jax.probability.incomplete import beta_tails, gamma_tails

BERNOULLI = [
    Fraction(n, d) for n, d in ((1, 6), (-1, 30), (1, 42), (-1, 30), (5, 66), (-691, 2730))
]
TWO_PI = Decimal("6.28318530717958647692528676655900576839433879875021")
TOLERANCE = {"float32": 1e-4, "float64": 2e-12}


def log_gamma(z):
    """Return log Γ(z) to 40 digits, by Stirling's series from 500 on."""
    shift = Decimal(0)
    while z < 500:
        shift, z = shift - z.ln(), z + 1
    value = (z - Decimal("0.5")) * z.ln() - z + TWO_PI.ln() / 2
    for j, b in enumerate(BERNOULLI, 1):
        value += Decimal(b.numerator) / b.denominator / (2 * j * (2 * j - 1)) / z ** (2 * j - 1)
    return value + shift


def least_term(terms):
    """Return a sum of falling positive terms, to 30 digits."""
    total = Decimal(0)
    for term in terms:
        total += term
        if term < total * Decimal("1e-30"):
            return total
    return total


def lower_gamma(a, x):
    """Return P(a, x) by its series of positive terms, in decimals of 50 digits."""
    with localcontext() as context:
        context.prec = 50
        a, x = Decimal(float(a)), Decimal(float(x))
        front = (a * x.ln() - x - log_gamma(a)).exp()
        ratios = itertools.accumulate(
            itertools.count(1), lambda t, n: t * x / (a + n), initial=1 / a
        )
        return float(front * least_term(ratios))


def lower_beta(a, b, x):
    """Return I(a, b; x) by its series of positive terms, in decimals of 50 digits."""
    with localcontext() as context:
        context.prec = 50
        a, b, x = (Decimal(float(v)) for v in (a, b, x))
        front = log_gamma(a + b) - log_gamma(a) - log_gamma(b) + a * x.ln() + b * (1 - x).ln()
        ratios = itertools.accumulate(
            itertools.count(1), lambda t, n: t * x * (a + b + n - 1) / (a + n), initial=1 / a
        )
        return float(front.exp() * least_term(ratios))


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    with jax.enable_x64(request.param == "float64"):
        yield request.param


@pytest.mark.parametrize("a", [0.4, 1.0, 2.9, 3.0, 40.0, 1e4, 3e6])
def test_the_lower_gamma_tail_keeps_its_digits_at_any_size(dtype, a):
    a = np.asarray(a, dtype)
    xs = np.asarray([a * (1 - z / np.sqrt(a + 10)) for z in (0.0, 0.3, 1.0, 3.0)], dtype)
    lower, upper = jax.vmap(lambda x: gamma_tails(a, x, x - a))(xs)
    wanted = [lower_gamma(a, x) for x in xs]
    np.testing.assert_allclose(lower, wanted, rtol=TOLERANCE[dtype])
    np.testing.assert_allclose(lower + upper, 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("a", "b"), [(0.4, 0.7), (0.5, 1e6), (2.0, 1e4), (1e4, 2.0), (30.0, 30.0), (1e5, 3e5)]
)
def test_the_lower_beta_tail_keeps_its_digits_at_any_size(dtype, a, b):
    a, b = np.asarray(a, dtype), np.asarray(b, dtype)
    mean, deviation = a / (a + b), np.sqrt(a * b / (a + b + 1)) / (a + b)
    xs = np.asarray([mean - z * min(deviation, mean / 8) for z in (0.0, 1.0, 4.0)], dtype)
    params = {"concentration1": a, "concentration0": b}
    below = jax.vmap(lambda x: distributions.cdf(params, x, family="beta"))(xs)
    wanted = [lower_beta(a, b, x) for x in xs]
    np.testing.assert_allclose(below, wanted, rtol=TOLERANCE[dtype])


@pytest.mark.slow
def test_both_tails_are_probabilities_everywhere(dtype):
    """No sum of rounded parts may leave [0, 1], and there are no gaps between the two ways."""
    sizes = np.asarray([1e-3, 0.3, 1.0, 2.99, 3.0, 50.0, 1e5, 1e9], dtype)
    a, x = (v.ravel() for v in np.meshgrid(sizes, np.geomspace(1e-12, 1e12, 97).astype(dtype)))
    lower, upper = jax.vmap(gamma_tails)(a, x, x - a)
    np.testing.assert_allclose(lower, special.gammainc(*np.float64([a, x])), atol=4e-6)
    assert ((lower >= 0) & (lower <= 1) & (upper >= 0) & (upper <= 1)).all()
    a, b = (v.ravel() for v in np.meshgrid(sizes, sizes))
    for x in np.asarray([1e-12, 1e-3, 0.3, 0.5, 0.999], dtype):
        y = np.ones_like(a) - x
        lower, upper = jax.vmap(beta_tails)(a, b, np.full_like(a, x), y, b * x - a * y)
        assert ((lower >= 0) & (lower <= 1) & (upper >= 0) & (upper <= 1)).all()
