"""Affine coupling: one half of the coordinates decides how the other half is scaled and shifted.

    y₁ = x₁,    y₂ = x₂ exp(s(x₁)) + t(x₁),    log|det ∂y/∂x| = Σ s(x₁)

The coordinates are then reversed, so that the same layer applied again moves those that stood
still. s and t come from one Flax network, and s = 2 tanh(s₀/2) is bounded: no coordinate is
stretched by more than e² in one layer, which keeps the first steps of training finite.

Source: Dinh, Sohl-Dickstein & Bengio (2017), *Density estimation using Real NVP*, eq. 4-8.
"""

from functools import lru_cache, partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Key

from mastery_jax.core.check import Scalar, checked
from mastery_jax.core.functional import Functional, functional

__all__ = ["forward", "init", "inverse"]

BOUND = 2.0


class _Conditioner(nnx.Module):
    """Dense layers with tanh between them, from x₁ to t and s₀ side by side."""

    def __init__(self, sizes: tuple[int, ...], *, dtype: Any, rngs: nnx.Rngs):
        self.layers = nnx.List(
            nnx.Linear(a, b, param_dtype=dtype, rngs=rngs) for a, b in pairwise(sizes)
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        *hidden, last = self.layers
        for layer in hidden:
            x = jnp.tanh(layer(x))
        return last(x)


@lru_cache
def _conditioner(sizes: tuple[int, ...], dtype: Any) -> Functional:
    return functional(lambda rngs: _Conditioner(sizes, dtype=dtype, rngs=rngs))


@partial(jax.jit, static_argnames=("dim", "widths"))
@checked
def init(key: Key[Array, ""], *, dim: int, widths: tuple[int, ...], scale: Scalar = 0.0) -> Any:
    """Draw the network of one layer at random. O(number of its weights).

    Args:
        key: Consumed.
        dim: Number of coordinates of a point, at least 2.
        widths: Units of each hidden layer.
        scale: Size of the last layer's weights; 0 gives the identity (up to the order of the
            coordinates). Its dtype is that of the layer.

    Returns:
        A nested dict of arrays, whose shapes tell ``forward`` and ``inverse`` all they need.

    Raises:
        ValueError: ``dim`` is less than 2.
    """
    if dim < 2:
        raise ValueError(f"affine_coupling.init: dim is {dim}, and halves need at least 2")
    sizes = (dim // 2, *widths, 2 * (dim - dim // 2))
    params, _ = _conditioner(sizes, jnp.result_type(scale)).init(key)
    last = params["layers"][len(widths)]
    last["kernel"] = scale * last["kernel"]
    return params


@jax.jit
@checked
def forward(params: Any, x: Float[Array, " d"]) -> tuple[Float[Array, " d"], Float[Array, ""]]:
    """Return the image of a point, and the log of the stretched volume in nats.

    Costs one pass through the network.

    Raises:
        ValueError: ``params`` were made for another number of coordinates.
    """
    still, moved = jnp.split(x, [x.size // 2])
    shift, log_scale = _condition(params, still, moved)
    y = jnp.concatenate([still, moved * jnp.exp(log_scale) + shift])
    return y[::-1], log_scale.sum()


@jax.jit
@checked
def inverse(params: Any, y: Float[Array, " d"]) -> tuple[Float[Array, " d"], Float[Array, ""]]:
    """Return the point whose image is ``y``, exactly, and its log det in nats.

    Costs one pass through the network.

    Raises:
        ValueError: ``params`` were made for another number of coordinates.
    """
    still, moved = jnp.split(y[::-1], [y.size // 2])
    shift, log_scale = _condition(params, still, moved)
    x = jnp.concatenate([still, (moved - shift) * jnp.exp(-log_scale)])
    return x, -log_scale.sum()


def _condition(params: Any, still: jax.Array, moved: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return t and s for the moved half."""
    layers = params["layers"]
    kernels = [layers[i]["kernel"].shape for i in range(len(layers))]
    sizes = (kernels[0][0], *(num_outputs for _, num_outputs in kernels))
    if (sizes[0], sizes[-1]) != (still.size, 2 * moved.size):
        raise ValueError(
            f"affine_coupling: a point has {still.size + moved.size} coordinates, params are "
            f"for {sizes[0] + sizes[-1] // 2}"
        )
    out, _ = _conditioner(sizes, layers[0]["kernel"].dtype).apply(params, {}, still)
    shift, raw = jnp.split(out, 2)
    return shift, BOUND * jnp.tanh(raw / BOUND)
