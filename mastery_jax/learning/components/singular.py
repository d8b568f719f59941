"""Leading singular values and directions of a matrix, and the rule for their signs.

    A = U diag(s) Vᵀ,   s falling;   every row of Vᵀ has its entry of largest size positive

``svd`` factorizes A. ``eigh`` factorizes the smaller of AᵀA and A Aᵀ: one product and a small
problem. With ε = (16 + min(n, d)) eps, values up to ε of the largest are rounding by ``svd``, up to
√ε by ``eigh``, and returned as 0. Of matrices that lack rank, of 10⁵ rows or columns too, rounding
left up to 8 eps, and 4 eps of squares; a bound that grew like n would take small values that count.

Source: Golub & Van Loan (2013), *Matrix Computations*, sections 2.4 (the decomposition) and 8.6.1
(what squaring costs).
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mastery_jax.numerics.linalg.scale import power_of_two

__all__ = ["Leading", "Solver", "leading", "orient"]

Solver = Literal["svd", "eigh"]


class Leading(NamedTuple):
    """The leading part of a singular value decomposition."""

    values: Float[Array, " k"]
    directions: Float[Array, "k d"]  # rows of length 1, orthogonal


def leading(A: Array, num_components: int, solver: Solver) -> Leading:
    """Return the largest singular values and their right directions. O(n d min(n, d)).

    A value that is rounding is 0. Its direction is orthogonal to the others all the same, but by
    ``eigh`` where n < d it is 0.
    """
    unit = power_of_two(jnp.abs(A).max())  # in which squares are numbers
    A = A / unit
    n, d = A.shape
    least = (16 + min(n, d)) * float(jnp.finfo(A.dtype).eps)
    if solver == "svd":
        _, values, directions = jnp.linalg.svd(A, full_matrices=False)
        values = jnp.where(values <= least * values[0], 0, values)
        return Leading(values[:num_components] * unit, orient(directions[:num_components]))
    with jax.default_matmul_precision("highest"):
        squares, vectors = jnp.linalg.eigh(A.T @ A if d <= n else A @ A.T)
        squares, vectors = squares[::-1][:num_components], vectors[:, ::-1][:, :num_components]
        is_large = ~(squares <= least * squares[0])
        values = jnp.where(is_large, jnp.sqrt(jnp.where(is_large, squares, 1)), 0) * unit
        if d <= n:
            return Leading(values, orient(vectors.T))
        directions = jnp.where(is_large[:, None], vectors.T @ A, 0)
    lengths = jnp.sqrt(jnp.where(is_large, (directions**2).sum(axis=1), 1))
    return Leading(values, orient(directions / lengths[:, None]))


def orient(rows: Array) -> Array:
    """Turn every row so that its entry of largest size, the first of them, is positive. O(k d)."""
    largest = jnp.take_along_axis(rows, jnp.abs(rows).argmax(axis=1)[:, None], axis=1)
    return rows * jnp.where(largest < 0, -1, 1).astype(rows.dtype)
