"""States at given times, out of one march, and their slopes in three ways.

    direct      a_i = (∂Φ_h/∂y)ᵀ a_i+1 + Σ_j (∂p_h(s_j)/∂y)ᵀ g_j,    back over the steps taken
    backsolve   a' = −(∂f/∂y)ᵀ a,                                    a march back, see sensitivity
    forward     the tangent of every step, along with it

Φ_h is a step, p_h the polynomial inside it, and g_j the loss's slope at a time inside it. Lengths
of steps are held: what they add to a slope is of the order of the error. A march that nobody
differentiates records no steps.

Source: Hairer, Nørsett & Wanner (1993), *Solving Ordinary Differential Equations I*, section II.6;
Griewank & Walther (2008), *Evaluating Derivatives*, chapter 15 (steps that adapt).
"""

from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from mastery_jax.core import loop
from mastery_jax.core.status import Status
from mastery_jax.numerics.ode import adaptive, sensitivity

__all__ = ["Log", "Options", "follow", "insist", "insist_on_path", "part", "record"]

_ADJOINTS = ("direct", "backsolve", "forward")


class Options(NamedTuple):
    """What is static of a march."""

    name: str  # of the function that was called
    method: adaptive.Method
    max_steps: int
    adjoint: Literal["direct", "backsolve", "forward"]


class Log(NamedTuple):
    """The steps that were kept; the rows behind them are unused."""

    t: Any  # (max_steps,)
    step_size: Any  # (max_steps,)
    kept: Any  # of each, (max_steps, ...)
    size: Any  # how many


class _Given(NamedTuple):
    floats: Any
    others: Any
    y: Any
    times: Any
    tolerance: adaptive.Tolerance


class _Saved(NamedTuple):
    ys: Any
    index: Any  # of the next time


class _Static(NamedTuple):
    options: Options
    rebuild: Any


class _Back(NamedTuple):
    step: Any  # how many are still to come
    index: Any  # of the latest time that is still to come
    a: Any
    floats: Any


class _Progress(NamedTuple):
    is_done: Any


def insist(options: Options, field: Partial, y: Any, times: Any) -> None:
    """Refuse what can be seen to be wrong before anything is computed."""
    name, method, max_steps, adjoint = options
    if adjoint not in _ADJOINTS:
        raise ValueError(f"{name}: adjoint is {adjoint!r}, not one of {_ADJOINTS}")
    if max_steps < 1:
        raise ValueError(f"{name}: max_steps is {max_steps}, not at least 1")
    if not method.takes_half and jnp.finfo(y.dtype).bits < 32:
        raise ValueError(f"{name}: y is {y.dtype}, not float32 or float64")
    insist_on_path(name, field, y, times)


def insist_on_path(name: str, field: Partial, y: Any, times: Any) -> None:
    """Refuse what no method can follow, in the name of the function that was called."""
    if not len(times):
        raise ValueError(f"{name}: times is empty")
    if times.dtype != y.dtype:
        raise ValueError(f"{name}: times are {times.dtype}, not {y.dtype} as y is")
    slope = jax.eval_shape(field, times[0], y)
    if getattr(slope, "shape", None) != y.shape or slope.dtype != y.dtype:
        raise ValueError(f"{name}: field returns {slope}, not what is like y, {jax.typeof(y)}")


def follow(
    options: Options, field: Partial, y: Any, times: Any, tolerance: adaptive.Tolerance
) -> tuple[Any, adaptive.Info]:
    """Return the states at ``times``, and what they cost."""
    insist(options, field, y, times)
    floats, others, rebuild = sensitivity.split(field)
    given = _Given(floats, others, y, times, tolerance)
    if len(times) == 1:  # nothing moves; the march says whether its input is bad
        ys, info = _forward(_Static(options, rebuild), jax.lax.stop_gradient(given))
        return y[None] * (1 + 0 * ys), info
    ways = {"direct": _direct, "backsolve": _backsolve, "forward": _forward}
    return ways[options.adjoint](_Static(options, rebuild), given)


def record(size: int, keep: Any, like: Any, times: Any) -> tuple[Log, Any]:
    """Return an empty log, and the observer that writes ``keep(stride)`` of each kept step."""
    rows = jax.tree.map(lambda leaf: jnp.zeros((size, *leaf.shape), leaf.dtype), like)
    blank = jnp.zeros(size, times.dtype)
    log = Log(blank, blank, rows, jnp.asarray(0, jnp.int32))

    def observe(log: Log, stride: adaptive.Stride) -> tuple[Log, Any]:
        # A step that is not kept is written too, and then written over.
        put = partial(_put, log.size)
        kept = jax.tree.map(put, log.kept, keep(stride))
        t, step_size = put(log.t, stride.t), put(log.step_size, stride.step_size)
        return Log(t, step_size, kept, jnp.where(stride.is_kept, log.size + 1, log.size)), False

    return log, observe


def _put(index: Any, rows: Any, row: Any) -> Any:
    return jax.lax.dynamic_update_index_in_dim(rows, row, index, 0)


def _forward(static: _Static, given: _Given) -> tuple[Any, adaptive.Info]:
    return _march(static, given, (), lambda log, stride: (log, False))[0]


def _march(static: _Static, given: _Given, log: Any, write: Any) -> Any:
    """March, and save; return what was saved, and the log."""
    options, (y, times, tolerance) = static.options, given[2:]
    field = sensitivity.join(given.floats, given.others, static.rebuild)
    moves = times[1:] - times[:-1]
    has_turned = ~((moves >= 0).all() | (moves <= 0).all())
    saved = _Saved(jnp.full((len(times), *y.shape), jnp.nan, y.dtype), jnp.asarray(1, jnp.int32))

    def observe(seen: Any, stride: adaptive.Stride) -> tuple[Any, Any]:
        saved, log = seen
        if len(times) > 2:
            saved = _save(saved, stride, times)
        log, is_over = write(log, stride)
        return (saved, log), is_over

    walk, (saved, log) = adaptive.march(
        options.method,
        field,
        y,
        (times[0], times[-1]),
        tolerance,
        max_steps=options.max_steps,
        observe=observe,
        seen=(saved, log),
    )
    is_bad = has_turned | ~jnp.isfinite(times).all() | (walk.status == Status.BAD_INPUT)
    walk = walk._replace(status=jnp.where(is_bad, Status.BAD_INPUT, walk.status).astype(jnp.int32))
    last = jnp.where(walk.status == Status.CONVERGED, walk.y, jnp.nan)
    ys = saved.ys.at[-1].set(last).at[0].set(y)
    ys = jnp.where(is_bad, jnp.nan, ys)
    return (ys, adaptive.count(options.method, walk)), log


def _save(saved: _Saved, stride: adaptive.Stride, times: Any) -> _Saved:
    """Write the states at the times that a step has passed."""
    is_back = times[-1] < times[0]

    def is_due(index: Any) -> Any:
        time = times[index]
        is_reached = jnp.where(is_back, time >= stride.end, time <= stride.end)
        return stride.is_kept & is_reached & (index < len(times) - 1)

    def step(saved: _Saved) -> tuple[_Saved, _Progress]:
        # The first step is taken even where no time is due.
        ys, index = saved
        s = part(times[index], stride.t, stride.step_size)
        row = jnp.where(is_due(index), adaptive.at(stride.trial.coefs, s), ys[index])
        following = jnp.where(is_due(index), index + 1, index)
        return _Saved(_put(index, ys, row), following), _Progress(~is_due(following))

    return loop.until(step, saved, max_steps=len(times))[0]


def part(time: Any, t: Any, step_size: Any) -> Any:
    """Return which part of a step has passed at a time; none, of a step that goes nowhere."""
    return (time - t) / jnp.where(step_size == 0, 1, step_size)


_direct = jax.custom_vjp(_forward, nondiff_argnums=(0,))
_backsolve = jax.custom_vjp(_forward, nondiff_argnums=(0,))


def _remember(static: _Static, given: _Given) -> Any:
    size = static.options.max_steps
    log, write = record(size, lambda stride: stride.y, given.y, given.times)
    (ys, info), log = _march(static, given, log, write)
    return (ys, info), (given, ys, info.status, log)


def _replay(static: _Static, kept: Any, slopes: Any) -> tuple[_Given]:
    """Pull slopes back, over the steps from the last to the first."""
    given, ys, status, log = kept
    y_slopes, times = slopes[0], given.times
    has_between = len(times) > 2

    def step(back: _Back) -> tuple[_Back, _Progress]:
        row = back.step - 1
        t, step_size, y = log.t[row], log.step_size[row], log.kept[row]

        def advance(floats: Any, y: Any) -> Any:
            field = sensitivity.join(floats, given.others, static.rebuild)
            trial = static.options.method.step(field, t, y, field(t, y), step_size)
            return (trial.y, trial.coefs) if has_between else trial.y

        ends, pull = jax.vjp(advance, given.floats, y)
        index, late = back.index, back.a
        if has_between:
            coefs = jax.tree.map(jnp.zeros_like, ends[1])
            index, coefs = _gather((index, coefs), row, log, times, y_slopes)
            late = (late, coefs)
        floats, a = pull(late)
        floats = jax.tree.map(jnp.add, back.floats, floats)
        return _Back(row, index, a, floats), _Progress(row <= 0)

    zeros = jax.tree.map(jnp.zeros_like, given.floats)
    back = _Back(log.size, jnp.asarray(len(times) - 2, jnp.int32), y_slopes[-1], zeros)
    back, _, _ = loop.until(step, back, max_steps=static.options.max_steps)
    field = sensitivity.join(given.floats, given.others, static.rebuild)
    of_times = sensitivity.slopes_of_times(field, times, ys, y_slopes, back.a)
    return _pulled(given, status, back.floats, back.a + y_slopes[0], of_times)


def _gather(gathered: Any, row: Any, log: Log, times: Any, y_slopes: Any) -> Any:
    """Add up the slopes of the states inside a step, by the powers of s they came from."""
    t, step_size = log.t[row], log.step_size[row]
    is_back = times[-1] < times[0]

    def is_due(index: Any) -> Any:
        time = times[index]
        is_inside = jnp.where(is_back, time < t, time > t)
        return (is_inside | (row <= 0)) & (index > 0)

    def step(gathered: Any) -> tuple[Any, _Progress]:
        # The first step is taken even where no time is due.
        index, coefs = gathered
        s = part(times[index], t, step_size)
        slope = jnp.where(is_due(index), y_slopes[index], 0)
        coefs = tuple(coef + s**power * slope for power, coef in enumerate(coefs))
        following = jnp.where(is_due(index), index - 1, index)
        return (following, coefs), _Progress(~is_due(following))

    return loop.until(step, gathered, max_steps=len(times))[0]


def _march_back(static: _Static, kept: Any, slopes: Any) -> tuple[_Given]:
    """Pull slopes back by the continuous adjoint, marched to the same tolerance."""
    given, ys, status, _ = kept
    method, max_steps = static.options.method, static.options.max_steps
    y, atol = given.y, given.tolerance.atol

    def between(field: Any, flat: Any, late: Any, early: Any) -> Any:
        each = atol
        if atol.ndim:  # the state comes first, and then what has no number of its own
            each = jnp.full_like(flat, atol.min(initial=jnp.inf)).at[: y.size].set(atol.reshape(-1))
        tight, ends = given.tolerance._replace(atol=each), (late, early)
        walk, _ = adaptive.march(method, field, flat, ends, tight, max_steps=max_steps)
        return jnp.where(walk.status == Status.CONVERGED, walk.y, jnp.nan)

    pulled = sensitivity.backsolve(
        given.floats, given.others, given.times, ys, slopes[0],
        rebuild=static.rebuild, solve=between,
    )  # fmt: skip
    return _pulled(given, status, pulled.floats, pulled.y, pulled.times)


def _pulled(given: _Given, status: Any, floats: Any, y: Any, times: Any) -> tuple[_Given]:
    """Return the slopes; they are NaN where the march did not arrive."""
    slopes = jax.tree.map(
        lambda leaf: jnp.where(status == Status.CONVERGED, leaf, jnp.nan), (floats, y, times)
    )
    tolerance = jax.tree.map(jnp.zeros_like, given.tolerance)
    return (_Given(slopes[0], None, slopes[1], slopes[2], tolerance),)


def _remember_ends(static: _Static, given: _Given) -> Any:
    ys, info = _forward(static, given)
    return (ys, info), (given, ys, info.status, None)


_direct.defvjp(_remember, _replay)
_backsolve.defvjp(_remember_ends, _march_back)
