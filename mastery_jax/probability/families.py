"""The families that ``distributions`` knows: their parameters, supports, and who computes what.

Densities, samples and moments are those of ``numpyro.distributions``, unless a field says
otherwise: both tails are ``densities``' and ``counts``', as are densities that would lose digits;
most quantiles are ``quantiles``'.

Source: Johnson, Kotz & Balakrishnan (1994, 1995), *Continuous Univariate Distributions*, vol. 1-2;
Johnson, Kemp & Kotz (2005), *Univariate Discrete Distributions*.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpyro.distributions as numpyro
from jaxtyping import Array

from mastery_jax.probability import counts, densities, quantiles
from mastery_jax.probability.incomplete import Tails
from mastery_jax.probability.information import is_distribution

__all__ = ["FAMILIES", "Family", "Support"]

Params = dict[str, Array]


class Support(NamedTuple):
    """Where a density is not 0."""

    contains: Callable[[Params, Array], Array]
    inside: Callable[[Params, Array], Array]  # a point of it, shaped like the one given


class Family(NamedTuple):
    """One family, as trace-time constants."""

    make: Callable[..., Any]  # NumPyro's constructor
    params: dict[str, tuple[str, Callable[[Array], Array]]]  # shape, and which values are allowed
    support: Support
    event: str = ""  # shape of one draw
    is_discrete: bool = False
    log_prob: Callable[[Params, Array], Array] | None = None  # where NumPyro's does not do
    tails: Callable[[Params, Array], Tails] | None = None  # at a point of the support
    quantile: Callable[[Params, Array], Array] | None = None
    mean: Callable[[Params], Array] | None = None
    entropy: Callable[[Params], Array] | None = None
    sample: Callable[[Array, Params, tuple[int, ...]], Array] | None = None
    agree: Callable[[Params], Array] | None = None  # what parameters owe to one another


def _is_real(x: Array) -> Array:
    return jnp.isfinite(x)


def _is_positive(x: Array) -> Array:
    return (x > 0) & jnp.isfinite(x)


def _is_probability(x: Array) -> Array:
    return (x >= 0) & (x <= 1)


def _is_count(x: Array) -> Array:
    return (x >= 0) & (x == jnp.floor(x)) & jnp.isfinite(x)


def _is_symmetric(x: Array) -> Array:
    scale = jnp.sqrt(jnp.diagonal(x))
    return jnp.abs(x - x.T) <= 1e-3 * scale[:, None] * scale[None, :]


_REAL = Support(lambda _, x: _is_real(x), lambda _, x: jnp.zeros_like(x))
_POSITIVE = Support(lambda _, x: _is_positive(x), lambda _, x: jnp.ones_like(x))
_NONNEGATIVE = Support(lambda _, x: (x >= 0) & _is_real(x), lambda _, x: jnp.ones_like(x))
_UNIT = Support(lambda _, x: (x > 0) & (x < 1), lambda _, x: jnp.full_like(x, 0.5))
_INTERVAL = Support(
    lambda p, x: (x >= p["low"]) & (x <= p["high"]), lambda p, x: (p["low"] + p["high"]) / 2
)
_SIMPLEX = Support(
    lambda _, x: is_distribution(x) & (x > 0).all(), lambda _, x: jnp.full_like(x, 1 / len(x))
)
_COUNTS = Support(lambda _, x: _is_count(x), lambda _, x: jnp.zeros_like(x))
_BIT = Support(lambda _, x: (x == 0) | (x == 1), lambda _, x: jnp.zeros_like(x))
_CODES = Support(lambda p, x: _is_count(x) & (x < len(p["probs"])), lambda _, x: jnp.zeros_like(x))
_UP_TO_TOTAL = Support(
    lambda p, x: _is_count(x) & (x <= p["total_count"]), lambda _, x: jnp.zeros_like(x)
)


_SCALE = {"scale": ("", _is_positive)}
_LOC_SCALE = {"loc": ("", _is_real), **_SCALE}
_SHAPE_RATE = {"concentration": ("", _is_positive), "rate": ("", _is_positive)}
_SHAPES = {"concentration1": ("", _is_positive), "concentration0": ("", _is_positive)}
_TOTAL = {"total_count": ("", _is_count)}
_PROBS = {"probs": ("", _is_probability)}

FAMILIES = {
    "normal": Family(numpyro.Normal, _LOC_SCALE, _REAL, tails=densities.normal_tails),
    "laplace": Family(
        numpyro.Laplace,
        _LOC_SCALE,
        _REAL,
        tails=densities.laplace_tails,
        quantile=quantiles.laplace_quantile,
    ),
    "logistic": Family(numpyro.Logistic, _LOC_SCALE, _REAL, tails=densities.logistic_tails),
    "cauchy": Family(
        numpyro.Cauchy,
        _LOC_SCALE,
        _REAL,
        log_prob=densities.cauchy_log_prob,
        tails=densities.cauchy_tails,
        quantile=quantiles.cauchy_quantile,
    ),
    "gumbel": Family(
        numpyro.Gumbel,
        _LOC_SCALE,
        _REAL,
        tails=densities.gumbel_tails,
        entropy=lambda p: jnp.log(p["scale"]) + 1 + 0.5772156649015329,
    ),
    "log_normal": Family(
        numpyro.LogNormal, _LOC_SCALE, _POSITIVE, tails=densities.log_normal_tails
    ),
    "student_t": Family(
        numpyro.StudentT,
        {"df": ("", _is_positive), **_LOC_SCALE},
        _REAL,
        log_prob=densities.student_t_log_prob,
        tails=densities.student_t_tails,
        quantile=quantiles.student_t_quantile,
        mean=densities.student_t_mean,
        entropy=densities.student_t_entropy,
    ),
    "half_normal": Family(
        numpyro.HalfNormal,
        _SCALE,
        _NONNEGATIVE,
        tails=densities.half_normal_tails,
        quantile=quantiles.half_normal_quantile,
        entropy=lambda p: jnp.log(p["scale"]) + math.log(math.pi * math.e / 2) / 2,
    ),
    "exponential": Family(
        numpyro.Exponential,
        {"rate": ("", _is_positive)},
        _NONNEGATIVE,
        tails=densities.exponential_tails,
    ),
    "gamma": Family(
        numpyro.Gamma,
        _SHAPE_RATE,
        _POSITIVE,
        log_prob=densities.gamma_log_prob,
        tails=densities.gamma_scaled_tails,
        quantile=quantiles.gamma_quantile,
        entropy=densities.gamma_entropy,
    ),
    "weibull": Family(
        numpyro.Weibull,
        {**_SCALE, "concentration": ("", _is_positive)},
        _POSITIVE,
        tails=densities.weibull_tails,
        quantile=quantiles.weibull_quantile,
    ),
    "beta": Family(
        numpyro.Beta,
        _SHAPES,
        _UNIT,
        log_prob=densities.beta_log_prob,
        tails=densities.beta_unit_tails,
        quantile=quantiles.beta_quantile,
        entropy=densities.beta_entropy,
    ),
    "uniform": Family(
        numpyro.Uniform,
        {"low": ("", _is_real), "high": ("", _is_real)},
        _INTERVAL,
        tails=densities.uniform_tails,
        agree=lambda p: p["low"] < p["high"],
    ),
    "multivariate_normal": Family(
        numpyro.MultivariateNormal,
        {"loc": ("d", _is_real), "covariance_matrix": ("d d", _is_symmetric)},
        _REAL,
        event="d",
    ),
    "dirichlet": Family(
        numpyro.Dirichlet,
        {"concentration": ("d", _is_positive)},
        _SIMPLEX,
        event="d",
        log_prob=densities.dirichlet_log_prob,
        entropy=densities.dirichlet_entropy,
    ),
    "bernoulli": Family(
        numpyro.BernoulliProbs,
        _PROBS,
        _BIT,
        is_discrete=True,
        log_prob=counts.with_one_trial(counts.binomial_log_prob),
        tails=counts.with_one_trial(counts.binomial_tails),
        quantile=counts.with_one_trial(counts.binomial_quantile),
        sample=counts.with_one_trial(counts.binomial_sample),
    ),
    "binomial": Family(
        numpyro.BinomialProbs,
        {**_TOTAL, **_PROBS},
        _UP_TO_TOTAL,
        is_discrete=True,
        log_prob=counts.binomial_log_prob,
        tails=counts.binomial_tails,
        quantile=counts.binomial_quantile,
        sample=counts.binomial_sample,
    ),
    "beta_binomial": Family(
        numpyro.BetaBinomial,
        {**_TOTAL, **_SHAPES},
        _UP_TO_TOTAL,
        is_discrete=True,
        log_prob=counts.beta_binomial_log_prob,
        sample=counts.beta_binomial_sample,
    ),
    "poisson": Family(
        numpyro.Poisson,
        {"rate": ("", _is_positive)},
        _COUNTS,
        is_discrete=True,
        log_prob=counts.poisson_log_prob,
        tails=counts.poisson_tails,
        quantile=counts.poisson_quantile,
    ),
    "gamma_poisson": Family(
        numpyro.GammaPoisson,
        _SHAPE_RATE,
        _COUNTS,
        is_discrete=True,
        log_prob=counts.gamma_poisson_log_prob,
        tails=counts.gamma_poisson_tails,
        quantile=counts.gamma_poisson_quantile,
    ),
    "categorical": Family(
        numpyro.CategoricalProbs,
        {"probs": ("d", is_distribution)},
        _CODES,
        is_discrete=True,
        log_prob=counts.categorical_log_prob,
        tails=counts.categorical_tails,
        quantile=counts.categorical_quantile,
        sample=counts.categorical_sample,
    ),
}
