"""Affine coupling: one half of the coordinates decides how the other half is scaled and shifted.

    y₁ = x₁,    y₂ = x₂ exp(s(x₁)) + t(x₁),    log|det ∂y/∂x| = Σ s(x₁)

The coordinates are then reversed, so that the same layer applied again moves those that stood
still. s and t come from one network, which may see a context besides, and s = 2 tanh(s₀/2) is
bounded: no coordinate is stretched by more than e² in one layer, which keeps the first steps of
training finite.

Source: Dinh, Sohl-Dickstein & Bengio (2017), *Density estimation using Real NVP*, eq. 4-8.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from mastery_jax.core.check import Scalar, checked
from mastery_jax.probability.flows import conditioner

__all__ = ["forward", "init", "inverse"]


@partial(jax.jit, static_argnames=("dim", "widths", "context_dim"))
@checked
def init(
    key: Key[Array, ""],
    *,
    dim: int,
    widths: tuple[int, ...],
    context_dim: int = 0,
    scale: Scalar = 0.0,
) -> Any:
    """Draw the network of one layer at random. O(number of its weights).

    Args:
        key: Consumed.
        dim: Number of coordinates of a point, at least 2. Static.
        widths: Units of each hidden layer. Static.
        context_dim: Numbers of the context; 0 where there is none. Static.
        scale: Size of the last layer's weights; 0 gives the identity (up to the order of the
            coordinates). Its dtype is that of the layer.

    Returns:
        A nested dict of arrays, whose shapes tell ``forward`` and ``inverse`` all they need.

    Raises:
        ValueError: ``dim`` is less than 2.
    """
    if dim < 2:
        raise ValueError(f"affine_coupling.init: dim is {dim}, and halves need at least 2")
    sizes = (dim // 2 + context_dim, *widths, 2 * (dim - dim // 2))
    return conditioner.draw(key, sizes, scale)


@jax.jit
@checked
def forward(
    params: Any, x: Float[Array, " d"], *, context: Float[Array, " c"] | None = None
) -> tuple[Float[Array, " d"], Float[Array, ""]]:
    """Return the image of a point, and the log of the stretched volume in nats.

    Costs one pass through the network.

    Args:
        params: From :func:`init`.
        x: One point; ``vmap`` takes many.
        context: What else scale and shift depend on, of the size that ``init`` was told.

    Raises:
        ValueError: ``params`` were made for another number of coordinates, or another context.

    Example:
        >>> params = init(jax.random.key(0), dim=3, widths=(8,))
        >>> forward(params, jnp.array([1.0, 2.0, 3.0]))[0]
        Array([3., 2., 1.], dtype=float32)
    """
    still, moved = jnp.split(x, [x.size // 2])
    shift, raw = _condition(params, still, context, moved.size)
    moved, log_scale = conditioner.scale_and_shift(shift, raw, moved)
    return jnp.concatenate([still, moved])[::-1], log_scale.sum()


@jax.jit
@checked
def inverse(
    params: Any, y: Float[Array, " d"], *, context: Float[Array, " c"] | None = None
) -> tuple[Float[Array, " d"], Float[Array, ""]]:
    """Return the point whose image is ``y``, exactly, and its log det in nats.

    Costs one pass through the network.

    Args:
        params: As in :func:`forward`.
        y: One point.
        context: As in :func:`forward`.

    Raises:
        ValueError: As :func:`forward`.
    """
    still, moved = jnp.split(y[::-1], [y.size // 2])
    shift, raw = _condition(params, still, context, moved.size)
    moved, log_scale = conditioner.shift_and_scale(shift, raw, moved)
    return jnp.concatenate([still, moved]), -log_scale.sum()


def _condition(params: Any, still: Any, context: Any, num_moved: int) -> tuple[Any, Any]:
    """Return t and s₀ for the moved half."""
    out = conditioner.apply("affine_coupling", params, still, context, 2 * num_moved)
    shift, raw = jnp.split(out, 2)
    return shift, raw
