"""Permutation: the coordinates in another order, so that the next layer splits them otherwise.

    y_i = x_π(i),    log|det ∂y/∂x| = 0

Source: Dinh, Krueger & Bengio (2015), *NICE*, section 3.2; a random order: Kingma & Dhariwal
(2018), *Glow*, section 3.2, where it is the weaker rival of a linear map.
"""

from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from mastery_jax.core.check import checked
from mastery_jax.probability.flows.frozen import Frozen

__all__ = ["Params", "forward", "init", "inverse"]


class Params(NamedTuple):
    """One layer; nothing of it is trained."""

    order: Frozen  # π, (d,) integers: which coordinate goes to each place


@partial(jax.jit, static_argnames=("dim", "kind"))
@checked
def init(key: Key[Array, ""], *, dim: int, kind: Literal["random", "reverse"] = "random") -> Params:
    """Draw an order at random, or take the reverse one. O(d log d).

    Args:
        key: Consumed; without effect on the reverse order.
        dim: Number of coordinates of a point, d. Static.
        kind: ``random``, every order as likely, or ``reverse``. Static.

    Raises:
        ValueError: ``kind`` is neither.
    """
    if kind not in ("random", "reverse"):
        raise ValueError(f"permutation.init: kind is {kind!r}, not 'random' or 'reverse'")
    order = jnp.arange(dim, dtype=jnp.int32)
    return Params(Frozen(jax.random.permutation(key, order) if kind == "random" else order[::-1]))


@jax.jit
@checked
def forward(
    params: Params, x: Float[Array, " d"], *, context: Float[Array, " c"] | None = None
) -> tuple[Float[Array, " d"], Float[Array, ""]]:
    """Return the coordinates in their new order, and 0 nats. O(d).

    Args:
        params: From :func:`init`, or any order of 0 … d − 1.
        x: One point; ``vmap`` takes many.
        context: Taken, because a chain hands it to each of its layers, and without effect.

    Raises:
        ValueError: the order is of another number of coordinates.

    Example:
        >>> params = Params(Frozen(jnp.array([2, 0, 1])))
        >>> forward(params, jnp.array([10.0, 20.0, 30.0]))[0]
        Array([30., 10., 20.], dtype=float32)
    """
    return x[_order(params, x)], jnp.zeros((), x.dtype)


@jax.jit
@checked
def inverse(
    params: Params, y: Float[Array, " d"], *, context: Float[Array, " c"] | None = None
) -> tuple[Float[Array, " d"], Float[Array, ""]]:
    """Return the coordinates in their old order, and 0 nats. O(d).

    Args:
        params: As in :func:`forward`.
        y: One point.
        context: As in :func:`forward`.

    Raises:
        ValueError: As :func:`forward`.
    """
    return jnp.zeros_like(y).at[_order(params, y)].set(y), jnp.zeros((), y.dtype)


def _order(params: Params, x: jax.Array) -> jax.Array:
    order = params.order.value
    if order.shape != x.shape:
        raise ValueError(f"permutation: order has shape {order.shape}, not {x.shape} as the point")
    return order
