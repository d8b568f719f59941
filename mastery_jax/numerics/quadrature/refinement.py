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

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int

from mastery_jax.core import loop
from mastery_jax.core.status import Status
from mastery_jax.numerics.quadrature import report

__all__ = ["Found", "Frame", "frame", "search", "total"]


class Frame(NamedTuple):
    """Where x(t) lies for one problem, or many along a leading axis."""

    edges: Float[Array, "... segments"]  # ascending t: the ends, and the breakpoints between
    anchor: Float[Array, "..."]  # the finite end of a half-line, unit of x
    direction: Float[Array, "..."]  # ±1: where that half-line goes; 0 for other intervals
    is_line: Bool[Array, "..."]  # both ends are infinite


class Found(NamedTuple):
    """The end of the search of each problem."""

    estimate: Float[Array, "problems *values"]  # unit of the integral
    error: Float[Array, "problems *values"]  # unit of the integral
    count: Int[Array, " problems"]  # intervals at the end
    status: Int[Array, " problems"]  # core.status.Status
    left: Float[Array, "problems intervals"] | None  # t; what is at and after count is not used
    right: Float[Array, "problems intervals"] | None


class _Lanes(NamedTuple):
    problem: Int[Array, " lanes"]  # its number; that of no problem where a lane is idle
    left: Float[Array, "intervals lanes"]
    right: Float[Array, "intervals lanes"]
    value: Float[Array, "intervals lanes *values"]
    error: Float[Array, "intervals lanes *values"]  # ∞ where not yet known, or not finite
    count: Int[Array, " lanes"]
    num_futile: Int[Array, " lanes"]  # cuts that changed nothing
    num_moved: Int[Array, " lanes"]  # cuts that moved the value and not the error


class _Pool(NamedTuple):
    lanes: _Lanes
    waiting: Int[Array, ""]  # the next problem to take
    found: Found


class _Ended(NamedTuple):
    is_done: Bool[Array, ""]


def frame(lower: Array, upper: Array, between: Array) -> tuple[Frame, Array, Array]:
    """Return where t runs, the sign of the integral, and whether this is no interval at all.

    ``between`` holds breakpoints in x, in any order.
    """
    low, high = jnp.minimum(lower, upper), jnp.maximum(lower, upper)
    is_from, is_to = jnp.isinf(low), jnp.isinf(high)
    is_line, is_half = is_from & is_to, is_from != is_to
    is_bad = jnp.isnan(low) | ((low == high) & is_from)
    is_bad |= ~((low <= between) & (between <= high) & jnp.isfinite(between)).all()
    anchor = jnp.where(is_half, jnp.where(is_from, high, low), 0)
    far = 2 * between / (1 + jnp.sqrt(1 + 4 * between * between))
    near = 1 / (1 + jnp.abs(between - anchor))
    t = jnp.where(is_line, far, jnp.where(is_half, near, between))
    first = jnp.where(is_line, -1, jnp.where(is_half, 0, low))
    last = jnp.where(is_line | is_half, 1, high)
    edges = jnp.concatenate([first[None], jnp.sort(t), last[None]])
    return (
        Frame(
            edges=jnp.where(is_bad, 0, edges),
            anchor=anchor,
            direction=jnp.where(is_half, jnp.where(is_from, -1, 1), 0).astype(edges.dtype),
            is_line=is_line & ~is_bad,
        ),
        jnp.where(upper < lower, -1, 1).astype(edges.dtype),
        is_bad,
    )


def total(
    fn: Partial, lower: Array, upper: Array, between: Array, found: Found, *, rule: Any
) -> Array:
    """Return ∫ f over intervals that were found, as a sum that can be differentiated. O(all nodes).

    Nodes move with the ends, so that derivatives of derivatives are right too.
    """
    fixed = jax.lax.stop_gradient
    low, high = jnp.minimum(lower, upper), jnp.maximum(lower, upper)
    where, _, _ = fixed(frame(lower, upper, between))
    is_used = jnp.arange(found.left.shape[0], dtype=jnp.int32) < found.count
    left = jnp.where(is_used, found.left, found.left[0])
    half = (jnp.where(is_used, found.right, found.right[0]) - left) / 2
    nodes, weights, _ = (jnp.asarray(part, left.dtype) for part in rule)
    t = (left + half)[:, None] + half[:, None] * nodes[None]
    x, slope = _abscissae(t, where)
    is_finite = jnp.isfinite(low) & jnp.isfinite(high)
    width = jnp.where(is_finite & (high > low), fixed(high - low), 1)
    low, high = jnp.where(jnp.isfinite(low), low, 0), jnp.where(jnp.isfinite(high), high, 0)
    shift, stretch = low - fixed(low), high - fixed(high)  # 0, and not so their derivatives
    share = jnp.where(is_finite, (x - fixed(low)) / width, (where.direction < 0).astype(x.dtype))
    x = x + shift * (1 - share) + stretch * share
    slope = slope * (1 + jnp.where(is_finite, (stretch - shift) / width, 0))
    mass = jnp.where(is_used, half, 0)[:, None] * weights[None] * slope
    return report.weighted(fn, x.reshape(-1), mass.reshape(-1))


def _abscissae(t: Array, frame: Frame) -> tuple[Array, Array]:
    """Return x(t) and dx/dt: t itself, or the map of an infinite interval.

        half-line   x = anchor ± (1 − t)/t,   t in (0, 1]
        line        x = t/(1 − t²),           t in (−1, 1)
    """
    anchor, direction, is_line = (jnp.broadcast_to(field, t.shape) for field in frame[1:])
    is_half = direction != 0
    r = 1 / jnp.where(is_line, 1 - t * t, jnp.where(is_half, t, 1))
    far = anchor + direction * (1 - t) * r
    x = jnp.where(is_half, far, t * r)
    return x, r * r * jnp.where(is_line, 1 + t * t, 1)


def _apply(fn: Partial, x: Array, *, is_batched: tuple[bool, ...]) -> Array:
    """Return ``fn`` at nodes (nodes, lanes); batched data of ``fn`` has a leading axis of lanes."""
    leaves, rebuild = jax.tree.flatten(fn)
    axes = [0 if batched else None for batched in is_batched]

    def one(leaves: list[Any], x: Array) -> Array:
        return jnp.asarray(rebuild.unflatten(leaves)(x), x.dtype)

    across = jax.vmap(one, in_axes=(axes, 0)) if x.shape[1] > 1 or any(is_batched) else None
    if across is None:  # one lane: an axis of one would cost a loop of its own
        return jax.vmap(one, in_axes=(None, 0))(leaves, x[:, 0])[:, None]
    return jax.vmap(across, in_axes=(None, 0))(leaves, x)


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
    empty = jnp.zeros((max_intervals, width), dtype)
    values = jnp.zeros((max_intervals, width, *shape), dtype)
    whole = jnp.zeros((num_problems, *shape), dtype)
    none = jnp.zeros(width, jnp.int32)
    bounds = jnp.zeros((num_problems, max_intervals), dtype) if keep else None
    ints = jnp.zeros(num_problems, jnp.int32)
    lanes = _Lanes(none, empty, empty, values, values, none, none, none)
    first = jnp.arange(width, dtype=jnp.int32)
    lanes = _take(lanes, jnp.ones(width, bool), first, frame, num_problems)
    pool = _Pool(
        lanes,
        jnp.asarray(width, jnp.int32),
        Found(whole, whole, ints, ints, bounds, bounds),
    )
    max_steps = num_problems * (max_intervals - num_edges + 1)
    return loop.until(step, pool, max_steps=max_steps)[0].found


class _Verdict(NamedTuple):
    status: Array
    estimate: Array
    error: Array


def _take(lanes: _Lanes, is_free: Array, fresh: Array, frame: Frame, num_problems: int) -> _Lanes:
    """Put problem ``fresh`` into each lane that is free: its segments, none evaluated yet."""
    problem = jnp.where(is_free, jnp.minimum(fresh, num_problems), lanes.problem)
    edges = frame.edges[jnp.minimum(problem, num_problems - 1)].T
    segments = len(edges) - 1

    def put(rows: Array, new: Array) -> Array:
        free = is_free.reshape(-1, *[1] * (rows.ndim - 2))[None]
        return rows.at[:segments].set(jnp.where(free, new, rows[:segments]))

    return _Lanes(
        problem=problem,
        left=put(lanes.left, edges[:-1]),
        right=put(lanes.right, edges[1:]),
        value=put(lanes.value, jnp.zeros((), lanes.value.dtype)),
        error=put(lanes.error, jnp.asarray(jnp.inf, lanes.error.dtype)),
        count=jnp.where(is_free, segments, lanes.count),
        num_futile=jnp.where(is_free, 0, lanes.num_futile),
        num_moved=jnp.where(is_free, 0, lanes.num_moved),
    )


def _write(found: Found, lanes: _Lanes, verdict: _Verdict, at: Array) -> Found:
    def put(rows: Array | None, new: Array) -> Array | None:
        return None if rows is None else rows.at[at].set(new, mode="drop")

    return Found(
        estimate=put(found.estimate, verdict.estimate),
        error=put(found.error, verdict.error),
        count=put(found.count, lanes.count),
        status=put(found.status, verdict.status),
        left=put(found.left, lanes.left.T),
        right=put(found.right, lanes.right.T),
    )


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
    num_intervals, width = lanes.left.shape
    row = jnp.arange(num_intervals, dtype=jnp.int32)[:, None]
    error = _norm(lanes.error, 2)
    masked = jnp.where(row < lanes.count[None], error, -1)
    # The first of the largest: argmax is slow on a CPU.
    worst = jnp.where(masked == masked.max(axis=0)[None], row, num_intervals).min(axis=0)
    worst = jnp.minimum(worst, num_intervals - 1)
    lane = jnp.arange(width)
    left, right = lanes.left[worst, lane], lanes.right[worst, lane]
    middle = left + (right - left) / 2
    old, before = lanes.value[worst, lane], lanes.error[worst, lane]
    (low, high), (low_error, high_error) = _estimates(
        fn, jnp.stack([left, middle]), jnp.stack([middle, right]), frame, rule, is_batched
    )
    new = jnp.minimum(lanes.count, num_intervals - 1)
    grown = _Lanes(
        problem=lanes.problem,
        left=lanes.left.at[new, lane].set(middle),
        right=lanes.right.at[worst, lane].set(middle).at[new, lane].set(right),
        value=lanes.value.at[worst, lane].set(low).at[new, lane].set(high),
        error=lanes.error.at[worst, lane].set(low_error).at[new, lane].set(high_error),
        count=lanes.count + 1,
        num_futile=lanes.num_futile,
        num_moved=lanes.num_moved,
    )
    eps = jnp.finfo(left.dtype).eps
    after = _norm(low_error, 1) + _norm(high_error, 1)
    is_known = jnp.isfinite(_norm(before, 1)) & jnp.isfinite(after)
    is_same = _norm(low + high - old, 1) <= 1e-5 * _norm(low + high, 1)
    is_futile = is_known & is_same & (after >= 0.99 * _norm(before, 1))
    is_deep = right - left <= 1e-3 * (frame.edges[:, -1] - frame.edges[:, 0])
    is_moved = is_known & ~is_same & is_deep & (after >= 0.999 * _norm(before, 1))
    grown = grown._replace(
        num_futile=lanes.num_futile + is_futile.astype(jnp.int32),
        num_moved=lanes.num_moved + is_moved.astype(jnp.int32),
    )
    tiny = 1000 * jnp.finfo(left.dtype).tiny
    ends = jnp.maximum(jnp.abs(left), jnp.abs(right))
    is_narrow = (ends <= (1 + 100 * eps) * (jnp.abs(middle) + tiny)) & (right > left)
    is_lost = jnp.isinf(_norm(low_error, 1)) & jnp.isinf(_norm(high_error, 1))
    return grown, _judge(grown, rtol, atol, is_narrow, is_lost)


def _judge(lanes: _Lanes, rtol: Array, atol: Array, is_narrow: Array, is_lost: Array) -> _Verdict:
    num_intervals, _, *shape = lanes.value.shape
    row = jnp.arange(num_intervals, dtype=jnp.int32)[:, None]
    is_used = (row < lanes.count[None]).reshape(num_intervals, -1, *[1] * len(shape))
    estimate = jnp.where(is_used, lanes.value, 0).sum(axis=0)
    error = jnp.where(is_used, lanes.error, 0).sum(axis=0)
    worst = _norm(error, 1)
    is_full = lanes.count >= num_intervals
    status = jnp.full(lanes.count.shape, Status.RUNNING, jnp.int32)
    for condition, verdict in (
        (is_full, Status.OUT_OF_STEPS),
        (is_narrow | (lanes.num_futile >= 6), Status.STALLED),
        (lanes.num_moved >= 10, Status.DIVERGED),
        (is_lost | (is_full & jnp.isinf(worst)), Status.NOT_FINITE),
        (worst <= jnp.maximum(atol, rtol * _norm(estimate, 1)), Status.CONVERGED),
    ):
        status = jnp.where(condition, verdict, status)
    return _Verdict(status.astype(jnp.int32), estimate, error)


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
    x, slope = jax.lax.cond(is_mapped, _abscissae, lambda t, _: (t, jnp.ones_like(t)), t, frame)
    y = _apply(fn, x.reshape(-1, width), is_batched=is_batched)
    shape = y.shape[2:]
    wide = [1] * len(shape)
    y = jax.lax.optimization_barrier(y)
    y = y.reshape(-1, intervals, width, *shape) * slope.reshape(*slope.shape, *wide)
    half = half.reshape(intervals, width, *wide)
    w, v = (jnp.asarray(part, dtype).reshape(-1, 1, 1, *wide) for part in (weights, embedded))
    mean = (w * y).sum(axis=0) / 2
    coarse = (v * y).sum(axis=0) / 2
    size = half * (w * jnp.abs(y)).sum(axis=0)
    spread = half * (w * jnp.abs(y - mean[None])).sum(axis=0)
    error = 2 * half * jnp.abs(mean - coarse)
    ratio = 200 * error / jnp.where(spread > 0, spread, 1)
    error = jnp.where(spread > 0, spread * jnp.minimum(1, ratio * jnp.sqrt(ratio)), error)
    error = jnp.maximum(error, 50 * jnp.finfo(dtype).eps * size)
    is_empty = half <= 0  # the integrand may have no value there
    is_known = is_empty | (jnp.isfinite(mean) & jnp.isfinite(error))
    value = jnp.where(is_known & ~is_empty, 2 * half * mean, 0)
    return value, jnp.where(is_empty, 0, jnp.where(is_known, error, jnp.inf))


def _norm(values: Array, axes: int) -> Array:
    """Return the largest absolute entry over the axes after the first ``axes``."""
    return jnp.abs(values).max(axis=tuple(range(axes, values.ndim)))
