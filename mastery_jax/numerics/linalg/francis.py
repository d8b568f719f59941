"""Francis' double-shift QR: all eigenvalues of a real matrix, in real arithmetic.

A becomes Hessenberg. One sweep is two QR steps at once, with the two eigenvalues of the last 2 x 2
block as shifts; both enter only through their sum s and product t, which are real even where they
are a complex pair. The first column of H² − s H + t I,

    x = h₀₀² + h₀₁ h₁₀ − s h₀₀ + t        y = h₁₀ (h₀₀ + h₁₁ − s)        z = h₁₀ h₂₁

decides a reflection of three rows and columns; further ones chase the bulge that it makes down the
diagonal. Subdiagonal entries that are lost in rounding are set to 0, until blocks of 1 and 2 rows
are left, whose eigenvalues are roots of a quadratic.

Source: Francis (1962), *The Computer Journal* 4(4); Golub & Van Loan (2013), *Matrix Computations*,
algorithms 7.5.1 and 7.5.2; exceptional shifts: Martin, Peters & Wilkinson (1970), *Numerische
Mathematik* 14; derivative: Magnus (1985), *Econometric Theory* 1(2), theorem 2.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Complex, Float, Int

from mastery_jax.core import loop
from mastery_jax.core.check import checked
from mastery_jax.core.status import Status
from mastery_jax.numerics.linalg import hessenberg
from mastery_jax.numerics.linalg.scale import power_of_two

__all__ = ["Info", "eigvals"]


class Info(NamedTuple):
    """How the iteration ended."""

    num_steps: Int[Array, ""]  # sweeps
    is_done: Bool[Array, ""]  # only blocks of 1 and 2 rows are left
    status: Int[Array, ""]  # core.status.Status


class _Carry(NamedTuple):
    H: Array  # (n + 1, n + 1): with a row and a column of zeros, no reflection is a special case
    last: Array  # the last row of the block that was swept
    stalled: Array  # sweeps since that changed


class _Chase(NamedTuple):
    k: Array  # the reflection mixes rows k, k + 1 and k + 2
    head: Array  # (3,) what it turns into a multiple of the first unit vector
    H: Array


class _Verdict(NamedTuple):
    is_done: Array


@partial(jax.jit, static_argnames=("max_steps",))
@checked
def eigvals(
    A: Float[Array, "n n"], *, max_steps: int | None = None
) -> tuple[Complex[Array, " n"], Info]:
    """Find every eigenvalue of a real square matrix. O(n³).

    Differentiable in both modes where eigenvalues are distinct (else NaN), by perturbation and not
    through the iteration: dλ = uᴴ dA v / uᴴv with left and right eigenvectors u and v, which are
    the last singular vectors of A − λI. That costs O(n⁴), all eigenvalues at once.

    Args:
        A: Any real square matrix. It is scaled as a whole, and not balanced.
        max_steps: Sweeps at most; None for 30 n, as LAPACK has it. Static.

    Returns:
        Complex eigenvalues by ascending real part, then imaginary part, as ``numpy.sort_complex``
        gives them; and ``Info``: CONVERGED, OUT_OF_STEPS, or NOT_FINITE, with NaN.

    Raises:
        ValueError: A is not square.

    Example:
        >>> values, info = eigvals(jnp.array([[0.0, -2.0], [2.0, 0.0]]))
        >>> values, bool(info.is_done)
        (Array([0.-2.j, 0.+2.j], dtype=complex64), True)
    """
    with jax.default_matmul_precision("highest"):
        values, num_steps, is_done = _values(A, 30 * len(A) if max_steps is None else max_steps)
    is_finite = jnp.isfinite(A).all()
    is_done = (is_done > 0) & is_finite
    status = jnp.where(is_done, Status.CONVERGED, Status.OUT_OF_STEPS)
    status = jnp.where(is_finite, status, Status.NOT_FINITE).astype(jnp.int32)
    values = jnp.where(is_finite, values, jnp.nan)
    return values, Info(num_steps.astype(jnp.int32), is_done, status)


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _values(A: Array, max_steps: int) -> tuple[Array, Array, Array]:
    """Return values and, as floats, the number of sweeps and whether they were enough."""
    n, scale = len(A), power_of_two(jnp.abs(A).max())
    H, num_steps, is_done = A / scale, jnp.zeros((), A.dtype), jnp.ones((), A.dtype)
    if n > 2:
        H = jnp.pad(hessenberg.reduce(H).H, (0, 1))
        start = _Carry(_split(H), jnp.asarray(n), jnp.asarray(0))
        end, verdict, num_steps = loop.until(_step, start, max_steps=max_steps)
        H, is_done = end.H[:n, :n], verdict.is_done & jnp.isfinite(end.H).all()
    values = jnp.sort(_of_blocks(H))
    values = jax.lax.complex(values.real * scale, values.imag * scale)
    return values, jnp.asarray(num_steps, A.dtype), jnp.asarray(is_done, A.dtype)


@_values.defjvp
def _values_jvp(max_steps: int, primals: Any, tangents: Any) -> tuple[Any, Any]:
    (A,), (dA,) = primals, tangents
    out = values, num_steps, is_done = _values(A, max_steps)
    with jax.default_matmul_precision("highest"):
        identity = jnp.eye(len(A), dtype=values.dtype)
        shifted = A.astype(values.dtype)[None] - values[:, None, None] * identity[None]
        U, S, Vh = jnp.linalg.svd(jax.lax.stop_gradient(shifted))
        left, right = U[:, :, -1].conj(), Vh[:, -1, :].conj()
        moved = jnp.einsum("ki,ij,kj->k", left, dA.astype(values.dtype), right)
        moved = moved / (left * right).sum(axis=1)
    if len(A) > 1:  # of a repeated value, but for rounding, there is no derivative
        rounding = len(A) * jnp.finfo(A.dtype).eps * jnp.abs(values).max()
        moved = jnp.where(S[:, -2] > rounding, moved, jnp.nan)
    return out, (moved, jnp.zeros_like(num_steps), jnp.zeros_like(is_done))


def _step(carry: _Carry) -> tuple[_Carry, _Verdict]:
    """Sweep once through the last block of three or more rows."""
    H, n = carry.H, len(carry.H) - 1
    index, is_joined = jnp.arange(n), jnp.diagonal(H, offset=-1) != 0
    last = jnp.where(is_joined & jnp.roll(is_joined, -1) & (index < n - 2), index + 2, 0).max()
    first = jnp.where(~is_joined & (index < last), index + 1, 0).max()
    stalled = jnp.where(last == carry.last, carry.stalled + 1, 0)
    head = _first_column(H, first, last, is_exceptional=(stalled % 10 == 9))
    start = _Chase(first, head, H)
    end, _, _ = loop.until(_reflect, start, max_steps=n - 1, first=first, last=last)
    H = _split(jnp.where(last > 0, end.H, H))
    is_joined = jnp.diagonal(H, offset=-1) != 0
    is_done = ~(is_joined[1:] & is_joined[:-1]).any() | ~jnp.isfinite(H).all()
    return _Carry(H, last, stalled), _Verdict(is_done)


def _first_column(H: Array, first: Array, last: Array, *, is_exceptional: Array) -> Array:
    """Return what is not 0 in the first column of H² − s H + t I, of one block."""
    block = jax.lax.dynamic_slice(H, (jnp.maximum(last - 1, 0),) * 2, (2, 2))
    (a, b), (c, d) = block
    # A cycle of shifts that leads nowhere is left by one that depends on sizes alone.
    size = jnp.abs(c) + jnp.abs(H[jnp.maximum(last - 1, 0), jnp.maximum(last - 2, 0)])
    s = jnp.where(is_exceptional, 1.5 * size, a + d)
    t = jnp.where(is_exceptional, size**2, a * d - b * c)
    (p, q), (r, u), (_, below) = jax.lax.dynamic_slice(H, (first, first), (3, 2))
    return jnp.stack([p * p + q * r - s * p + t, r * (p + u - s), r * below])


def _reflect(chase: _Chase, *, first: Array, last: Array) -> tuple[_Chase, _Verdict]:
    """Mix three rows and columns so that the head of the bulge goes; the last time, two."""
    k, head, H = chase
    is_pair = k + 1 >= last
    head = head.at[2].set(jnp.where(is_pair, 0, head[2]))
    size = jnp.abs(head).max()
    x = head / jnp.where(size > 0, size, 1)
    length = jnp.sqrt((x**2).sum())
    length = jnp.where(x[0] < 0, -length, length)
    v = x.at[0].add(length)
    square = (v**2).sum()
    v = v * jnp.sqrt(2 / jnp.where(square > 0, square, 1))
    rows = jax.lax.dynamic_slice(H, (k, 0), (3, len(H)))
    rows = rows - v[:, None] * (v[:, None] * rows).sum(axis=0)[None, :]
    H = jax.lax.dynamic_update_slice(H, rows, (k, 0))
    columns = jax.lax.dynamic_slice(H, (0, k), (len(H), 3))
    columns = columns - (columns * v[None, :]).sum(axis=1)[:, None] * v[None, :]
    H = jax.lax.dynamic_update_slice(H, columns, (0, k))
    # What was reflected away is 0 up to rounding: say so.
    before = jnp.maximum(k - 1, 0)
    column = jnp.where(jnp.arange(len(H)) > k, 0, H[:, before])
    H = H.at[:, before].set(jnp.where(k > first, column, H[:, before]))
    head = jax.lax.dynamic_slice(jnp.pad(H, (0, 2)), (k + 1, k), (3, 1))[:, 0]
    return _Chase(k + 1, head, H), _Verdict(is_pair)


def _split(H: Array) -> Array:
    """Set to 0 the subdiagonal entries that are lost in the rounding of their neighbours."""
    size = jnp.abs(jnp.diagonal(H))
    around = size[1:] + size[:-1]
    around = jnp.where(around > 0, around, jnp.abs(H).max())
    below = jnp.diagonal(H, offset=-1)
    is_lost = jnp.abs(below) <= jnp.finfo(H.dtype).eps * around
    index = jnp.arange(len(below))
    return H.at[index + 1, index].set(jnp.where(is_lost, 0, below))


def _of_blocks(H: Array) -> Array:
    """Return the eigenvalues of a matrix of blocks of 1 and 2 rows along the diagonal."""
    d = jnp.diagonal(H)
    below = jnp.append(jnp.diagonal(H, offset=-1), 0)
    beside = jnp.append(jnp.diagonal(H, offset=1), 0)
    half = (d - jnp.roll(d, -1)) / 2
    square = half**2 + below * beside
    root = jnp.sqrt(jnp.abs(square))
    # The root of larger size first; the other follows from the product, without cancellation.
    signed = half + jnp.where(half < 0, -root, root)
    other = -below * beside / jnp.where(signed == 0, 1, signed)
    is_real, mean = square >= 0, jnp.roll(d, -1) + half
    upper = jax.lax.complex(
        jnp.where(is_real, jnp.roll(d, -1) + signed, mean), jnp.where(is_real, 0, root)
    )
    lower = jax.lax.complex(
        jnp.where(is_real, jnp.roll(d, -1) + other, mean), jnp.where(is_real, 0, -root)
    )
    is_first = below != 0
    is_second = jnp.roll(is_first, 1)
    alone = d.astype(upper.dtype)
    return jnp.where(is_first, upper, jnp.where(is_second, jnp.roll(lower, 1), alone))
