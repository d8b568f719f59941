"""Lanes: the rows that are explained side by side, as the last axis of everything.

A leaf is asked of all rows at once: the loops run over leaves and over their conditions, and each
step is a few operations on lines of numbers. Written out, the steps of a leaf took twice as long.

Source: Fog (2024), *Optimizing software in C++*, section 9.2 (cache) and 12 (vectors).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from mastery_jax.core import loop

__all__ = ["add", "by_block"]

ENTRIES = 1 << 16  # numbers of sums at once: they stay in the cache


def add(sums: Array, features: Array, value: Array, found: Array) -> Array:
    """Add what one leaf gives to each of its features, times its value, to (d outputs, n) sums.

    A scatter would keep XLA from working in place. Sums have two axes and no more: with a third,
    XLA lays them out for the reader of the result, and all takes three times as long.
    """

    def one(sums: Array, term: tuple[Array, Array]) -> tuple[Array, None]:
        feature, line = term
        first = feature * len(value)
        lines = jax.lax.dynamic_slice_in_dim(sums, first, len(value))
        by = value[:, None] * line[None, :]
        return jax.lax.dynamic_update_slice_in_dim(sums, lines + by, first, 0), None

    return loop.scan(one, sums, (features, found))[0]


def by_block(block: Callable[[Array], Any], lanes: Array, num_sums: int) -> Any:
    """Apply ``block`` to some lanes at a time, and put what it returns side by side."""
    d, n = lanes.shape
    size = max(ENTRIES // num_sums, 64)
    if n <= size:
        return block(lanes)
    count = -(-n // size)
    padded = jnp.pad(lanes, ((0, 0), (0, count * size - n)))
    found = jax.lax.map(block, padded.reshape(d, count, size).transpose(1, 0, 2))
    return jax.tree.map(
        lambda leaf: jnp.moveaxis(leaf, 0, -2).reshape(*leaf.shape[1:-1], count * size), found
    )
