"""Adam: the mean of the gradients over their root mean square, both freed of their start at 0.

    m ← β₁ m + (1 − β₁) g          m̂ = m / (1 − β₁ᵗ)
    v ← β₂ v + (1 − β₂) g²         v̂ = v / (1 − β₂ᵗ)
    u = −η m̂ / (√v̂ + ε)

Source: Kingma & Ba (2015), *Adam: A Method for Stochastic Optimization*, algorithm 1.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from mastery_jax.core.check import Scalar, checked
from mastery_jax.numerics.optimize.rules import leafwise

__all__ = ["State", "init", "step"]


class State(NamedTuple):
    """What the rule remembers."""

    num_steps: Int[Array, ""]  # t, steps taken
    mean: Any  # m, unit of a gradient
    square: Any  # v, squared unit of a gradient


@jax.jit
@checked
def init(params: Any) -> State:
    """Return the state before the first step. O(size).

    Args:
        params: Any tree of float arrays.
    """
    return State(
        num_steps=jnp.zeros((), jnp.int32),
        mean=jax.tree.map(jnp.zeros_like, params),
        square=jax.tree.map(jnp.zeros_like, params),
    )


@jax.jit
@checked
def step(
    state: State,
    grads: Any,
    params: Any,
    *,
    learning_rate: Scalar,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
) -> tuple[Any, State]:
    """Return what to add to the params, and the next state. O(size).

    Args:
        state: From :func:`init` or the step before.
        grads: A tree as the params.
        params: Not read; every rule takes the same arguments.
        learning_rate: Size of a step, at least 0. Traced.
        b1: Decay of the mean, in [0, 1). Traced.
        b2: Decay of the mean square, in [0, 1). Traced.
        eps: Keeps the quotient finite, > 0. Traced.

    Example:
        >>> params = jnp.array([1.0, -2.0])
        >>> updates, state = step(init(params), jnp.array([0.5, 4.0]), params, learning_rate=0.1)
        >>> updates
        Array([-0.1, -0.1], dtype=float32)
    """
    num_steps = state.num_steps + 1

    def rule(g: Array, m: Array, v: Array, *numbers: Array) -> tuple[Array, ...]:
        rate, b1, b2, eps, t = numbers
        m = (1 - b1) * g + b1 * m
        v = (1 - b2) * g**2 + b2 * v
        m_hat, v_hat = m / (1 - b1**t), v / (1 - b2**t)
        return -rate * (m_hat / (jnp.sqrt(v_hat) + eps)), m, v

    trees, numbers = (grads, state.mean, state.square), (learning_rate, b1, b2, eps, num_steps)
    updates, mean, square = leafwise.apply(rule, *trees, numbers=numbers)
    return updates, State(num_steps=num_steps, mean=mean, square=square)
