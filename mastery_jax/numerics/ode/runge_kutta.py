"""Explicit Runge-Kutta steps: Euler's, the midpoint rule, and the classical one of order 4.

    euler     y + h f(t, y)
    midpoint  y + h f(t + h/2, y + h/2 f(t, y))
    rk4       y + h/6 (k₁ + 2 k₂ + 2 k₃ + k₄)
              k₁ = f(t, y),  k₂ = f(t + h/2, y + h/2 k₁),  k₃ = f(t + h/2, y + h/2 k₂),
              k₄ = f(t + h, y + h k₃)

One step of a method of order p is wrong by O(h^(p+1)), a whole path by O(h^p): 1, 2 and 4 here.

Source: Hairer, Nørsett & Wanner (1993), *Solving Ordinary Differential Equations I*, section II.1;
rk4: Kutta (1901), *Zeitschrift für Mathematik und Physik* 46.
"""

import jax
from jax.tree_util import Partial
from jaxtyping import Array, Float

from mastery_jax.core.check import checked

__all__ = ["euler", "midpoint", "rk4"]


@jax.jit
@checked
def euler(
    field: Partial, t: Float[Array, ""], y: Float[Array, "*state"], step_size: Float[Array, ""]
) -> Float[Array, "*state"]:
    """Follow the slope where one stands. One call of the field.

    Args:
        field: f(t, y), of the shape of y. What it needs besides goes into the ``Partial``.
        t: Time.
        y: State, of any shape.
        step_size: h, unit of time; negative to go back.

    Example:
        >>> import jax.numpy as jnp
        >>> decay = Partial(lambda t, y: -y)
        >>> euler(decay, jnp.array(0.0), jnp.array([1.0]), jnp.array(0.5))
        Array([0.5], dtype=float32)
    """
    return y + step_size * field(t, y)


@jax.jit
@checked
def midpoint(
    field: Partial, t: Float[Array, ""], y: Float[Array, "*state"], step_size: Float[Array, ""]
) -> Float[Array, "*state"]:
    """Follow the slope of the middle, found by half a step of Euler's. Two calls of the field.

    Args:
        field: f(t, y), of the shape of y.
        t: Time.
        y: State, of any shape.
        step_size: h, unit of time; negative to go back.
    """
    half = step_size / 2
    return y + step_size * field(t + half, y + half * field(t, y))


@jax.jit
@checked
def rk4(
    field: Partial, t: Float[Array, ""], y: Float[Array, "*state"], step_size: Float[Array, ""]
) -> Float[Array, "*state"]:
    """Follow the mean of four slopes, as Simpson's rule weights them. Four calls of the field.

    Args:
        field: f(t, y), of the shape of y.
        t: Time.
        y: State, of any shape.
        step_size: h, unit of time; negative to go back.
    """
    half = step_size / 2
    k1 = field(t, y)
    k2 = field(t + half, y + half * k1)
    k3 = field(t + half, y + half * k2)
    k4 = field(t + step_size, y + step_size * k3)
    return y + step_size / 6 * (k1 + 2 * (k2 + k3) + k4)
