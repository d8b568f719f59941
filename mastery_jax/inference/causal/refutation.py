"""Attempts to refute an estimate: what should find nothing, and what should change nothing.

    placebo             the treatment is permuted: estimates should scatter about 0
    random_common_cause X gets a column of noise: the estimate should stay
    subset              rows are left out at random: the estimate should stay, but for noise
    e_value             how strong an unmeasured confounder must be to explain the effect away

    E = RR + √(RR (RR − 1))  for RR ≥ 1, else that of 1/RR

None of them can prove an estimate right. E is on the scale of risk ratios: a confounder that is
associated with both treatment and outcome by less than E each cannot alone explain RR. A mean
difference of d standard deviations, with standard error s, stands for RR = exp(0.91 d), with
limits exp(0.91 d ± 1.78 s).

Source: VanderWeele & Ding (2017), *Ann. Intern. Med.* 167(4), table 2; Chinn (2000), *Stat. Med.*
19(22) (0.91); Fisher (1935), *The Design of Experiments*, section 21 (permutation); Sharma &
Kiciman (2020), arXiv:2011.04216, section 3.4 (the other refuters).
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int, Key

from mastery_jax.core import partials
from mastery_jax.core.check import Scalar, checked
from mastery_jax.inference.causal import effect
from mastery_jax.inference.causal.effect import Effect

__all__ = ["Refutation", "e_value", "placebo", "random_common_cause", "risk_ratio", "subset"]


class Refutation(NamedTuple):
    """The estimate, and what became of it."""

    original: Effect
    replicates: Float[Array, " replicates"]
    mean: Float[Array, ""]  # of the replicates that are finite
    std: Float[Array, ""]
    num_failed: Int[Array, ""]  # replicates that are not finite
    p_value: Float[Array, ""]  # placebo: that chance alone gives as much; else: that one of the
    # replicates is as far from their median as the original


@partials.takes("estimator")
@partial(jax.jit, static_argnames=("num_replicates", "lanes"))
@checked
def placebo(
    key: Key[Array, ""],
    X: Float[Array, "n d"],
    treatment: effect.Dose,
    y: Float[Array, " n"],
    *,
    estimator: Partial,
    num_replicates: int = 200,
    lanes: int = 16,
) -> Refutation:
    """Permute the treatment among the rows. The cost is that of the estimator, each time.

    Args:
        key: Consumed.
        X: Covariates.
        treatment: As the estimator takes it.
        y: Outcome.
        estimator: ``Partial(estimate)`` of a module here, with its options as keywords; or any
            ``Partial(f)``: ``f(X, treatment, y, weights=weights)`` is (Effect, Info).
        num_replicates: At least 2. Static.
        lanes: Replicates that run side by side. Static.

    Returns:
        The refutation; a small ``p_value`` says that a placebo rarely does as much.

    Raises:
        ValueError: shapes disagree, there are fewer than 2 replicates, or ``estimator`` is not a
            Partial.
    """
    ones = jnp.ones_like(y)

    def one(key: Array) -> Array:
        shuffled = treatment[jax.random.permutation(key, len(treatment))]
        return estimator(X, shuffled, y, weights=ones)[0].estimate

    original = estimator(X, treatment, y, weights=ones)[0]
    found = _repeat(key, one, num_replicates, lanes)
    # With the original among them, so that the test is exact and never says 0.
    as_large = (jnp.abs(found) >= jnp.abs(original.estimate)).sum().astype(y.dtype)
    p_value = (1 + as_large) / (1 + jnp.isfinite(found).sum().astype(y.dtype))
    return _judge(original, found, p_value)


@partials.takes("estimator")
@partial(jax.jit, static_argnames=("num_replicates", "lanes"))
@checked
def random_common_cause(
    key: Key[Array, ""],
    X: Float[Array, "n d"],
    treatment: effect.Dose,
    y: Float[Array, " n"],
    *,
    estimator: Partial,
    num_replicates: int = 200,
    lanes: int = 16,
) -> Refutation:
    """Add a standard normal column to X. The cost is that of the estimator, each time.

    Args:
        key: Consumed.
        X: Covariates.
        treatment: As the estimator takes it.
        y: Outcome.
        estimator: As in :func:`placebo`.
        num_replicates: At least 2. Static.
        lanes: Replicates that run side by side. Static.

    Returns:
        The refutation; ``mean`` should be near the original, by its standard error.

    Raises:
        ValueError: shapes disagree, there are fewer than 2 replicates, or ``estimator`` is not a
            Partial.
    """
    ones = jnp.ones_like(y)

    def one(key: Array) -> Array:
        column = jax.random.normal(key, (len(y), 1), X.dtype)
        wider = jnp.append(X, column, axis=1)
        return estimator(wider, treatment, y, weights=ones)[0].estimate

    original = estimator(X, treatment, y, weights=ones)[0]
    found = _repeat(key, one, num_replicates, lanes)
    return _judge(original, found, _rarity(original.estimate, found))


@partials.takes("estimator")
@partial(jax.jit, static_argnames=("num_replicates", "lanes"))
@checked
def subset(
    key: Key[Array, ""],
    X: Float[Array, "n d"],
    treatment: effect.Dose,
    y: Float[Array, " n"],
    *,
    estimator: Partial,
    fraction: Scalar = 0.8,
    num_replicates: int = 200,
    lanes: int = 16,
) -> Refutation:
    """Keep each row with probability ``fraction``. The cost is that of the estimator, each time.

    Args:
        key: Consumed.
        X: Covariates.
        treatment: As the estimator takes it.
        y: Outcome.
        estimator: As in :func:`placebo`.
        fraction: In (0, 1]. Traced.
        num_replicates: At least 2. Static.
        lanes: Replicates that run side by side. Static.

    Returns:
        The refutation; a small ``p_value`` says that the estimate hangs on a few rows. All
        replicates fail, and are NaN, where ``fraction`` is outside its range.

    Raises:
        ValueError: shapes disagree, there are fewer than 2 replicates, or ``estimator`` is not a
            Partial.
    """
    ones, share = jnp.ones_like(y), jnp.asarray(fraction, y.dtype)

    def one(key: Array) -> Array:
        kept = jax.random.bernoulli(key, share, y.shape)
        found = estimator(X, treatment, y, weights=kept.astype(y.dtype))[0].estimate
        return jnp.where((share > 0) & (share <= 1), found, jnp.nan)

    original = estimator(X, treatment, y, weights=ones)[0]
    found = _repeat(key, one, num_replicates, lanes)
    return _judge(original, found, _rarity(original.estimate, found))


@jax.jit
@checked
def risk_ratio(found: Effect, scale: Float[Array, ""] | float) -> Effect:
    """Return the risk ratio that a mean difference stands for. O(1).

    Args:
        found: A difference of means, and its standard error.
        scale: Standard deviation of the outcome, in its unit, > 0.

    Returns:
        The ratio, its limits of 95 %, and in ``std_error`` that of its logarithm.

    Example:
        >>> found = Effect(*map(jnp.float32, (0.5, 0.1, 0.3, 0.7)))
        >>> round(float(risk_ratio(found, 1.0).estimate), 2)
        1.58
    """
    d, s = (part / scale for part in (found.estimate, found.std_error))
    low, high = jnp.exp(0.91 * d - 1.78 * s), jnp.exp(0.91 * d + 1.78 * s)
    return Effect(jnp.exp(0.91 * d), 0.91 * s, low, high)


@jax.jit
@checked
def e_value(ratio: Effect) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Return the E-value of a risk ratio, and that of its limit nearer to 1. O(1).

    Args:
        ratio: A risk ratio, > 0, with its limits; also an odds ratio or a hazard ratio where the
            outcome is rare.

    Returns:
        Both, at least 1; the second is 1 where the interval holds 1; NaN for a ratio that is not
        positive.

    Example:
        >>> found = Effect(*map(jnp.float32, (3.9, 0.4, 1.8, 8.7)))
        >>> [round(float(x), 2) for x in e_value(found)]
        [7.26, 3.0]
    """
    is_above = ratio.estimate >= 1
    limit = jnp.where(is_above, ratio.lower, ratio.upper)
    holds_one = (ratio.lower <= 1) & (ratio.upper >= 1)
    return _e(ratio.estimate), jnp.where(holds_one, 1, _e(limit))


def _e(ratio: Array) -> Array:
    ratio = jnp.where(ratio > 0, ratio, jnp.nan)
    above = jnp.where(ratio >= 1, ratio, 1 / ratio)
    excess = jnp.where(above > 1, above * (above - 1), 1)
    return above + jnp.where(above > 1, jnp.sqrt(excess), 0)


def _repeat(key: Array, one: Callable[[Array], Array], count: int, lanes: int) -> Array:
    if count < 2:
        raise ValueError(f"refutation: num_replicates is {count}, not at least 2")
    keys = jax.random.split(key, count)
    return jax.lax.map(one, keys, batch_size=min(lanes, count))


def _rarity(value: Array, found: Array) -> Array:
    """Return twice the smaller share of replicates on one side of a value, at most 1."""
    count = jnp.isfinite(found).sum().astype(value.dtype)
    sides = [(found <= value).sum(), (found >= value).sum()]
    return jnp.minimum(2 * jnp.minimum(*sides).astype(value.dtype) / count, 1)


def _judge(original: Effect, found: Array, p_value: Array) -> Refutation:
    kept = jnp.where(jnp.isfinite(found), found, jnp.nan)
    num_failed = (~jnp.isfinite(found)).sum().astype(jnp.int32)
    p_value = jnp.where(jnp.isfinite(original.estimate), p_value, jnp.nan)
    mean, std = jnp.nanmean(kept), jnp.nanstd(kept, ddof=1)
    return Refutation(original, found, mean, std, num_failed, p_value)
