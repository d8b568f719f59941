"""Scores beside two classes: how well they put the rows of class 1 above those of class 0.

With every distinct score s as a threshold, in descending order,

    TPR(s) = weight of class 1 at or above s / weight of class 1          (recall)
    FPR(s) = weight of class 0 at or above s / weight of class 0
    precision(s) = weight of class 1 at or above s / weight at or above s

    area = P(score of class 1 > score of class 0) + P(equal) / 2
         = Σ_s (FPR(s) − FPR(s⁻)) (TPR(s) + TPR(s⁻)) / 2
    average precision = Σ_s (TPR(s) − TPR(s⁻)) precision(s)

with s⁻ the threshold before s. Rows of one score are one point. Only the order of the scores
counts, so that probabilities, log-odds and distances give the same; their derivative is 0. Sorting
compares the bits of the floats as integers, which is several times faster than comparing floats.

Source: Fawcett (2006), *Pattern Recognition Letters* 27, algorithms 1 and 2; Hanley & McNeil
(1982), *Radiology* 143(1) (the area as a probability); Davis & Goadrich (2006), *ICML*.
"""

from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mastery_jax.core import ordering
from mastery_jax.core.check import checked
from mastery_jax.probability.metrics import codes, rows

__all__ = [
    "PrecisionRecall",
    "Roc",
    "average_precision",
    "precision_recall_curve",
    "roc_auc",
    "roc_auc_one_vs_rest",
    "roc_curve",
]

Weights = Float[Array, " n"] | None


class Roc(NamedTuple):
    """A receiver operating characteristic, from (0, 0) to (1, 1); rows of one score repeat it."""

    fpr: Float[Array, " points"]  # in [0, 1], ascending
    tpr: Float[Array, " points"]  # in [0, 1], ascending
    thresholds: Float[Array, " points"]  # descending from ∞


class PrecisionRecall(NamedTuple):
    """A precision-recall curve, from recall 0 to 1; rows of one score repeat its point."""

    precision: Float[Array, " points"]  # in [0, 1]; 1 at the start
    recall: Float[Array, " points"]  # in [0, 1], ascending
    thresholds: Float[Array, " points"]  # descending from ∞


class _Cumulated(NamedTuple):
    """What lies at or above the score of each row, rows in descending order of scores."""

    thresholds: Array
    positive: Array  # weight of class 1
    negative: Array  # weight of class 0


@jax.jit
@checked
def roc_curve(
    scores: Float[Array, " n"], labels: Int[Array, " n"], *, weights: Weights = None
) -> Roc:
    """Return both rates at every threshold: n + 1 points, so that its shape is known. O(n log n).

    Without the repeated points it is scikit-learn's, with ``drop_intermediate=False``.

    Args:
        scores: Any increasing function of the probability of class 1. A row of weight 0 goes last.
        labels: 0 or 1.
        weights: ≥ 0, one where None.

    Returns:
        The curve; NaN where a class has no weight, for a score that is NaN or a label that is
        neither.

    Example:
        >>> roc_curve(jnp.array([0.1, 0.4, 0.8]), jnp.array([0, 1, 1])).tpr
        Array([0. , 0.5, 1. , 1. ], dtype=float32)
    """
    found = _cumulate(scores, labels, weights)
    fpr, tpr = (_from_zero(x / x[-1]) for x in (found.negative, found.positive))
    return Roc(fpr, tpr, _from_infinity(found.thresholds))


@jax.jit
@checked
def precision_recall_curve(
    scores: Float[Array, " n"], labels: Int[Array, " n"], *, weights: Weights = None
) -> PrecisionRecall:
    """Return precision and recall at every threshold, n + 1 points. O(n log n).

    scikit-learn's is the same the other way round, without the repeated points and the infinite
    threshold.

    Args: as for ``roc_curve``.

    Returns:
        The curve; NaN where class 1 has no weight.

    Example:
        >>> precision_recall_curve(jnp.array([0.1, 0.4, 0.8]), jnp.array([0, 1, 0])).precision
        Array([1.        , 0.        , 0.5       , 0.33333334], dtype=float32)
    """
    found = _cumulate(scores, labels, weights)
    precision = found.positive / (found.positive + found.negative)
    recall = _from_zero(found.positive / found.positive[-1])
    return PrecisionRecall(
        jnp.append(jnp.ones_like(precision[:1]), precision),
        recall,
        _from_infinity(found.thresholds),
    )


@jax.jit
@checked
def roc_auc(
    scores: Float[Array, " n"], labels: Int[Array, " n"], *, weights: Weights = None
) -> Float[Array, ""]:
    """Return the probability that class 1 scores higher than class 0, in [0, 1]. O(n log n).

    Args: as for ``roc_curve``.

    Returns:
        1/2 for scores that tell nothing; NaN where a class has no weight.

    Example:
        >>> roc_auc(jnp.array([0.1, 0.4, 0.4, 0.8]), jnp.array([0, 0, 1, 1]))
        Array(0.875, dtype=float32)
    """
    return _area(_cumulate(scores, labels, weights))


@partial(jax.jit, static_argnames=("average",))
@checked
def roc_auc_one_vs_rest(
    scores: Float[Array, "n classes"],
    labels: Int[Array, " n"],
    *,
    average: Literal["macro", "weighted"] | None = "macro",
    weights: Weights = None,
) -> Float[Array, "*classes"]:
    """Return the area of every class against all others, or its mean. O(K n log n).

    Args:
        scores: One column per class.
        labels: Codes 0 … classes − 1.
        average: ``macro`` for the mean, ``weighted`` for that by the weight of the classes, None
            for all. Static.
        weights: ≥ 0, one where None.

    Returns:
        NaN where a class has no weight, or all of it, and for a label that is no code.

    Raises:
        ValueError: no such average.

    Example:
        >>> scores = jnp.array([[0.8, 0.1, 0.1], [0.3, 0.4, 0.3], [0.2, 0.5, 0.3]])
        >>> roc_auc_one_vs_rest(scores, jnp.array([0, 1, 2]), average=None)
        Array([1.  , 0.5 , 0.75], dtype=float32)
    """
    num_classes = scores.shape[1]
    weights = rows.weigh(weights, len(labels), scores.dtype)
    (labels,) = codes.widened(labels)
    is_code = (labels >= 0) & (labels < num_classes)
    weights = jnp.where((~is_code & (weights != 0)).any(), jnp.nan, weights)
    known = jnp.arange(num_classes, dtype=labels.dtype)
    targets = (labels[None, :] == known[:, None]).astype(labels.dtype)
    areas = jax.vmap(lambda s, t: _area(_cumulate(s, t, weights)))(scores.T, targets)
    if average is None:
        return areas
    if average == "macro":
        return areas.mean()
    if average == "weighted":
        return rows.mean(areas, jnp.where(targets == 1, weights[None, :], 0).sum(axis=1))
    raise ValueError(
        f"ranking.roc_auc_one_vs_rest: average is {average!r}, not macro, weighted or None"
    )


@jax.jit
@checked
def average_precision(
    scores: Float[Array, " n"], labels: Int[Array, " n"], *, weights: Weights = None
) -> Float[Array, ""]:
    """Return the mean precision over the recall, in [0, 1]. O(n log n).

    Args: as for ``roc_curve``.

    Returns:
        The share of class 1 for scores that tell nothing; NaN where class 1 has no weight.

    Example:
        >>> average_precision(jnp.array([0.1, 0.4, 0.8]), jnp.array([0, 1, 0]))
        Array(0.5, dtype=float32)
    """
    found = _cumulate(scores, labels, weights)
    precision = found.positive / (found.positive + found.negative)
    gained = jnp.diff(_from_zero(found.positive))
    return (gained * precision).sum() / found.positive[-1]


def _cumulate(scores: Array, labels: Array, weights: Array | None) -> _Cumulated:
    weights = rows.weigh(weights, len(labels), scores.dtype)
    is_bad = jnp.isnan(scores) | ((labels != 0) & (labels != 1))
    weights = jnp.where((is_bad & (weights != 0)).any(), jnp.nan, weights)
    scores = jnp.where(weights == 0, -jnp.inf, scores)
    order = ordering.order(-scores)
    thresholds, weights, is_positive = scores[order], weights[order], labels[order] == 1
    is_last = jnp.append(thresholds[1:] != thresholds[:-1], True)
    index = jnp.arange(len(scores))
    last = jax.lax.cummin(jnp.where(is_last, index, len(scores)), reverse=True)
    positive = jnp.cumsum(jnp.where(is_positive, weights, 0))
    negative = jnp.cumsum(jnp.where(is_positive, 0, weights))
    return _Cumulated(thresholds, positive[last], negative[last])


def _area(found: _Cumulated) -> Array:
    # In weights and not in rates, whose differences have few digits left.
    negative, positive = _from_zero(found.negative), _from_zero(found.positive)
    gained = (jnp.diff(negative) * (positive[1:] + positive[:-1])).sum() / 2
    return gained / positive[-1] / negative[-1]


def _from_zero(x: Array) -> Array:
    return jnp.append(jnp.zeros_like(x[:1]), x)


def _from_infinity(x: Array) -> Array:
    return jnp.append(jnp.full_like(x[:1], jnp.inf), x)
