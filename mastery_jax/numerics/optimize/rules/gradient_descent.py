"""Gradient descent: straight against the gradient, by a fixed share of it.

    u = −η g

Source: Cauchy (1847), *Comptes Rendus* 25, 536-538; Nocedal & Wright (2006), *Numerical
Optimization*, section 2.2.
"""

from typing import Any, NamedTuple

import jax
from jaxtyping import Array

from mastery_jax.core.check import Scalar, checked
from mastery_jax.numerics.optimize.rules import leafwise

__all__ = ["State", "init", "step"]


class State(NamedTuple):
    """Gradient descent remembers nothing."""


@jax.jit
@checked
def init(params: Any) -> State:
    """Return the state before the first step. O(size).

    Args:
        params: Any tree of float arrays.
    """
    return State()


@jax.jit
@checked
def step(state: State, grads: Any, params: Any, *, learning_rate: Scalar) -> tuple[Any, State]:
    """Return what to add to the params, and the next state. O(size).

    Args:
        state: From :func:`init` or the step before.
        grads: A tree as the params.
        params: Not read; every rule takes the same arguments.
        learning_rate: Size of a step, at least 0. Traced.

    Example:
        >>> import jax.numpy as jnp
        >>> params = jnp.array([1.0, -2.0])
        >>> updates, state = step(init(params), jnp.array([0.5, 4.0]), params, learning_rate=0.1)
        >>> updates
        Array([-0.05, -0.4 ], dtype=float32)
    """

    def rule(g: Array, rate: Array) -> tuple[Array]:
        return (-rate * g,)

    (updates,) = leafwise.apply(rule, grads, numbers=(learning_rate,))
    return updates, state
