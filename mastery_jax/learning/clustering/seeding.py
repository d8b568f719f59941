"""Rows to start k-means from, far from each other: greedy k-means++.

The first center is a row drawn by weight w; each further one is that of 2 + ⌊log k⌋ rows, drawn
with probability ∝ w_i min_j |x_i − c_j|², which leaves the least Σ_i w_i min_j |x_i − c_j|².

Source: Arthur & Vassilvitskii (2007), *k-means++: The advantages of careful seeding*, SODA,
sections 2.2 and 5 (the greedy form).
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array

from mastery_jax.core import loop

__all__ = ["draw"]


def draw(key: Array, points: Array, weights: Array, num_clusters: int) -> Array:
    """Return rows as (num_clusters, d), for points (d, n). O(n d k log k)."""
    squares = (points**2).sum(axis=0)
    trials = 2 + int(math.log(num_clusters))
    first_key, rest_key = jax.random.split(key)
    first = _draw(first_key, weights, 1)
    start = jnp.maximum(_squares_from(first, points, squares)[0], 0)

    def add(key: Array, nearest: Array) -> tuple[Array, Array]:
        chance = weights * nearest
        rows = _draw(key, jnp.where((chance > 0).any(), chance, weights), trials)
        shrunk = jnp.minimum(nearest[None, :], _squares_from(rows, points, squares))
        winner = jnp.argmin(shrunk @ weights)
        return jnp.maximum(shrunk[winner], 0).at[rows[winner]].set(0), rows[winner]

    rest = jnp.zeros(0, first.dtype)
    if num_clusters > 1:
        _, rest = loop.scan(add, start.at[first].set(0), key=rest_key, num_steps=num_clusters - 1)
    centers = points[:, jnp.append(first, rest)].T
    return jnp.where(jnp.isnan(weights).any(), jnp.nan, centers)


def _squares_from(rows: Array, points: Array, squares: Array) -> Array:
    products = points[:, rows].T @ points
    return squares[rows][:, None] - 2 * products + squares[None, :]


def _draw(key: Array, chance: Array, num_draws: int) -> Array:
    """Draw rows with probability ∝ ``chance``: a block of rows first, then one of it.

    Both by the largest of log-chances with Gumbel noise, so that a chance of 0 is never drawn;
    in two stages, because noise for every row would cost more than all distances.
    """
    size = math.isqrt(len(chance) - 1) + 1
    blocks = jnp.pad(chance, (0, -len(chance) % size)).reshape(-1, size)
    block_key, row_key = jax.random.split(key)
    sums = jnp.log(blocks.sum(axis=1))
    block = jax.random.categorical(block_key, sums, shape=(num_draws,))
    return block * size + jax.random.categorical(row_key, jnp.log(blocks[block]), axis=1)
