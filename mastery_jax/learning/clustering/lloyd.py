"""Lloyd's step in parts: who is nearest to a center, and the mean of its rows.

    |x − c|²/2 = |x|²/2 + (|c|²/2 − c·x)

The bracket decides which center is nearest. It and the sums over a cluster are products of
matrices, which hold a 1 and a weight beside the features of every row.

Source: Lloyd (1982), *IEEE Transactions on Information Theory* 28(2), method I.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

__all__ = ["Problem", "labels_of", "move", "pose", "refine", "scores_of"]


class Problem(NamedTuple):
    """The rows, as both products want them."""

    rows: Float[Array, "n d1"]  # w x and w: to be summed over a cluster
    columns: Float[Array, "d1 n"]  # x and 1, turned round: to be multiplied with centers
    weights: Float[Array, " n"]


def pose(Z: Array, weights: Array) -> Problem:
    """Return the problem of rows near the origin, with squares that are numbers. O(n d)."""
    ones = jnp.ones_like(weights)[:, None]
    columns = jnp.append(Z, ones, axis=1)
    return Problem(weights[:, None] * columns, columns.T, weights)


def scores_of(centers: Array, columns: Array) -> Array:
    """Return |c_j|²/2 − c_j·x_i, as (k, n). O(n d k)."""
    return jnp.append(-centers, (centers**2).sum(axis=1)[:, None] / 2, axis=1) @ columns


def labels_of(centers: Array, columns: Array) -> Array:
    """Return the nearest center of every row, the first of several. O(n d k)."""
    return scores_of(centers, columns).argmin(axis=0).astype(jnp.int32)


def move(centers: Array, scores: Array, labels: Array, problem: Problem) -> Array:
    """Return the mean of the rows of every center, a far row if there are none. O(n d k)."""
    sums = _is_own(labels, centers) @ problem.rows  # of rows and of weights by one product
    total = sums[:, -1:]
    is_empty = total[:, 0] == 0
    moved = jnp.where(total > 0, sums[:, :-1] / jnp.where(total > 0, total, 1), centers)
    return jax.lax.cond(
        is_empty.any(), lambda: _settle(moved, is_empty, scores, problem), lambda: moved
    )


def refine(centers: Array, labels: Array, problem: Problem) -> Array:
    """Add to every center the mean of its rows about it. O(n d k)."""
    weights = problem.weights[:, None]
    off = problem.columns[:-1].T - centers[labels]
    sums = _is_own(labels, centers) @ jnp.append(weights * off, weights, axis=1)
    total = sums[:, -1:]
    return centers + sums[:, :-1] / jnp.where(total > 0, total, 1)


def _is_own(labels: Array, centers: Array) -> Array:
    codes = jnp.arange(len(centers), dtype=jnp.int32)
    return (codes[:, None] == labels[None, :]).astype(centers.dtype)


def _settle(centers: Array, is_empty: Array, scores: Array, problem: Problem) -> Array:
    """Put the first center without rows on the row that is farthest from its center."""
    points = problem.columns[:-1]
    squares = (points**2).sum(axis=0) / 2
    half = jnp.where(problem.weights > 0, scores.min(axis=0) + squares, -jnp.inf)
    farthest = half.argmax()
    # What is nearer than this is rounding of a row that lies on its center.
    rounding = 8 * jnp.finfo(scores.dtype).eps * squares.max()
    is_moved = is_empty & (is_empty.cumsum() == 1) & (half[farthest] > rounding)
    return jnp.where(is_moved[:, None], points[:, farthest][None, :], centers)
