"""Matrices: product, transpose, solution of a square system, inverse, singular values.

    (A B)_ij = Σ_k A_ik B_kj        (Aᵀ)_ij = A_ji        A x = b        A A⁻¹ = I
    A = U diag(S) Vᵀ,  UᵀU = VᵀV = I,  S₁ ≥ S₂ ≥ … ≥ 0

A system is solved by LU factors with partial pivoting, after each row, then each column, is divided
by the power of two below its largest entry: units are no reason to call a matrix singular, and a
row times a power of two gives the same bits. What is left is measured by its reciprocal condition,

    1 / (|A|₁ |A⁻¹|₁)     from 1 (well conditioned) down to 0 (singular);

below the rounding unit of the dtype no digit of x would be right, and x is NaN. The inverse that it
takes costs three times the solution; who never asks has ``jnp.linalg.solve``.

Source: Golub & Van Loan (2013), *Matrix Computations*, sections 1.1 (products), 2.4 (singular
values), 2.6.2 (condition), 3.4 (LU factors), 3.5.2 (scaling); backward error: Rigal & Gaches
(1967), *Journal of the ACM* 14(3), theorem 1.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mastery_jax.core.check import checked
from mastery_jax.core.status import Status
from mastery_jax.numerics.linalg.scale import equilibrate

__all__ = ["SVD", "Info", "inverse", "multiply", "solve", "svd", "transpose"]


class Info(NamedTuple):
    """How far a solution can be trusted."""

    reciprocal_condition: Float[Array, ""]  # of the scaled matrix, in [0, 1]
    backward_error: Float[Array, ""]  # relative change of A and b that makes the solution exact
    status: Int[Array, ""]  # core.status.Status


class SVD(NamedTuple):
    """A thin singular value decomposition, A = U diag(S) Vt, with k = min(m, n)."""

    U: Float[Array, "m k"]  # orthonormal columns; the largest entry of each is positive
    S: Float[Array, " k"]  # ≥ 0, from the largest down; unit of A
    Vt: Float[Array, "k n"]  # orthonormal rows


@jax.jit
@checked
def multiply(A: Float[Array, "m k"], B: Float[Array, "k n"]) -> Float[Array, "m n"]:
    """Return the product A B, at full precision on every machine. O(m k n).

    Raises:
        ValueError: A has not as many columns as B has rows.

    Example:
        >>> multiply(jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.array([[5.0, 6.0], [7.0, 8.0]]))
        Array([[19., 22.],
               [43., 50.]], dtype=float32)
    """
    with jax.default_matmul_precision("highest"):
        return A @ B


@jax.jit
@checked
def transpose(A: Float[Array, "m n"]) -> Float[Array, "n m"]:
    """Return rows as columns. O(m n)."""
    return A.T


@jax.jit
@checked
def solve(
    A: Float[Array, "n n"], b: Float[Array, "n *columns"]
) -> tuple[Float[Array, "n *columns"], Info]:
    """Solve A x = b, and say how far x can be trusted. O(n³ + n² columns).

    Differentiable in both modes where A is not singular.

    Args:
        A: Any square matrix, in any units.
        b: One right-hand side, or several as columns.

    Returns:
        x, and ``Info``: CONVERGED; SINGULAR, with NaN for x, where the reciprocal condition is
        below the rounding unit of the dtype; NOT_FINITE, with NaN, where the input is not finite.

    Raises:
        ValueError: A is not square, or b has another number of rows.

    Example:
        >>> x, info = solve(jnp.array([[0.0, 2.0], [1.0, 1.0]]), jnp.array([4.0, 5.0]))
        >>> x, int(info.status)
        (Array([3., 2.], dtype=float32), 1)
        >>> x, info = solve(jnp.ones((2, 2)), jnp.ones(2))
        >>> x, int(info.status)
        (Array([nan, nan], dtype=float32), 6)
    """
    x, _, info = _solve(A, b.reshape(len(b), -1))
    return x.reshape(b.shape), info


@jax.jit
@checked
def inverse(A: Float[Array, "n n"]) -> tuple[Float[Array, "n n"], Info]:
    """Invert a matrix, and say how far the inverse can be trusted. O(n³).

    To solve a system, ``solve`` it: that is one rounding error nearer than A⁻¹ b.

    Args:
        A: Any square matrix, in any units.

    Returns:
        A⁻¹, and ``Info``: CONVERGED; SINGULAR, with NaN throughout, where the reciprocal condition
        is below the rounding unit of the dtype; NOT_FINITE, with NaN, where A is not finite.

    Raises:
        ValueError: A is not square.

    Example:
        >>> inverse(jnp.array([[2.0, 0.0], [0.0, 4.0]]))[0]
        Array([[0.5 , 0.  ],
               [0.  , 0.25]], dtype=float32)
    """
    _, inverted, info = _solve(A, jnp.eye(len(A), dtype=A.dtype)[:, :0])
    return inverted, info


@jax.jit
@checked
def svd(A: Float[Array, "m n"]) -> SVD:
    """Decompose any matrix into rotations and stretches. O(m n min(m, n)).

    Differentiable in both modes where the singular values are distinct and A is square; S always.

    Returns:
        U, S and Vt; NaN where A is not finite. Signs are fixed: the entry of largest size in each
        column of U is positive.

    Example:
        >>> svd(jnp.array([[3.0, 0.0], [0.0, -5.0]])).S
        Array([5., 3.], dtype=float32)
    """
    with jax.default_matmul_precision("highest"):
        U, S, Vt = jnp.linalg.svd(A, full_matrices=False)
    largest = jnp.take_along_axis(U, jnp.abs(U).argmax(axis=0)[None, :], axis=0)[0]
    sign = jnp.where(largest < 0, -1, 1).astype(A.dtype)
    return SVD(U=U * sign[None, :], S=S, Vt=Vt * sign[:, None])


def _solve(A: Array, B: Array) -> tuple[Array, Array, Info]:
    """Return A⁻¹ B, A⁻¹, and how far both can be trusted."""
    eps, identity = jnp.finfo(A.dtype).eps, jnp.eye(len(A), dtype=A.dtype)
    scaled, rows, columns = equilibrate(A)
    with jax.default_matmul_precision("highest"):
        both = jnp.linalg.solve(scaled, jnp.append(B / rows, identity, axis=1))
        Z, inverted = jnp.split(both, [B.shape[1]], axis=1)
        rcond = 1 / (_norm(scaled) * _norm(inverted))
        is_finite = jnp.isfinite(A).all() & jnp.isfinite(B).all()
        is_singular = is_finite & ~(rcond >= eps)  # a zero pivot gives infinities, or NaN
        rcond = jnp.where(is_singular & ~(rcond >= 0), 0, rcond)
        X, inverted = Z / columns.T, inverted / columns.T / rows.T
        answer, rhs = (X, B) if B.shape[1] else (inverted, identity)
        residual = jnp.abs(rhs - A @ answer).sum(axis=1).max()
        size = _norm(A.T) * _norm(answer.T) + _norm(rhs.T)
    is_right = is_finite & ~is_singular
    X, inverted, backward_error = (
        jnp.where(is_right, x, jnp.nan)
        for x in (X, inverted, residual / jnp.where(size > 0, size, 1))
    )
    status = jnp.where(is_singular, Status.SINGULAR, Status.CONVERGED)
    status = jnp.where(is_finite, status, Status.NOT_FINITE).astype(jnp.int32)
    return X, inverted, Info(rcond, backward_error, status)


def _norm(A: Array) -> Array:
    """Return the largest sum of sizes along a column."""
    return jnp.abs(A).sum(axis=0).max()
