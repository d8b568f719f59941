"""Planar flow: one ridge, in the shape of tanh, added along one direction.

    y = x + û tanh(w·x + b)
    log|det ∂y/∂x| = log(1 + (w·û) (1 − tanh²(w·x + b)))
    û = u + (m(w·u) − w·u) w / |w|²,    m(a) = softplus(a + log(e − 1)) − 1

w·û = m(w·u) > −1 makes the map invertible for every u, w and b. The shift by log(e − 1) gives
m(0) = 0: u = 0 is the identity, and û stays bounded as w goes to 0.

Source: Rezende & Mohamed (2015), *Variational Inference with Normalizing Flows*, eq. 10-12 and
appendix A.1, where m(a) = softplus(a) − 1.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from mastery_jax.core.check import Scalar, checked
from mastery_jax.probability.flows import ridge

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
        dim: Number of coordinates of a point. Static.
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
def forward(
    params: Params, x: Float[Array, " d"], *, context: Float[Array, " c"] | None = None
) -> tuple[Float[Array, " d"], Float[Array, ""]]:
    """Return the image of a point, and the log of the stretched volume in nats. O(d).

    Args:
        params: From :func:`init`, or any finite numbers.
        x: One point; ``vmap`` takes many.
        context: Taken, because a chain hands it to each of its layers, and without effect.

    Example:
        >>> params = Params(u=jnp.array([2.0, 0.0]), w=jnp.array([1.0, 1.0]), b=jnp.array(0.5))
        >>> y, log_det = forward(params, jnp.array([0.3, -0.2]))
        >>> y.round(3), round(float(log_det), 3)
        (Array([ 1.271, -0.303], dtype=float32), 0.766)
    """
    with jax.default_matmul_precision("highest"):
        direction, flattest = _constrain(params)
        height = jnp.tanh(params.w @ x + params.b)
    return x + direction * height, ridge.log_slope(height, flattest)


@jax.jit
@checked
def inverse(
    params: Params, y: Float[Array, " d"], *, context: Float[Array, " c"] | None = None
) -> tuple[Float[Array, " d"], Float[Array, ""]]:
    """Return the point whose image is ``y``, and its log det in nats. O(d), by bisection.

    t = w·x is the root of t + (w·û) tanh(t + b) − w·y, which increases in t.

    Args:
        params: As in :func:`forward`.
        y: One point.
        context: As in :func:`forward`.

    Returns:
        The point, exact to some units in the last place of |x| + |û|, divided by 1 + w·û where
        the map is nearly flat; and minus the log det of ``forward`` there.
    """
    with jax.default_matmul_precision("highest"):
        direction, flattest = _constrain(params)
        t = ridge.root(flattest - 1, params.b, params.w @ y)
        height = jnp.tanh(t + params.b)
    return y - direction * height, -ridge.log_slope(height, flattest)


def _constrain(params: Params) -> tuple[jax.Array, jax.Array]:
    """Return û, and 1 + w·û > 0: the smallest stretch that the layer can apply."""
    along = params.w @ params.u
    direction = ridge.constrain(params.u, params.w, along, params.w @ params.w)
    return direction, ridge.gain(along)
