"""Planar flow: one ridge, in the shape of tanh, added along one direction.

    y = x + û tanh(w·x + b)
    log|det ∂y/∂x| = log(1 + (w·û) (1 − tanh²(w·x + b)))
    û = u + (m(w·u) − w·u) w / |w|²,    m(a) = softplus(a + log(e − 1)) − 1

w·û = m(w·u) > −1 makes the map invertible for every u, w and b. The shift by log(e − 1) gives
m(0) = 0: u = 0 is the identity, and û stays bounded as w goes to 0.

Source: Rezende & Mohamed (2015), *Variational Inference with Normalizing Flows*, eq. 10-12 and
appendix A.1, where m(a) = softplus(a) − 1.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from mastery_jax.core import loop
from mastery_jax.core.check import Scalar, checked

__all__ = ["Params", "forward", "init", "inverse"]


class Params(NamedTuple):
    """One layer, before its constraint: any finite numbers are allowed."""

    u: Float[Array, " d"]  # where to, unit of x
    w: Float[Array, " d"]  # along what, per unit of x
    b: Float[Array, ""]  # offset of the ridge


@partial(jax.jit, static_argnames=("dim",))
@checked
def init(key: Key[Array, ""], *, dim: int, scale: Scalar = 0.1) -> Params:
    """Draw a layer at random. O(d).

    Args:
        key: Consumed.
        dim: Number of coordinates of a point.
        scale: Standard deviation of ``u``; 0 gives the identity. Its dtype is that of the layer.
    """
    u_key, w_key, b_key = jax.random.split(key, 3)
    dtype = jnp.result_type(scale)
    return Params(
        u=scale * jax.random.normal(u_key, (dim,), dtype),
        w=jax.random.normal(w_key, (dim,), dtype),
        b=jax.random.normal(b_key, (), dtype),
    )


@jax.jit
@checked
def forward(params: Params, x: Float[Array, " d"]) -> tuple[Float[Array, " d"], Float[Array, ""]]:
    """Return the image of a point, and the log of the stretched volume in nats. O(d)."""
    with jax.default_matmul_precision("highest"):
        direction, flattest = _constrain(params)
        ridge = jnp.tanh(params.w @ x + params.b)
    return x + direction * ridge, _log_det(ridge, flattest)


@jax.jit
@checked
def inverse(params: Params, y: Float[Array, " d"]) -> tuple[Float[Array, " d"], Float[Array, ""]]:
    """Return the point whose image is ``y``, and its log det in nats. O(d).

    t = w·x is the root of t + (w·û) tanh(t + b) − w·y, which increases in t and changes sign
    within |w·û| of w·y. Bisection halves that interval down to the rounding of the dtype, a
    fixed number of steps; derivatives of any order come from the implicit function theorem.

    Returns:
        The point, exact to some units in the last place of |x| + |û|, divided by 1 + w·û where
        the map is nearly flat; and minus the log det of ``forward`` there.
    """
    with jax.default_matmul_precision("highest"):
        direction, flattest = _constrain(params)
        target, gain = params.w @ y, flattest - 1
        t = jax.lax.custom_root(
            lambda t: t + gain * jnp.tanh(t + params.b) - target,
            target,
            partial(_bisect, radius=jnp.abs(gain)),
            lambda slope, tangent: tangent / slope(jnp.ones_like(tangent)),
        )
        ridge = jnp.tanh(t + params.b)
    return y - direction * ridge, -_log_det(ridge, flattest)


def _constrain(params: Params) -> tuple[jax.Array, jax.Array]:
    """Return û, and 1 + w·û > 0: the smallest stretch that the layer can apply."""
    along = params.w @ params.u
    flattest = jax.nn.softplus(along + jnp.log(jnp.e - 1).astype(along.dtype))
    norm2 = params.w @ params.w
    change = (flattest - 1 - along) / jnp.where(norm2 > 0, norm2, 1)
    return params.u + change * params.w, flattest


def _log_det(ridge: jax.Array, flattest: jax.Array) -> jax.Array:
    # The same as log(1 + (w·û)(1 − tanh²)), but nothing cancels when w·û is near −1.
    return jnp.log(ridge**2 + (1 - ridge**2) * flattest)


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
