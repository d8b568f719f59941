"""The march that stops where a function of time and state crosses zero.

    e(t*, y(t*)) = 0        dt* = −(∂e/∂θ dθ + ∂e/∂y δy) / (∂e/∂t + ∂e/∂y f)

The crossing is seen by a change of sign from the beginning of a step to its end, and found by
bisection of the step's polynomial. The path is then solved once more up to there, and one step of
Newton's brings t* onto the root of that path, with the derivatives of the implicit function
theorem; δy is the tangent of the state with time held.

Source: Shampine & Thompson (2000), *Event location for ordinary differential equations*,
Computers & Mathematics with Applications 39; Krantz & Parks (2013), *The Implicit Function
Theorem*, theorem 1.3.1.
"""

from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float

from mastery_jax.core import loop
from mastery_jax.core.check import Scalar, checked
from mastery_jax.core.status import Status
from mastery_jax.numerics.ode import adaptive, dense, trajectory

__all__ = ["solve"]

_DIRECTIONS = ("any", "up", "down")


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
    atol: Scalar = 1e-6,
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
        atol: Error it may make besides, unit of y; > 0. Traced.
        max_steps: Steps that may be tried, each of the two times. Static.
        adjoint: As of ``dopri5``. Static.

    Returns:
        The time, the state, and ``Info`` of both marches. Unless its status is CONVERGED, the
        time, the state and their slopes are NaN: INFEASIBLE, where nothing happened until
        ``end``; NOT_FINITE, where the path only touches zero, or the event is NaN; the others as
        of ``dopri5``. Two changes of sign within one step are not seen.

    Raises:
        ValueError: an option is unknown, max_steps is below 1, the field returns what is not like
            y, or the event what is not one number.

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
    trajectory.insist(options, field, y, jnp.stack([start, end]))
    value = jax.eval_shape(event, start, y)
    if getattr(value, "shape", None) != ():
        raise ValueError(f"event.solve: event returns {value}, not one number")
    tolerance = adaptive.Tolerance(jnp.asarray(rtol, y.dtype), jnp.asarray(atol, y.dtype))
    given = jax.lax.stop_gradient((field, y, (start, end), event, tolerance))
    located, info = _locate(options, direction, *given)
    again = trajectory.follow(options, field, y, jnp.stack([start, located]), rtol=rtol, atol=atol)
    return _correct(field, event, located, info, again)


def _locate(
    options: trajectory.Options,
    direction: str,
    field: Partial,
    y: Any,
    ends: Any,
    event: Partial,
    tolerance: adaptive.Tolerance,
) -> tuple[Any, adaptive.Info]:
    """Return the time of the first crossing, as the polynomial of its step has it."""
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
    return located, adaptive.count(options.method, walk._replace(status=status))


def _crosses(direction: str, before: Any, after: Any) -> Any:
    is_up, is_down = (before < 0) & (after >= 0), (before > 0) & (after <= 0)
    return {"any": is_up | is_down, "up": is_up, "down": is_down}[direction]


def _correct(field: Partial, event: Partial, located: Any, info: Any, again: Any) -> Any:
    """Bring the time onto the root of the path that was solved up to it."""
    ys, cost = again
    y = ys[-1]
    slope = field(located, y)
    _, rate = jax.jvp(event, (located, y), (jnp.ones_like(located), slope))
    late = -event(located, y) / jax.lax.stop_gradient(rate)
    t, y = located + late, y + slope * late
    status = jnp.where(info.status == Status.CONVERGED, cost.status, info.status)
    is_lost = (status == Status.CONVERGED) & ~jnp.isfinite(jax.lax.stop_gradient(t))
    status = jnp.where(is_lost, Status.NOT_FINITE, status).astype(jnp.int32)
    is_done = status == Status.CONVERGED
    # It multiplies, so that what is NaN has slopes that are.
    valid = jnp.where(is_done, jnp.ones_like(t), jnp.nan)
    both = adaptive.Info(
        num_steps=info.num_steps + cost.num_steps,
        num_rejected=info.num_rejected + cost.num_rejected,
        num_evals=info.num_evals + cost.num_evals,
        status=status,
        is_done=is_done,
    )
    return t * valid, y * valid, both
