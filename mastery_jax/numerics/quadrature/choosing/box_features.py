"""What an integrand looks like over a box: numbers by which a method can be chosen.

    T_i = E (f(x) − f(x with another x_i))² / 2,       Σ_i T_i / var f   the mean dimension

1 for a sum of functions of one variable each, d for a product of factors that average to 0. Along
every axis the Chebyshev coefficients of f on a few lines say how many nodes that axis needs. All is
measured in the unit cube, of f times the Jacobian of ``unit_cube``, so that bounds may be infinite.
The points are those of a lattice: the same each time.

Source: Liu & Owen (2006), *Journal of the American Statistical Association* 101, section 2 (the
mean dimension); Jansen (1999), *Computer Physics Communications* 117, eq. 18 (its estimate);
Trefethen (2013), *Approximation Theory and Approximation Practice*, chapters 3 and 8.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int

from mastery_jax.core.check import checked
from mastery_jax.numerics.quadrature import report
from mastery_jax.numerics.quadrature.choosing import series
from mastery_jax.numerics.quadrature.monte_carlo import lattice, unit_cube

__all__ = ["NUM_SAMPLES", "Features", "Marks", "measure"]

MAX_DIMS = 50
NUM_SAMPLES = 256
NEAR = 1e-3  # of the box: how far at most the neighbor lies by which roughness is measured


class Features(NamedTuple):
    """Numbers without unit, all of one dtype; none changes when f or the box is stretched."""

    num_dims: Float[Array, ""]  # d
    mean_dimension: Float[Array, ""]  # of the interactions: 1 for a sum over axes, at most d
    num_active: Float[Array, ""]  # axes that carry a hundredth of the variance or more
    chebyshev_rate: Float[Array, ""]  # of the worst axis: factor from one degree to the next
    chebyshev_order: Float[Array, ""]  # of the worst axis: power of the degree
    spread: Float[Array, ""]  # least share of the points that holds 0.9 of ∫|f|
    roughness: Float[Array, ""]  # 0: a near neighbor has nearly the same value; 1: any value
    variation: Float[Array, ""]  # deviation of f over its mean
    balance: Float[Array, ""]  # |∫f| / ∫|f|
    is_finite: Float[Array, ""]  # 1 where every value is finite


class Marks(NamedTuple):
    """What the number of nodes follows from."""

    degrees: Float[Array, "d n"]  # of each axis: the largest |a_k| from a degree on, over |f|
    level: Float[Array, ""]  # |∫f| over the volume and the largest |f|
    scale: Float[Array, ""]  # largest |f| times the volume, unit of the integral
    estimate: Float[Array, ""]  # the integral by the points alone
    deviation: Float[Array, ""]  # of that many independent points' mean, unit of the integral
    num_evals: Int[Array, ""]  # calls of the integrand


@partial(jax.jit, static_argnames=("num_samples", "num_lines", "num_nodes"))
@checked
def measure(
    fn: Partial,
    lower: Float[Array, " d"],
    upper: Float[Array, " d"],
    *,
    num_samples: int = NUM_SAMPLES,
    num_lines: int = 4,
    num_nodes: int = 32,
) -> tuple[Features, Marks]:
    """Measure an integrand over a box. O(d (n + lines · nodes)) calls.

    Args:
        fn: The integrand: a point (d) to one number.
        lower: Bounds, finite or infinite.
        upper: The other bounds; reversed ones mean the same box.
        num_samples: n, a power of two up to 2^20. Static.
        num_lines: How many lines along every axis, at most n. Static.
        num_nodes: Points of each line, at least 8. Static.

    Returns:
        ``Features`` and ``Marks``. A value that is not finite counts as 0, and ``is_finite`` says
        it.

    Raises:
        ValueError: more than 50 dimensions, an integrand that gives no single number, a number of
            samples that no lattice has, or of lines or nodes that does not fit.

    Example:
        >>> found, _ = measure(Partial(lambda x: jnp.exp(x).sum()), jnp.zeros(3), jnp.ones(3))
        >>> round(float(found.mean_dimension), 1), int(found.num_active)
        (1.0, 3)
    """
    dims, n = len(lower), num_samples
    _refuse(fn, lower, n, num_lines, num_nodes)
    dtype = report.dtype_of(fn, lower, upper)
    low, high = jnp.minimum(lower, upper), jnp.maximum(lower, upper)
    points = _points(n, dims, num_lines, num_nodes, dtype)
    raw = unit_cube.evaluate(fn, points.T, low, high, is_infinite=True)
    is_finite = jnp.isfinite(raw).all()
    y = jnp.where(jnp.isfinite(raw), raw, 0)
    sizes = np.cumsum([n, n * dims, n])
    first, other, near, along = jnp.split(y, sizes)
    scale = jnp.abs(y).max()
    degrees, rates, orders = _axes(along.reshape(dims, num_lines, num_nodes), scale)
    variance = first.var()
    some = jnp.where(variance > 0, variance, 1)
    totals = jnp.square(other.reshape(dims, n) - first[None]).mean(axis=1) / (2 * some)
    mean, size = jnp.abs(first.mean()), jnp.abs(first).mean()
    held = jnp.cumsum(jnp.sort(jnp.abs(first), descending=True))
    light = (held < jnp.asarray(0.9, dtype) * held[-1]).mean(dtype=dtype) + 1 / n
    found = (
        dims,
        jnp.where(variance > 0, totals.sum(), 1),
        (totals >= 0.01).sum(),
        rates.max(),
        orders.min(),
        jnp.where(held[-1] > 0, light, 1),
        jnp.square(near - first).mean() / (2 * some),
        jnp.sqrt(variance) / jnp.where(mean > 0, mean, 1),
        mean / jnp.where(size > 0, size, 1),
        is_finite,
    )
    marks = Marks(
        degrees=degrees,
        level=mean / jnp.where(scale > 0, scale, 1),
        scale=scale,
        estimate=first.mean(),
        deviation=jnp.sqrt(variance / n),
        num_evals=jnp.asarray(len(y), jnp.int32),
    )
    return Features(*(jnp.asarray(each, dtype) for each in found)), marks


def _points(n: int, dims: int, num_lines: int, num_nodes: int, dtype: Any) -> Array:
    """Return points of the unit cube, those with one entry swapped, neighbors, and lines."""
    zero, one = jnp.zeros(2 * dims, dtype), jnp.ones(2 * dims, dtype)
    shift = jnp.asarray(np.sqrt(np.arange(2, 2 * dims + 2)) % 1, dtype)
    least = jnp.finfo(dtype).eps
    points = lattice.sequence(zero, one, num_points=n) + shift[None]
    points = (points - jnp.floor(points)).clip(least, 1 - least)
    here, there = points[:, :dims], points[:, dims:]
    axes = np.eye(dims, dtype=bool)
    swapped = jnp.where(axes[:, None], there[None], here[None])
    # At distances that differ: one distance would be a period of some wave.
    beside = here + NEAR * jnp.where(here > 0.5, -there, there)
    nodes = jnp.asarray((1 - np.cos(np.pi * (np.arange(num_nodes) + 0.5) / num_nodes)) / 2, dtype)
    base = here[None, :num_lines, None, :]
    lines = jnp.where(axes[:, None, None], nodes[None, None, :, None], base)
    return jnp.concatenate([part.reshape(-1, dims) for part in (here, swapped, beside, lines)])


def _axes(y: Array, scale: Array) -> tuple[Array, Array, Array]:
    """Return envelope, rate and order of every axis, of the worst coefficients of its lines."""
    sizes = jnp.abs(series.cosine(y)).max(axis=1) / jnp.where(scale > 0, scale, 1)
    floor = series.NOISE * jnp.finfo(y.dtype).eps
    return jax.vmap(lambda row: series.decay(row, jnp.asarray(floor, y.dtype)))(sizes)


def _refuse(fn: Partial, lower: Array, num_samples: int, num_lines: int, num_nodes: int) -> None:
    where = "box_features.measure"
    if len(lower) > MAX_DIMS:
        raise ValueError(f"{where}: lower has {len(lower)} entries, not at most {MAX_DIMS}")
    value = jax.eval_shape(fn, lower)
    if getattr(value, "shape", None) != ():
        raise ValueError(f"{where}: fn(x) is {value}, not a number")
    if not 1 <= num_lines <= num_samples:
        raise ValueError(f"{where}: num_lines is {num_lines}, not 1 to {num_samples}")
    if num_nodes < 8:
        raise ValueError(f"{where}: num_nodes is {num_nodes}, not at least 8")
