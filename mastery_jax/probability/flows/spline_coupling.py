"""Spline coupling: one half of the coordinates decides how the other half is bent.

    y₁ = x₁,    y₂ = g(x₂; θ(x₁)),    log|det ∂y/∂x| = Σ log g'(x₂; θ(x₁))

g is the spline of ``spline``, one for each coordinate of the second half, and θ all its widths,
heights and slopes, from one network, which may see a context besides. The coordinates are then
reversed, so that the same layer applied again moves those that stood still. Outside [−B, B]
nothing moves: bring the data there first, in units of their spread.

Source: Durkan, Bekasov, Murray & Papamakarios (2019), *Neural Spline Flows*, section 3.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from mastery_jax.core.check import Scalar, checked
from mastery_jax.probability.flows import conditioner, spline
from mastery_jax.probability.flows.frozen import Frozen

__all__ = ["Params", "forward", "init", "inverse"]


class Params(NamedTuple):
    """One layer."""

    network: Any  # nested dict of arrays, whose shapes tell the number of bins
    interval: Frozen  # B, one number, unit of x


@partial(jax.jit, static_argnames=("dim", "widths", "num_bins", "context_dim"))
@checked
def init(
    key: Key[Array, ""],
    *,
    dim: int,
    widths: tuple[int, ...],
    num_bins: int = 8,
    interval: Scalar = 4.0,
    context_dim: int = 0,
    scale: Scalar = 0.0,
) -> Params:
    """Draw the network of one layer at random. O(number of its weights).

    Args:
        key: Consumed.
        dim: Number of coordinates of a point, at least 2. Static.
        widths: Units of each hidden layer. Static.
        num_bins: Bins of each spline, from 2 to 500. Static.
        interval: B, where splines end; unit of x; > 0. It is not trained.
        context_dim: Numbers of the context; 0 where there is none. Static.
        scale: Size of the last layer's weights; 0 gives the identity (up to the order of the
            coordinates). Its dtype is that of the layer.

    Raises:
        ValueError: ``dim`` is less than 2, or ``num_bins`` not from 2 to 500.
    """
    if dim < 2:
        raise ValueError(f"spline_coupling.init: dim is {dim}, and halves need at least 2")
    spline.insist("spline_coupling.init", num_bins)
    sizes = (dim // 2 + context_dim, *widths, (3 * num_bins - 1) * (dim - dim // 2))
    return Params(
        network=conditioner.draw(key, sizes, scale),
        interval=Frozen(jnp.asarray(interval, jnp.result_type(scale))),
    )


@jax.jit
@checked
def forward(
    params: Params, x: Float[Array, " d"], *, context: Float[Array, " c"] | None = None
) -> tuple[Float[Array, " d"], Float[Array, ""]]:
    """Return the image of a point, and the log of the stretched volume in nats.

    Costs one pass through the network, and O(d bins).

    Args:
        params: From :func:`init`.
        x: One point; ``vmap`` takes many.
        context: What else the splines depend on, of the size that ``init`` was told.

    Raises:
        ValueError: ``params`` were made for another number of coordinates, or another context.

    Example:
        >>> params = init(jax.random.key(0), dim=3, widths=(8,), scale=1.0)
        >>> x = jnp.array([1.0, 2.0, 30.0])
        >>> y, log_det = forward(params, x)
        >>> inverse(params, y)[0].round(4)
        Array([ 1.,  2., 30.], dtype=float32)
    """
    still, moved = jnp.split(x, [x.size // 2])
    moved, log_det = spline.forward(_condition(params, still, context, moved.size), moved)
    return jnp.concatenate([still, moved])[::-1], log_det


@jax.jit
@checked
def inverse(
    params: Params, y: Float[Array, " d"], *, context: Float[Array, " c"] | None = None
) -> tuple[Float[Array, " d"], Float[Array, ""]]:
    """Return the point whose image is ``y``, exactly, and its log det in nats.

    Costs one pass through the network, and O(d bins).

    Args:
        params: As in :func:`forward`.
        y: One point.
        context: As in :func:`forward`.

    Raises:
        ValueError: As :func:`forward`.
    """
    still, moved = jnp.split(y[::-1], [y.size // 2])
    moved, log_det = spline.inverse(_condition(params, still, context, moved.size), moved)
    return jnp.concatenate([still, moved]), log_det


def _condition(params: Params, still: Any, context: Any, num_moved: int) -> spline.Params:
    """Return the splines of the moved half."""
    layers = params.network["layers"]
    per = layers[len(layers) - 1]["bias"].shape[-1] // num_moved
    num_outputs = (per - (per + 1) % 3) * num_moved  # 3 bins − 1 of each
    out = conditioner.apply("spline_coupling", params.network, still, context, num_outputs)
    return spline.unpack(out.reshape(num_moved, -1), params.interval)
