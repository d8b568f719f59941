"""Momentum: a heavy ball that keeps rolling where the gradients have pushed it.

    m ← β m + g,    u = −η m

Source: Polyak (1964), *USSR Computational Mathematics* 4(5), 1-17, eq. 9.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from mastery_jax.core.check import Scalar, checked
from mastery_jax.numerics.optimize.rules import leafwise

__all__ = ["State", "init", "step"]


class State(NamedTuple):
    """What the rule remembers."""

    velocity: Any  # m, a decaying sum of the gradients; unit of a gradient


@jax.jit
@checked
def init(params: Any) -> State:
    """Return the state before the first step. O(size).

    Args:
        params: Any tree of float arrays.
    """
    return State(velocity=jax.tree.map(jnp.zeros_like, params))


@jax.jit
@checked
def step(
    state: State, grads: Any, params: Any, *, learning_rate: Scalar, decay: Scalar = 0.9
) -> tuple[Any, State]:
    """Return what to add to the params, and the next state. O(size).

    Args:
        state: From :func:`init` or the step before.
        grads: A tree as the params.
        params: Not read; every rule takes the same arguments.
        learning_rate: Size of a step, at least 0. Traced.
        decay: β in [0, 1). Traced.

    Example:
        >>> params = jnp.array([1.0, -2.0])
        >>> updates, state = step(init(params), jnp.array([0.5, 4.0]), params, learning_rate=0.1)
        >>> updates
        Array([-0.05, -0.4 ], dtype=float32)
    """

    def rule(g: Array, m: Array, rate: Array, decay: Array) -> tuple[Array, ...]:
        m = g + decay * m
        return -rate * m, m

    updates, velocity = leafwise.apply(rule, grads, state.velocity, numbers=(learning_rate, decay))
    return updates, State(velocity=velocity)
