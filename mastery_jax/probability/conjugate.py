"""Priors that stay in their family: what is believed after seeing data, in closed form.

    Beta(a, b),    s successes in n trials       ->  Beta(a + s, b + n − s)
    Gamma(a, r),   n counts that sum to s        ->  Gamma(a + s, r + n)
    N(m, v),       n values of known variance w  ->  1/v' = 1/v + n/w,  m' = v' (m/v + n x̄/w)
    Dirichlet(α),  counts c                      ->  Dirichlet(α + c)
    NIG(m, κ, a, b), n values, S = Σ (x − x̄)²   ->  κ' = κ + n,  m' = (κ m + n x̄) / κ',
        a' = a + n/2,  b' = b + S/2 + κ n (x̄ − m)² / (2 κ')

NIG: mean | variance ~ N(m, variance/κ), variance ~ InverseGamma(a, b). The predictive functions
return the parameters of a family of ``distributions``: what the next observation follows.

Source: Gelman et al. (2013), *Bayesian Data Analysis*, sections 2.4-2.6 and 3.3-3.4; Murphy
(2007), *Conjugate Bayesian Analysis of the Gaussian Distribution*, eq. 86-89 and 110.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mastery_jax.core.check import Scalar, checked

__all__ = [
    "Beta",
    "Dirichlet",
    "Gamma",
    "Normal",
    "NormalInverseGamma",
    "predict_beta",
    "predict_dirichlet",
    "predict_gamma",
    "predict_normal",
    "predict_normal_inverse_gamma",
    "update_beta",
    "update_dirichlet",
    "update_gamma",
    "update_normal",
    "update_normal_inverse_gamma",
]


Count = Scalar | Int[Array, ""]
Counts = Float[Array, " n"] | Int[Array, " n"]


class Beta(NamedTuple):
    """A belief about a probability."""

    concentration1: Float[Array, ""]  # a > 0, successes imagined
    concentration0: Float[Array, ""]  # b > 0, failures imagined


class Gamma(NamedTuple):
    """A belief about a rate of events."""

    concentration: Float[Array, ""]  # a > 0, events imagined
    rate: Float[Array, ""]  # r > 0, exposure imagined, unit of one observation


class Normal(NamedTuple):
    """A belief about a mean, in the unit u of the data."""

    mean: Float[Array, ""]  # m, u
    var: Float[Array, ""]  # v > 0, u²


class Dirichlet(NamedTuple):
    """A belief about the probabilities of classes."""

    concentration: Float[Array, " classes"]  # α > 0, counts imagined


class NormalInverseGamma(NamedTuple):
    """A belief about a mean and a variance, in the unit u of the data."""

    mean: Float[Array, ""]  # m, u
    mean_count: Float[Array, ""]  # κ > 0, observations that the mean is worth
    concentration: Float[Array, ""]  # a > 0, half the observations that the variance is worth
    scale: Float[Array, ""]  # b > 0, u²


@jax.jit
@checked
def update_beta(state: Beta, successes: Count, trials: Count) -> Beta:
    """Learn from a binomial count. O(1).

    Args:
        state: The prior.
        successes: Between 0 and ``trials``.
        trials: ≥ 0.

    Returns:
        The posterior; NaN where the counts are not possible.

    Example:
        >>> update_beta(Beta(jnp.array(1.0), jnp.array(1.0)), 7, 10)._asdict()
        {'concentration1': Array(8., dtype=float32), 'concentration0': Array(4., dtype=float32)}
    """
    successes, trials = (jnp.asarray(v, state.concentration1.dtype) for v in (successes, trials))
    successes = jnp.where((successes >= 0) & (successes <= trials), successes, jnp.nan)
    return Beta(state.concentration1 + successes, state.concentration0 + (trials - successes))


@jax.jit
@checked
def predict_beta(state: Beta, trials: Count) -> dict[str, Array]:
    """Return what the next count follows: ``family="beta_binomial"``. O(1)."""
    trials = jnp.asarray(trials, state.concentration1.dtype)
    return {**state._asdict(), "total_count": trials}


@jax.jit
@checked
def update_gamma(state: Gamma, counts: Counts) -> Gamma:
    """Learn from Poisson counts, one per unit of exposure. O(n).

    Args:
        state: The prior.
        counts: ≥ 0, whole.

    Returns:
        The posterior; NaN where a count is negative.
    """
    counts = counts.astype(state.concentration.dtype)
    total = jnp.where((counts >= 0).all(), counts.sum(), jnp.nan)
    return Gamma(state.concentration + total, state.rate + len(counts))


@jax.jit
@checked
def predict_gamma(state: Gamma) -> dict[str, Array]:
    """Return what the next count follows: ``family="gamma_poisson"``. O(1)."""
    return state._asdict()


@jax.jit
@checked
def update_normal(state: Normal, xs: Float[Array, " n"], *, noise_var: Scalar) -> Normal:
    """Learn a mean from values whose variance about it is known. O(n).

    Args:
        state: The prior.
        xs: Observations, u.
        noise_var: w > 0, u². Traced.

    Returns:
        The posterior; NaN where ``noise_var`` is not positive.
    """
    xs, noise_var = xs.astype(state.mean.dtype), _variance(noise_var, state)
    precision = 1 / state.var + len(xs) / noise_var
    mean = (state.mean / state.var + xs.sum() / noise_var) / precision
    return Normal(mean, 1 / precision)


@jax.jit
@checked
def predict_normal(state: Normal, *, noise_var: Scalar) -> dict[str, Array]:
    """Return what the next value follows: ``family="normal"``. O(1).

    Its scale is NaN where ``noise_var`` is not positive.
    """
    return {"loc": state.mean, "scale": jnp.sqrt(state.var + _variance(noise_var, state))}


@jax.jit
@checked
def update_dirichlet(
    state: Dirichlet, counts: Float[Array, " classes"] | Int[Array, " classes"]
) -> Dirichlet:
    """Learn from how often every class was seen. O(classes).

    Returns:
        The posterior; NaN at classes whose count is negative.
    """
    counts = counts.astype(state.concentration.dtype)
    return Dirichlet(state.concentration + jnp.where(counts >= 0, counts, jnp.nan))


@jax.jit
@checked
def predict_dirichlet(state: Dirichlet) -> dict[str, Array]:
    """Return what the next class follows: ``family="categorical"``. O(classes)."""
    return {"probs": state.concentration / state.concentration.sum()}


@jax.jit
@checked
def update_normal_inverse_gamma(
    state: NormalInverseGamma, xs: Float[Array, " n"]
) -> NormalInverseGamma:
    """Learn a mean and a variance from at least one value. O(n).

    Args:
        state: The prior.
        xs: Observations, u.

    Returns:
        The posterior; NaN where there is no observation, whose mean would be needed.
    """
    xs = xs.astype(state.mean.dtype)
    mean_count = state.mean_count + len(xs)
    center = xs.mean()
    shift = center - state.mean
    spread = ((xs - center) ** 2).sum() + state.mean_count * len(xs) / mean_count * shift**2
    return NormalInverseGamma(
        mean=state.mean + len(xs) / mean_count * shift,
        mean_count=mean_count,
        concentration=state.concentration + len(xs) / 2,
        scale=state.scale + spread / 2,
    )


@jax.jit
@checked
def predict_normal_inverse_gamma(state: NormalInverseGamma) -> dict[str, Array]:
    """Return what the next value follows: ``family="student_t"``. O(1)."""
    var = state.scale * (1 + 1 / state.mean_count) / state.concentration
    return {"df": 2 * state.concentration, "loc": state.mean, "scale": jnp.sqrt(var)}


def _variance(noise_var: Scalar, state: Normal) -> Array:
    noise_var = jnp.asarray(noise_var, state.mean.dtype)
    return jnp.where(noise_var > 0, noise_var, jnp.nan)
