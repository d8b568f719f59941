"""How good predictions are.

    accuracy = #{i: ŷ_i = y_i} / n            log loss = −Σ log p_i(y_i) / n
    rmse = √(Σ (y_i − ŷ_i)² / n)              r2 = 1 − Σ (y_i − ŷ_i)² / Σ (y_i − ȳ)²

Source: Hastie, Tibshirani & Friedman, *The Elements of Statistical Learning* (2nd ed., 2009),
eq. 7.5-7.6 (0-1 loss, log-likelihood) and 2.25 (squared error).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mastery_jax.core.check import checked

__all__ = ["accuracy", "log_loss", "r2", "rmse"]


@jax.jit
@checked
def accuracy(log_probs: Float[Array, "n classes"], labels: Int[Array, " n"]) -> Float[Array, ""]:
    """Return the share of rows whose likeliest class is the label, in [0, 1]. O(n classes)."""
    hits = log_probs.argmax(axis=1) == labels
    return hits.astype(log_probs.dtype).mean()


@jax.jit
@checked
def log_loss(log_probs: Float[Array, "n classes"], labels: Int[Array, " n"]) -> Float[Array, ""]:
    """Return the mean of −log p(label), in nats. O(n).

    Args:
        log_probs: Log probability of each class, nats; logits through ``jax.nn.log_softmax``.
        labels: Codes 0 … classes − 1.

    Returns:
        Infinite where a label was given probability 0.
    """
    return -jnp.take_along_axis(log_probs, labels[:, None], axis=1).mean()


@jax.jit
@checked
def rmse(predictions: Float[Array, " n"], y: Float[Array, " n"]) -> Float[Array, ""]:
    """Return the root of the mean squared error, in the unit of ``y``. O(n)."""
    return jnp.sqrt(((y - predictions) ** 2).mean())


@jax.jit
@checked
def r2(predictions: Float[Array, " n"], y: Float[Array, " n"]) -> Float[Array, ""]:
    """Return the share of the variance of ``y`` that is explained; at most 1. O(n).

    Returns:
        Infinite or NaN where ``y`` is constant.
    """
    return 1 - ((y - predictions) ** 2).sum() / ((y - y.mean()) ** 2).sum()
