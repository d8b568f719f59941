"""Lion: the sign of a mean gradient, so that every coordinate moves by the same length.

    u = −η (sign(β₁ m + (1 − β₁) g) + λ x)
    m ← β₂ m + (1 − β₂) g

Source: Chen et al. (2023), *Symbolic Discovery of Optimization Algorithms*, algorithm 2.
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

    mean: Any  # m, unit of a gradient


@jax.jit
@checked
def init(params: Any) -> State:
    """Return the state before the first step. O(size).

    Args:
        params: Any tree of float arrays.
    """
    return State(mean=jax.tree.map(jnp.zeros_like, params))


@jax.jit
@checked
def step(
    state: State,
    grads: Any,
    params: Any,
    *,
    learning_rate: Scalar,
    b1: Scalar = 0.9,
    b2: Scalar = 0.99,
    weight_decay: Scalar = 1e-3,
) -> tuple[Any, State]:
    """Return what to add to the params, and the next state. O(size).

    Args:
        state: From :func:`init` or the step before.
        grads: A tree as the params.
        params: Pulled to zero.
        learning_rate: Size of a step, at least 0. Traced.
        b1: Weight of the mean in the step, in [0, 1). Traced.
        b2: Decay of the mean, in [0, 1). Traced.
        weight_decay: λ ≥ 0, per unit of learning rate. Traced.

    Example:
        >>> params = jnp.array([1.0, -2.0])
        >>> updates, state = step(init(params), jnp.array([0.5, 4.0]), params, learning_rate=0.1)
        >>> updates.round(3)
        Array([-0.1, -0.1], dtype=float32)
    """

    def rule(g: Array, m: Array, x: Array, *numbers: Array) -> tuple[Array, ...]:
        rate, b1, b2, decay = numbers
        sign = jnp.sign((1 - b1) * g + b1 * m)
        return -rate * (sign + decay * x), (1 - b2) * g + b2 * m

    numbers = (learning_rate, b1, b2, weight_decay)
    updates, mean = leafwise.apply(rule, grads, state.mean, params, numbers=numbers)
    return updates, State(mean=mean)
