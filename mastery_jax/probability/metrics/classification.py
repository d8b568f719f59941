"""Codes that were predicted, beside codes that are true.

With C_kl the weight of the rows of class k that were predicted to be of class l,

    accuracy = Σ_k C_kk / Σ C                    log loss = −Σ_i w_i log p_i(label_i) / Σ_i w_i
    recall_k = C_kk / Σ_l C_kl                   precision_k = C_kk / Σ_l C_lk
    F1_k = 2 C_kk / Σ_l (C_kl + C_lk)            balanced accuracy = mean of recall_k

    Matthews = (Σ_k P_kk − t·p) / √((1 − t·t)(1 − p·p)),      P = C / Σ C, t and p its margins

macro averages over the classes that occur, weighted over the classes by the weight of their rows,
and micro counts all classes as one. What is 0 / 0 for a class is 0, as in scikit-learn. A code
outside 0 … num_classes − 1 makes everything NaN, and so do weights that are negative or all 0.

Source: Sokolova & Lapalme (2009), *Information Processing & Management* 45(4), tables 2 and 3;
Gorodkin (2004), *Computational Biology and Chemistry* 28, eq. 8 (Matthews with more classes);
Brodersen, Ong, Stephan & Buhmann (2010), *ICPR*, eq. 7 (balanced accuracy).
"""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mastery_jax.core.check import checked
from mastery_jax.probability.metrics import codes, rows

__all__ = [
    "Average",
    "accuracy",
    "balanced_accuracy",
    "confusion",
    "f1",
    "log_loss",
    "matthews",
    "precision",
    "recall",
]

Average = Literal["macro", "micro", "weighted", "binary"]
"""How the scores of classes become one; ``binary`` is that of class 1 of two."""

Weights = Float[Array, " n"] | None


@jax.jit
@checked
def accuracy(
    predicted: Int[Array, " n"], labels: Int[Array, " n"], *, weights: Weights = None
) -> Float[Array, ""]:
    """Return the share of rows whose prediction is the label, in [0, 1]. O(n).

    Args:
        predicted: Codes of classes.
        labels: True codes.
        weights: ≥ 0, one where None.

    Returns:
        NaN for weights that are negative or all 0.

    Example:
        >>> accuracy(jnp.array([0, 1, 1, 2]), jnp.array([0, 1, 2, 2]))
        Array(0.75, dtype=float32)
    """
    weights = rows.weigh(weights, len(labels))
    predicted, labels = codes.widened(predicted, labels)
    return rows.mean((predicted == labels).astype(weights.dtype), weights)


@jax.jit
@checked
def log_loss(
    log_probs: Float[Array, "n classes"], labels: Int[Array, " n"], *, weights: Weights = None
) -> Float[Array, ""]:
    """Return the mean of −log p(label), in nats. O(n).

    Args:
        log_probs: Log probability of each class, nats; logits through ``jax.nn.log_softmax``.
        labels: Codes 0 … classes − 1.
        weights: ≥ 0, one where None.

    Returns:
        Infinite where a label was given probability 0; NaN for a label that is no code.

    Example:
        >>> log_loss(jnp.log(jnp.array([[0.9, 0.1], [0.2, 0.8]])), jnp.array([0, 1])).round(4)
        Array(0.1643, dtype=float32)
    """
    weights = rows.weigh(weights, len(labels), log_probs.dtype)
    (labels,) = codes.widened(labels)
    is_code = (labels >= 0) & (labels < log_probs.shape[1])
    code = jnp.where(is_code, labels, 0)
    picked = jnp.take_along_axis(log_probs, code[:, None], axis=1)[:, 0]
    return rows.mean(jnp.where(is_code, -picked, jnp.nan), weights)


@partial(jax.jit, static_argnames=("num_classes",))
@checked
def confusion(
    predicted: Int[Array, " n"],
    labels: Int[Array, " n"],
    *,
    num_classes: int,
    weights: Weights = None,
) -> Float[Array, "classes classes"]:
    """Return C: the weight of every pair of a label (row) and a prediction (column). O(n + K²).

    Args:
        predicted: Codes 0 … num_classes − 1.
        labels: True codes.
        num_classes: K ≥ 2. Static.
        weights: ≥ 0, one where None.

    Returns:
        C; NaN throughout for a code that is none, in a row that has weight.

    Raises:
        ValueError: fewer than two classes.

    Example:
        >>> confusion(jnp.array([0, 1, 1]), jnp.array([0, 1, 0]), num_classes=2)
        Array([[1., 1.],
               [0., 1.]], dtype=float32)
    """
    return _table("confusion", predicted, labels, num_classes, weights)


@partial(jax.jit, static_argnames=("num_classes",))
@checked
def balanced_accuracy(
    predicted: Int[Array, " n"],
    labels: Int[Array, " n"],
    *,
    num_classes: int,
    weights: Weights = None,
) -> Float[Array, ""]:
    """Return the mean recall of the classes that occur among the labels, in [0, 1]. O(n + K²).

    Args: as for ``confusion``.

    Example:
        >>> balanced_accuracy(jnp.array([0, 0, 0]), jnp.array([0, 0, 1]), num_classes=2)
        Array(0.5, dtype=float32)
    """
    table = _table("balanced_accuracy", predicted, labels, num_classes, weights)
    occurring = table.sum(axis=1)
    return rows.mean(_ratio(table.diagonal(), occurring), _indicator(occurring))


@partial(jax.jit, static_argnames=("num_classes", "average"))
@checked
def precision(
    predicted: Int[Array, " n"],
    labels: Int[Array, " n"],
    *,
    num_classes: int,
    average: Average | None = "macro",
    weights: Weights = None,
) -> Float[Array, "*classes"]:
    """Return the share of what was predicted to be of a class that is of it. O(n + K²).

    Args:
        predicted: Codes 0 … num_classes − 1.
        labels: True codes.
        num_classes: K ≥ 2. Static.
        average: How the classes become one number; None gives all K. Static.
        weights: ≥ 0, one where None.

    Returns:
        In [0, 1]; 0 for a class that was never predicted.

    Raises:
        ValueError: fewer than two classes, ``binary`` with more, or no such average.

    Example:
        >>> precision(jnp.array([0, 1, 1]), jnp.array([0, 1, 0]), num_classes=2, average=None)
        Array([1. , 0.5], dtype=float32)
    """
    table = _table("precision", predicted, labels, num_classes, weights)
    return _averaged("precision", table, average)


@partial(jax.jit, static_argnames=("num_classes", "average"))
@checked
def recall(
    predicted: Int[Array, " n"],
    labels: Int[Array, " n"],
    *,
    num_classes: int,
    average: Average | None = "macro",
    weights: Weights = None,
) -> Float[Array, "*classes"]:
    """Return the share of a class that was predicted to be of it. O(n + K²).

    Args: as for ``precision``.

    Returns: in [0, 1]; 0 for a class without rows.

    Example:
        >>> recall(jnp.array([0, 1, 1]), jnp.array([0, 1, 0]), num_classes=2, average=None)
        Array([0.5, 1. ], dtype=float32)
    """
    table = _table("recall", predicted, labels, num_classes, weights)
    return _averaged("recall", table, average)


@partial(jax.jit, static_argnames=("num_classes", "average"))
@checked
def f1(
    predicted: Int[Array, " n"],
    labels: Int[Array, " n"],
    *,
    num_classes: int,
    average: Average | None = "macro",
    weights: Weights = None,
) -> Float[Array, "*classes"]:
    """Return the harmonic mean of precision and recall. O(n + K²).

    Args: as for ``precision``.

    Example:
        >>> f1(jnp.array([0, 1, 1]), jnp.array([0, 1, 0]), num_classes=2).round(4)
        Array(0.6667, dtype=float32)
    """
    table = _table("f1", predicted, labels, num_classes, weights)
    return _averaged("f1", table, average)


@partial(jax.jit, static_argnames=("num_classes",))
@checked
def matthews(
    predicted: Int[Array, " n"],
    labels: Int[Array, " n"],
    *,
    num_classes: int,
    weights: Weights = None,
) -> Float[Array, ""]:
    """Return the correlation of predictions and labels, in [−1, 1]. O(n + K²).

    Args: as for ``confusion``.

    Returns:
        0 where all labels, or all predictions, are of one class.

    Example:
        >>> matthews(jnp.array([0, 1, 1]), jnp.array([0, 1, 0]), num_classes=2)
        Array(0.5, dtype=float32)
    """
    table = _table("matthews", predicted, labels, num_classes, weights)
    table = table / table.sum()
    of_label, of_predicted = table.sum(axis=1), table.sum(axis=0)
    shared = table.trace() - of_label @ of_predicted
    spread = (1 - of_label @ of_label) * (1 - of_predicted @ of_predicted)
    return jnp.where(spread == 0, 0, shared / jnp.sqrt(jnp.where(spread == 0, 1, spread)))


def _table(
    where: str, predicted: Array, labels: Array, num_classes: int, weights: Array | None
) -> Array:
    if num_classes < 2:
        raise ValueError(f"classification.{where}: num_classes is {num_classes}, not at least 2")
    weights = rows.weigh(weights, len(labels))
    return codes.table(weights, labels, predicted, num_classes, num_classes)


def _averaged(where: str, table: Array, average: Average | None) -> Array:
    """Return the score of that name of all classes, or their mean."""
    parts = (table.diagonal(), table.sum(axis=1), table.sum(axis=0))
    scores = _score(where, *parts)
    if average is None:
        return scores
    if average == "micro":
        return _score(where, *(part.sum() for part in parts))
    if average == "macro":
        return rows.mean(scores, _indicator(parts[1] + parts[2]))
    if average == "weighted":
        return rows.mean(scores, parts[1])
    if average == "binary" and len(table) == 2:
        return scores[1]
    wanted = "macro, micro, weighted, None, or binary with two classes"
    raise ValueError(f"classification.{where}: average is {average!r}, not {wanted}")


def _score(name: str, hits: Array, of_label: Array, of_predicted: Array) -> Array:
    if name == "f1":
        return _ratio(2 * hits, of_label + of_predicted)
    return _ratio(hits, of_predicted if name == "precision" else of_label)


def _ratio(a: Array, b: Array) -> Array:
    return jnp.where(b == 0, 0, a / jnp.where(b == 0, 1, b))


def _indicator(amount: Array) -> Array:
    """Return one where there is some, else zero."""
    return (amount > 0).astype(amount.dtype)
