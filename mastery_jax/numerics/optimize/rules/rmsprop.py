"""RMSprop: the gradient over its root mean square.

    v ← ρ v + (1 − ρ) g²,    u = −η g / √(v + ε)

Source: Hinton (2012), *Neural Networks for Machine Learning*, lecture 6e.
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

    square: Any  # v, squared unit of a gradient


@jax.jit
@checked
def init(params: Any) -> State:
    """Return the state before the first step. O(size).

    Args:
        params: Any tree of float arrays.
    """
    return State(square=jax.tree.map(jnp.zeros_like, params))


@jax.jit
@checked
def step(
    state: State,
    grads: Any,
    params: Any,
    *,
    learning_rate: Scalar,
    decay: Scalar = 0.9,
    eps: Scalar = 1e-8,
) -> tuple[Any, State]:
    """Return what to add to the params, and the next state. O(size).

    Args:
        state: From :func:`init` or the step before.
        grads: A tree as the params.
        params: Not read; every rule takes the same arguments.
        learning_rate: Size of a step, at least 0. Traced.
        decay: ρ in [0, 1). Traced.
        eps: Keeps the quotient finite, > 0. Traced.

    Example:
        >>> params = jnp.array([1.0, -2.0])
        >>> updates, state = step(init(params), jnp.array([0.5, 4.0]), params, learning_rate=0.1)
        >>> updates.round(3)
        Array([-0.316, -0.316], dtype=float32)
    """

    def rule(g: Array, v: Array, rate: Array, decay: Array, eps: Array) -> tuple[Array, ...]:
        v = (1 - decay) * g**2 + decay * v
        return -rate * (jax.lax.rsqrt(v + eps) * g), v

    numbers = (learning_rate, decay, eps)
    updates, square = leafwise.apply(rule, grads, state.square, numbers=numbers)
    return updates, State(square=square)
