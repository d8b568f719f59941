"""Steps as long as a tolerance allows: the march that ``dopri5`` and ``rodas4`` share.

    e = RMS of error_i / (atol + rtol max(|y_i|, |y_i'|)),    a step is kept if e ≤ 1
    h ← h · min(10, max(0.2, 0.9 e^(−0.85/q) ē^(0.2/q)))

where an error is O(h^q) and ē is the e of the last step that was kept. What a step leaves behind
is seen by an observer, so that one march can save, record, or stop.

Source: Hairer, Nørsett & Wanner (1993), *Solving Ordinary Differential Equations I*, section II.4
(the first step, the norm), and Hairer & Wanner (1996), volume II, section IV.2 (the PI controller).
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from mastery_jax.core import loop
from mastery_jax.core.status import Status

__all__ = [
    "Info",
    "Method",
    "Stride",
    "Tolerance",
    "Trial",
    "Walk",
    "at",
    "count",
    "march",
    "tolerance",
]


class Info(NamedTuple):
    """What a march cost, and how it ended."""

    num_steps: Int[Array, ""]  # tried
    num_rejected: Int[Array, ""]  # of these
    num_evals: Int[Array, ""]  # calls of the field
    status: Int[Array, ""]  # core.status.Status
    is_done: Bool[Array, ""]  # status is CONVERGED


class Trial(NamedTuple):
    """What one step proposes."""

    y: Any  # the state at its end
    error: Any  # an estimate of what is wrong with it
    slope: Any  # f at its end
    coefs: tuple[Any, ...]  # y(t + s h) = Σ coefs_m s^m, 0 ≤ s ≤ 1


class Method(NamedTuple):
    """A way to take one step."""

    step: Callable[..., Trial]  # of (field, t, y, slope there, h)
    order: int  # q: error is O(h^q)
    num_evals: int  # of the field, in one step
    takes_half: bool  # whether 16 bits will do


class Tolerance(NamedTuple):
    """How wrong a step may be."""

    rtol: Any  # of |y|
    atol: Any  # unit of y; one number, or one for each of the state
    max_step_size: Any  # unit of time


class Stride(NamedTuple):
    """A step that was tried, as an observer sees it."""

    t: Any  # where it began
    y: Any
    step_size: Any  # h; negative when time runs back
    end: Any  # t + h
    trial: Trial
    is_kept: Any


class Walk(NamedTuple):
    """Where a march stands."""

    t: Any
    y: Any
    slope: Any  # f(t, y)
    step_size: Any  # |h| to try next
    error: Any  # e of the last step that was kept
    num_steps: Any
    num_rejected: Any
    status: Any


class _Progress(NamedTuple):
    is_done: Any


def march(
    method: Method,
    field: Callable[..., Any],
    y: Any,
    ends: tuple[Any, Any],
    tolerance: Tolerance,
    *,
    max_steps: int,
    observe: Callable[[Any, Stride], tuple[Any, Any]] = lambda seen, stride: (seen, False),
    seen: Any = (),
) -> tuple[Walk, Any]:
    """Go from ``ends[0]`` to ``ends[1]``, in at most ``max_steps`` steps, kept or not.

    ``observe(seen, stride)`` is told of every step that is tried; it returns what is to be seen
    next, and whether this is the end.
    """

    def step(carry: tuple[Walk, Any]) -> tuple[Any, _Progress]:
        walk, seen = carry
        stride, error = _try(method, field, walk, ends, tolerance)
        seen, is_over = observe(seen, stride)
        walk = _advance(walk, stride, error, method.order, is_over | (stride.end == ends[1]))
        return (walk, seen), _Progress(walk.status != Status.RUNNING)

    walk = _begin(method, field, y, ends, tolerance)
    (walk, seen), _, _ = loop.until(step, (walk, seen), max_steps=max_steps)
    status = jnp.where(walk.status == Status.RUNNING, Status.OUT_OF_STEPS, walk.status)
    is_finite = jnp.isfinite(walk.y).all()
    status = jnp.where((status == Status.CONVERGED) & ~is_finite, Status.NOT_FINITE, status)
    return walk._replace(status=status.astype(jnp.int32)), seen


def tolerance(y: Any, rtol: Any, atol: Any, max_step_size: Any) -> Tolerance:
    """Return what was asked for, in the dtype of the state."""
    return Tolerance(*(jnp.asarray(number, y.dtype) for number in (rtol, atol, max_step_size)))


def count(method: Method, walk: Walk) -> Info:
    """Return what a march cost; its first step is chosen by two calls of the field."""
    num_evals = 2 + method.num_evals * walk.num_steps
    is_done = walk.status == Status.CONVERGED
    return Info(walk.num_steps, walk.num_rejected, num_evals, walk.status, is_done)


def at(coefs: tuple[Any, ...], s: Any) -> Any:
    """Return the state inside a step, at the part ``s`` of it."""
    *lower, value = coefs
    for coef in reversed(lower):
        value = coef + s * value
    return value


def _begin(method: Method, field: Any, y: Any, ends: Any, tolerance: Tolerance) -> Walk:
    """Choose the first step: an Euler step that changes y, and y', by a hundredth."""
    start, end = ends
    slope = field(start, y)
    scale = tolerance.atol + tolerance.rtol * jnp.abs(y)
    length = jnp.abs(end - start)
    guess = 1e-6 * jnp.maximum(1, length)
    size, speed = _size(y / scale), _size(slope / scale)
    is_flat = (size < 1e-5) | (speed < 1e-5)
    first = jnp.where(is_flat, guess, 0.01 * size / jnp.where(is_flat, 1.0, speed))
    first = jnp.minimum(first, length).astype(start.dtype)
    signed = jnp.where(end < start, -first, first)
    turn = _size((field(start + signed, y + signed * slope) - slope) / scale)
    # By logarithms: turn / first need not be a number where time is in a small unit.
    fastest = jnp.maximum(jnp.log(speed), jnp.log(turn) - jnp.log(first))
    is_still = ~(fastest > math.log(1e-15))
    second = jnp.exp((math.log(0.01) - jnp.where(is_still, 0.0, fastest)) / method.order)
    second = jnp.where(is_still, jnp.maximum(guess, 1e-3 * first), second)
    is_bad = ~(jnp.isfinite(start) & jnp.isfinite(end) & jnp.isfinite(y).all())
    is_bad |= ~((tolerance.rtol > 0) & (tolerance.max_step_size > 0))
    is_bad |= ~(tolerance.atol > 0).all()
    is_lost = ~jnp.isfinite(slope).all()
    status = jnp.where(is_lost, Status.NOT_FINITE, Status.RUNNING)
    return Walk(
        t=start,
        y=y,
        slope=slope,
        step_size=jax.lax.stop_gradient(jnp.minimum(100 * first, second)).astype(start.dtype),
        error=jnp.ones_like(start),
        num_steps=jnp.asarray(0, jnp.int32),
        num_rejected=jnp.asarray(0, jnp.int32),
        status=jnp.where(is_bad, Status.BAD_INPUT, status).astype(jnp.int32),
    )


def _try(method: Method, field: Any, walk: Walk, ends: Any, tolerance: Tolerance) -> Any:
    """Return a stride, and the size of its error."""
    start, end = ends
    longest = jnp.minimum(walk.step_size, tolerance.max_step_size.astype(walk.t.dtype))
    is_last = longest >= jnp.abs(end - walk.t)
    signed = jnp.where(end < start, -longest, longest)
    step_size = jnp.where(is_last, end - walk.t, signed)
    trial = method.step(field, walk.t, walk.y, walk.slope, step_size)
    scale = tolerance.atol + tolerance.rtol * jnp.maximum(jnp.abs(walk.y), jnp.abs(trial.y))
    error = jax.lax.stop_gradient(_rms(trial.error / scale)).astype(walk.t.dtype)
    arrival = jnp.where(is_last, end, walk.t + step_size)
    return Stride(walk.t, walk.y, step_size, arrival, trial, error <= 1), error


def _advance(walk: Walk, stride: Stride, error: Any, order: int, is_over: Any) -> Walk:
    """Take the step or leave it, and say how long the next one is."""
    is_kept, is_running = stride.is_kept, walk.status == Status.RUNNING
    factor = 0.9 * error ** (-0.85 / order) * walk.error ** (0.2 / order)
    factor = jnp.where(error < jnp.inf, jnp.clip(factor, 0.2, 10.0), 0.2)
    factor = jnp.where(is_kept, factor, jnp.minimum(factor, 0.9))
    step_size = jax.lax.stop_gradient(jnp.abs(stride.step_size) * factor)
    eps = jnp.finfo(walk.t.dtype).eps
    least = 4 * eps * jnp.maximum(jnp.abs(walk.t), eps * jnp.abs(stride.step_size))
    stuck = jnp.where(error < jnp.inf, Status.STALLED, Status.NOT_FINITE)
    status = jnp.where(step_size <= least, stuck, Status.RUNNING)
    status = jnp.where(is_kept & is_over, Status.CONVERGED, status)
    return Walk(
        t=jnp.where(is_kept, stride.end, walk.t),
        y=jnp.where(is_kept, stride.trial.y, walk.y),
        slope=jnp.where(is_kept, stride.trial.slope, walk.slope),
        step_size=step_size,
        error=jnp.where(is_kept, jnp.maximum(error, 1e-4), walk.error),
        num_steps=walk.num_steps + 1,
        num_rejected=walk.num_rejected + jnp.where(is_kept, 0, 1),
        status=jnp.where(is_running, status, walk.status).astype(jnp.int32),
    )


def _size(x: Any) -> Any:
    """Return the root of the mean square, without the square of a large number."""
    largest = jnp.abs(x).max(initial=0)
    is_unit = (largest >= jnp.finfo(x.dtype).tiny) & (largest < jnp.inf)
    unit = jnp.where(is_unit, largest, 1)
    return unit * _rms(x / unit)


def _rms(x: Any) -> Any:
    return jnp.sqrt(jnp.mean(x * x)) if x.size else jnp.zeros((), x.dtype)
