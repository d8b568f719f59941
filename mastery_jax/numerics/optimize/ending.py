"""Which of several reasons a search ends for, and its report.

Source: Gill, Murray & Wright (1981), *Practical Optimization*, section 8.2.3 (tests of an end).
"""

from collections.abc import Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Bool

from mastery_jax.core.status import Status
from mastery_jax.numerics.optimize import implicit, report

__all__ = ["Verdict", "decide", "describe"]


class Verdict(NamedTuple):
    """What a loop asks after every step."""

    is_done: Bool[Array, ""]


def decide(
    status: jax.Array, endings: Iterable[tuple[jax.Array, jax.Array | Status]]
) -> tuple[jax.Array, Verdict]:
    """Return the status after a step: what it was, once done, or the last ending that holds."""
    now = jnp.asarray(Status.RUNNING, jnp.int32)
    for holds, end in (*endings, (status != Status.RUNNING, status)):
        now = jnp.where(holds, end, now).astype(jnp.int32)
    return now, Verdict(now != Status.RUNNING)


def describe(
    fn: Partial,
    x: jax.Array,
    *,
    value: jax.Array,
    gradient_norm: jax.Array,
    num_steps: jax.Array,
    num_evals: jax.Array,
    status: jax.Array,
) -> report.Info:
    """Return the report of a search for the minimum of ``fn``; its value has derivatives."""
    return report.Info(
        value=implicit.evaluate(fn, x, value),
        gradient_norm=gradient_norm,
        num_steps=num_steps,
        num_evals=num_evals,
        status=status,
        is_done=status == Status.CONVERGED,
    )
