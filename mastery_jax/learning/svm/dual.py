"""The dual of support vector machines, two coefficients at a time.

    minimize  ½ βᵀ K β − sᵀ β + ε Σ_k |β_k|      so that      Σ_k β_k = 0,   L ≤ β ≤ U

A classifier has s = ±1 and β between 0 and ±C, a regressor s = y and β between −C and C. With
F = s − K β, the value that the objective gains by more of β_k, or loses by less of it, is

    u_k = F_k − ε  (+ ε where β_k < 0)        l_k = F_k − ε  (+ ε where β_k ≤ 0)

At the optimum no u, of those below U, exceeds any l, of those above L; gap = max u − min l. Every
step takes the i of the largest u and, of all j that it exceeds, the one that promises most,

    (u_i − l_j)² / (K_ii + K_jj − 2 K_ij),

and moves β_i up and β_j down until the promise is kept or an end of an interval is met. The model
is f(x) = Σ_k β_k k(x_k, x) + b, with b the mean of u of all β that are at no end, and otherwise
the middle between max u and min l.

A CPU has no fast search for a largest entry: here an array is cut into pieces that are compared
entry by entry, and only the last is searched, which makes a step some three times faster.

Source: Fan, Chen & Lin (2005), *JMLR* 6, algorithm 2 (working set selection 2 and its step);
Chang & Lin (2011), *ACM TIST* 2(3), section 4.1 (the bias); Platt (1998), MSR-TR-98-14.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from mastery_jax.core import loop
from mastery_jax.core.check import Scalar, checked
from mastery_jax.core.status import Status

__all__ = ["Info", "State", "solve"]

PIECES = 16
ROUNDS = 10  # of searches from an F without the rounding of their steps


class State(NamedTuple):
    """A solution."""

    coefs: Float[Array, " n"]  # β; 0 for all that is no support vector
    bias: Float[Array, ""]  # b, unit of s


class Info(NamedTuple):
    """How the search ended."""

    objective: Float[Array, ""]  # of the dual, which is minimized
    gap: Float[Array, ""]  # by which the optimality conditions are violated, unit of s
    num_steps: Int[Array, ""]
    is_done: Bool[Array, ""]  # gap ≤ atol
    status: Int[Array, ""]  # core.status.Status


class _Problem(NamedTuple):
    gram: Array
    diagonal: Array
    targets: Array
    lower: Array
    upper: Array
    epsilon: Array
    places: Array


class _Search(NamedTuple):
    coefs: Array
    rest: Array  # F


class _Verdict(NamedTuple):
    is_done: Array


class _End(NamedTuple):
    is_done: Array
    gap: Array
    bias: Array
    rest: Array


@partial(jax.jit, static_argnames=("max_steps",))
@checked
def solve(
    gram: Float[Array, "n n"],
    targets: Float[Array, " n"],
    lower: Float[Array, " n"],
    upper: Float[Array, " n"],
    *,
    epsilon: Scalar = 0.0,
    coefs: Float[Array, " n"] | None = None,
    atol: Scalar = 1e-3,
    max_steps: int = 1_000_000,
) -> tuple[State, Info]:
    """Solve the dual by pairs. O(n) a step, and as many steps as libsvm takes.

    The steps are one CPU kernel where the Gram matrix is smaller than the launcher's limit of a
    small loop. Under ``vmap`` the lanes wait for the slowest: use ``lax.map`` on a CPU.

    Args:
        gram: K, symmetric and positive semidefinite. An indefinite one is no error: the search
            ends where no pair can be improved.
        targets: s.
        lower: L ≤ 0.
        upper: U ≥ 0. A row with L = U = 0 is as if it were absent.
        epsilon: ε ≥ 0, unit of s.
        coefs: β to begin with, 0 where None: within its ends, with sum 0. That of a smaller C, or
            of a search that was stopped: a scan over some steps at a time shows how it goes.
        atol: Stop when the gap is this small; scikit-learn's ``tol``. Traced.
        max_steps: Pairs at most. Static.

    Returns:
        The coefficients and the bias, and Info: CONVERGED; OUT_OF_STEPS; STALLED where rounding
        has hidden a gap that is still there, although F, which is kept up step by step, was summed
        anew; BAD_INPUT, with NaN, where L > 0, U < 0, ε < 0 or ``coefs`` is none to begin with;
        NOT_FINITE.

    Example:
        >>> x, labels = jnp.array([-2.0, -1.0, 1.0, 3.0]), jnp.array([-1.0, -1.0, 1.0, 1.0])
        >>> state, info = solve(
        ...     jnp.outer(x, x), labels, jnp.minimum(labels, 0) * 10, jnp.maximum(labels, 0) * 10
        ... )
        >>> state.coefs.round(3), bool(info.is_done)
        (Array([ 0. , -0.5,  0.5,  0. ], dtype=float32), True)
    """
    epsilon = jnp.asarray(epsilon, gram.dtype)
    is_bad = ~((lower <= 0) & (upper >= 0) & (epsilon >= 0)).all()
    start = jnp.zeros_like(lower) if coefs is None else coefs
    if coefs is not None:
        slack = jnp.sqrt(jnp.finfo(coefs.dtype).eps) * jnp.abs(coefs).sum()
        is_bad = is_bad | ~((coefs >= lower) & (coefs <= upper)).all()
        is_bad = is_bad | ~(jnp.abs(coefs.sum()) <= slack)
    is_absent = (lower == 0) & (upper == 0)
    is_finite = jnp.isfinite(jnp.where(is_absent, 0, targets + gram.diagonal())).all()
    targets = jnp.where(is_absent, 0, targets)
    problem = _pose(gram, _pad(targets), lower, upper, epsilon)
    atol = jnp.where(is_bad | ~is_finite, jnp.inf, jnp.asarray(atol, gram.dtype))
    begun = (_pad(start), jnp.zeros((), jnp.int32))
    (moved, num_steps), end, _ = loop.until(
        _round, begun, max_steps=ROUNDS, problem=problem, atol=atol, limit=max_steps
    )
    found, gap = moved[: len(targets)], jnp.maximum(end.gap, 0)
    objective = -found @ (targets + end.rest[: len(targets)]) / 2
    objective = objective + epsilon * jnp.abs(found).sum()
    bias = end.bias
    is_lost = is_bad | ~is_finite | ~jnp.isfinite(objective)
    found, bias, gap = (jnp.where(is_lost, jnp.nan, x) for x in (found, bias, gap))
    is_done = gap <= atol
    status = jnp.where(num_steps < max_steps, Status.STALLED, Status.OUT_OF_STEPS)
    status = jnp.where(is_done, Status.CONVERGED, status)
    status = jnp.where(is_lost, Status.NOT_FINITE, status)
    status = jnp.where(is_bad, Status.BAD_INPUT, status).astype(jnp.int32)
    return State(found, bias), Info(objective, gap, num_steps, is_done, status)


def _pose(gram: Array, targets: Array, lower: Array, upper: Array, epsilon: Array) -> _Problem:
    """Fill up to a multiple of the pieces with rows that are absent."""
    short = -len(lower) % PIECES
    gram = jnp.pad(gram, ((0, short), (0, short)))
    return _Problem(
        gram,
        gram.diagonal(),
        targets,
        _pad(lower),
        _pad(upper),
        epsilon,
        jnp.arange(len(gram), dtype=jnp.int32),
    )


def _pad(x: Array) -> Array:
    return jnp.pad(x, (0, -len(x) % PIECES))


def _round(
    state: tuple[Array, Array], *, problem: _Problem, atol: Array, limit: int
) -> tuple[tuple[Array, Array], _End]:
    """Sum F anew, which the steps of the last round have kept up, and search on."""
    coefs, num_steps = state
    with jax.default_matmul_precision("highest"):
        rest = problem.targets - problem.gram @ coefs
    search, _, taken = loop.until(
        _step, _Search(coefs, rest), max_steps=limit - num_steps, problem=problem, atol=atol
    )
    coefs = search.coefs
    with jax.default_matmul_precision("highest"):
        rest = problem.targets - problem.gram @ coefs
    up, low = _slopes(_Search(coefs, rest), problem.lower, problem.upper, problem.epsilon)
    gap = up.max() - low.min()
    num_steps = num_steps + taken.astype(jnp.int32)
    is_done = ~(gap > atol) | (taken == 1) | (num_steps >= limit)
    bias = _bias(coefs, up, low, problem.lower, problem.upper)
    return (coefs, num_steps), _End(is_done, gap, bias, rest)


def _step(search: _Search, *, problem: _Problem, atol: Array) -> tuple[_Search, _Verdict]:
    """Choose a pair, and move it, unless the gap is small enough."""
    _, diagonal, _, lower, upper, epsilon, index = problem
    coefs, rest = search
    up, low = _slopes(search, lower, upper, epsilon)
    most, i = _largest(up, index)
    least = -_largest(-low, index)[0]
    of_i = jax.lax.dynamic_index_in_dim(problem.gram, i, keepdims=False)
    tiny = jnp.finfo(rest.dtype).eps * 1e-5  # a curvature that is not positive promises much
    curvature = jnp.maximum(diagonal[i] + diagonal - 2 * of_i, tiny)
    slope = most - low
    _, j = _largest(jnp.where(slope > 0, slope**2 / curvature, -1), index)
    of_j = jax.lax.dynamic_index_in_dim(problem.gram, j, keepdims=False)
    # An end of an interval, 0 among them, where ε turns the slope, ends the step.
    top = jnp.where(coefs[i] < 0, jnp.minimum(upper[i], 0), upper[i])
    bottom = jnp.where(coefs[j] > 0, jnp.maximum(lower[j], 0), lower[j])
    ends = top - coefs[i], coefs[j] - bottom
    length = jnp.minimum(slope[j] / curvature[j], jnp.minimum(*ends))
    is_done = ~(most - least > atol)
    length = jnp.where(is_done, 0, length)
    here = jnp.where(length == ends[0], top, coefs[i] + length)
    there = jnp.where(length == ends[1], bottom, coefs[j] - length)
    moved = jnp.where(index == i, here, jnp.where(index == j, there, coefs))
    coefs = jnp.where(is_done, coefs, moved)
    return _Search(coefs, rest - length * (of_i - of_j)), _Verdict(is_done)


def _slopes(search: _Search, lower: Array, upper: Array, epsilon: Array) -> tuple[Array, Array]:
    """Return u, −∞ where β cannot grow, and l, ∞ where it cannot shrink."""
    coefs, rest = search
    up = jnp.where(coefs < upper, rest - jnp.where(coefs >= 0, epsilon, -epsilon), -jnp.inf)
    low = jnp.where(coefs > lower, rest - jnp.where(coefs > 0, epsilon, -epsilon), jnp.inf)
    return up, low


def _largest(values: Array, index: Array) -> tuple[Array, Array]:
    """Return the largest entry and the last place where it stands, which libsvm takes too."""
    width = len(values) // PIECES
    best, place = values[:width], index[:width]
    for start in range(width, width * PIECES, width):
        piece = values[start : start + width]
        is_better = piece >= best
        best = jnp.where(is_better, piece, best)
        place = jnp.where(is_better, index[start : start + width], place)
    most = best.max()
    return most, jnp.maximum(jnp.where(best == most, place, 0).max(), 0)


def _bias(coefs: Array, up: Array, low: Array, lower: Array, upper: Array) -> Array:
    # Between its ends, and not at 0 where ε turns the slope, u and l of a coefficient are equal.
    is_free = (coefs > lower) & (coefs < upper) & (coefs != 0)
    amount = is_free.astype(coefs.dtype).sum()
    mean = jnp.where(is_free, up, 0).sum() / jnp.maximum(amount, 1)
    most, least = up.max(), low.min()
    middle = jnp.where(least == jnp.inf, most, jnp.where(most == -jnp.inf, least, most + least))
    middle = jnp.where(jnp.isfinite(most) & jnp.isfinite(least), middle / 2, middle)
    return jnp.where(amount > 0, mean, jnp.where(jnp.isfinite(middle), middle, 0))
