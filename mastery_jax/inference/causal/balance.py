"""How alike the arms are, before and after weighting: the data of a love plot.

    smd = (x̄₁ − x̄₀) / √((s₁² + s₀²)/2)        ratio = s₁² / s₀²        ess = (Σ ω)² / Σ ω²
    overlap = Σ_bins min(p₁, p₀)               of the arms' histograms of scores

The denominator is that of the raw arms in both columns, so that a change of it is no change of
balance. A difference above 0.1 is commonly taken as imbalance.

Source: Rosenbaum & Rubin (1985), *Am. Stat.* 39(1), section 3; Austin (2009), *Stat. Med.* 28(25)
(0.1, variance ratios); Kish (1965), *Survey Sampling*, section 11.7 (ess).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mastery_jax.core.check import checked
from mastery_jax.inference.causal import effect

__all__ = ["Balance", "Histogram", "measure", "overlap"]


class Balance(NamedTuple):
    """One number for each covariate; NaN throughout where an arm is empty."""

    smd_before: Float[Array, " d"]
    smd_after: Float[Array, " d"]
    variance_ratio_before: Float[Array, " d"]
    variance_ratio_after: Float[Array, " d"]
    ess: Float[Array, "2"]  # of control and treated, after


class Histogram(NamedTuple):
    """The scores of each arm."""

    edges: Float[Array, " e"]  # of equal bins in [0, 1]
    control: Float[Array, " b"]  # shares, of sum 1
    treated: Float[Array, " b"]
    overlap: Float[Array, ""]  # in [0, 1]


@jax.jit
@checked
def measure(
    X: Float[Array, "n d"], treatment: effect.Treatment, weights: Float[Array, " n"]
) -> Balance:
    """Compare the arms' covariates without and with weights. O(n d).

    Args:
        X: Covariates, raw.
        treatment: 0 or 1, or booleans.
        weights: Of the analysis, as of ``weighting.weigh``; 0 for a row that was left out.

    Returns:
        The balance. A covariate that is constant in both arms has difference 0 where they agree
        and ±inf where they do not, and ratio NaN.

    Raises:
        ValueError: shapes disagree.

    Example:
        >>> X, treatment = jnp.array([[0.0], [2.0], [1.0], [3.0]]), jnp.array([0, 0, 1, 1])
        >>> measure(X, treatment, jnp.array([0.5, 1.5, 1.5, 0.5])).smd_after.round(3).tolist()
        [0.0]
    """
    treatment = effect.codes(treatment)
    treated = (treatment == 1).astype(X.dtype)
    is_bad = ((treatment != 0) & (treatment != 1)).any()
    ones = jnp.where(is_bad, jnp.nan, jnp.ones_like(weights))
    raw = [_moments(X, ones * arm) for arm in (1 - treated, treated)]
    now = [_moments(X, weights * arm * ones) for arm in (1 - treated, treated)]
    pooled = jnp.sqrt((raw[0][1] + raw[1][1]) / 2)

    def smd(moments: list[tuple[Array, Array]]) -> Array:
        gap = moments[1][0] - moments[0][0]
        size = jnp.where(pooled == 0, 1, pooled)
        apart = jnp.where(gap > 0, jnp.inf, jnp.where(gap < 0, -jnp.inf, 0))
        return jnp.where(pooled == 0, apart, gap / size)

    _, ess = effect.sizes(weights, treated)
    before, after = (moments[1][1] / moments[0][1] for moments in (raw, now))
    return Balance(smd(raw), smd(now), before, after, jnp.where(is_bad, jnp.nan, ess))


@partial(jax.jit, static_argnames=("num_bins",))
@checked
def overlap(
    scores: Float[Array, " n"],
    treatment: effect.Treatment,
    *,
    num_bins: int = 20,
    weights: Float[Array, " n"] | None = None,
) -> Histogram:
    """Compare the arms' propensity scores. O(n).

    Args:
        scores: Probability of treatment, in [0, 1]; what is outside is in no bin.
        treatment: 0 or 1, or booleans.
        num_bins: Equal bins of [0, 1], at least 1. Static.
        weights: Of the rows, ≥ 0; one where None.

    Returns:
        The histograms; shares are NaN where an arm is empty.

    Raises:
        ValueError: shapes disagree, or there is no bin.

    Example:
        >>> scores, treatment = jnp.array([0.1, 0.6, 0.6, 0.9]), jnp.array([0, 0, 1, 1])
        >>> float(overlap(scores, treatment, num_bins=2).overlap)
        0.5
    """
    if num_bins < 1:
        raise ValueError(f"balance.overlap: num_bins is {num_bins}, not at least 1")
    treatment = effect.codes(treatment)
    weights = jnp.ones_like(scores) if weights is None else weights
    bins = jnp.clip((scores * num_bins).astype(jnp.int32), 0, num_bins - 1)
    is_inside = (scores >= 0) & (scores <= 1)

    def shares(arm: int) -> Array:
        mass = jnp.where(is_inside & (treatment == arm), weights, 0)
        return jnp.zeros((num_bins,), scores.dtype).at[bins].add(mass) / mass.sum()

    control, treated = shares(0), shares(1)
    edges = jnp.linspace(0, 1, num_bins + 1, dtype=scores.dtype)
    return Histogram(edges, control, treated, jnp.minimum(control, treated).sum())


def _moments(X: Array, weights: Array) -> tuple[Array, Array]:
    """Return the weighted mean and variance, the latter unbiased where weights are equal."""
    share = weights / weights.sum()
    mean = (share[:, None] * X).sum(axis=0)
    variance = (share[:, None] * (X - mean[None, :]) ** 2).sum(axis=0)
    variance = variance / (1 - (share**2).sum())
    # Of what is constant, rounding would leave a mean beside it and a variance of its own size.
    is_seen = weights[:, None] > 0
    lowest = jnp.where(is_seen, X, jnp.inf).min(axis=0)
    is_constant = lowest == jnp.where(is_seen, X, -jnp.inf).max(axis=0)
    return jnp.where(is_constant, lowest, mean), jnp.where(is_constant, 0, variance)
