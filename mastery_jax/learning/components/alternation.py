"""Turns of two exact minimizations, each over one half of the unknowns, until nothing is gained.

    x ← argmin f(·, y),   y ← argmin f(x, ·),        f falls, or stays

It ends at a point that neither half alone can better, which need not be the least of all.

Source: Csiszár & Tusnády (1984), *Statistics & Decisions*, supplement 1; Bertsekas (1999),
*Nonlinear Programming*, proposition 2.7.1 (block coordinate descent).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from mastery_jax.core import loop
from mastery_jax.core.status import Status

__all__ = ["Info", "descend"]


class Info(NamedTuple):
    """How the turns ended."""

    objective: Float[Array, ""]  # after the last turn
    num_steps: Int[Array, ""]
    is_done: Bool[Array, ""]  # the last turn gained no more than the tolerance
    status: Int[Array, ""]  # core.status.Status


class _Walk(NamedTuple):
    state: Any
    objective: Float[Array, ""]


class _Verdict(NamedTuple):
    is_done: Bool[Array, ""]


def descend(
    turn: Callable[[Any], tuple[Any, Array]],
    start: Any,
    *,
    is_sound: Array,
    rtol: Array,
    max_steps: int,
) -> tuple[Any, Info]:
    """Take turns until one lowers the objective by no more than ``rtol`` of it.

    Args:
        turn: Takes a state, returns the next and its objective.
        start: The first state.
        is_sound: Whether the data, and ``rtol``, have a meaning.
        rtol: ≥ 0; if 0 then until rounding leaves nothing to gain.
        max_steps: Turns at most.
    """
    first = _Walk(start, jnp.full((), jnp.inf, rtol.dtype))
    walk, verdict, num_steps = loop.until(
        partial(_watched, turn, rtol=rtol), first, max_steps=max_steps
    )
    is_finite = jnp.isfinite(walk.objective)
    is_done = verdict.is_done & is_finite & is_sound
    status = jnp.where(is_done, Status.CONVERGED, Status.OUT_OF_STEPS)
    status = jnp.where(is_finite, status, Status.NOT_FINITE)
    status = jnp.where(is_sound, status, Status.BAD_INPUT).astype(jnp.int32)
    return walk.state, Info(walk.objective, num_steps.astype(jnp.int32), is_done, status)


def _watched(
    turn: Callable[[Any], tuple[Any, Array]], walk: _Walk, *, rtol: Array
) -> tuple[_Walk, _Verdict]:
    state, objective = turn(walk.state)
    is_done = ~(walk.objective - objective > rtol * jnp.abs(objective))
    return _Walk(state, objective), _Verdict(is_done)
