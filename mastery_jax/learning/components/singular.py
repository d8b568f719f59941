"""Leading singular values and directions of a matrix, and the rule for their signs.

    A = U diag(s) Vᵀ,   s falling;   every row of Vᵀ has its entry of largest size positive

``svd`` factorizes A. ``eigh`` factorizes the smaller of AᵀA and A Aᵀ: one product and a small
problem, but values under √eps of the largest are rounding.

Source: Golub & Van Loan (2013), *Matrix Computations*, sections 2.4 (the decomposition) and 8.6.1
(what squaring costs).
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

__all__ = ["Leading", "Solver", "leading", "orient"]

Solver = Literal["svd", "eigh"]


class Leading(NamedTuple):
    """The leading part of a singular value decomposition."""

    values: Float[Array, " k"]
    directions: Float[Array, "k d"]  # rows of length 1


def leading(A: Array, num_components: int, solver: Solver) -> Leading:
    """Return the largest singular values and their right directions. O(n d min(n, d)).

    A direction whose value is 0 in the precision of ``A`` is 0 by ``eigh`` where n < d.
    """
    if solver == "svd":
        _, values, directions = jnp.linalg.svd(A, full_matrices=False)
        return Leading(values[:num_components], orient(directions[:num_components]))
    n, d = A.shape
    with jax.default_matmul_precision("highest"):
        squares, vectors = jnp.linalg.eigh(A.T @ A if d <= n else A @ A.T)
        squares, vectors = squares[::-1][:num_components], vectors[:, ::-1][:, :num_components]
        is_large = squares > 0
        values = jnp.where(is_large, jnp.sqrt(jnp.where(is_large, squares, 1)), 0)
        values = jnp.where(jnp.isnan(squares), jnp.nan, values)
        if d <= n:
            return Leading(values, orient(vectors.T))
        directions = vectors.T @ A
        is_large = values > jnp.finfo(A.dtype).eps * max(A.shape) * values[0]
        directions = directions / jnp.where(is_large, values, 1)[:, None]
    return Leading(values, orient(jnp.where((values == 0)[:, None], 0, directions)))


def orient(rows: Array) -> Array:
    """Turn every row so that its entry of largest size, the first of them, is positive. O(k d)."""
    largest = jnp.take_along_axis(rows, jnp.abs(rows).argmax(axis=1)[:, None], axis=1)
    return rows * jnp.where(largest < 0, -1, 1).astype(rows.dtype)
