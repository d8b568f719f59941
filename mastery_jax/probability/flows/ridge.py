"""What planar and Sylvester flows share: a gain above −1, and the point that a ridge came from.

    m(a) = softplus(a + log(e − 1)) − 1 > −1,    m(0) = 0
    t + g tanh(t + b) = v    has one root t for g > −1, within |g| of v

m(a) − a = log(1 + (e^−a − 1)/e) loses no digits where a is small, as the difference would.
Bisection halves the interval down to the rounding of the dtype, a fixed number of steps;
derivatives of any order come from the implicit function theorem.

Source: Rezende & Mohamed (2015), *Variational Inference with Normalizing Flows*, appendix A.1,
where m(a) = softplus(a) − 1.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from mastery_jax.core import loop

__all__ = ["constrain", "gain", "log_slope", "root"]

_SHIFT = math.log(math.e - 1)


def gain(along: Any) -> Any:
    """Return 1 + m(a) > 0: the smallest stretch that a ridge can apply."""
    return jax.nn.softplus(along + _SHIFT)


def constrain(u: Any, w: Any, along: Any, norm2: Any) -> Any:
    """Return u + (m(a) − a) w / |w|², for a = w·u: along w it has the gain m(a).

    It stays bounded as w goes to 0.
    """
    near = jnp.log1p(jnp.expm1(-jnp.maximum(along, -1)) / math.e)
    change = jnp.where(along > -1, near, gain(along) - 1 - along)
    return u + change / jnp.where(norm2 > 0, norm2, 1) * w


def log_slope(height: Any, flattest: Any) -> Any:
    """Return log(1 + g (1 − h²)) for 1 + g = ``flattest``; nothing cancels where g is near −1."""
    return jnp.log(height**2 + (1 - height**2) * flattest)


def root(gain: Any, offset: Any, target: Any) -> Any:
    """Return the root t of t + g tanh(t + b) = v, for numbers."""
    return jax.lax.custom_root(
        lambda t: t + gain * jnp.tanh(t + offset) - target,
        target,
        partial(_bisect, radius=jnp.abs(gain)),
        lambda slope, tangent: tangent / slope(jnp.ones_like(tangent)),
    )


def _bisect(f: Callable[[jax.Array], jax.Array], x: jax.Array, *, radius: jax.Array) -> jax.Array:
    """Return the root of an increasing function within ``radius`` of ``x``."""

    def step(bounds):
        lower, upper = bounds
        middle = (lower + upper) / 2
        is_below = f(middle) < 0
        return (jnp.where(is_below, middle, lower), jnp.where(is_below, upper, middle)), None

    num_steps = jnp.finfo(x.dtype).nmant + 2
    (lower, upper), _ = loop.scan(step, (x - radius, x + radius), num_steps=num_steps)
    return (lower + upper) / 2
