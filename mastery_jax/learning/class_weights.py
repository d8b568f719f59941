"""Weights of classes, and of the rows that they give weight to.

    balanced    c_k = Σ_i w_i / (K Σ_{i: label_i = k} w_i)
    spread      w_i = c_k,  k = label_i

so that every class that occurs has the same total weight, and all rows together that of before. K
counts the classes that occur: scikit-learn's ``class_weight="balanced"``, which ``weights=spread(
labels, balanced(labels, ...))`` is in every ``fit`` of this room. Rows that have weights already
are given the product: ``weights * spread(labels, balanced(labels, weights=weights, ...))``.

Source: King & Zeng (2001), *Political Analysis* 9(2), eq. 12-13 (weights that restore the shares
of classes).
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mastery_jax.core.check import checked
from mastery_jax.probability.metrics import codes

__all__ = ["balanced", "spread"]


@partial(jax.jit, static_argnames=("num_classes",))
@checked
def balanced(
    labels: Int[Array, " n"], *, num_classes: int, weights: Float[Array, " n"] | None = None
) -> Float[Array, " classes"]:
    """Return what a row of every class must weigh for classes to count alike. O(n + K).

    Args:
        labels: Codes 0 … num_classes − 1.
        num_classes: K ≥ 2. Static.
        weights: Of the rows, ≥ 0; one where None. They give the result its dtype.

    Returns:
        A weight for every class; 0 for a class that no row with weight has. NaN throughout for a
        label of a row with weight that is no code, and for weights that are negative, infinite or
        all 0.

    Raises:
        ValueError: fewer than two classes, or shapes that disagree.

    Example:
        >>> balanced(jnp.array([0, 0, 0, 1]), num_classes=2)
        Array([0.6666667, 2.       ], dtype=float32)
    """
    if num_classes < 2:
        raise ValueError(f"class_weights.balanced: num_classes is {num_classes}, not at least 2")
    weights = jnp.ones(len(labels)) if weights is None else weights
    (labels,) = codes.widened(labels)
    is_code = (labels >= 0) & (labels < num_classes)
    is_weight = (weights >= 0) & (weights < jnp.inf)
    totals = codes.totals(jnp.where(is_code, weights, 0), labels, num_classes)
    occurs = totals > 0
    share = totals.sum() / occurs.sum().astype(totals.dtype)
    is_sound = is_weight.all() & (is_code | (weights == 0)).all() & occurs.any()
    balance = jnp.where(occurs, share / jnp.where(occurs, totals, 1), 0)
    return jnp.where(is_sound, balance, jnp.nan)


@jax.jit
@checked
def spread(labels: Int[Array, " n"], class_weights: Float[Array, " classes"]) -> Float[Array, " n"]:
    """Return the weight of every row's class. O(n).

    Args:
        labels: Codes 0 … K − 1.
        class_weights: One for every class.

    Returns:
        A weight for every row; NaN for a label that is no code.

    Example:
        >>> spread(jnp.array([0, 2, 1]), jnp.array([1.0, 5.0, 9.0]))
        Array([1., 9., 5.], dtype=float32)
    """
    (labels,) = codes.widened(labels)
    is_code = (labels >= 0) & (labels < len(class_weights))
    return jnp.where(is_code, class_weights[jnp.where(is_code, labels, 0)], jnp.nan)
