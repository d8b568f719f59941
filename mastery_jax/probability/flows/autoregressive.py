"""Autoregressive flow: every coordinate is moved by what those before it decide.

    y_i = g(x_i; θ_i(y_1 … y_i−1)),    log|det ∂y/∂x| = Σ_i log g'(x_i; θ_i)

g scales and shifts, by exp(s) with s = 2 tanh(s₀/2) and t (MAF), or is the spline of ``spline``.
All θ come from one masked network, which may see a context besides. ``inverse`` knows all of y and
is one pass, as densities need; ``forward`` finds one coordinate after the other. The other way
round, cheap to sample from, it is IAF: ``inverted.Inverted(autoregressive)``. The coordinates are
then reversed, so that the same layer applied again has another order.

Source: Papamakarios, Pavlakou & Murray (2017), *Masked Autoregressive Flow for Density Estimation*,
eq. 3-5; Germain et al. (2015), *MADE*; Kingma et al. (2016), *Improved Variational Inference with
Inverse Autoregressive Flow*, eq. 10; splines: Durkan et al. (2019), *Neural Spline Flows*.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from mastery_jax.core import loop
from mastery_jax.core.check import Scalar, checked
from mastery_jax.probability.flows import conditioner, spline
from mastery_jax.probability.flows.frozen import Frozen

__all__ = ["Params", "forward", "init", "inverse"]


class Params(NamedTuple):
    """One layer."""

    network: Any  # nested dict of arrays; weights that are masked are there, and never read
    interval: Frozen | None  # B of the splines, unit of x; None where g scales and shifts


@partial(jax.jit, static_argnames=("dim", "widths", "num_bins", "context_dim"))
@checked
def init(
    key: Key[Array, ""],
    *,
    dim: int,
    widths: tuple[int, ...],
    num_bins: int = 0,
    interval: Scalar = 4.0,
    context_dim: int = 0,
    scale: Scalar = 0.0,
) -> Params:
    """Draw the network of one layer at random. O(number of its weights).

    Args:
        key: Consumed.
        dim: Number of coordinates of a point, d. Static.
        widths: Units of each hidden layer, at least d − 1 (d with a context) for all the
            coordinates to be seen. Static.
        num_bins: Bins of each spline, from 2 to 500; 0 scales and shifts. Static.
        interval: B, where splines end; unit of x; > 0. It is not trained.
        context_dim: Numbers of the context; 0 where there is none. Static.
        scale: Size of the last layer's weights; 0 gives the identity (up to the order of the
            coordinates). Its dtype is that of the layer.

    Raises:
        ValueError: ``dim`` is less than 1, or ``num_bins`` neither 0 nor from 2 to 500.
    """
    if dim < 1:
        raise ValueError(f"autoregressive.init: dim is {dim}, not at least 1")
    if num_bins:
        spline.insist("autoregressive.init", num_bins)
    per = 3 * num_bins - 1 if num_bins else 2
    bound = Frozen(jnp.asarray(interval, jnp.result_type(scale)))
    return Params(
        network=conditioner.draw(key, (dim + context_dim, *widths, per * dim), scale),
        interval=bound if num_bins else None,
    )


@jax.jit
@checked
def forward(
    params: Params, x: Float[Array, " d"], *, context: Float[Array, " c"] | None = None
) -> tuple[Float[Array, " d"], Float[Array, ""]]:
    """Return the image of a point, and the log of the stretched volume in nats.

    Costs d passes through the network, one after the other.

    Args:
        params: From :func:`init`.
        x: One point; ``vmap`` takes many.
        context: What else the moves depend on, of the size that ``init`` was told.

    Raises:
        ValueError: ``params`` were made for another number of coordinates, or another context.

    Example:
        >>> params = init(jax.random.key(0), dim=3, widths=(8,), scale=1.0)
        >>> y, log_det = forward(params, jnp.array([1.0, 2.0, 3.0]))
        >>> inverse(params, y)[0].round(4)
        Array([1., 2., 3.], dtype=float32)
    """

    def step(y, i):
        rows = (_condition(params, y, context)[i][None], x[i][None])
        moved, log_det = _move(params, *rows)
        return y.at[i].set(moved[0]), log_det

    y, log_dets = loop.scan(step, jnp.zeros_like(x), jnp.arange(x.size))
    return y[::-1], log_dets.sum()


@jax.jit
@checked
def inverse(
    params: Params, y: Float[Array, " d"], *, context: Float[Array, " c"] | None = None
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
    raw = _condition(params, y[::-1], context)
    if params.interval is not None:
        return spline.inverse(spline.unpack(raw, params.interval), y[::-1])
    x, log_scale = conditioner.shift_and_scale(raw[:, 0], raw[:, 1], y[::-1])
    return x, -log_scale.sum()


def _move(params: Params, raw: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    if params.interval is not None:
        return spline.forward(spline.unpack(raw, params.interval), x)
    y, log_scale = conditioner.scale_and_shift(raw[:, 0], raw[:, 1], x)
    return y, log_scale.sum()


def _condition(params: Params, y: jax.Array, context: Any) -> jax.Array:
    """Return a row of θ for each coordinate."""
    layers, per = params.network["layers"], 2
    if params.interval is not None:
        per = layers[len(layers) - 1]["bias"].shape[-1] // y.size
        per -= (per + 1) % 3  # 3 bins − 1
    out = conditioner.apply("autoregressive", params.network, y, context, per * y.size, masked=per)
    return out.reshape(y.size, per)
