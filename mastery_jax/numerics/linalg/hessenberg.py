"""Hessenberg form by Householder reflections: what a QR iteration starts from.

    A = Q H Qᵀ,  QᵀQ = I,  H_ij = 0 for i > j + 1;  H is tridiagonal where A is symmetric

Column by column, P = I − 2 v vᵀ / vᵀv sends what stands below the subdiagonal to 0; H ← P H P keeps
the eigenvalues.

Source: Golub & Van Loan (2013), *Matrix Computations*, algorithms 5.1.1, 7.4.2 and 8.3.1.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mastery_jax.core import loop
from mastery_jax.core.check import checked

__all__ = ["State", "reduce"]


class State(NamedTuple):
    """A matrix as Q H Qᵀ."""

    Q: Float[Array, "n n"]  # orthogonal
    H: Float[Array, "n n"]  # 0 below its first subdiagonal; unit of A


@jax.jit
@checked
def reduce(A: Float[Array, "n n"]) -> State:
    """Reduce a square matrix to Hessenberg form. O(n³), in n − 2 steps that are one compiled loop.

    Returns:
        Q and H; NaN where A is not finite.

    Raises:
        ValueError: A is not square.

    Example:
        >>> state = reduce(jnp.array([[1.0, 3.0, 4.0], [3.0, 2.0, 0.0], [4.0, 0.0, 5.0]]))
        >>> state.H[:, 0]
        Array([ 1., -5.,  0.], dtype=float32)
    """
    n = len(A)
    state = State(Q=jnp.eye(n, dtype=A.dtype), H=A)
    if n < 3:
        return state
    with jax.default_matmul_precision("highest"):
        return loop.scan(_reflect, state, jnp.arange(n - 2))[0]


def _reflect(state: State, column: Array) -> tuple[State, None]:
    """Send one column of H to 0 below its subdiagonal."""
    Q, H = state.Q, state.H
    index = jnp.arange(len(H))
    x = jnp.where(index > column, H[:, column], 0)
    size = jnp.abs(x).max()
    x = x / jnp.where(size > 0, size, 1)
    below = jnp.where(index > column + 1, x, 0)
    is_done = ~((below**2).sum() > 0)  # nothing stands there, or all is NaN
    length = jnp.sqrt(jnp.where(is_done, 1, (x**2).sum()))
    first = x[column + 1]
    v = x.at[column + 1].add(jnp.where(first < 0, -length, length))
    # Half of vᵀv, written without a sum that could be 0 for a column that needs no reflection.
    v = v / jnp.sqrt(length * (length + jnp.abs(first)))
    v = jnp.where(is_done & ~jnp.isnan(size), 0, v)
    H = H - v[:, None] * (v @ H)[None, :]
    H = H - (H @ v)[:, None] * v[None, :]
    H = H.at[:, column].set(jnp.where(index > column + 1, 0, H[:, column]))
    return State(Q=Q - (Q @ v)[:, None] * v[None, :], H=H), None
