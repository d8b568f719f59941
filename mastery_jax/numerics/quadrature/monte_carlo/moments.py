"""The mean of independent values and its standard error, chunk by chunk.

    mean = Σ v / n,     σ² = Σ_c Σ_{i in c} (v_i − mean_c)² / (n − chunks),     error = σ / √n

Deviations are from the mean of their own chunk: no cancellation, and σ² is unbiased.

Source: Chan, Golub & LeVeque (1983), *Amer. Statist.* 37, 242 (pairwise variances); Owen (2013),
*Monte Carlo theory, methods and examples*, section 2.3.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh

from mastery_jax.numerics.quadrature.monte_carlo import chunks

__all__ = ["Moments", "average", "centered", "error_of", "merge"]


class Moments(NamedTuple):
    """Of some values."""

    total: chunks.Sum
    squares: chunks.Sum  # of deviations from the chunk's mean


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
        return Moments(chunks.exact(total), chunks.exact(chunks.block_sum(jnp.square(deviations))))

    found = jax.tree.map(
        lambda leaf: leaf[0], chunks.reduce(part, merge, data, plan=plan, mesh=mesh)
    )
    total, squares = (each.high + each.low for each in found)
    n = plan.num_points
    return total / n, error_of(squares / (n - plan.num_chunks) / n)


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
    return Moments(chunks.add(a.total, b.total), chunks.add(a.squares, b.squares))


def error_of(variance: Array) -> Array:
    """Return the square root; its slope at zero is zero."""
    is_some = variance > 0
    root = jnp.sqrt(jnp.where(is_some, variance, 1))
    return jnp.where(is_some, root, jnp.where(jnp.isnan(variance), jnp.nan, 0))
