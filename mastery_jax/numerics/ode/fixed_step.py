"""Equal steps between given times, by Euler's method, the midpoint rule or the classical rk4.

    y(t_i+1) ≈ Φ_h(… Φ_h(y(t_i))),   h = (t_i+1 − t_i) / num_substeps

Nothing watches the error: halve the steps and see what changes, or take ``dopri5``. The cost is
known in advance, lanes of ``vmap`` never wait for each other, and reverse mode is that of a scan.

Source: Hairer, Nørsett & Wanner (1993), *Solving Ordinary Differential Equations I*, section II.1.
"""

from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int

from mastery_jax.core import loop
from mastery_jax.core.check import checked
from mastery_jax.core.status import Status
from mastery_jax.numerics.ode import runge_kutta, sensitivity, trajectory

__all__ = ["Info", "solve"]

_METHODS = {
    "euler": (runge_kutta.euler, 1),
    "midpoint": (runge_kutta.midpoint, 2),
    "rk4": (runge_kutta.rk4, 4),
}


class Info(NamedTuple):
    """What a path cost, and whether it is one."""

    num_evals: Int[Array, ""]  # calls of the field
    status: Int[Array, ""]  # core.status.Status


class _Settings(NamedTuple):
    method: str
    num_substeps: int
    rebuild: Any


@partial(jax.jit, static_argnames=("method", "num_substeps", "adjoint"))
@checked
def solve(
    field: Partial,
    y: Float[Array, "*state"],
    times: Float[Array, " time"],
    *,
    method: Literal["euler", "midpoint", "rk4"] = "rk4",
    num_substeps: int = 1,
    adjoint: Literal["direct", "backsolve"] = "direct",
) -> tuple[Float[Array, "time *state"], Info]:
    """Follow a field through given times. O(time · num_substeps) calls of it.

    Args:
        field: f(t, y), of the shape of y; its data goes into the ``Partial``.
        y: The state at the first time, of any shape.
        times: In any order: steps may go forward, back, or nowhere.
        method: ``euler`` is of order 1, ``midpoint`` 2, ``rk4`` 4. Static.
        num_substeps: Equal steps from each time to the next, at least 1. Static.
        adjoint: What reverse mode does. ``direct`` differentiates the steps themselves, and holds
            them in memory; ``backsolve`` solves the continuous adjoint backwards with the same
            steps, in memory that does not grow with ``num_substeps``, wrong by the error of the
            method; it has no forward mode. Static.

    Returns:
        The state at every time, the first being ``y``; and ``Info``: CONVERGED, or NOT_FINITE.

    Raises:
        ValueError: num_substeps is below 1, there is no time, the method or adjoint is unknown, or
            the field returns what is not like y.

    Example:
        >>> decay = Partial(lambda rate, t, y: -rate * y, 2.0)
        >>> ys, info = solve(decay, jnp.array([1.0]), jnp.linspace(0.0, 1.0, 21))
        >>> ys[-1].round(4), int(info.num_evals)
        (Array([0.1353], dtype=float32), 80)
    """
    if method not in _METHODS:
        raise ValueError(f"fixed_step.solve: method is {method!r}, not one of {[*_METHODS]}")
    if adjoint not in ("direct", "backsolve"):
        raise ValueError(f"fixed_step.solve: adjoint is {adjoint!r}, not 'direct' or 'backsolve'")
    if num_substeps < 1:
        raise ValueError(f"fixed_step.solve: num_substeps is {num_substeps}, not at least 1")
    trajectory.insist_on_path("fixed_step.solve", field, y, times)
    floats, others, rebuild = sensitivity.split(field)
    settings = _Settings(method, num_substeps, rebuild)
    march: Any = _march if adjoint == "direct" else _march_back
    ys = march(settings, floats, others, y, times)
    num_evals = _METHODS[method][1] * num_substeps * (len(times) - 1)
    is_finite = jnp.isfinite(jax.lax.stop_gradient(ys)).all()
    status = jnp.where(is_finite, Status.CONVERGED, Status.NOT_FINITE).astype(jnp.int32)
    return ys, Info(num_evals=jnp.asarray(num_evals, jnp.int32), status=status)


def _march(settings: _Settings, floats: Any, others: Any, y: Any, times: Any) -> Any:
    field = sensitivity.join(floats, others, settings.rebuild)

    def interval(y: Any, ends: Any) -> tuple[Any, Any]:
        y = _between(settings, field, y, *ends)
        return y, y

    if len(times) == 2:  # a loop around a loop takes longer to compile
        return jnp.stack([y, interval(y, times)[0]])
    _, ys = loop.scan(interval, y, (times[:-1], times[1:]))
    return jnp.concatenate([y[None], ys])


def _between(settings: _Settings, field: Partial, y: Any, start: Any, end: Any) -> Any:
    count = settings.num_substeps
    # A step is done again on the way back: its stages are not kept, and reverse mode is faster.
    advance = jax.checkpoint(_METHODS[settings.method][0], prevent_cse=False)
    step_size = (end - start) / count
    if count == 1:
        return advance(field, start, y, step_size)

    def substep(y: Any, index: Any) -> tuple[Any, None]:
        return advance(field, start + index.astype(start.dtype) * step_size, y, step_size), None

    return loop.scan(substep, y, jnp.arange(count))[0]


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _march_back(settings: _Settings, floats: Any, others: Any, y: Any, times: Any) -> Any:
    return _march(settings, floats, others, y, times)


def _remember(settings: _Settings, floats: Any, others: Any, y: Any, times: Any) -> Any:
    ys = _march(settings, floats, others, y, times)
    return ys, (floats, others, times, ys)


def _pull(settings: _Settings, kept: Any, given: Any) -> Any:
    floats, others, times, ys = kept
    slopes = sensitivity.backsolve(
        floats,
        others,
        times,
        ys,
        given,
        rebuild=settings.rebuild,
        solve=partial(_between, settings),
    )
    return slopes.floats, None, slopes.y, slopes.times


_march_back.defvjp(_remember, _pull)
