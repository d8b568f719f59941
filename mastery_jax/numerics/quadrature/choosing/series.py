"""Cosine coefficients of a function, how fast they fall, and where they are small enough.

    f ≈ Σ_k a_k cos(k θ),    a_k = 2/n Σ_j f(θ_j) cos(k θ_j),    θ_j = π (j + 1/2)/n

Values at Chebyshev's points give Chebyshev coefficients. a_k holds, with a minus sign, that of
degree 2n − k as well: the last ones are not those of f.

Source: Trefethen (2013), *Approximation Theory and Approximation Practice*, chapters 4 (aliasing),
7 and 8 (how fast they fall).
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

__all__ = ["FAST", "NOISE", "TRUSTED", "cosine", "decay", "first_below"]

NOISE = 16  # units of rounding below which a coefficient says nothing
TRUSTED = 7 / 8  # of a series: the last coefficients hold those that were cut off
FAST = 6  # a power above which a fall is taken to be faster than any
FITTED = 1 / 2  # of it: here those of a jump are wrong by a third at most, and of a kink by a ninth


def cosine(values: Any) -> Any:
    """Return the cosine coefficients of values at (k + 1/2)/n of the way, along the last axis.

    O(n²).
    """
    n = values.shape[-1]
    table = 2 / n * np.cos(np.pi * np.outer(np.arange(n), np.arange(n) + 0.5) / n)
    table[0] /= 2
    with jax.default_matmul_precision("highest"):
        return values @ jnp.asarray(table.T, values.dtype)


def decay(sizes: Any, floor: Any) -> tuple[Any, Any, Any]:
    """Return the largest size from each on, the factor by which they fall, and the power. O(n).

    Both are fitted over the last half of those above the floor, and the first below it; the second
    half of the series, which holds what was cut off, is left out.
    """
    envelope = jax.lax.cummax(sizes, reverse=True)
    kept = int(FITTED * len(sizes))
    k = jnp.arange(kept, dtype=sizes.dtype)
    head = jnp.maximum(envelope[:kept], floor)
    head = head.at[0].set(jnp.where(head[0] > floor, head[0], 1))  # nothing at all is a constant
    last = jnp.maximum((head > floor).sum() - 1, 0)
    is_used = (k >= (last // 2).astype(k.dtype)) & (k <= (last + 1).astype(k.dtype))
    height = jnp.log(head)

    def slope(x: Array) -> Array:
        weight = is_used.astype(x.dtype)
        count = weight.sum()
        x = x - (weight * x).sum() / count
        return (weight * x * height).sum() / (weight * x * x).sum()

    return envelope, jnp.exp(slope(k)), -slope(jnp.log1p(k))


def first_below(envelope: Any, target: float) -> int | None:
    """Return the first trusted index at which an envelope is at most ``target``, on the host."""
    small = np.flatnonzero(np.asarray(envelope)[: int(TRUSTED * len(envelope))] <= target)
    return int(small[0]) if len(small) else None
