"""The mean of independent values and its standard error, chunk by chunk.

    mean = Σ v / n,     σ² = Σ_c Σ_{i in c} (v_i − mean_c)² / (n − chunks),     error = σ / √n

Deviations are from the mean of their own chunk: no cancellation, and σ² is unbiased. Squares are
those of deviations over a power of two near the largest, so that no unit of v is too small for them
or too large.

Source: Chan, Golub & LeVeque (1983), *Amer. Statist.* 37, 242 (pairwise variances); Owen (2013),
*Monte Carlo theory, methods and examples*, section 2.3.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh

from mastery_jax.numerics.linalg.scale import power_of_two
from mastery_jax.numerics.quadrature.monte_carlo import chunks

__all__ = ["Moments", "average", "centered", "error_of", "grown", "merge", "of", "ratio", "unit_of"]


class Moments(NamedTuple):
    """Of some values."""

    total: chunks.Sum
    squares: chunks.Sum  # of deviations from the chunk's mean, over the unit
    unit: Array  # a power of two, of v; 0 where nothing deviates


def average(
    values: Callable[[Any, Array], Array], data: Any, *, plan: chunks.Plan, mesh: Mesh | None
) -> tuple[Array, Array]:
    """Return the mean of independent values and its standard error.

    Args:
        values: ``values(data, chunk)``, shape (..., size).
        data: Given to every device.
        plan: Of one series.
        mesh: As in :func:`chunks.reduce`.
    """

    def part(data: Any, series: Array, chunk: Array) -> Moments:
        del series
        total, deviations, _ = centered(values(data, chunk), chunk, plan)
        return of(total, deviations)

    found = jax.tree.map(
        lambda leaf: leaf[0], chunks.reduce(part, merge, data, plan=plan, mesh=mesh)
    )
    total, squares = (each.high + each.low for each in found[:2])
    n = plan.num_points
    return total / n, found.unit * error_of(squares / (n - plan.num_chunks) / n)


def of(total: Array, deviations: Array) -> Moments:
    """Return a chunk's part, from its sum and its deviations."""
    unit = unit_of(deviations)
    scaled = deviations / jnp.where(unit > 0, unit, 1)[..., None]
    squares = chunks.block_sum(jnp.square(scaled))
    return Moments(chunks.exact(total), chunks.exact(squares), unit)


def unit_of(values: Array) -> Array:
    """Return the power of two near the largest of the last axis; 0 where all are."""
    largest = jax.lax.stop_gradient(jnp.abs(values).max(axis=-1))
    return jnp.where(largest > 0, power_of_two(largest), 0)


def centered(values: Array, chunk: Array, plan: chunks.Plan) -> tuple[Array, Array, Array]:
    """Return a chunk's sum, the deviations from its mean, and how many of its points count.

    Points beyond the last deviate by zero.
    """
    first = chunk.astype(jnp.uint32) * plan.size
    count = jnp.minimum(jnp.uint32(plan.num_points) - first, plan.size)
    if plan.num_points % plan.size == 0:
        return *_full(values), count
    # A branch, and not a mask on every chunk: that costs more than most integrands.
    total, deviations = jax.lax.cond(
        count == plan.size, lambda: _full(values), lambda: _partial(values, count)
    )
    return total, deviations, count


def _full(values: Array) -> tuple[Array, Array]:
    total = chunks.block_sum(values)
    return total, values - (total / values.shape[-1])[..., None]


def _partial(values: Array, count: Array) -> tuple[Array, Array]:
    is_one = jnp.arange(values.shape[-1], dtype=jnp.uint32) < count
    is_one = jnp.expand_dims(is_one, range(values.ndim - 1))
    total = chunks.block_sum(jnp.where(is_one, values, 0))
    mean = total / count.astype(values.dtype)
    return total, jnp.where(is_one, values - mean[..., None], 0)


def merge(a: Moments, b: Moments) -> Moments:
    """Add two parts."""
    unit = jnp.maximum(a.unit, b.unit)
    squares = (grown(m.squares, jnp.square(ratio(m.unit, unit))) for m in (a, b))
    return Moments(chunks.add(a.total, b.total), chunks.add(*squares), unit)


def grown(sum_: chunks.Sum, factor: Array) -> chunks.Sum:
    """Return a sum in another unit; the factor is a power of two."""
    return chunks.Sum(sum_.high * factor, sum_.low * factor)


def ratio(unit: Array, other: Array) -> Array:
    """Return a unit over another that is at least as large; both may be 0."""
    return unit / jnp.where(other > 0, other, 1)


def error_of(variance: Array) -> Array:
    """Return the square root; its slope at zero is zero."""
    is_some = variance > 0
    root = jnp.sqrt(jnp.where(is_some, variance, 1))
    return jnp.where(is_some, root, jnp.where(jnp.isnan(variance), jnp.nan, 0))
