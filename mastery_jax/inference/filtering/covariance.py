"""What filters do with a covariance of any size: unrolled where it is small, LAPACK beyond.

The choice is made from the shape, while tracing. Both ways give NaN throughout where the matrix
is not positive definite.

Source: Golub & Van Loan (2013), *Matrix Computations*, sections 4.1.3 and 4.2.
"""

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve
from jaxtyping import Array, Float

from mastery_jax.core import smallmat
from mastery_jax.core.check import checked

__all__ = ["log_det", "solve", "symmetric"]


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
