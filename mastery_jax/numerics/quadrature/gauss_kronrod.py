"""Adaptive Gauss-Kronrod quadrature: a rule of 15 or 21 nodes, where it is needed, until it is.

    ∫ f dx ≈ h Σ_k w_k f(m + h x_k)                  2n + 1 nodes, exact to degree 3n + 1
    e = s min(1, (200 |K − G| / s)^1.5),  at least 50 eps h Σ_k w_k |f|,   s = h Σ_k w_k |f − K/2h|

G is Gauss's rule on every second node. The interval with the largest error is cut in two, again
and again (``refinement``). A half-line is mapped to (0, 1] by x = a ± u (1 − t)/t, the whole line
to (−1, 1) by x = u t/(1 − t²), in units u. No node lies on an end, so that f may be infinite
there.

Derivatives are integrals over the intervals that were found: ∂/∂p ∫ f dx = ∫ ∂f/∂p dx, and f(b)
and −f(a) for the ends (Leibniz), in both modes and to any order.

Source: Piessens, de Doncker-Kapenga, Überhuber & Kahaner (1983), *QUADPACK*, sections 2.2.4 and
3.4 (QAG, QAGI); Kronrod's nodes: Laurie (1997), *Mathematics of Computation* 66, p. 1133-1145.
"""

import functools
import itertools
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero
from jax.tree_util import Partial
from jaxtyping import Array, Float

from mastery_jax.core.check import Scalar, checked
from mastery_jax.core.status import Status
from mastery_jax.numerics.quadrature import gauss_legendre, refinement, report, variable_change
from mastery_jax.numerics.quadrature.report import Bound
from mastery_jax.numerics.quadrature.variable_change import Frame

__all__ = ["integrate", "nodes", "search"]

WIDTH = 64
"""Lanes of a pool on a CPU."""

POOL = 4096
"""Problems of a pool on a CPU: XLA makes one kernel of a loop that reaches few bytes."""


@functools.cache
def nodes(num_nodes: int) -> tuple[Any, Any, Any]:
    """Return Kronrod's nodes in (−1, 1), ascending, their weights and Gauss's, in NumPy. O(n³).

    Args:
        num_nodes: 2n + 1, odd, at least 5.

    Returns:
        Nodes, weights, and the weights of the n-point Gauss rule: 0 on every node that is new.

    Raises:
        ValueError: the number is even, or below 5.

    Example:
        >>> x, weights, embedded = nodes(5)
        >>> weights.round(4)
        array([0.198 , 0.4909, 0.6222, 0.4909, 0.198 ])
    """
    if num_nodes < 5 or num_nodes % 2 == 0:
        raise ValueError(f"gauss_kronrod.nodes: num_nodes is {num_nodes}, not odd and at least 5")
    off = np.sqrt(_recurrence(num_nodes // 2)[1:])
    x, vectors = np.linalg.eigh(np.diag(off, 1) + np.diag(off, -1))
    weights = 2 * vectors[0] ** 2
    embedded = np.zeros(num_nodes)
    embedded[1::2] = gauss_legendre.nodes(num_nodes // 2)[1]
    return (x - x[::-1]) / 2, (weights + weights[::-1]) / 2, embedded


def _recurrence(n: int) -> Any:
    """Return the coefficients b of x p_k = p_k+1 + b_k p_k−1 whose first 2n + 1 make the rule."""
    b = np.zeros(2 * n + 1)
    known = np.arange(1, -(-3 * n // 2) + 1)
    b[0], b[1 : len(known) + 1] = 2, known**2 / (4 * known**2 - 1)
    s, t = np.zeros((2, n // 2 + 2))
    t[1] = b[n + 1]
    for m in range(n - 1):
        k = np.arange((m + 1) // 2, -1, -1)
        s[k + 1] = np.cumsum(b[k + n + 1] * s[k] - b[m - k] * s[k + 1])
        s, t = t, s
    s[1:] = s[:-1].copy()
    for m in range(n - 1, 2 * n - 2):
        k = np.arange(m + 1 - n, (m - 1) // 2 + 1)
        j = n - 1 - m + k
        s[j + 1] = np.cumsum(b[m - k] * s[j + 2] - b[k + n + 1] * s[j + 1])
        if m % 2:
            b[(m + 1) // 2 + n + 1] = s[j[-1] + 1] / s[j[-1] + 2]
        s, t = t, s
    return b


@partial(jax.jit, static_argnames=("num_nodes", "max_intervals"))
@checked
def integrate(
    fn: Partial,
    lower: Scalar,
    upper: Scalar,
    *,
    breakpoints: Float[Array, " points"] | None = None,
    unit: Scalar = 1.0,
    num_nodes: int = 21,
    rtol: Scalar | None = None,
    atol: Scalar = 0.0,
    max_intervals: int = 64,
) -> tuple[Array, Bound]:
    """Integrate until the estimated error is small enough. O(cuts · nodes) calls.

    Under ``vmap`` on a CPU each integral takes only the cuts that it needs. Differentiable in both
    modes and to any order with respect to the data in ``fn`` and to both ends; the error has no
    derivative. A derivative is as exact as these intervals make it: refined for f, not for ∂f/∂p.
    By an end at which f is infinite it is the largest number of the dtype.

    Args:
        fn: The integrand: one number to a number, or to an array, whose entries are integrated.
        lower: Where to start; −∞ and ∞ are places too. Traced.
        upper: Where to end; below ``lower`` the sign turns. Traced.
        breakpoints: Where the integrand jumps, bends or is infinite, between the ends, any order.
        unit: The length from which an end at infinity is seen, above 0, unit of x: the integrand
            should live within some thousand of it, or it is missed. Finite ends do without.
        num_nodes: Of one interval: 15 or 21, or any odd number from 5. Static.
        rtol: Relative tolerance, of the largest entry; √eps if not given: 1.5e-8 in double
            precision. Below 50 eps rounding forbids it.
        atol: Absolute tolerance: an integral that may be 0 needs one.
        max_intervals: The most that may be kept, at least two more than breakpoints. Static.

    Returns:
        The estimate and its ``Bound``. CONVERGED; OUT_OF_STEPS at ``max_intervals``; STALLED where
        rounding ends the search first; DIVERGED where the integral seems not to exist, as of 1/x
        from 0; NOT_FINITE, and NaN, where the integrand is not, on more than single points;
        BAD_INPUT, and NaN, for an end that is NaN, two ends at the same infinity, a breakpoint
        that does not lie between the ends, or a unit that is not above 0.

    Raises:
        ValueError: an even number of nodes, or too few intervals.

    Example:
        >>> estimate, bound = integrate(Partial(lambda x: jnp.exp(-x * x)), -jnp.inf, jnp.inf)
        >>> round(float(estimate), 4), int(bound.status)
        (1.7725, 1)
    """
    points = 0 if breakpoints is None else len(breakpoints)
    if max_intervals < points + 2:
        raise ValueError(
            f"gauss_kronrod.integrate: max_intervals is {max_intervals}, not at least {points + 2}"
        )
    rule = nodes(num_nodes)
    given = (lower, upper) if breakpoints is None else (lower, upper, breakpoints)
    dtype = report.dtype_of(fn, *given)
    lower, upper = jnp.asarray(lower, dtype), jnp.asarray(upper, dtype)
    between = jnp.zeros(0, dtype) if breakpoints is None else jnp.asarray(breakpoints, dtype)
    relative = jnp.asarray(jnp.finfo(dtype).eps ** 0.5 if rtol is None else rtol, dtype)
    limits = (between, jnp.asarray(unit, dtype), relative, jnp.asarray(atol, dtype))
    found = _integral((max_intervals, num_nodes), fn, lower, upper, limits)
    estimate, error, count, status = found
    num_cuts = count - 1 - points
    return estimate, Bound(error, 2 * len(rule[0]) * num_cuts, status)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _integral(settings: tuple[int, int], fn: Partial, lower: Any, upper: Any, limits: Any) -> Any:
    """Return estimate, error, number of intervals and status."""
    found, sign, is_bad = search(settings, False, fn, lower, upper, limits)
    is_lost = is_bad | (found.status == Status.NOT_FINITE)
    return (
        jnp.where(is_lost, jnp.nan, sign * found.estimate),
        jnp.where(is_lost, jnp.inf, found.error),
        found.num_intervals,
        jnp.where(is_bad, Status.BAD_INPUT, found.status).astype(jnp.int32),
    )


def search(
    settings: tuple[int, int], keep: bool, fn: Partial, lower: Any, upper: Any, limits: Any
) -> Any:
    """Return what ``refinement.search`` finds, the sign of the integral, and whether input is bad.

    ``settings`` are the most intervals and the nodes of one; ``keep`` asks for the intervals;
    ``limits`` are breakpoints, unit, rtol and atol, all of one dtype.
    """
    between, unit, rtol, atol = limits
    frame, sign, is_bad = variable_change.frame(lower, upper, between, unit=unit)
    return _refined(settings, keep)(fn, frame, rtol, atol), sign, is_bad


@functools.cache
def _refined(settings: tuple[int, int], keep: bool) -> Any:
    """Return the search of one problem, which under ``vmap`` is that of a pool."""
    max_intervals, num_nodes = settings
    find = partial(refinement.search, rule=nodes(num_nodes), max_intervals=max_intervals, keep=keep)

    @jax.custom_batching.custom_vmap
    def one(fn: Partial, frame: Frame, rtol: Any, atol: Any) -> Any:
        single = jax.tree.map(lambda leaf: leaf[None], (frame, rtol, atol))
        still = (False,) * len(jax.tree.leaves(fn))
        found = find(fn, *single, is_batched=still, width=1)
        return jax.tree.map(lambda leaf: leaf[0], found)

    @one.def_vmap
    def many(size: int, is_batched: Any, fn: Partial, frame: Frame, rtol: Any, atol: Any) -> Any:
        moving = tuple(jax.tree.leaves(is_batched[0]))
        spread = jax.tree.map(
            lambda leaf, batched: leaf if batched else jnp.broadcast_to(leaf, (size, *leaf.shape)),
            (frame, rtol, atol),
            tuple(is_batched[1:]),
        )
        pooled = partial(find, is_batched=moving)

        found = jax.lax.platform_dependent(
            fn,
            *spread,
            cpu=partial(_in_pools, partial(pooled, width=min(size, WIDTH)), size, moving),
            default=partial(pooled, width=size),
        )
        return found, jax.tree.map(lambda _: True, found)

    return one


def _in_pools(
    pooled: Any, size: int, is_batched: tuple[bool, ...], fn: Partial, *limits: Any
) -> Any:
    """Call ``pooled`` on parts of the problems of one size, the last filled up with the first."""
    count = -(-size // POOL)
    if count == 1:
        return pooled(fn, *limits)
    each = -(-size // count)
    leaves, rebuild = jax.tree.flatten(fn)
    order = (jnp.arange(count * each) % size).reshape(count, each)

    def one(rows: Array) -> Any:
        mine = [x[rows] if b else x for x, b in zip(leaves, is_batched, strict=True)]
        return pooled(rebuild.unflatten(mine), *jax.tree.map(lambda x: x[rows], limits))

    found = jax.lax.map(one, order)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:size], found)


@partial(_integral.defjvp, symbolic_zeros=True)
def _integral_jvp(settings: tuple[int, int], primals: Any, tangents: Any) -> Any:
    fn, lower, upper, limits = primals
    out = _integral(settings, fn, lower, upper, limits)
    fixed = jax.lax.stop_gradient(primals)
    found, sign, _ = search(settings, True, *fixed)
    between, unit, *_ = fixed[3]
    rule = nodes(settings[1])
    leaves, rebuild = jax.tree.flatten(fn)
    moved = jax.tree.leaves(tangents[0], is_leaf=lambda leaf: isinstance(leaf, SymbolicZero))
    moves = [not isinstance(tangent, SymbolicZero) for tangent in moved]

    def total(moving: list[Any]) -> Any:
        picked = iter(moving)
        here = [next(picked) if m else leaf for leaf, m in zip(leaves, moves, strict=True)]
        ends, intervals = (
            (lower, upper, between),
            (found.left, found.right, found.num_intervals),
        )
        fn = rebuild.unflatten(here)
        return sign * variable_change.total(fn, ends, intervals, unit=unit, rule=rule)

    slope = jnp.zeros_like(out[0])
    if any(moves):
        points = list(itertools.compress(leaves, moves))
        slope = slope + jax.jvp(total, (points,), (list(itertools.compress(moved, moves)),))[1]
    where = variable_change.frame(fixed[1], fixed[2], between, unit=unit)[0]
    middle, _ = variable_change.abscissae((found.left[0] + found.right[0]) / 2, where)
    largest = jnp.finfo(out[0].dtype).max
    for end, tangent, turn in ((upper, tangents[2], 1), (lower, tangents[1], -1)):
        if not isinstance(tangent, SymbolicZero):
            inside = jnp.isfinite(end)
            value = jnp.asarray(fn(jnp.where(inside, end, middle)), out[0].dtype)
            # Where f is infinite, a number: times a tangent of 0 it must be 0.
            value = jnp.where(jnp.isinf(value), jnp.sign(value) * largest, value)
            slope = slope + jnp.where(inside, turn * value, 0) * tangent
    none = np.zeros(out[2].shape, jax.dtypes.float0)
    return out, (slope, jnp.zeros_like(out[1]), none, none)
