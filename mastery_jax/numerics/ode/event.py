"""The march that stops where a function of time and state crosses zero.

    e(t*, y(t*)) = 0        dt* = −(∂e/∂θ dθ + ∂e/∂y δy) / (∂e/∂t + ∂e/∂y f)

The crossing is seen by a change of sign from the beginning of a step to its end, and found by
bisection of the step's polynomial. The path is then solved once more up to there, and one step of
Newton's brings t* onto the root of that path. Derivatives are those of the implicit function
theorem, of any order in forward mode, and forward over reverse; δy is the tangent of the state with
time held.

Source: Shampine & Thompson (2000), *Event location for ordinary differential equations*,
Computers & Mathematics with Applications 39; Krantz & Parks (2013), *The Implicit Function
Theorem*, theorem 1.3.1.
"""

import math
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float

from mastery_jax.core import loop
from mastery_jax.core.check import Scalar, checked
from mastery_jax.core.status import Status
from mastery_jax.numerics.ode import adaptive, dense, trajectory

__all__ = ["solve"]

_DIRECTIONS = ("any", "up", "down")


class _Static(NamedTuple):
    options: trajectory.Options
    direction: str


class _Given(NamedTuple):
    field: Partial
    y: Any
    ends: tuple[Any, Any]
    event: Partial
    tolerance: adaptive.Tolerance


class _Seen(NamedTuple):
    value: Any  # of the event, where the last step that was kept began or ended
    has_crossed: Any
    t: Any  # where the last step that was tried began
    step_size: Any
    coefs: tuple[Any, ...]


@partial(jax.jit, static_argnames=("direction", "method", "max_steps", "adjoint"))
@checked
def solve(
    field: Partial,
    y: Float[Array, "*state"],
    start: Float[Array, ""],
    end: Float[Array, ""],
    *,
    event: Partial,
    direction: Literal["any", "up", "down"] = "any",
    method: Literal["dopri5", "rodas4"] = "dopri5",
    rtol: Scalar = 1e-4,
    atol: Scalar | Float[Array, "*state"] = 1e-6,
    max_step_size: Scalar = math.inf,
    max_steps: int = 4096,
    adjoint: Literal["direct", "backsolve", "forward"] = "direct",
) -> tuple[Float[Array, ""], Float[Array, "*state"], adaptive.Info]:
    """Find when an event first happens, and the state then. O(steps): the way is gone twice.

    Args:
        field: f(t, y), of the shape of y; its data goes into the ``Partial``.
        y: The state at ``start``, of any shape. An event that is zero there has not happened.
        start: Time.
        end: Time after which nothing is looked for; before ``start`` to go back.
        event: e(t, y), one number; it happens where its sign changes.
        direction: ``up`` is from negative to positive on the way, ``down`` the other one. Static.
        method: ``rodas4`` where the field is stiff. Static.
        rtol: Error a step may make, as a part of |y|; > 0. Traced.
        atol: Error it may make besides, unit of y; one number, or one for each of y; > 0. Traced.
        max_step_size: What no step may be longer than, unit of time: a pulse that is shorter than a
            step may be passed unseen. > 0. Traced.
        max_steps: Steps that may be tried, each of the two times. Static.
        adjoint: As of ``dopri5``. Static.

    Returns:
        The time, the state, and ``Info`` of both marches. Unless its status is CONVERGED, the
        time, the state and their slopes are NaN: INFEASIBLE, where nothing happened until
        ``end``; NOT_FINITE, where the event is NaN; the others as of ``dopri5``. An event that
        jumps, or is flat where it crosses zero, has a time, whose slopes are no finite numbers.
        Two changes of sign within one step are not seen.

    Raises:
        ValueError: an option is unknown, max_steps is below 1, start or end is not of the dtype
            of y, y has 16 bits and the method is ``rodas4``, the field returns what is not like y,
            or the event what is not one float of that dtype.

    Example:
        >>> fall = Partial(lambda gravity, t, y: jnp.stack([y[1], -gravity]), jnp.array(9.81))
        >>> height = Partial(lambda t, y: y[0])
        >>> t, y, info = solve(
        ...     fall, jnp.array([10.0, 0.0]), jnp.array(0.0), jnp.array(5.0), event=height
        ... )
        >>> round(float(t), 4), round(float(y[1]), 3)
        (1.4278, -14.007)
    """
    if direction not in _DIRECTIONS:
        raise ValueError(f"event.solve: direction is {direction!r}, not one of {_DIRECTIONS}")
    chosen = dense.choose("event.solve", method)
    options = trajectory.Options("event.solve", chosen, max_steps, adjoint)
    trajectory.insist(options, field, y, dense.span("event.solve", y, start, end))
    value = jax.eval_shape(event, start, y)
    is_one = getattr(value, "shape", None) == () and jnp.issubdtype(value.dtype, jnp.floating)
    if not is_one or (not value.weak_type and value.dtype != y.dtype):
        raise ValueError(f"event.solve: event returns {value}, not one {y.dtype} as y is")
    tolerance = adaptive.tolerance(y, rtol, atol, max_step_size)
    given = _Given(field, y, (start, end), event, tolerance)
    ways = {"direct": _pulled, "backsolve": _pulled, "forward": _pushed}
    return ways[adjoint](_Static(options, direction), given)


def _find(static: _Static, given: _Given) -> tuple[Any, Any, adaptive.Info]:
    """Return the time, the state and what they cost, without derivatives."""
    options = static.options._replace(adjoint="forward")
    located, reach, info = _locate(static, given)
    y, cost = _reach(options, given, located)
    slope, rate = _speed(given, located, y)
    late = -given.event(located, y) / rate
    # A jump has no root to go to, and a flat event one that is far.
    is_near = (rate != 0) & (jnp.abs(late) <= jnp.abs(reach))
    late = jnp.where(is_near, late, 0)
    status = jnp.where(info.status == Status.CONVERGED, cost.status, info.status)
    valid = _valid(status, located)
    both = adaptive.Info(
        num_steps=info.num_steps + cost.num_steps,
        num_rejected=info.num_rejected + cost.num_rejected,
        num_evals=info.num_evals + cost.num_evals,
        status=status.astype(jnp.int32),
        is_done=status == Status.CONVERGED,
    )
    return (located + late) * valid, (y + slope * late) * valid, both


_pushed = jax.custom_jvp(_find, nondiff_argnums=(0,))


@_pushed.defjvp
def _push(static: _Static, primals: tuple[_Given], tangents: tuple[_Given]) -> Any:
    (given,), (moved,) = primals, tangents
    # By the rule that is being defined, so that derivatives of it are right as well.
    t, y, info = _pushed(static, given)
    options = static.options._replace(adjoint="forward")

    def held(given: _Given) -> tuple[Any, Any]:
        y = _reach(options, given, t)[0]
        return given.event(t, y), y

    _, (off, dy) = jax.jvp(held, (given,), (moved,))
    slope, rate = _speed(given, t, y)
    dt = -off / rate * _valid(info.status, t)
    none = jax.tree.map(lambda leaf: np.zeros(leaf.shape, jax.dtypes.float0), info)
    return (t, y, info), (dt, dy + slope * dt, none)


_pulled = jax.custom_vjp(_pushed, nondiff_argnums=(0,))


def _remember(static: _Static, given: _Given) -> Any:
    t, y, info = _pushed(static, given)
    return (t, y, info), (given, t, y, info.status)


def _pull(static: _Static, kept: Any, slopes: Any) -> tuple[_Given]:
    given, t, y, status = kept
    of_t, of_y, _ = slopes

    def held(given: _Given) -> tuple[Any, Any]:
        y = _reach(static.options, given, t)[0]
        return given.event(t, y), y

    slope, rate = _speed(given, t, y)
    off = -(of_t + (of_y * slope).sum()) / rate * _valid(status, t)
    return jax.vjp(held, given)[1]((off, of_y))


_pulled.defvjp(_remember, _pull)


def _reach(options: trajectory.Options, given: _Given, t: Any) -> tuple[Any, adaptive.Info]:
    """Return the state at a time, and what it cost."""
    times = jnp.stack([given.ends[0], t])
    ys, info = trajectory.follow(options, given.field, given.y, times, given.tolerance)
    return ys[-1], info


def _speed(given: _Given, t: Any, y: Any) -> tuple[Any, Any]:
    """Return y' and the event's rate along the path."""
    slope = given.field(t, y)
    return slope, jax.jvp(given.event, (t, y), (jnp.ones_like(t), slope))[1]


def _valid(status: Any, like: Any) -> Any:
    """Return 1, or NaN where nothing was found: it multiplies."""
    return jnp.where(status == Status.CONVERGED, jnp.ones_like(like), jnp.nan)


def _locate(static: _Static, given: _Given) -> tuple[Any, Any, adaptive.Info]:
    """Return the first crossing as the polynomial of its step has it, and how long that step is."""
    options, direction = static
    field, y, ends, event, tolerance = given
    start, end = ends
    step = options.method.step

    def observe(seen: _Seen, stride: adaptive.Stride) -> tuple[_Seen, Any]:
        value = event(stride.end, stride.trial.y)
        has_crossed = stride.is_kept & _crosses(direction, seen.value, value)
        # What is NaN has no sign: it stays, and ends the march.
        is_next = stride.is_kept & ~has_crossed & ~jnp.isnan(seen.value)
        value = jnp.where(is_next, value, seen.value)
        seen = _Seen(value, has_crossed, stride.t, stride.step_size, stride.trial.coefs)
        return seen, has_crossed | jnp.isnan(value)

    like = jax.eval_shape(lambda: step(field, start, y, y, end - start).coefs)
    coefs = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), like)
    seen = _Seen(event(start, y), jnp.asarray(False), start, jnp.zeros_like(start), coefs)
    walk, seen = adaptive.march(
        options.method,
        field,
        y,
        ends,
        tolerance,
        max_steps=options.max_steps,
        observe=observe,
        seen=seen,
    )

    def halve(bracket: tuple[Any, Any], _: Any) -> tuple[tuple[Any, Any], None]:
        low, high = bracket
        middle = (low + high) / 2
        state = adaptive.at(seen.coefs, middle)
        is_past = _crosses(direction, seen.value, event(seen.t + middle * seen.step_size, state))
        return (jnp.where(is_past, low, middle), jnp.where(is_past, middle, high)), None

    bracket = (jnp.zeros_like(start), jnp.ones_like(start))
    (_, s), _ = loop.scan(halve, bracket, jnp.arange(jnp.finfo(start.dtype).nmant + 2))
    unseen = jnp.where(jnp.isnan(seen.value), Status.NOT_FINITE, Status.INFEASIBLE)
    missed = jnp.where(walk.status == Status.CONVERGED, unseen, walk.status)
    status = jnp.where(seen.has_crossed, walk.status, missed).astype(jnp.int32)
    located = jnp.where(status == Status.CONVERGED, seen.t + s * seen.step_size, start)
    return located, seen.step_size, adaptive.count(options.method, walk._replace(status=status))


def _crosses(direction: str, before: Any, after: Any) -> Any:
    is_up, is_down = (before < 0) & (after >= 0), (before > 0) & (after <= 0)
    return {"any": is_up | is_down, "up": is_up, "down": is_down}[direction]
