"""Probabilities, beside what came: do events that were given 30 % come in 30 % of the cases?

    Brier = Σ_i w_i Σ_k (p_ik − 1[label_i = k])² / Σ_i w_i          halved for two classes

In bins of equal width, (b/B, (b+1)/B] and the first with its lower end, with the share s_b of
weight, the mean probability c_b and the share a_b of rows where the event came,

    reliability = {(c_b, a_b)}          expected calibration error = Σ_b s_b |a_b − c_b|

where the event of the calibration error is that the likeliest class is the label. It is biased
upwards by the noise of a_b, of some √(a(1 − a) / n_b) in a bin of n_b rows: for a calibrated model
on 100 rows in 10 bins it is not 0 but some 0.1.

Source: Brier (1950), *Monthly Weather Review* 78(1), eq. 2; Murphy & Winkler (1977), *JRSS C*
26(1) (reliability); Guo, Pleiss, Sun & Weinberger (2017), *ICML*, eq. 3; Bröcker & Smith (2007),
*Weather and Forecasting* 22(3) (the noise).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from mastery_jax.core.check import checked
from mastery_jax.probability.metrics import codes, rows

__all__ = ["Reliability", "brier", "expected_calibration_error", "reliability_curve"]

Weights = Float[Array, " n"] | None


class Reliability(NamedTuple):
    """What came, bin by bin of the probability that was given; NaN where a bin is empty."""

    predicted: Float[Array, " bins"]  # mean probability that was given
    observed: Float[Array, " bins"]  # share of rows where the event came
    weight: Float[Array, " bins"]  # share of the weight; sums to 1


@jax.jit
@checked
def brier(
    probs: Float[Array, "n classes"], labels: Int[Array, " n"], *, weights: Weights = None
) -> Float[Array, ""]:
    """Return the mean squared distance from probabilities to what came. O(n K).

    Args:
        probs: One column per class, rows that sum to 1.
        labels: Codes 0 … classes − 1.
        weights: ≥ 0, one where None.

    Returns:
        In [0, 1] for two classes, in [0, 2] for more; NaN for a label that is no code.

    Example:
        >>> brier(jnp.array([[0.9, 0.1], [0.2, 0.8]]), jnp.array([0, 1])).round(4)
        Array(0.025, dtype=float32)
    """
    num_classes = probs.shape[1]
    (labels,) = codes.widened(labels)
    is_code = (labels >= 0) & (labels < num_classes)
    came = labels[:, None] == jnp.arange(num_classes, dtype=labels.dtype)[None, :]
    distance = ((probs - came.astype(probs.dtype)) ** 2).sum(axis=1)
    distance = jnp.where(is_code, distance, jnp.nan) / (2 if num_classes == 2 else 1)
    return rows.mean(distance, rows.weigh(weights, len(labels), probs.dtype))


@partial(jax.jit, static_argnames=("num_bins",))
@checked
def reliability_curve(
    probs: Float[Array, " n"],
    labels: Int[Array, " n"],
    *,
    num_bins: int = 10,
    weights: Weights = None,
) -> Reliability:
    """Return how often an event came, for every bin of its probability. O(n).

    scikit-learn's ``calibration_curve`` is the same without the empty bins.

    Args:
        probs: Of the event, in [0, 1].
        labels: 1 where it came, else 0.
        num_bins: Of equal width, at least 1. Static.
        weights: ≥ 0, one where None.

    Returns:
        The bins, in ascending order; NaN throughout for a label that is neither or a probability
        outside [0, 1].

    Raises:
        ValueError: no bin.

    Example:
        >>> probs, labels = jnp.array([0.1, 0.2, 0.9]), jnp.array([0, 1, 1])
        >>> reliability_curve(probs, labels, num_bins=2).observed
        Array([0.5, 1. ], dtype=float32)
    """
    is_bad = (labels != 0) & (labels != 1)
    came = jnp.where(is_bad, jnp.nan, labels.astype(probs.dtype))
    return _reliability("reliability_curve", probs, came, num_bins, weights)


@partial(jax.jit, static_argnames=("num_bins",))
@checked
def expected_calibration_error(
    probs: Float[Array, "n classes"],
    labels: Int[Array, " n"],
    *,
    num_bins: int = 10,
    weights: Weights = None,
) -> Float[Array, ""]:
    """Return how far confidence is from accuracy, on average over bins of confidence. O(n K).

    Args:
        probs: One column per class, rows that sum to 1. Of equal ones the first is the likeliest.
        labels: Codes 0 … classes − 1.
        num_bins: Of equal width, at least 1. Static.
        weights: ≥ 0, one where None.

    Returns:
        In [0, 1]; NaN for a label that is no code.

    Raises:
        ValueError: no bin.

    Example:
        >>> probs, labels = jnp.array([[0.75, 0.25], [0.25, 0.75]]), jnp.array([0, 1])
        >>> expected_calibration_error(probs, labels)
        Array(0.25, dtype=float32)
    """
    likeliest, labels = codes.widened(probs.argmax(axis=1), labels)
    is_code = (labels >= 0) & (labels < probs.shape[1])
    came = (likeliest == labels).astype(probs.dtype)
    came = jnp.where(is_code, came, jnp.nan)
    found = _reliability("expected_calibration_error", probs.max(axis=1), came, num_bins, weights)
    return rows.mean(jnp.abs(found.observed - found.predicted), found.weight)


def _reliability(
    where: str, probs: Array, came: Array, num_bins: int, weights: Array | None
) -> Reliability:
    if num_bins < 1:
        raise ValueError(f"calibration.{where}: num_bins is {num_bins}, not at least 1")
    weights = rows.weigh(weights, len(probs), probs.dtype)
    is_bad = jnp.isnan(came) | ~((probs >= 0) & (probs <= 1))
    weights = jnp.where((is_bad & (weights != 0)).any(), jnp.nan, weights)
    weights = weights / weights.sum()
    # In double, and rounded once: an edge is the number that b/B is in the dtype of probs.
    inner = jnp.asarray(np.arange(1, num_bins) / num_bins, probs.dtype)
    # A comparison with every edge costs less than a search.
    bins = (probs[:, None] > inner[None, :]).sum(axis=1)

    def add(values: Array) -> Array:
        return codes.totals(jnp.where(weights == 0, 0, values * weights), bins, num_bins)

    weight = add(jnp.ones_like(probs))
    weight = jnp.where(jnp.isnan(weights).any(), jnp.nan, weight)
    safe = jnp.where(weight == 0, 1, weight)
    predicted, observed = (jnp.where(weight == 0, jnp.nan, add(x) / safe) for x in (probs, came))
    return Reliability(predicted, observed, weight)
