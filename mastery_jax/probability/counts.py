"""Probabilities, distribution functions, quantiles and draws of counts, exact at probability 0.

    binomial  log p(k) = log C(n, k) pᵏ (1 − p)ⁿ⁻ᵏ,           F(k) = I(n − k, k + 1; 1 − p)
    Poisson   log p(k) = log e⁻ʳ rᵏ / k!,                     F(k) = Q(k + 1, r)
    gamma-Poisson  p(k) = a/(a + k) C(a + k, k) xᵃ (1 − x)ᵏ,  F(k) = I(a, k + 1; x),  x = r/(1 + r)
    beta-binomial  p(k) = a b N / (A B n') C(n, k) C(n', a) / C(N, A)
                   A = k + a,  B = n − k + b,  N = A + B,  n' = a + b

by ``stirling`` and ``incomplete``; the powers of A/N and B/N that belong to the three C of the
last cancel. 0 log 0 = 0 throughout, and an event of probability 0 has −∞. A quantile Q(u) is
between 0 and mean + deviation √(u / (1 − u)), Cantelli's inequality, and found there by bisection.

Source: Johnson, Kemp & Kotz (2005), *Univariate Discrete Distributions*, eq. 3.1, 3.30, 4.1, 4.26,
5.3, 5.31 and 6.31; Cantelli (1928), Atti del Congresso Internazionale dei Matematici 6; Loader
(2000), *Fast and Accurate Computation of Binomial Probabilities*.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from mastery_jax.core import loop
from mastery_jax.probability.incomplete import Tails, beta_tails, gamma_tails
from mastery_jax.probability.stirling import (
    binomial_log_term,
    poisson_log_term,
    product_difference,
)

__all__ = [
    "beta_binomial_log_prob",
    "beta_binomial_sample",
    "binomial_log_prob",
    "binomial_quantile",
    "binomial_sample",
    "binomial_tails",
    "categorical_log_prob",
    "categorical_quantile",
    "categorical_sample",
    "categorical_tails",
    "gamma_poisson_log_prob",
    "gamma_poisson_quantile",
    "gamma_poisson_tails",
    "poisson_log_prob",
    "poisson_quantile",
    "poisson_tails",
    "with_one_trial",
]

Params = dict[str, Array]


def binomial_log_prob(p: Params, k: Array) -> Array:
    """Return log p(k). O(1)."""
    n, probs = p["total_count"], p["probs"]
    excess = product_difference(n, probs, k, jnp.ones_like(k))
    return binomial_log_term(k, n - k, probs, 1 - probs, excess)


def beta_binomial_log_prob(p: Params, k: Array) -> Array:
    """Return log p(k). O(1)."""
    n, a, b = p["total_count"], p["concentration1"], p["concentration0"]
    rest = n - k
    hits, misses, total = k + a, rest + b, n + a + b
    x, y = hits / total, misses / total
    excess = product_difference(a, rest, b, k) / total
    terms = binomial_log_term(k, rest, x, y, excess) + binomial_log_term(a, b, x, y, -excess)
    terms = terms - binomial_log_term(hits, misses, x, y, jnp.zeros_like(excess))
    return terms + jnp.log(a / hits) + jnp.log(b / misses) + jnp.log(total / (a + b))


def poisson_log_prob(p: Params, k: Array) -> Array:
    """Return log p(k). O(1)."""
    return poisson_log_term(k, p["rate"], p["rate"] - k)


def gamma_poisson_log_prob(p: Params, k: Array) -> Array:
    """Return log p(k). O(1)."""
    a, (x, y, excess) = p["concentration"], _odds(p, k)
    return binomial_log_term(a, k, x, y, excess) - jnp.log1p(k / a)


def categorical_log_prob(p: Params, k: Array) -> Array:
    """Return log p(k). O(1)."""
    return jnp.log(p["probs"][k.astype(int)])


def binomial_tails(p: Params, k: Array) -> Tails:
    """Return P(X ≤ k) and P(X > k). O(1)."""
    n, probs = p["total_count"], p["probs"]
    is_last = k >= n
    rest = jnp.where(is_last, 1, n - k)
    # (k + 1) (1 − p) − (n − k) p, in which k + 1 need not be a float.
    excess = product_difference(k, jnp.ones_like(k), rest + k, probs) + (1 - probs)
    below, above = beta_tails(rest, k + 1, 1 - probs, probs, excess)
    return Tails(jnp.where(is_last, 1, below), jnp.where(is_last, 0, above))


def poisson_tails(p: Params, k: Array) -> Tails:
    """Return P(X ≤ k) and P(X > k). O(1)."""
    above, below = gamma_tails(k + 1, p["rate"], p["rate"] - k - 1)
    return Tails(below, above)


def gamma_poisson_tails(p: Params, k: Array) -> Tails:
    """Return P(X ≤ k) and P(X > k). O(1)."""
    x, y, excess = _odds(p, k)
    return beta_tails(p["concentration"], k + 1, x, y, excess + x)


def categorical_tails(p: Params, k: Array) -> Tails:
    """Return P(X ≤ k) and P(X > k). O(classes)."""
    is_below = jnp.arange(len(p["probs"])) <= k
    parts = jnp.where(is_below, p["probs"], 0), jnp.where(is_below, 0, p["probs"])
    return Tails(*(part.sum() for part in parts))


def binomial_quantile(p: Params, q: Array) -> Array:
    """Return the least k with F(k) ≥ q; 0 for q = 0. O(1)."""
    mean = p["total_count"] * p["probs"]
    bound = jnp.minimum(_at_most(q, mean, mean * (1 - p["probs"])), p["total_count"])
    bound = jnp.where(q < 1, bound, p["total_count"])
    return _count(lambda k: binomial_tails(p, k), q, bound)


def poisson_quantile(p: Params, q: Array) -> Array:
    """Return the least k with F(k) ≥ q; infinite for q = 1. O(1)."""
    bound = _at_most(q, p["rate"], p["rate"])
    return jnp.where(q < 1, _count(lambda k: poisson_tails(p, k), q, bound), jnp.inf)


def gamma_poisson_quantile(p: Params, q: Array) -> Array:
    """Return the least k with F(k) ≥ q; infinite for q = 1. O(1)."""
    mean = p["concentration"] / p["rate"]
    bound = _at_most(q, mean, mean * (1 + 1 / p["rate"]))
    return jnp.where(q < 1, _count(lambda k: gamma_poisson_tails(p, k), q, bound), jnp.inf)


def categorical_quantile(p: Params, q: Array) -> Array:
    """Return the least k with F(k) ≥ q. O(classes)."""
    return (jnp.cumsum(p["probs"])[:-1] < q).sum().astype(q.dtype)


def binomial_sample(key: Array, p: Params, shape: tuple[int, ...]) -> Array:
    """Draw counts. O(product of ``shape``)."""
    return jax.random.binomial(key, p["total_count"], p["probs"], shape, p["probs"].dtype)


def beta_binomial_sample(key: Array, p: Params, shape: tuple[int, ...]) -> Array:
    """Draw a probability, then a count, for every place. O(product of ``shape``)."""
    probs_key, count_key = jax.random.split(key)
    probs = jax.random.beta(probs_key, p["concentration1"], p["concentration0"], shape)
    return binomial_sample(count_key, {**p, "probs": probs}, shape)


def categorical_sample(key: Array, p: Params, shape: tuple[int, ...]) -> Array:
    """Draw codes. O(classes product of ``shape``)."""
    return jax.random.categorical(key, jnp.log(p["probs"]), shape=shape)


def with_one_trial(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of a binomial as one of its case n = 1."""

    def of_one(*given: Any) -> Any:
        at = next(i for i, each in enumerate(given) if isinstance(each, dict))
        one = {"total_count": jnp.ones_like(given[at]["probs"]), **given[at]}
        return fn(*given[:at], one, *given[at + 1 :])

    return of_one


def _odds(p: Params, k: Array) -> tuple[Array, Array, Array]:
    """Return x = r/(1 + r), 1 − x, and k x − a (1 − x)."""
    a, rate = p["concentration"], p["rate"]
    excess = product_difference(k, rate, a, jnp.ones_like(a)) / (1 + rate)
    return rate / (1 + rate), 1 / (1 + rate), excess


def _at_most(q: Array, mean: Array, var: Array) -> Array:
    return jnp.ceil(mean + jnp.sqrt(var * q / jnp.where(q < 1, 1 - q, 1))) + 1


def _count(tails: Callable[[Array], Tails], q: Array, bound: Array) -> Array:
    """Return the least count ≤ ``bound`` whose distribution function reaches q."""

    def step(bounds: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
        lower, upper = bounds
        middle = jnp.floor((lower + upper) / 2)
        below, above = tails(jnp.maximum(middle, 0))
        is_short = jnp.where(q < 0.5, below < q, above > 1 - q)
        is_below = is_short | (middle < 0)
        return (jnp.where(is_below, middle, lower), jnp.where(is_below, upper, middle)), None

    bounds = jax.lax.stop_gradient((jnp.full_like(bound, -1), bound))
    return loop.scan(step, bounds, num_steps=jnp.finfo(q.dtype).nmant + 2)[0][1]
