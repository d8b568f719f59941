"""Radial flow: points move away from a center, or towards it, most within a ring around it.

    y = x + β (x − c) / (α + r),    r = |x − c|,    β = α (softplus(v + log(e − 1)) − 1)
    log|det ∂y/∂x| = (d − 1) log((r + ασ)/(r + α)) + log((r² + 2αr + α²σ)/(r + α)²),  σ = 1 + β/α

β > −α makes the map invertible for every α > 0 and v; v = 0 is the identity. Written with σ > 0
nothing cancels where β is near −α. The distance ρ = |y − c| of the image is a quadratic of r:

    r² + (ασ − ρ) r − αρ = 0,    x = c + (y − c) (r + α)/(r + ασ)

Lengths are taken in units of α where that is above 1, so that nothing overflows before y does; a
radius below the root of the least number of the dtype, 1e-19 in single precision, counts as that.

Source: Rezende & Mohamed (2015), *Variational Inference with Normalizing Flows*, eq. 14 and
appendix A.2, where β = −α + softplus(v).
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
    """One layer, before its constraint: any finite center and log radius are allowed.

    In single precision the strength has to lie between −87, where σ becomes 0, and 1e19.
    """

    center: Float[Array, " d"]  # c, unit of x
    log_radius: Float[Array, ""]  # log α, of the unit of x
    strength: Float[Array, ""]  # v; positive moves outwards


@partial(jax.jit, static_argnames=("dim",))
@checked
def init(key: Key[Array, ""], *, dim: int, scale: Scalar = 0.1) -> Params:
    """Draw a layer at random. O(d).

    Args:
        key: Consumed.
        dim: Number of coordinates of a point. Static.
        scale: Standard deviation of ``strength``; 0 gives the identity. Its dtype is that of the
            layer.
    """
    center_key, radius_key, strength_key = jax.random.split(key, 3)
    dtype = jnp.result_type(scale)
    return Params(
        center=jax.random.normal(center_key, (dim,), dtype),
        log_radius=jax.random.normal(radius_key, (), dtype) / 2,
        strength=scale * jax.random.normal(strength_key, (), dtype),
    )


@jax.jit
@checked
def forward(
    params: Params, x: Float[Array, " d"], *, context: Float[Array, " c"] | None = None
) -> tuple[Float[Array, " d"], Float[Array, ""]]:
    """Return the image of a point, and the log of the stretched volume in nats. O(d).

    Args:
        params: From :func:`init`, or any numbers that ``Params`` allows.
        x: One point; ``vmap`` takes many.
        context: Taken, because a chain hands it to each of its layers, and without effect.

    Returns:
        Both. At the center itself the log det has a kink, and its slope is taken as 0.

    Example:
        >>> params = Params(jnp.zeros(2), log_radius=jnp.array(0.0), strength=jnp.array(1.0))
        >>> y, log_det = forward(params, jnp.array([3.0, 4.0]))
        >>> [round(float(each), 2) for each in y], round(float(log_det), 3)
        ([3.37, 4.49], 0.136)
    """
    away = x - params.center
    unit, alpha, flattest = _ring(params)
    stretch, log_det = _measure(alpha, flattest, unit * _length(away))
    return params.center + away * stretch, (x.size - 1) * jnp.log(stretch) + log_det


@jax.jit
@checked
def inverse(
    params: Params, y: Float[Array, " d"], *, context: Float[Array, " c"] | None = None
) -> tuple[Float[Array, " d"], Float[Array, ""]]:
    """Return the point whose image is ``y``, exactly, and its log det in nats. O(d).

    Args:
        params: As in :func:`forward`.
        y: One point.
        context: As in :func:`forward`.
    """
    away = y - params.center
    unit, alpha, flattest = _ring(params)
    rho = unit * _length(away)
    lean = (alpha * flattest - rho) / 2
    width = jnp.sqrt(lean**2 + alpha * rho)
    # Of the two ways to write a root, the one that does not subtract.
    is_inside = lean > 0
    distance = jnp.where(
        is_inside, alpha * rho / jnp.where(is_inside, lean + width, 1), width - lean
    )
    stretch, log_det = _measure(alpha, flattest, distance)
    return params.center + away / stretch, -(y.size - 1) * jnp.log(stretch) - log_det


def _ring(params: Params) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return the factor from lengths to a unit of at least α, then α in that unit, and σ."""
    unit = jnp.exp(-jnp.maximum(params.log_radius, 0))
    alpha = jnp.exp(jnp.minimum(params.log_radius, 0))
    least = jnp.finfo(alpha.dtype).tiny ** 0.5  # so that slopes at the center are finite
    return unit, jnp.maximum(alpha, least), ridge.gain(params.strength)


def _measure(
    alpha: jax.Array, flattest: jax.Array, distance: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return how far a sphere is stretched, and the log of how far a ray is."""
    near, far = alpha / (distance + alpha), distance / (distance + alpha)
    return far + near * flattest, jnp.log(far * (1 + near) + near**2 * flattest)


def _length(away: jax.Array) -> jax.Array:
    """Return the distance; its slope at 0 is taken as 0."""
    square = (away**2).sum()
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)
