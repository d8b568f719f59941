"""Power iteration with deflation: the eigenpairs of largest size, one after the other.

    v ← A v / |A v|        u ← Aᵀu / |Aᵀu|        λ = uᵀA v / uᵀv

The right vector v and the left vector u (they are one where A is symmetric) turn towards the
eigenvectors of the largest |λ₁|, by a factor |λ₂ / λ₁| a step. A pair that is found is taken out of
whatever follows,

    w ← w − Σ_found v (uᵀw) / (uᵀv),

which leaves all other eigenpairs as they are. Eigenvalues of equal size, thus every complex pair,
are not told apart: the vector keeps turning, and the status says so.

Source: Golub & Van Loan (2013), *Matrix Computations*, sections 7.3.1 and 8.2.1; deflation: Saad
(2011), *Numerical Methods for Large Eigenvalue Problems*, section 4.2; derivative: Magnus (1985),
*Econometric Theory* 1(2), theorem 2.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int, Key

from mastery_jax.core import loop
from mastery_jax.core.check import Scalar, checked
from mastery_jax.core.status import Status
from mastery_jax.numerics.linalg.scale import power_of_two

__all__ = ["Info", "Pairs", "State", "init", "solve", "step"]


class State(NamedTuple):
    """One eigenvector on its way, from both sides."""

    right: Float[Array, " n"]  # v, of length 1
    left: Float[Array, " n"]  # u, of length 1


class Info(NamedTuple):
    """How good a pair is."""

    value: Float[Array, ""]  # λ = uᵀA v / uᵀv, unit of A
    residual: Float[Array, ""]  # |A v − λ v|, unit of A
    num_steps: Int[Array, ""]
    is_done: Bool[Array, ""]  # the residual is at most rtol |A|, Frobenius
    status: Int[Array, ""]  # core.status.Status


class Pairs(NamedTuple):
    """Eigenpairs, by falling size of the value."""

    values: Float[Array, " k"]  # unit of A
    vectors: Float[Array, "n k"]  # column i belongs to value i; of length 1, largest entry positive


class _Found(NamedTuple):
    right: Array  # (k, n), rows of zeros where nothing is found yet
    left: Array  # (k, n), scaled to uᵀv = 1


@jax.jit
@checked
def init(key: Key[Array, ""], A: Float[Array, "n n"]) -> State:
    """Draw a direction to start from. O(n).

    A fixed one can be blind to an eigenvector: the ones to all but the first of any graph's
    Laplacian. A random one is not, with probability 1.
    """
    v = jax.random.normal(key, (len(A),), A.dtype)
    v = v / jnp.sqrt((v**2).sum())
    return State(right=v, left=v)


@jax.jit
@checked
def step(state: State, A: Float[Array, "n n"], *, rtol: Scalar = 1e-6) -> tuple[State, Info]:
    """Multiply once from both sides. O(n²).

    Args:
        state: Two vectors of length 1.
        A: Square.
        rtol: How small |A v − λ v| must be beside the Frobenius norm of A. Traced.

    Returns:
        The next vectors, and ``Info`` of those that were given: RUNNING, CONVERGED or NOT_FINITE.
    """
    nothing = jnp.zeros((0, len(A)), A.dtype)
    unit = power_of_two(jnp.abs(A).max())
    state, info = _step(state, A=A / unit, found=_Found(nothing, nothing), rtol=rtol)
    return state, info._replace(value=unit * info.value, residual=unit * info.residual)


@partial(jax.jit, static_argnames=("num_pairs", "max_steps"))
@checked
def solve(
    key: Key[Array, ""],
    A: Float[Array, "n n"],
    *,
    num_pairs: int = 1,
    rtol: Scalar = 1e-6,
    max_steps: int = 1000,
) -> tuple[Pairs, Info]:
    """Find the eigenpairs of largest size. O(k n² + k² n) a step of the slowest.

    Differentiable in both modes by the implicit function theorem, where an eigenvalue is simple;
    the derivative is that of the exact pair, O(k n³).

    Args:
        key: Of the directions to start from.
        A: Square; it need not be symmetric.
        num_pairs: k, from 1 to n. Static.
        rtol: How small |A v − λ v| must be beside the Frobenius norm of A. Traced.
        max_steps: For each pair, at most. Static.

    Returns:
        The pairs, and an ``Info`` whose fields have one entry a pair: CONVERGED; OUT_OF_STEPS,
        where two eigenvalues have about the same size, or are a complex pair, and for every pair
        after such a one, whose deflation is not exact; NOT_FINITE. A small residual bounds the
        error of a value; its vector is off by the residual over the distance to other values.

    Raises:
        ValueError: A is not square, or has not that many eigenvalues.

    Example:
        >>> A = jnp.array([[2.0, 1.0], [1.0, 2.0]])
        >>> pairs, info = solve(jax.random.key(0), A, num_pairs=2)
        >>> bool(jnp.allclose(pairs.values, jnp.array([3.0, 1.0]))), info.status
        (True, Array([1, 1], dtype=int32))
    """
    if not 1 <= num_pairs <= len(A):
        raise ValueError(
            f"power_iteration.solve: num_pairs is {num_pairs}, not from 1 to the {len(A)} rows of A"
        )
    unit = power_of_two(jnp.abs(A).max())
    fixed = jax.lax.stop_gradient(A / unit)
    nothing = jnp.zeros((num_pairs, len(A)), A.dtype)
    slots = (jnp.arange(num_pairs), jax.random.split(key, num_pairs))
    hyper = {"A": fixed, "rtol": jax.lax.stop_gradient(rtol), "max_steps": max_steps}
    found, info = loop.scan(partial(_pair, **hyper), _Found(nothing, nothing), slots)
    is_whole = jnp.cumprod(info.status == Status.CONVERGED).astype(bool)
    status = jnp.where(is_whole, info.status, jnp.maximum(info.status, Status.OUT_OF_STEPS))
    with jax.default_matmul_precision("highest"):
        values, vectors = jax.vmap(partial(_implicit, A / unit))(info.value, found.right)
    info = info._replace(
        value=unit * values,
        residual=unit * info.residual,
        is_done=is_whole,
        status=status.astype(jnp.int32),
    )
    return Pairs(values=unit * values, vectors=vectors.T), info


def _pair(
    found: _Found, slot: tuple[Array, Array], *, A: Array, rtol: Any, max_steps: int
) -> tuple[_Found, Info]:
    """Find one more pair."""
    index, key = slot
    start = _deflate(init(key, A), found)
    hyper = {"A": A, "found": found, "rtol": rtol}
    state, info, num_steps = loop.until(partial(_step, **hyper), start, max_steps=max_steps)
    v = state.right
    v = jnp.where(v[jnp.abs(v).argmax()] < 0, -v, v)
    with jax.default_matmul_precision("highest"):
        overlap = state.left @ v
        residual = A @ v - info.value * v
    left = state.left / jnp.where(overlap == 0, 1, overlap)
    found = _Found(found.right.at[index].set(v), found.left.at[index].set(left))
    status = jnp.where(info.status == Status.RUNNING, Status.OUT_OF_STEPS, info.status)
    return found, info._replace(
        residual=jnp.sqrt((residual**2).sum()),
        num_steps=num_steps.astype(jnp.int32),
        status=status.astype(jnp.int32),
    )


def _step(state: State, *, A: Array, found: _Found, rtol: Any) -> tuple[State, Info]:
    v, u = state.right, state.left
    with jax.default_matmul_precision("highest"):
        toward = _deflate(State(right=A @ v, left=A.T @ u), found)
        overlap = u @ v
        value = u @ toward.right / jnp.where(overlap == 0, 1, overlap)
        residual = jnp.sqrt(((toward.right - value * v) ** 2).sum())
        size = jnp.sqrt((A**2).sum())
    is_done = residual <= jnp.asarray(rtol, A.dtype) * size
    is_finite = jnp.isfinite(residual)
    status = jnp.where(is_done, Status.CONVERGED, Status.RUNNING)
    status = jnp.where(is_finite, status, Status.NOT_FINITE).astype(jnp.int32)
    info = Info(value, residual, jnp.ones_like(status), is_done | ~is_finite, status)
    return jax.tree.map(_unit, toward, state), info


def _deflate(state: State, found: _Found) -> State:
    """Take what is found out of both vectors."""
    with jax.default_matmul_precision("highest"):
        v, u = state.right, state.left
        return State(
            right=v - (found.left @ v) @ found.right, left=u - (found.right @ u) @ found.left
        )


def _unit(vector: Array, fallback: Array) -> Array:
    """Scale to length 1; keep the old vector where the new one is 0: it belongs to the value 0."""
    square = (vector**2).sum()
    is_zero = square == 0
    return jnp.where(is_zero, fallback, vector / jnp.sqrt(jnp.where(is_zero, 1, square)))


def _implicit(A: Array, value: Array, vector: Array) -> tuple[Array, Array]:
    """Give a pair the derivative of the root of (A v − λ v, (vᵀv − 1) / 2)."""

    def equations(pair: tuple[Array, Array]) -> tuple[Array, Array]:
        value, vector = pair
        return (vector @ vector - 1) / 2, A @ vector - value * vector

    def tangent(linear: Any, target: tuple[Array, Array]) -> tuple[Array, Array]:
        flat, unravel = ravel_pytree(target)
        matrix = jax.jacobian(lambda x: ravel_pytree(linear(unravel(x)))[0])(flat)
        return unravel(jnp.linalg.solve(matrix, flat))

    return jax.lax.custom_root(equations, (value, vector), lambda _, pair: pair, tangent)
