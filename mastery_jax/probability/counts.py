"""Probabilities, distribution functions, quantiles and draws of counts, exact at probability 0.

    binomial  log p(k) = log n! − log k! − log (n − k)! + k log p + (n − k) log(1 − p)
              F(k) = I_{1 − p}(n − k, k + 1)
    Poisson   log p(k) = k log r − log k! − r,                 F(k) = Q(k + 1, r)
    beta-binomial, gamma-Poisson: those, averaged over a beta's p and a gamma's r

0 log 0 = 0 throughout, and an event of probability 0 has −∞. A quantile Q(u) is between 0 and
mean + deviation √(u / (1 − u)), Cantelli's inequality, and found there by bisection.

Source: Johnson, Kemp & Kotz (2005), *Univariate Discrete Distributions*, eq. 3.1, 3.30, 4.1, 4.26,
5.3 and 6.31; Cantelli (1928), Atti del Congresso Internazionale dei Matematici 6.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import betainc, gammaincc, gammaln
from jaxtyping import Array

from mastery_jax.core import loop

__all__ = [
    "beta_binomial_log_prob",
    "beta_binomial_sample",
    "binomial_cdf",
    "binomial_log_prob",
    "binomial_quantile",
    "binomial_sample",
    "categorical_cdf",
    "categorical_log_prob",
    "categorical_quantile",
    "categorical_sample",
    "gamma_poisson_log_prob",
    "log_beta",
    "poisson_cdf",
    "poisson_log_prob",
    "poisson_quantile",
    "with_one_trial",
]

Params = dict[str, Array]


def log_beta(a: Array, b: Array) -> Array:
    """Return log B(a, b); jax's own is off by 1e-6 in double precision for b above 8. O(1)."""
    return gammaln(a) + gammaln(b) - gammaln(a + b)


def binomial_log_prob(p: Params, k: Array) -> Array:
    """Return log p(k). O(1)."""
    n, probs = p["total_count"], p["probs"]
    return _log_ways(n, k) + _times_log(k, probs) + _times_log(n - k, 1 - probs)


def beta_binomial_log_prob(p: Params, k: Array) -> Array:
    """Return log p(k). O(1)."""
    n, a, b = p["total_count"], p["concentration1"], p["concentration0"]
    return _log_ways(n, k) + log_beta(k + a, n - k + b) - log_beta(a, b)


def poisson_log_prob(p: Params, k: Array) -> Array:
    """Return log p(k). O(1)."""
    return _times_log(k, p["rate"]) - gammaln(k + 1) - p["rate"]


def gamma_poisson_log_prob(p: Params, k: Array) -> Array:
    """Return log p(k). O(1)."""
    a, rate = p["concentration"], p["rate"]
    ways = gammaln(k + a) - gammaln(k + 1) - gammaln(a)
    return ways - a * jnp.log1p(1 / rate) - k * jnp.log1p(rate)


def categorical_log_prob(p: Params, k: Array) -> Array:
    """Return log p(k). O(1)."""
    return jnp.log(p["probs"][k.astype(int)])


def binomial_cdf(p: Params, k: Array) -> Array:
    """Return F(k). O(1)."""
    n = p["total_count"]
    is_last = k >= n
    return jnp.where(is_last, 1, betainc(jnp.where(is_last, 1, n - k), k + 1, 1 - p["probs"]))


def poisson_cdf(p: Params, k: Array) -> Array:
    """Return F(k). O(1)."""
    return gammaincc(k + 1, p["rate"])


def categorical_cdf(p: Params, k: Array) -> Array:
    """Return F(k). O(classes)."""
    return jnp.where(jnp.arange(len(p["probs"])) <= k, p["probs"], 0).sum()


def binomial_quantile(p: Params, q: Array) -> Array:
    """Return the least k with F(k) ≥ q; 0 for q = 0. O(1)."""
    mean = p["total_count"] * p["probs"]
    bound = jnp.minimum(_at_most(q, mean, mean * (1 - p["probs"])), p["total_count"])
    bound = jnp.where(q < 1, bound, p["total_count"])
    return _count(lambda k: binomial_cdf(p, k), q, bound)


def poisson_quantile(p: Params, q: Array) -> Array:
    """Return the least k with F(k) ≥ q; infinite for q = 1. O(1)."""
    bound = _at_most(q, p["rate"], p["rate"])
    return jnp.where(q < 1, _count(lambda k: poisson_cdf(p, k), q, bound), jnp.inf)


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


def with_one_trial(fn: Callable[..., Array]) -> Callable[..., Array]:
    """Return a function of a binomial as one of its case n = 1."""

    def of_one(*given: Any) -> Array:
        at = next(i for i, each in enumerate(given) if isinstance(each, dict))
        one = {"total_count": jnp.ones_like(given[at]["probs"]), **given[at]}
        return fn(*given[:at], one, *given[at + 1 :])

    return of_one


def _log_ways(n: Array, k: Array) -> Array:
    return gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)


def _times_log(x: Array, y: Array) -> Array:
    """Return x log y with 0 log 0 = 0, and finite slopes where x is 0."""
    return jnp.where(x > 0, x * jnp.log(jnp.where(x > 0, y, 1)), 0)


def _at_most(q: Array, mean: Array, var: Array) -> Array:
    return jnp.ceil(mean + jnp.sqrt(var * q / jnp.where(q < 1, 1 - q, 1))) + 1


def _count(cdf: Callable[[Array], Array], q: Array, bound: Array) -> Array:
    """Return the least count ≤ ``bound`` whose distribution function reaches q."""

    def step(bounds: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
        lower, upper = bounds
        middle = jnp.floor((lower + upper) / 2)
        is_below = (cdf(jnp.maximum(middle, 0)) < q) | (middle < 0)
        return (jnp.where(is_below, middle, lower), jnp.where(is_below, upper, middle)), None

    bounds = jax.lax.stop_gradient((jnp.full_like(bound, -1), bound))
    return loop.scan(step, bounds, num_steps=jnp.finfo(q.dtype).nmant + 2)[0][1]
