"""Products and solves of tiny matrices, unrolled while tracing: no library call in the program.

    A = L D Lᵀ        L unit lower triangular, D diagonal: the pivots
    A = C Cᵀ          C = L D^½, Cholesky's factor

XLA can put a whole loop into one CPU kernel if there is no LAPACK call in it and, from jaxlib 0.12
on, no dot: a filter with either runs some fifteen times slower. Here every entry of a factor is a
scalar of the trace, hence the limit: cost and compile time grow with n³. Only the lower triangle
of A is read. Functions given the same matrix in one program share its factor: XLA computes equal
expressions once.

Source: Golub & Van Loan (2013), *Matrix Computations*, sections 3.1.2 (substitution), 4.1.3 (LDLᵀ)
and 4.2.5 (Cholesky).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mastery_jax.core.check import checked

__all__ = ["MAX_SIZE", "cholesky", "log_det", "product", "solve", "solve_triangular"]

MAX_SIZE = 8
"""The largest number of rows that is unrolled."""


class _Factor(NamedTuple):
    lower: list[list[Array]]  # row i holds L_i0 … L_i,i-1
    pivots: list[Array]  # D; NaN from the first that is not positive
    reciprocals: list[Array]  # 1 / D


@jax.jit
@checked
def product(
    matrix: Float[Array, "m n"], rhs: Float[Array, "n *columns"]
) -> Float[Array, "m *columns"]:
    """Return the matrix product as a sum of products, at full precision. O(m n columns).

    Args:
        matrix: At most 8 rows and 8 columns.
        rhs: One or more vectors, along the axes after the first.

    Raises:
        ValueError: the matrix has more than 8 rows or columns.
    """
    _size("product", matrix)
    wide = matrix.reshape(*matrix.shape, *[1] * (rhs.ndim - 1))
    return (wide * rhs[None]).sum(axis=1)


@jax.jit
@checked
def cholesky(matrix: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Return the lower triangular C with C Cᵀ = A. O(n³).

    Args:
        matrix: Symmetric positive definite, n at most 8; only its lower triangle is read.

    Returns:
        C, with zeros above its diagonal; NaN throughout where the matrix is not positive definite.

    Raises:
        ValueError: the matrix has more than 8 rows.

    Example:
        >>> cholesky(jnp.array([[4.0, 2.0], [2.0, 10.0]]))
        Array([[2., 0.],
               [1., 3.]], dtype=float32)
    """
    lower, pivots, _ = _factorize("cholesky", matrix)
    roots = [jnp.sqrt(pivot) for pivot in pivots]
    zero = jnp.zeros_like(roots[0])
    rows = []
    for i, row in enumerate(lower):
        scaled = [entry * root for entry, root in zip(row, roots[:i], strict=True)]
        rows.append(jnp.stack([*scaled, roots[i], *[zero] * (len(roots) - i - 1)]))
    return jnp.where(jnp.isnan(roots[-1]), jnp.nan, jnp.stack(rows))


@partial(jax.jit, static_argnames=("transpose",))
@checked
def solve_triangular(
    factor: Float[Array, "n n"], rhs: Float[Array, "n *columns"], *, transpose: bool = False
) -> Float[Array, "n *columns"]:
    """Solve C X = B, or Cᵀ X = B, by substitution. O(n² columns).

    Args:
        factor: Lower triangular, n at most 8; what is above its diagonal is not read.
        rhs: One or more right-hand sides, along the axes after the first.
        transpose: Solve with Cᵀ. Static.

    Returns:
        X; infinite or NaN where the factor is singular.

    Raises:
        ValueError: the factor has more than 8 rows.
    """
    size = _size("solve_triangular", factor)
    matrix = factor.T if transpose else factor
    solved: dict[int, Array] = {}
    for i in range(size)[::-1] if transpose else range(size):
        known = [matrix[i, j] for j in solved]
        solved[i] = _less_products(rhs[i], known, list(solved.values())) / matrix[i, i]
    return jnp.stack([solved[i] for i in range(size)])


@jax.jit
@checked
def solve(
    matrix: Float[Array, "n n"], rhs: Float[Array, "n *columns"]
) -> Float[Array, "n *columns"]:
    """Solve A X = B. O(n³ + n² columns).

    Args:
        matrix: Symmetric positive definite, n at most 8; only its lower triangle is read.
        rhs: One or more right-hand sides, along the axes after the first.

    Returns:
        X; NaN throughout where the matrix is not positive definite.

    Raises:
        ValueError: the matrix has more than 8 rows.

    Example:
        >>> solve(jnp.array([[4.0, 2.0], [2.0, 10.0]]), jnp.array([6.0, 12.0]))
        Array([1., 1.], dtype=float32)
    """
    lower, _, reciprocals = _factorize("solve", matrix)
    forward: list[Array] = []
    for i, row in enumerate(lower):
        forward.append(_less_products(rhs[i], row, forward))
    solved: list[Array] = []  # from the last row up
    for i in range(len(lower))[::-1]:
        column = [row[i] for row in lower[:i:-1]]
        solved.append(_less_products(forward[i] * reciprocals[i], column, solved))
    return jnp.stack(solved[::-1])


@jax.jit
@checked
def log_det(matrix: Float[Array, "n n"]) -> Float[Array, ""]:
    """Return the log of the determinant, as the sum of the logs of the pivots. O(n³).

    Args:
        matrix: Symmetric positive definite, n at most 8; only its lower triangle is read.

    Returns:
        log |A| in nats; NaN where the matrix is not positive definite.

    Raises:
        ValueError: the matrix has more than 8 rows.
    """
    return jnp.log(jnp.stack(_factorize("log_det", matrix).pivots)).sum()


def _factorize(where: str, matrix: Array) -> _Factor:
    lower: list[list[Array]] = []
    pivots: list[Array] = []
    reciprocals: list[Array] = []
    for i in range(_size(where, matrix)):
        scaled: list[Array] = []  # row i of L D
        for j, row in enumerate(lower):
            scaled.append(_less_products(matrix[i, j], row, scaled))
        lower.append([a * b for a, b in zip(scaled, reciprocals, strict=True)])
        pivot = _less_products(matrix[i, i], scaled, lower[i])
        pivots.append(jnp.where(pivot > 0, pivot, jnp.nan))
        reciprocals.append(1 / pivots[i])
    return _Factor(lower, pivots, reciprocals)


def _less_products(value: Array, xs: list[Array], ys: list[Array]) -> Array:
    """Return value − Σ x y."""
    for x, y in zip(xs, ys, strict=True):
        value = value - x * y
    return value


def _size(where: str, matrix: Array) -> int:
    if max(matrix.shape) > MAX_SIZE:
        rows, columns = matrix.shape
        raise ValueError(
            f"smallmat.{where}: the matrix is {rows} x {columns}, not at most {MAX_SIZE} x "
            f"{MAX_SIZE}; beyond, take jnp.linalg and jax.scipy.linalg"
        )
    return matrix.shape[0]
