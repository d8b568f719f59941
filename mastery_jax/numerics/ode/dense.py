"""The solution at any time, from one march: a polynomial for every step that was kept.

    y(t) = Σ_m c_im ((t − t_i) / h_i)^m,    t_i ≤ t ≤ t_i + h_i

Of degree 4 by ``dopri5`` and 3 by ``rodas4``. Times need not be known before the march.

Source: Hairer, Nørsett & Wanner (1993), *Solving Ordinary Differential Equations I*, section II.6.
"""

import math
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float

from mastery_jax.core.check import Scalar, checked
from mastery_jax.core.status import Status
from mastery_jax.numerics.ode import adaptive, dopri5, rodas4, trajectory

__all__ = ["Path", "choose", "evaluate", "solve", "span"]

_METHODS = {"dopri5": dopri5.METHOD, "rodas4": rodas4.METHOD}


class Path(NamedTuple):
    """A solution, as polynomials; unused rows begin at the end, and stay there."""

    start: Float[Array, ""]
    end: Float[Array, ""]  # as far as the march came
    t: Float[Array, " steps"]  # t_i, where each step began
    step_size: Float[Array, " steps"]  # h_i
    coefs: Float[Array, "steps powers *state"]  # c_im


def choose(name: str, method: str) -> adaptive.Method:
    """Return the method of that name.

    Raises:
        ValueError: there is none, said in the name of the function that was called.
    """
    if method not in _METHODS:
        raise ValueError(f"{name}: method is {method!r}, not one of {[*_METHODS]}")
    return _METHODS[method]


def span(name: str, y: Array, start: Array, end: Array) -> Array:
    """Return both ends as times.

    Raises:
        ValueError: one is not of the dtype of y, said in the name of the function that was called.
    """
    for label, time in (("start", start), ("end", end)):
        if time.dtype != y.dtype:
            raise ValueError(f"{name}: {label} is {time.dtype}, not {y.dtype} as y is")
    return jnp.stack([start, end])


@partial(jax.jit, static_argnames=("method", "max_steps"))
@checked
def solve(
    field: Partial,
    y: Float[Array, "*state"],
    start: Float[Array, ""],
    end: Float[Array, ""],
    *,
    method: Literal["dopri5", "rodas4"] = "dopri5",
    rtol: Scalar = 1e-4,
    atol: Scalar | Float[Array, "*state"] = 1e-6,
    max_step_size: Scalar = math.inf,
    max_steps: int = 256,
) -> tuple[Path, adaptive.Info]:
    """Follow a field from ``start`` to ``end``, and keep every step. O(steps + max_steps).

    Forward mode differentiates it; for reverse mode ask ``dopri5`` for the times one needs.

    Args:
        field: f(t, y), of the shape of y; its data goes into the ``Partial``.
        y: The state at ``start``, of any shape.
        start: Time.
        end: Time; before ``start`` to go back.
        method: ``rodas4`` where the field is stiff. Static.
        rtol: Error a step may make, as a part of |y|; > 0. Traced.
        atol: Error it may make besides, unit of y; one number, or one for each of y; > 0. Traced.
        max_step_size: What no step may be longer than, unit of time: a pulse that is shorter than a
            step may be passed unseen. > 0. Traced.
        max_steps: Steps that may be tried, and rows of the path. Static.

    Returns:
        The path, as far as the march came; and ``Info``, with a status as of ``dopri5``.

    Raises:
        ValueError: the method is unknown, max_steps is below 1, start or end is not of the dtype
            of y, y has 16 bits and the method is ``rodas4``, or the field returns what is not like
            y.

    Example:
        >>> path, info = solve(
        ...     Partial(lambda t, y: -y), jnp.array([1.0]), jnp.array(0.0), jnp.array(2.0)
        ... )
        >>> round(float(evaluate(path, jnp.array(1.0))[0]), 3)
        0.368
    """
    options = trajectory.Options("dense.solve", choose("dense.solve", method), max_steps, "forward")
    times = span("dense.solve", y, start, end)
    trajectory.insist(options, field, y, times)
    tolerance = adaptive.tolerance(y, rtol, atol, max_step_size)

    def keep(stride: adaptive.Stride) -> Array:
        return jnp.stack(stride.trial.coefs)

    like = jax.eval_shape(
        lambda: jnp.stack(options.method.step(field, start, y, field(start, y), end - start).coefs)
    )
    log, observe = trajectory.record(max_steps, keep, like, times)
    walk, log = adaptive.march(
        options.method,
        field,
        y,
        (start, end),
        tolerance,
        max_steps=max_steps,
        observe=observe,
        seen=log,
    )
    is_used = jnp.arange(max_steps, dtype=log.size.dtype) < log.size
    still = jnp.zeros(like.shape, like.dtype).at[0].set(walk.y)
    still = jnp.where(walk.status == Status.BAD_INPUT, jnp.nan, still)
    is_row = is_used & (walk.status != Status.BAD_INPUT)
    path = Path(
        start=start,
        end=walk.t,
        t=jnp.where(is_used, log.t, walk.t),
        step_size=jnp.where(is_used, log.step_size, 0),
        coefs=jnp.where(is_row.reshape(-1, *([1] * like.ndim)), log.kept, still[None]),
    )
    return path, adaptive.count(options.method, walk)


@jax.jit
@checked
def evaluate(path: Path, t: Float[Array, ""]) -> Float[Array, "*state"]:
    """Return the state at a time. O(log max_steps); map it over times by ``vmap``.

    Args:
        path: As ``solve`` returns it.
        t: Time.

    Returns:
        The state; NaN before the start, and after the end that was reached.
    """
    elapsed = jnp.abs(t - path.start)
    row = jnp.searchsorted(jnp.abs(path.t - path.start), elapsed, side="left") - 1
    row = jnp.maximum(row, 0)
    s = trajectory.part(t, path.t[row], path.step_size[row])
    is_inside = (t - path.start) * (t - path.end) <= 0
    return jnp.where(is_inside, adaptive.at(tuple(path.coefs[row]), s), jnp.nan)
