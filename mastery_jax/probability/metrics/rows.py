"""Weights of rows, and the means under them.

    mean = Σ_i w_i v_i / Σ_i w_i        over the rows with w_i > 0

A row of weight 0 is not read, so that a NaN in it does no harm.

Source: Kish (1965), *Survey Sampling*, section 2.8.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array

__all__ = ["mean", "weigh"]


def weigh(weights: Array | None, num_rows: int, dtype: jax.typing.DTypeLike | None = None) -> Array:
    """Return the weights, one each where None; NaN throughout where they are no weights. O(n).

    Weights are none where one is negative or not a number, or where all are 0.
    """
    if weights is None:
        weights = jnp.ones(num_rows, dtype)
    is_good = (weights >= 0).all() & (weights.sum() > 0)
    return jnp.where(is_good, weights, jnp.nan)


def mean(values: Array, weights: Array) -> Array:
    """Return the mean of ``values`` under weights that ``weigh`` has seen. O(n)."""
    return (jnp.where(weights > 0, values, 0) * weights).sum() / weights.sum()
