"""Sums of rows by class, and Bayes' rule over classes.

    p(k | x) = N_k p(x | k) / Σ_l N_l p(x | l)

Source: Hastie, Tibshirani & Friedman (2009), *The Elements of Statistical Learning*, eq. 6.24-6.26.
"""

import jax.numpy as jnp
from jaxtyping import Array

from mastery_jax.numerics.activations import log_softmax
from mastery_jax.probability.metrics import codes

__all__ = ["indicator", "likeliest", "posterior", "read"]


def indicator(where: str, labels: Array, weights: Array, num_classes: int) -> Array:
    """Return the weight of every row in the line of its class, (classes, n). O(K n).

    It is NaN throughout for a weight that is negative, or a label that is no code in a row with
    weight.

    Raises:
        ValueError: fewer than two classes.
    """
    if num_classes < 2:
        raise ValueError(f"{where}: num_classes is {num_classes}, not at least 2")
    (labels,) = codes.widened(labels)
    is_of = labels[None, :] == jnp.arange(num_classes, dtype=labels.dtype)[:, None]
    is_bad = ~(weights >= 0).all() | (~is_of.any(axis=0) & (weights != 0)).any()
    return jnp.where(is_bad, jnp.nan, jnp.where(is_of, weights[None, :], 0))


def read(X: Array, weights: Array) -> Array:
    """Return the rows, with zeros for those of weight 0. O(n d)."""
    return jnp.where((weights == 0)[:, None], 0, X)


def posterior(log_likelihood: Array, counts: Array) -> Array:
    """Return log p(k | x) for log p(x | k) of every row and class; −∞ for an absent class. O(n K).

    It is NaN throughout where no class has weight.
    """
    prior = jnp.log(counts / counts.sum())
    is_absent = (counts == 0)[None, :]
    return log_softmax(jnp.where(is_absent, -jnp.inf, log_likelihood + prior[None, :]), axis=1)


def likeliest(log_probs: Array) -> Array:
    """Return the class of the highest score in every row, −1 where one is NaN. O(n K)."""
    is_known = ~jnp.isnan(log_probs).any(axis=1)
    return jnp.where(is_known, log_probs.argmax(axis=1), -1).astype(jnp.int32)
