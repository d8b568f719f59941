"""The matrix algebra of filters at any size: unrolled where it is small, BLAS and LAPACK beyond.

    P = L Lᵀ    L: a square root, lower triangular or not

The choice is made from the shapes, while tracing. Solves give NaN throughout where the matrix is
not positive definite. Products run at the precision that the caller set.

Source: Golub & Van Loan (2013), *Matrix Computations*, sections 1.1, 4.1.3, 4.2 (4.2.8: pivots) and
5.1 (Householder).
"""

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve, solve_triangular
from jaxtyping import Array, Bool, Float

from mastery_jax.core import loop, smallmat
from mastery_jax.core.check import checked

__all__ = [
    "cholesky",
    "congruence",
    "is_covariance",
    "log_det",
    "product",
    "root",
    "solve",
    "solve_lower",
    "symmetric",
    "triangular",
]


@jax.jit
@checked
def product(
    matrix: Float[Array, "m n"], rhs: Float[Array, "n *columns"]
) -> Float[Array, "m *columns"]:
    """Return the matrix product. O(m n columns)."""
    if max(matrix.shape) <= smallmat.MAX_SIZE:
        return smallmat.product(matrix, rhs)
    return jnp.tensordot(matrix, rhs, axes=1)


@jax.jit
@checked
def congruence(matrix: Float[Array, "m n"], cov: Float[Array, "n n"]) -> Float[Array, "m m"]:
    """Return A P Aᵀ, the covariance of A x where that of x is P. O(m n (m + n))."""
    return product(product(matrix, cov), matrix.T)


@jax.jit
@checked
def solve(cov: Float[Array, "n n"], rhs: Float[Array, "n columns"]) -> Float[Array, "n columns"]:
    """Solve cov X = rhs. O(n³ + n² columns)."""
    if len(cov) <= smallmat.MAX_SIZE:
        return smallmat.solve(cov, rhs)
    return cho_solve((jnp.linalg.cholesky(cov), True), rhs)


@jax.jit
@checked
def cholesky(cov: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Return the lower triangular L with L Lᵀ = P. O(n³). NaN where P is not positive definite."""
    if len(cov) <= smallmat.MAX_SIZE:
        return smallmat.cholesky(cov)
    return jnp.linalg.cholesky(cov)


@jax.jit
@checked
def log_det(cov: Float[Array, "n n"]) -> Float[Array, ""]:
    """Return the log of the determinant, in nats. O(n³)."""
    if len(cov) <= smallmat.MAX_SIZE:
        return smallmat.log_det(cov)
    return 2 * jnp.log(jnp.diagonal(jnp.linalg.cholesky(cov))).sum()


@jax.jit
@checked
def symmetric(cov: Float[Array, "*batch n n"]) -> Float[Array, "*batch n n"]:
    """Return the symmetric part, which rounding has taken a covariance away from. O(n²)."""
    return (cov + cov.swapaxes(-1, -2)) / 2


@jax.jit
@checked
def is_covariance(cov: Float[Array, "*batch n n"]) -> Bool[Array, ""]:
    """Say that no variance is below 0, and no correlation beyond 1. O(n²).

    Correlations are allowed what rounding can make of one that is 1: some thousandths; NaN is not
    looked at. Up to 8 rows there is no reduction, which costs a program on a CPU a call.

    Example:
        >>> is_covariance(jnp.array([[1.0, 2.0], [2.0, 1.0]]))
        Array(False, dtype=bool)
    """
    size = cov.shape[-1]
    if size > smallmat.MAX_SIZE:
        variances = jnp.diagonal(cov, axis1=-2, axis2=-1)
        most = variances[..., :, None] * variances[..., None, :]
        return ~((cov**2 > 1.01 * most).any() | (variances < 0).any())
    is_none = jnp.zeros(cov.shape[:-2], bool)
    for i in range(size):
        is_none = is_none | (cov[..., i, i] < 0)
        for j in range(i):
            most = 1.01 * cov[..., i, i] * cov[..., j, j]
            is_none = is_none | (cov[..., i, j] ** 2 > most)
    return ~(is_none.any() if is_none.ndim else is_none)


@jax.jit
@checked
def triangular(wide: Float[Array, "n k"]) -> Float[Array, "n n"]:
    """Return the lower triangular L, its diagonal not negative, with L Lᵀ = A Aᵀ. O(n² k).

    A Aᵀ is not formed: L is as accurate as A is, of any rank. Up to 16 rows it has a derivative
    where A is singular, too, one that takes a row of zeros to stay so; beyond, it has none there.
    An entry whose square is below the least number counts as 0.

    Example:
        >>> triangular(jnp.array([[3.0, 4.0], [4.0, -3.0]]))
        Array([[ 5.,  0.],
               [-0.,  5.]], dtype=float32)
    """
    num_rows, num_columns = wide.shape
    if num_columns < num_rows:
        wide = jnp.pad(wide, ((0, 0), (0, num_rows - num_columns)))
    if num_rows > 2 * smallmat.MAX_SIZE:
        found = jnp.linalg.qr(wide.T, mode="r").T
        return found * jnp.where(jnp.diagonal(found) < 0, -1, 1).astype(wide.dtype)[None, :]
    columns = []
    for i in range(num_rows):
        column, wide = _reflected(wide)
        columns.append(jnp.concatenate([jnp.zeros(i, wide.dtype), column]))
    return jnp.stack(columns, axis=1)


@jax.jit
@checked
def solve_lower(
    factor: Float[Array, "n n"], rhs: Float[Array, "n *columns"]
) -> Float[Array, "n *columns"]:
    """Solve L X = B, L lower triangular. O(n² columns). Not finite where L is singular."""
    if len(factor) <= smallmat.MAX_SIZE:
        return smallmat.solve_triangular(factor, rhs)
    return solve_triangular(factor, rhs, lower=True)


@jax.jit
@checked
def root(cov: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Return a square A, not triangular, with A Aᵀ = P, of a P that may be singular. O(n³).

    Cholesky's factor by the largest pivot first, each relative to its own diagonal entry of P, so
    that units do not matter. From the first pivot below n units of rounding on, columns are 0:
    there the derivative is that of P's rank, and of P itself only where P is positive definite.

    Returns:
        A; NaN throughout where P is not positive semi-definite.

    Example:
        >>> root(jnp.array([[4.0, 2.0], [2.0, 1.0]]))
        Array([[2., 0.],
               [1., 0.]], dtype=float32)
    """
    cov = symmetric(cov)
    diagonal = jnp.diagonal(cov)
    size = jnp.where(diagonal > 0, diagonal, 1)
    least = len(cov) * jnp.finfo(cov.dtype).eps

    def eliminate(rest: Array) -> tuple[Array, Array]:
        j = jnp.argmax(jnp.diagonal(rest) / size)
        pivot, column = rest[j, j], rest[j]
        is_enough = pivot > least * size[j]
        column = jnp.where(is_enough, column / jnp.sqrt(jnp.where(is_enough, pivot, 1)), 0)
        return rest - column[:, None] * column[None, :], column

    rest, columns = loop.scan(eliminate, cov, num_steps=len(cov))
    scale = jnp.sqrt(size)
    is_over = jnp.abs(rest) / (scale[:, None] * scale[None, :]) > 4 * least
    return jnp.where(is_over.any() | jnp.isnan(rest).any(), jnp.nan, columns.T)


def _reflected(wide: Array) -> tuple[Array, Array]:
    """Turn the columns so that the first row is (|row|, 0 …); return column 0 and what remains."""
    row = wide[0]
    square = (row * row).sum()
    is_zero = square == 0
    norm = jnp.sqrt(jnp.where(is_zero, 1, square))
    sign = jnp.where(row[0] < 0, -1, 1).astype(row.dtype)
    mirror = jnp.concatenate([row[:1] + sign * norm, row[1:]])
    weight = jnp.where(is_zero, 0, 1 / (norm * (norm + jnp.abs(row[0]))))
    along = (wide[1:] * mirror[None, :]).sum(axis=1)
    rest = wide[1:] - weight * along[:, None] * mirror[None, :]
    first = jnp.where(is_zero, 0, norm)
    return jnp.concatenate([first[None], -sign * rest[:, 0]]), rest[:, 1:]
