"""The QR algorithm: all eigenvalues and eigenvectors of a symmetric matrix.

    A = V diag(values) Vᵀ,  VᵀV = I,  values ascending

A becomes tridiagonal by Householder reflections. One sweep of plane rotations from top to bottom is
one step T − μI = QR, T ← RQ + μI, where μ, Wilkinson's shift, is the eigenvalue of the last 2 x 2
block that is nearer to its last entry:

    δ = (t_{m−1,m−1} − t_mm) / 2        μ = t_mm − t² / (δ + sign(δ) √(δ² + t²)),  t = t_{m,m−1}

The last off-diagonal entry then vanishes, almost always cubically; where an entry is lost in the
rounding of its neighbours it is set to 0, and the matrix falls apart into smaller ones. Some 2
sweeps find an eigenvalue. The loop is bounded, compiled once, and works under ``vmap``.

Source: Golub & Van Loan (2013), *Matrix Computations*, algorithms 8.3.1-8.3.3; the shift: Wilkinson
(1968), *Linear Algebra and its Applications* 1(3); derivative: Magnus (1985), *Econometric Theory*
1(2), theorem 1.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from mastery_jax.core import loop
from mastery_jax.core.check import checked
from mastery_jax.core.status import Status
from mastery_jax.numerics.linalg import hessenberg
from mastery_jax.numerics.linalg.scale import power_of_two

__all__ = ["Info", "State", "eigh"]


class State(NamedTuple):
    """The eigenpairs of a symmetric matrix."""

    values: Float[Array, " n"]  # ascending; unit of A
    vectors: Float[Array, "n n"]  # column i belongs to value i; orthonormal


class Info(NamedTuple):
    """How the iteration ended."""

    num_steps: Int[Array, ""]  # sweeps
    asymmetry: Float[Array, ""]  # largest |A − Aᵀ| / 2 over largest |A|
    is_done: Bool[Array, ""]  # status is CONVERGED: every off-diagonal entry is 0
    status: Int[Array, ""]  # core.status.Status


class _Tridiagonal(NamedTuple):
    d: Array  # (n,) the diagonal
    e: Array  # (n,) the off-diagonal, and a 0
    rows: Array  # (n, n) eigenvectors so far, as rows


class _Sweep(NamedTuple):
    k: Array  # the rotation turns rows k and k + 1
    x: Array  # the pair whose second entry it sends to 0
    z: Array
    matrix: _Tridiagonal


class _Verdict(NamedTuple):
    is_done: Array


@partial(jax.jit, static_argnames=("max_steps",))
@checked
def eigh(A: Float[Array, "n n"], *, max_steps: int | None = None) -> tuple[State, Info]:
    """Find every eigenvalue and eigenvector of a symmetric matrix. O(n³).

    Differentiable in both modes by perturbation theory, not through the iteration: values always
    (dλ_i = v_iᵀ dA v_i), vectors where their value is distinct from all others, else NaN.

    Args:
        A: Symmetric. What is decomposed is (A + Aᵀ) / 2, so that ``jax.grad`` of a value is v vᵀ.
        max_steps: Sweeps at most; None for 30 n, as LAPACK has it. Static.

    Returns:
        The pairs, and ``Info``: CONVERGED; OUT_OF_STEPS; BAD_INPUT where A differs from Aᵀ by more
        than the square root of the rounding unit, the pairs then being those of its symmetric part;
        NOT_FINITE, with NaN. The entry of largest size in each vector is positive.

    Raises:
        ValueError: A is not square.

    Example:
        >>> state, info = eigh(jnp.array([[2.0, 1.0], [1.0, 2.0]]))
        >>> bool(jnp.allclose(state.values, jnp.array([1.0, 3.0]))), bool(info.is_done)
        (True, True)
    """
    max_steps = 30 * len(A) if max_steps is None else max_steps
    size = jnp.abs(A).max()
    is_finite = jnp.isfinite(size)
    asymmetry = jnp.abs(A / 2 - A.T / 2).max() / jnp.where(size > 0, size, 1)
    with jax.default_matmul_precision("highest"):
        values, vectors, num_steps, is_done = _decompose(A / 2 + A.T / 2, max_steps)
    is_done = is_finite & (is_done > 0)
    status = jnp.where(is_done, Status.CONVERGED, Status.OUT_OF_STEPS)
    status = jnp.where(asymmetry > jnp.sqrt(jnp.finfo(A.dtype).eps), Status.BAD_INPUT, status)
    status = jnp.where(is_finite, status, Status.NOT_FINITE).astype(jnp.int32)
    is_done = status == Status.CONVERGED
    values, vectors = (jnp.where(is_finite, x, jnp.nan) for x in (values, vectors))
    info = Info(num_steps.astype(jnp.int32), asymmetry, is_done, status)
    return State(values=values, vectors=vectors), info


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _decompose(A: Array, max_steps: int) -> tuple[Array, ...]:
    """Return values, vectors and, as floats, the number of sweeps and whether they were enough."""
    scale = power_of_two(jnp.abs(A).max())
    Q, T = hessenberg.reduce(A / scale)
    e = jnp.append(jnp.diagonal(T, offset=-1), 0)
    # The first sweep must not take its shift from entries that are lost in rounding already.
    start = _split(_Tridiagonal(d=jnp.diagonal(T), e=e.astype(A.dtype), rows=Q.T))
    (d, e, rows), verdict, num_steps = loop.until(_step, start, max_steps=max_steps)
    order = jnp.argsort(d)
    vectors = rows[order].T
    largest = jnp.take_along_axis(vectors, jnp.abs(vectors).argmax(axis=0)[None, :], axis=0)
    vectors = vectors * jnp.where(largest < 0, -1, 1).astype(A.dtype)
    is_done = (verdict.is_done & jnp.isfinite(d).all()).astype(A.dtype)
    return d[order] * scale, vectors, num_steps.astype(A.dtype), is_done


@_decompose.defjvp
def _decompose_jvp(max_steps: int, primals: Any, tangents: Any) -> tuple[Any, Any]:
    (A,), (dA,) = primals, tangents
    out = values, vectors, num_steps, is_done = _decompose(A, max_steps)
    with jax.default_matmul_precision("highest"):
        turned = vectors.T @ dA @ vectors
        gaps = values[None, :] - values[:, None] + jnp.eye(len(A), dtype=A.dtype)
        # An eigenvector of a value that is repeated, but for rounding, has no derivative.
        is_equal = jnp.abs(gaps) <= len(A) * jnp.finfo(A.dtype).eps * jnp.abs(values).max()
        is_equal &= ~jnp.eye(len(A), dtype=bool)
        ratio = turned * (1 - jnp.eye(len(A), dtype=A.dtype)) / jnp.where(is_equal, jnp.nan, gaps)
        moved = (jnp.diagonal(turned), vectors @ ratio)
    return out, (*moved, jnp.zeros_like(num_steps), jnp.zeros_like(is_done))


def _step(matrix: _Tridiagonal) -> tuple[_Tridiagonal, _Verdict]:
    """Sweep once through the last block that has not fallen apart, and split what has."""
    d, e, _ = matrix
    n, index = len(d), jnp.arange(len(d))
    last = jnp.where(e != 0, index + 1, 0).max()
    first = jnp.where((e == 0) & (index < last), index + 1, 0)
    first = jnp.where(index < last, first, 0).max()
    previous = jnp.maximum(last - 1, 0)
    delta, t = (d[previous] - d[last]) / 2, e[previous]
    root = delta + jnp.where(delta < 0, -1, 1) * jnp.hypot(delta, t)
    shift = d[last] - t * (t / jnp.where(root == 0, 1, root))
    start = _Sweep(first, d[first] - shift, e[first], matrix)
    end, _, _ = loop.until(_rotate, start, max_steps=max(n - 1, 1), first=first, last=last)
    matrix = _split(end.matrix)
    is_done = (matrix.e == 0).all() | ~jnp.isfinite(matrix.d).all()
    return matrix, _Verdict(is_done)


def _rotate(sweep: _Sweep, *, first: Array, last: Array) -> tuple[_Sweep, _Verdict]:
    """Turn rows and columns k and k + 1, and chase the entry that this puts below them."""
    k, x, z, (d, e, rows) = sweep
    length = jnp.hypot(x, z)
    is_turned = (k < last) & (length > 0)
    c = jnp.where(is_turned, x / jnp.where(is_turned, length, 1), 1)
    s = jnp.where(is_turned, z / jnp.where(is_turned, length, 1), 0)
    a, b, f, upper, lower = d[k], e[k], d[k + 1], rows[k], rows[k + 1]
    turned = (c - s) * (c + s) * b + c * s * (f - a)
    d = d.at[k].set(c * c * a + 2 * c * s * b + s * s * f)
    d = d.at[k + 1].set(s * s * a - 2 * c * s * b + c * c * f)
    before = jnp.maximum(k - 1, 0)
    e = e.at[before].set(jnp.where(k > first, length, e[before])).at[k].set(turned)
    bulge = s * e[k + 1]
    e = e.at[k + 1].multiply(c)
    rows = rows.at[k].set(c * upper + s * lower).at[k + 1].set(c * lower - s * upper)
    return _Sweep(k + 1, turned, bulge, _Tridiagonal(d, e, rows)), _Verdict(k + 1 >= last)


def _split(matrix: _Tridiagonal) -> _Tridiagonal:
    """Set to 0 the entries that are lost in the rounding of their neighbours."""
    size = jnp.abs(matrix.d)
    is_lost = jnp.abs(matrix.e) <= jnp.finfo(size.dtype).eps * (size + jnp.roll(size, -1))
    return matrix._replace(e=jnp.where(is_lost, 0, matrix.e))
