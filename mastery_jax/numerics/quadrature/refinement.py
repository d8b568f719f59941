"""Bounded refinement: of every integral in a pool, the worst interval is cut in two until it ends.

    estimate = Σ_i v_i,   error = Σ_i e_i,   i* = argmax_i e_i  →  its two halves

until error ≤ max(atol, rtol |estimate|). A problem takes one of ``width`` lanes; when it ends, the
next problem takes its place, so that an easy integral never waits for a hard one as it would under
a plain ``vmap`` of the loop. Lanes are the last axis of everything that the loop carries: sums over
the intervals and over the nodes of a rule are then sums of vectors.

How a search ends, besides reaching its tolerance:

    STALLED       six cuts left value and error as they were, or the interval is too narrow to cut
    DIVERGED      ten cuts of an interval below 1/1000 of the range left its error as it was, while
                  its value moved: the integral does not exist
    NOT_FINITE    both halves of an interval hold a value that is not finite
    OUT_OF_STEPS  as many intervals as allowed

Source: Piessens, de Doncker-Kapenga, Überhuber & Kahaner (1983), *QUADPACK*, section 3.4 (QAGE).
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int

from mastery_jax.core import loop
from mastery_jax.core.status import Status
from mastery_jax.numerics.quadrature import interval_table, report, variable_change
from mastery_jax.numerics.quadrature.interval_table import Interval, Survey
from mastery_jax.numerics.quadrature.variable_change import Frame

__all__ = ["Found", "search"]


class Found(NamedTuple):
    """The end of the search of each problem."""

    estimate: Float[Array, "problems *values"]  # unit of the integral
    error: Float[Array, "problems *values"]  # unit of the integral
    num_intervals: Int[Array, " problems"]  # intervals at the end
    status: Int[Array, " problems"]  # core.status.Status
    left: Float[Array, "problems intervals"] | None  # t; as many as used
    right: Float[Array, "problems intervals"] | None


class _Lanes(NamedTuple):
    problem: Int[Array, " lanes"]  # its number; that of no problem where a lane is idle
    table: Float[Array, "intervals numbers lanes"]  # as of interval_table
    worst: Int[Array, " lanes"]  # the interval to cut next
    num_intervals: Int[Array, " lanes"]
    num_futile: Int[Array, " lanes"]  # cuts that changed nothing
    num_moved: Int[Array, " lanes"]  # cuts that moved the value and not the error


class _Pool(NamedTuple):
    lanes: _Lanes
    waiting: Int[Array, ""]  # the next problem to take
    found: Found


class _Verdict(NamedTuple):
    status: Array
    estimate: Array  # (lanes, values)
    error: Array


class _Ended(NamedTuple):
    is_done: Bool[Array, ""]


def _apply(fn: Partial, x: Array, *, is_batched: tuple[bool, ...]) -> Array:
    """Return ``fn`` at nodes (nodes, lanes); batched data of ``fn`` has a leading axis of lanes."""
    leaves, rebuild = jax.tree.flatten(fn)
    axes = [0 if batched else None for batched in is_batched]

    def one(leaves: list[Any], x: Array) -> Array:
        y = jnp.asarray(rebuild.unflatten(leaves)(x))
        report.require_real("gauss_kronrod", y)
        return y.astype(x.dtype)

    return jax.vmap(jax.vmap(one, in_axes=(axes, 0)), in_axes=(None, 0))(leaves, x)


def search(
    fn: Partial,
    frame: Frame,
    rtol: Array,
    atol: Array,
    *,
    rule: Any,
    is_batched: tuple[bool, ...],
    max_intervals: int,
    width: int,
    keep: bool,
) -> Found:
    """Refine every problem until it ends. O(cuts · nodes) calls of ``fn``.

    Args:
        fn: The integrand; its leaves that are batched have a leading axis of problems.
        frame: One row for each problem.
        rtol: Relative tolerance, one for each problem.
        atol: Absolute tolerance, one for each problem.
        rule: Nodes in (−1, 1), their weights, and the weights of the embedded rule.
        is_batched: Which leaves of ``fn`` are.
        max_intervals: The most that a problem may use.
        width: Lanes of the pool.
        keep: Return the intervals too.
    """
    num_problems, num_edges = frame.edges.shape
    dtype = frame.edges.dtype
    leaves, rebuild = jax.tree.flatten(fn)

    def some(problem: Array) -> Partial:
        picked = [
            leaf[problem] if batched else leaf
            for leaf, batched in zip(leaves, is_batched, strict=True)
        ]
        return rebuild.unflatten(picked)

    def step(pool: _Pool) -> tuple[_Pool, _Ended]:
        lanes = pool.lanes
        at = jnp.minimum(lanes.problem, num_problems - 1)
        mine = Frame(*(field[at] for field in frame))
        lanes, verdict = _cut(lanes, some(at), mine, rtol[at], atol[at], rule, is_batched)
        is_idle = lanes.problem >= num_problems
        has_ended = (verdict.status != Status.RUNNING) & ~is_idle
        found = _write(pool.found, lanes, verdict, jnp.where(has_ended, at, num_problems))
        fresh = pool.waiting + jnp.cumsum(has_ended.astype(jnp.int32)) - 1
        lanes = _take(lanes, has_ended, fresh, frame, num_problems)
        waiting = pool.waiting + has_ended.sum(dtype=jnp.int32)
        return _Pool(lanes, waiting, found), _Ended((lanes.problem >= num_problems).all())

    shape = jax.eval_shape(
        lambda x: _apply(some(jnp.zeros(width, int)), x, is_batched=is_batched),
        jax.ShapeDtypeStruct((1, width), dtype),
    ).shape[2:]
    table = jnp.zeros((max_intervals, 2 + 2 * math.prod(shape), width), dtype)
    none = jnp.zeros(width, jnp.int32)
    whole = jnp.zeros((num_problems + 1, *shape), dtype)  # the last is of idle lanes
    bounds = jnp.zeros((num_problems + 1, max_intervals), dtype) if keep else None
    ints = jnp.zeros(num_problems + 1, jnp.int32)
    lanes = _Lanes(none, table, none, none, none, none)
    first = jnp.arange(width, dtype=jnp.int32)
    lanes = _take(lanes, jnp.ones(width, bool), first, frame, num_problems)
    pool = _Pool(
        lanes,
        jnp.asarray(width, jnp.int32),
        Found(whole, whole, ints, ints, bounds, bounds),
    )
    max_steps = num_problems * (max_intervals - num_edges + 1)
    found = loop.until(step, pool, max_steps=max_steps)[0].found
    return jax.tree.map(lambda rows: rows[:num_problems], found)


def _take(lanes: _Lanes, is_free: Array, fresh: Array, frame: Frame, num_problems: int) -> _Lanes:
    """Put problem ``fresh`` into each lane that is free: its segments, none evaluated yet."""
    problem = jnp.where(is_free, jnp.minimum(fresh, num_problems), lanes.problem)
    edges = frame.edges[jnp.minimum(problem, num_problems - 1)].T
    new = interval_table.fresh(edges, (lanes.table.shape[1] - 2) // 2)
    kept = jnp.where(is_free[None, None], new, lanes.table[: len(new)])
    return _Lanes(
        problem=problem,
        table=lanes.table.at[: len(new)].set(kept),
        worst=jnp.where(is_free, 0, lanes.worst),
        num_intervals=jnp.where(is_free, len(new), lanes.num_intervals),
        num_futile=jnp.where(is_free, 0, lanes.num_futile),
        num_moved=jnp.where(is_free, 0, lanes.num_moved),
    )


def _write(found: Found, lanes: _Lanes, verdict: _Verdict, at: Array) -> Found:
    estimate, error = (
        each.reshape(-1, *found.estimate.shape[1:]) for each in (verdict.estimate, verdict.error)
    )
    bounds = (None, None)
    if found.left is not None:
        bounds = lanes.table[:, 0].T, lanes.table[:, 1].T
    new = Found(estimate, error, lanes.num_intervals, verdict.status, *bounds)
    return interval_table.write(found, at, new)


def _cut(
    lanes: _Lanes,
    fn: Partial,
    frame: Frame,
    rtol: Array,
    atol: Array,
    rule: Any,
    is_batched: tuple[bool, ...],
) -> tuple[_Lanes, _Verdict]:
    """Bisect the worst interval of every lane, and judge what the lane knows then."""
    last = len(lanes.table) - 1
    left, right, old, error = interval_table.pick(lanes.table, lanes.worst)
    middle = left + (right - left) / 2
    both = _estimates(
        fn, jnp.stack([left, middle]), jnp.stack([middle, right]), frame, rule, is_batched
    )
    (low, high), (low_error, high_error) = (x.reshape(2, *old.shape) for x in both)
    before, after = _norm(error), _norm(low_error) + _norm(high_error)
    is_known = jnp.isfinite(before) & jnp.isfinite(after)
    is_same = _norm(low + high - old) <= 1e-5 * _norm(low + high)
    is_deep = right - left <= 1e-3 * (frame.edges[:, -1] - frame.edges[:, 0])
    is_futile = is_known & is_same & (after >= 0.99 * before)
    is_moved = is_known & ~is_same & is_deep & (after >= 0.999 * before)
    new = jnp.minimum(lanes.num_intervals, last)
    halves = Interval(left, middle, low, low_error), Interval(middle, right, high, high_error)
    table = interval_table.put(lanes.table, (lanes.worst, halves[0]), (new, halves[1]))
    num_intervals = lanes.num_intervals + 1
    known = interval_table.survey(table, num_intervals)
    grown = _Lanes(
        problem=lanes.problem,
        table=table,
        worst=known.worst,
        num_intervals=num_intervals,
        num_futile=lanes.num_futile + is_futile.astype(jnp.int32),
        num_moved=lanes.num_moved + is_moved.astype(jnp.int32),
    )
    number = jnp.finfo(left.dtype)
    reach = (1 + 100 * number.eps) * (jnp.abs(middle) + 1000 * number.tiny)
    is_narrow = (jnp.maximum(jnp.abs(left), jnp.abs(right)) <= reach) & (right > left)
    is_lost = jnp.isinf(_norm(low_error)) & jnp.isinf(_norm(high_error))
    return grown, _judge(grown, known, rtol, atol, is_narrow, is_lost)


def _judge(
    lanes: _Lanes, known: Survey, rtol: Array, atol: Array, is_narrow: Array, is_lost: Array
) -> _Verdict:
    worst = _norm(known.error)
    is_full = lanes.num_intervals >= len(lanes.table)
    status = jnp.full(lanes.num_intervals.shape, Status.RUNNING, jnp.int32)
    for condition, verdict in (
        (is_full, Status.OUT_OF_STEPS),
        (is_narrow | (lanes.num_futile >= 6), Status.STALLED),
        (lanes.num_moved >= 10, Status.DIVERGED),
        (is_lost | (is_full & jnp.isinf(worst)), Status.NOT_FINITE),
        (worst <= jnp.maximum(atol, rtol * _norm(known.value)), Status.CONVERGED),
    ):
        status = jnp.where(condition, verdict, status)
    return _Verdict(status.astype(jnp.int32), known.value, known.error)


def _estimates(
    fn: Partial, left: Array, right: Array, frame: Frame, rule: Any, is_batched: tuple[bool, ...]
) -> tuple[Array, Array]:
    """Return value and error (intervals, lanes, *values) over intervals (intervals, lanes)."""
    nodes, weights, embedded = (np.asarray(part)[:, None, None] for part in rule)
    intervals, width = left.shape
    half = (right - left) / 2
    dtype = left.dtype
    t = (left + half)[None] + half[None] * jnp.asarray(nodes, dtype)
    is_mapped = (frame.is_line | (frame.direction != 0)).any()
    x, slope = jax.lax.cond(
        is_mapped, variable_change.abscissae, lambda t, _: (t, jnp.ones_like(t)), t, frame
    )
    y = _apply(fn, x.reshape(-1, width), is_batched=is_batched)
    shape = y.shape[2:]
    wide = [1] * len(shape)
    y = jax.lax.optimization_barrier(y)
    y = y.reshape(-1, intervals, width, *shape) * slope.reshape(*slope.shape, *wide)
    half = half.reshape(intervals, width, *wide)
    w, v = (jnp.asarray(part, dtype).reshape(-1, 1, 1, *wide) for part in (weights, embedded))
    mean, coarse = _sum(w * y) / 2, _sum(v * y) / 2
    size = half * _sum(w * jnp.abs(y))
    spread = half * _sum(w * jnp.abs(y - mean[None]))
    error = 2 * half * jnp.abs(mean - coarse)
    ratio = 200 * error / jnp.where(spread > 0, spread, 1)
    error = jnp.where(spread > 0, spread * jnp.minimum(1, ratio * jnp.sqrt(ratio)), error)
    error = jnp.maximum(error, 50 * jnp.finfo(dtype).eps * size)
    is_empty = half <= 0  # the integrand may have no value there
    is_known = is_empty | (jnp.isfinite(mean) & jnp.isfinite(error))
    value = jnp.where(is_known & ~is_empty, 2 * half * mean, 0)
    return value, jnp.where(is_empty, 0, jnp.where(is_known, error, jnp.inf))


def _sum(rows: Array) -> Array:
    """Return the sum over the first axis, pair by pair: of vectors, where XLA's goes by numbers."""
    half, is_odd = divmod(len(rows), 2)
    if not half:
        return rows[0]
    pairs = _sum(rows[:half] + rows[half : 2 * half])
    return pairs + rows[-1] if is_odd else pairs


def _norm(values: Array) -> Array:
    """Return the largest absolute entry of each lane."""
    return jnp.abs(values).max(axis=1)
