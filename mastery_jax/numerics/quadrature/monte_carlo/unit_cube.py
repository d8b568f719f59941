"""The unit cube as any box: affine between finite bounds, rational where a bound is infinite.

    finite          x = a + (b − a) u
    [a, ∞)          x = a + u / (1 − u)                dx/du = 1 / (1 − u)²
    (−∞, b]         x = b − (1 − u) / u                dx/du = 1 / u²
    (−∞, ∞)         x = (1/(1 − u) − 1/u) / 2          dx/du = (1/(1 − u)² + 1/u²) / 2

Reversed bounds change the sign of an integral. Points of the cube lie strictly inside it: an
infinite bound is never reached.

Source: Davis & Rabinowitz (1984), *Methods of Numerical Integration*, section 3.1 (transformation
of an infinite range).
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.tree_util import Partial

from mastery_jax.core.status import Status
from mastery_jax.numerics.quadrature import report

__all__ = ["affine", "bytes_each", "ending", "evaluate", "rational", "split", "value_of"]


def split(lower: Array, upper: Array, run: Callable[[bool], Any]) -> Any:
    """Return ``run(is_infinite)``; only one of its two programs runs, unless bounds are mapped."""
    is_finite = (jnp.isfinite(lower) & jnp.isfinite(upper)).all()
    return jax.lax.cond(is_finite, lambda: run(False), lambda: run(True))


def evaluate(fn: Partial, unit: Array, lower: Array, upper: Array, *, is_infinite: bool) -> Array:
    """Return the integrand over the unit cube: ``fn`` at the points' images times |dx/du|.

    Args:
        fn: Of one point of shape (d,).
        unit: Shape (d, size).
        lower: Shape (d,).
        upper: Shape (d,).
        is_infinite: Whether any bound may be infinite.

    Returns:
        Shape (..., size), the value's axes first.
    """
    to_box = rational if is_infinite else affine
    points, volume = to_box(unit, lower, upper)
    values = jax.vmap(fn, in_axes=1, out_axes=-1)(points)
    values = jnp.asarray(values, lower.dtype)
    volume = jnp.expand_dims(volume, range(values.ndim - volume.ndim))
    if is_infinite:  # where |dx/du| overflows, a value that underflows counts as 0
        volume = jnp.where((values == 0) & jnp.isinf(volume), 0, volume)
    return values * volume


def affine(unit: Array, lower: Array, upper: Array) -> tuple[Array, Array]:
    """Return the images of points of the unit cube in a finite box, and its signed volume."""
    width = upper - lower
    return lower[:, None] + width[:, None] * unit, width.prod()


def rational(unit: Array, lower: Array, upper: Array) -> tuple[Array, Array]:
    """Return the images in a box whose bounds may be infinite, and |dx/du| with the box's sign."""
    low, high = jnp.minimum(lower, upper), jnp.maximum(lower, upper)
    has_low, has_high = (~jnp.isinf(bound)[:, None] for bound in (low, high))  # NaN goes through
    a, b = jnp.where(has_low, low[:, None], 0), jnp.where(has_high, high[:, None], 0)
    up, down = 1 / (1 - unit), 1 / unit
    cases = [has_low & has_high, has_low, has_high]
    points = jnp.select(cases, [a + (b - a) * unit, a + up - 1, b + 1 - down], (up - down) / 2)
    slopes = jnp.select(
        cases, [jnp.broadcast_to(b - a, unit.shape), up**2, down**2], (up**2 + down**2) / 2
    )
    sign = jnp.where(upper < lower, -1, 1).prod().astype(unit.dtype)
    return points, sign * slopes.prod(axis=0)


def ending(lower: Array, upper: Array, *found: Array) -> Array:
    """Return the status: BAD_INPUT for bounds that bound nothing, NOT_FINITE, or CONVERGED."""
    is_nothing = jnp.isnan(lower) | jnp.isnan(upper) | ((lower == upper) & jnp.isinf(lower))
    is_finite = jnp.stack([jnp.isfinite(value).all() for value in found]).all()
    status = jnp.where(is_finite, Status.CONVERGED, Status.NOT_FINITE)
    return jnp.where(is_nothing.any(), Status.BAD_INPUT, status).astype(jnp.int32)


def value_of(where: str, fn: Partial, lower: Array) -> jax.ShapeDtypeStruct:
    """Return the shape of an integrand's value.

    Raises:
        ValueError: it is complex, or bounds are of a dtype that ends too soon, as half precision.
    """
    largest = float(jnp.finfo(lower.dtype).max)
    if largest < 2**31:
        raise ValueError(
            f"{where}: lower is {lower.dtype}, whose numbers end at {largest:g}, not of a dtype "
            "that holds sums over all points"
        )
    value = jax.eval_shape(fn, lower)
    report.require_real(where, value)
    return value


def bytes_each(where: str, fn: Partial, lower: Array, *, copies: int = 3) -> int:
    """Return what one point takes: digits, coordinates and values, some copies while they form.

    Raises:
        ValueError: as ``value_of``.
    """
    itemsize = lower.dtype.itemsize
    value = math.prod(value_of(where, fn, lower).shape)
    return copies * (len(lower) * (4 + itemsize) + value * itemsize)
