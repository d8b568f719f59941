"""Densities, both tails and entropies of continuous families, with the digits of their dtype.

    gamma    log f(x) = log a/x − s(a) − D(a, r x)                   F(x) = P(a, r x)
    beta     log f(x) = log ab/(n x y) + log C(n, a) xᵃ yᵇ           F(x) = I(a, b; x)
    Student  log f(t) = c(ν/2) − log(2π)/2 − (ν + 1)/2 log(1 + t²/ν)
             2 P(T > |t|) = I(ν/2, 1/2; ν/(ν + t²))
    Cauchy   F(x) = arctan2(1, −z)/π                                 n = a + b, y = 1 − x

s, D, C and c(z) = log Γ(z + 1/2)/(Γ(z) √z) are ``stirling``'s, P and I ``incomplete``'s. Entropies
have the digamma function ψ as g(a) = log a − ψ(a):

    gamma      s(a) + (a − 1) g(a) − log r
    Dirichlet  Σ (s(aᵢ) + (aᵢ − 1) g(aᵢ)) − s(n) − (n − d) g(n) − (d − 1) log n,     n = Σ aᵢ
    Student    (ν + 1)/2 (ψ((ν + 1)/2) − ψ(ν/2)) + log(2π)/2 − c(ν/2) + log scale

Source: Johnson, Kotz & Balakrishnan (1994, 1995), *Continuous Univariate Distributions*, vol. 1-2;
entropies: Lazo & Rathie (1978), IEEE Trans. Inf. Theory 24(1), table I; the form of the densities:
Loader (2000), *Fast and Accurate Computation of Binomial Probabilities*.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jax.scipy.special import erf, erfc, ndtr
from jaxtyping import Array

from mastery_jax.probability import stirling
from mastery_jax.probability.incomplete import Tails, beta_tails, gamma_tails

__all__ = [
    "beta_entropy",
    "beta_log_prob",
    "beta_unit_tails",
    "cauchy_log_prob",
    "cauchy_tails",
    "dirichlet_entropy",
    "dirichlet_log_prob",
    "exponential_tails",
    "gamma_entropy",
    "gamma_log_prob",
    "gamma_scaled_tails",
    "gumbel_tails",
    "half_normal_tails",
    "laplace_tails",
    "log_normal_tails",
    "logistic_tails",
    "normal_tails",
    "student_t_entropy",
    "student_t_log_prob",
    "student_t_mean",
    "student_t_sides",
    "student_t_tails",
    "uniform_tails",
    "weibull_tails",
]

Params = dict[str, Array]


def normal_tails(p: Params, x: Array) -> Tails:
    """Return P(X ≤ x) and P(X > x). O(1)."""
    z = _standard(p, x)
    return Tails(ndtr(z), ndtr(-z))


def log_normal_tails(p: Params, x: Array) -> Tails:
    """Return P(X ≤ x) and P(X > x). O(1)."""
    return normal_tails(p, jnp.log(x))


def half_normal_tails(p: Params, x: Array) -> Tails:
    """Return P(X ≤ x) and P(X > x). O(1)."""
    z = x / p["scale"] * 0.5**0.5
    return Tails(erf(z), erfc(z))


def logistic_tails(p: Params, x: Array) -> Tails:
    """Return P(X ≤ x) and P(X > x). O(1)."""
    z = _standard(p, x)
    return Tails(jax.nn.sigmoid(z), jax.nn.sigmoid(-z))


def gumbel_tails(p: Params, x: Array) -> Tails:
    """Return P(X ≤ x) and P(X > x). O(1)."""
    hazard = jnp.exp(-_standard(p, x))
    return Tails(jnp.exp(-hazard), -jnp.expm1(-hazard))


def laplace_tails(p: Params, x: Array) -> Tails:
    """Return P(X ≤ x) and P(X > x). O(1)."""
    z = _standard(p, x)
    outer = jnp.exp(-jnp.where(z < 0, -z, z)) / 2
    return Tails(jnp.where(z < 0, outer, 1 - outer), jnp.where(z < 0, 1 - outer, outer))


def exponential_tails(p: Params, x: Array) -> Tails:
    """Return P(X ≤ x) and P(X > x). O(1)."""
    hazard = p["rate"] * x
    return Tails(-jnp.expm1(-hazard), jnp.exp(-hazard))


def weibull_tails(p: Params, x: Array) -> Tails:
    """Return P(X ≤ x) and P(X > x). O(1)."""
    hazard = (x / p["scale"]) ** p["concentration"]
    return Tails(-jnp.expm1(-hazard), jnp.exp(-hazard))


def uniform_tails(p: Params, x: Array) -> Tails:
    """Return P(X ≤ x) and P(X > x). O(1)."""
    width = p["high"] - p["low"]
    return Tails((x - p["low"]) / width, (p["high"] - x) / width)


def cauchy_log_prob(p: Params, x: Array) -> Array:
    """Return log f(x). O(1)."""
    return -stirling.log_sum_of_squares(_standard(p, x)) - jnp.log(jnp.pi * p["scale"])


def cauchy_tails(p: Params, x: Array) -> Tails:
    """Return P(X ≤ x) and P(X > x). O(1)."""
    z = _standard(p, x)
    one = jnp.ones_like(z)
    return Tails(jnp.arctan2(one, -z) / jnp.pi, jnp.arctan2(one, z) / jnp.pi)


def gamma_log_prob(p: Params, x: Array) -> Array:
    """Return log f(x). O(1)."""
    a, at = p["concentration"], p["rate"] * x
    excess = stirling.product_difference(p["rate"], x, a, jnp.ones_like(a))
    return jnp.log(a) - jnp.log(x) + stirling.poisson_log_term(a, at, excess)


def gamma_scaled_tails(p: Params, x: Array) -> Tails:
    """Return P(X ≤ x) and P(X > x). O(1)."""
    a = p["concentration"]
    excess = stirling.product_difference(p["rate"], x, a, jnp.ones_like(a))
    return gamma_tails(a, p["rate"] * x, excess)


def gamma_entropy(p: Params) -> Array:
    """Return −E log f. O(1)."""
    a = p["concentration"]
    return stirling.stirling(a) + (a - 1) * stirling.digamma_gap(a) - jnp.log(p["rate"])


def beta_log_prob(p: Params, x: Array) -> Array:
    """Return log f(x). O(1)."""
    a, b = p["concentration1"], p["concentration0"]
    term = stirling.binomial_log_term(a, b, x, 1 - x, _beta_excess(a, b, x))
    return jnp.log(a) - jnp.log1p(a / b) + term - jnp.log(x) - jnp.log1p(-x)


def beta_unit_tails(p: Params, x: Array) -> Tails:
    """Return P(X ≤ x) and P(X > x). O(1)."""
    a, b = p["concentration1"], p["concentration0"]
    return beta_tails(a, b, x, 1 - x, _beta_excess(a, b, x))


def beta_entropy(p: Params) -> Array:
    """Return −E log f. O(1)."""
    shapes = jnp.stack([p["concentration1"], p["concentration0"]])
    return dirichlet_entropy({"concentration": shapes})


def dirichlet_log_prob(p: Params, x: Array) -> Array:
    """Return log f(x). O(d)."""
    a = p["concentration"]
    n = a.sum()
    excess = stirling.product_difference(n, x, a, jnp.ones_like(a))
    terms = stirling.poisson_log_term(a, n * x, excess) + excess  # Σ x is 1 up to rounding
    return stirling.stirling(n) - jnp.log(n) + (terms + jnp.log(a) - jnp.log(x)).sum()


def dirichlet_entropy(p: Params) -> Array:
    """Return −E log f. O(d)."""
    a = p["concentration"]
    n, dim = a.sum(), len(a)
    each = stirling.stirling(a) + (a - 1) * stirling.digamma_gap(a)
    whole = stirling.stirling(n) + (n - dim) * stirling.digamma_gap(n)
    return each.sum() - whole - (dim - 1) * jnp.log(n)


def student_t_log_prob(p: Params, x: Array) -> Array:
    """Return log f(x). O(1)."""
    return _standard_t_log_prob(p["df"], _standard(p, x)) - jnp.log(p["scale"])


def student_t_tails(p: Params, x: Array) -> Tails:
    """Return P(X ≤ x) and P(X > x). O(1)."""
    return _standard_t_tails(p["df"], _standard(p, x))


def student_t_mean(p: Params) -> Array:
    """Return the location, where there is a mean. O(1)."""
    return jnp.where(p["df"] > 1, p["loc"], jnp.nan)


def student_t_entropy(p: Params) -> Array:
    """Return −E log f. O(1)."""
    half = p["df"] / 2
    rise = jnp.log1p(1 / p["df"]) - stirling.digamma_gap(half + 0.5) + stirling.digamma_gap(half)
    front = math.log(2 * math.pi) / 2 - stirling.log_gamma_ratio(half)
    return (half + 0.5) * rise + front + jnp.log(p["scale"])


def student_t_sides(df: Array, distance: Array) -> tuple[Array, Array]:
    """Return P(|T| > t) and P(|T| ≤ t), each with all digits where it is the lesser. O(1)."""
    half = df / 2
    # Further out the first term of the series is all of it, and t² soon no number.
    is_far = distance > jnp.sqrt(df / jnp.finfo(df.dtype).eps)
    is_inside = (distance > 0) & ~is_far
    square = jnp.where(is_inside, distance, 1) ** 2
    x, y = df / (df + square), square / (df + square)
    tails = beta_tails(half, jnp.full_like(half, 0.5), x, y, x * (1 - square) / 2)
    log_power = jnp.log(df) - 2 * jnp.log(jnp.where(is_far, distance, 1))
    whole = jnp.log(half) + stirling.log_beta(half, jnp.full_like(half, 0.5))
    far = jnp.where(is_far, jnp.exp(half * log_power - whole), 1)
    return jnp.where(is_inside, tails.lower, far), jnp.where(is_inside, tails.upper, 1 - far)


@jax.custom_jvp
def _standard_t_tails(df: Array, t: Array) -> Tails:
    outside, inside = student_t_sides(df, jnp.abs(t))
    nearer, further = outside / 2, (1 + inside) / 2
    return Tails(jnp.where(t < 0, nearer, further), jnp.where(t < 0, further, nearer))


def _standard_t_jvp(given: tuple[Array, ...], tangents: tuple[Any, ...]) -> tuple[Tails, Tails]:
    """Take the density for the slope in t: that of |t| has none at 0."""
    (df, t), (d_df, dt) = given, tangents
    moved = jnp.zeros_like(t)
    if not isinstance(dt, SymbolicZero):
        moved = jnp.exp(_standard_t_log_prob(df, t)) * dt
    total = Tails(moved, -moved)
    if not isinstance(d_df, SymbolicZero):
        side = jnp.where(t < 0, -0.5, 0.5).astype(t.dtype)
        _, wider = jax.jvp(lambda df: student_t_sides(df, jnp.abs(t))[0], (df,), (d_df,))
        total = Tails(total.lower - side * wider, total.upper + side * wider)
    return _standard_t_tails(df, t), total


_standard_t_tails.defjvp(_standard_t_jvp, symbolic_zeros=True)


def _standard_t_log_prob(df: Array, t: Array) -> Array:
    fall = (df + 1) / 2 * stirling.log_sum_of_squares(t / jnp.sqrt(df))
    return stirling.log_gamma_ratio(df / 2) - math.log(2 * math.pi) / 2 - fall


def _beta_excess(a: Array, b: Array, x: Array) -> Array:
    """Return b x − a (1 − x), where 1 − x need not be a float."""
    y = 1 - x
    return stirling.product_difference(b, x, a, y) + a * ((x - 1) + y)


def _standard(p: Params, x: Array) -> Array:
    return (x - p["loc"]) / p["scale"]
