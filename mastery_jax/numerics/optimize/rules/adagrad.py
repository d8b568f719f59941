"""AdaGrad: steps shrink, coordinate by coordinate, with all the squared gradients so far.

    s ← s + g²,    u = −η g / √(s + ε)        s starts at 0.1

Source: Duchi, Hazan & Singer (2011), *JMLR* 12, 2121-2159, eq. 1 with a diagonal matrix.
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

    total: Any  # s, sum of the squared gradients; squared unit of a gradient


@jax.jit
@checked
def init(params: Any) -> State:
    """Return the state before the first step. O(size).

    Args:
        params: Any tree of float arrays.
    """
    return State(total=jax.tree.map(lambda leaf: jnp.full_like(leaf, 0.1), params))


@jax.jit
@checked
def step(
    state: State, grads: Any, params: Any, *, learning_rate: Scalar, eps: Scalar = 1e-7
) -> tuple[Any, State]:
    """Return what to add to the params, and the next state. O(size).

    Args:
        state: From :func:`init` or the step before.
        grads: A tree as the params.
        params: Not read; every rule takes the same arguments.
        learning_rate: Size of a step, at least 0. Traced.
        eps: Keeps the quotient finite, > 0. Traced.

    Example:
        >>> params = jnp.array([1.0, -2.0])
        >>> updates, state = step(init(params), jnp.array([0.5, 4.0]), params, learning_rate=0.1)
        >>> updates.round(3)
        Array([-0.085, -0.1  ], dtype=float32)
    """

    def rule(g: Array, s: Array, rate: Array, eps: Array) -> tuple[Array, ...]:
        s = g**2 + s
        return -rate * (jax.lax.rsqrt(s + eps) * g), s

    updates, total = leafwise.apply(rule, grads, state.total, numbers=(learning_rate, eps))
    return updates, State(total=total)
