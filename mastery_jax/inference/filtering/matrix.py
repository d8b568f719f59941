"""The matrix algebra of filters at any size: unrolled where it is small, BLAS and LAPACK beyond.

The choice is made from the shapes, while tracing. Solves give NaN throughout where the matrix is
not positive definite. Products run at the precision that the caller set.

Source: Golub & Van Loan (2013), *Matrix Computations*, sections 1.1, 4.1.3 and 4.2.
"""

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve
from jaxtyping import Array, Float

from mastery_jax.core import smallmat
from mastery_jax.core.check import checked

__all__ = ["congruence", "log_det", "product", "solve", "symmetric"]


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
