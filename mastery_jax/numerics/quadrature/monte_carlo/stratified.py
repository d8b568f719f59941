"""Stratified Monte Carlo: two points in every cell of a regular grid.

    ∫ f dx ≈ V/H Σ_h (f(x_h1) + f(x_h2)) / 2,     variance = V²/H² Σ_h (f(x_h1) − f(x_h2))² / 4

with H = k^d cells of equal volume, so that the allocation is proportional. Only the variance within
cells is left: the error falls like n^(−1/2 − 1/d) for a smooth integrand. Above some six dimensions
a grid has few cells along an axis; ``vegas`` and ``quasi`` go further.

Source: Haber (1966), *Math. Comp.* 20, 361; Owen (2013), *Monte Carlo theory, methods and
examples*, sections 8.4 and 10.1.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key

from mastery_jax.core.check import checked
from mastery_jax.numerics.quadrature.monte_carlo import chunks, counter_hash, moments, unit_cube
from mastery_jax.numerics.quadrature.report import Spread

__all__ = ["integrate"]


@partial(jax.jit, static_argnames=("num_samples", "generator", "max_bytes", "mesh"))
@checked
def integrate(
    key: Key[Array, ""],
    fn: Partial,
    lower: Float[Array, " d"],
    upper: Float[Array, " d"],
    *,
    num_samples: int,
    generator: counter_hash.Generator = "threefry",
    max_bytes: int = chunks.MAX_BYTES,
    mesh: Mesh | None = None,
) -> tuple[Float[Array, "..."], Spread]:
    """Average the integrand over pairs, one in each cell of a grid. O(n) calls of ``fn``.

    Args:
        key: Consumed.
        fn: ``Partial(f, *data)``; ``fn(x)`` of one point of shape (d,) is a number, or an array.
        lower: Bounds, finite or infinite; reversed bounds change the sign.
        upper: The other bounds.
        num_samples: n ≥ 2; of them 2 k^d are spent, k the largest number of cells along every
            axis that they allow. Static.
        generator: As in ``plain``. Static.
        max_bytes: What a chunk of points and values may hold. Static.
        mesh: Devices that share the work; the bits are those of one device. Static.

    Returns:
        The integral, and ``Spread`` with the status of ``plain.integrate``; ``num_evals`` is 2 k^d.

    Raises:
        ValueError: fewer than two samples, or ``max_bytes`` below one pair.

    Example:
        >>> fn = Partial(lambda x: jnp.exp(x.sum()))
        >>> estimate, info = integrate(
        ...     jax.random.key(0), fn, jnp.zeros(2), jnp.ones(2), num_samples=20_000
        ... )
        >>> bool(abs(estimate - 2.952492) < 4 * info.std_error), bool(info.std_error < 1e-3)
        (True, True)
    """
    if num_samples < 2:
        raise ValueError(f"stratified.integrate: num_samples is {num_samples}, not at least 2")
    each = 2 * unit_cube.bytes_each("stratified.integrate", fn, lower)
    cells = _per_axis(num_samples // 2, len(lower))
    count = cells ** len(lower)
    plan = chunks.plan("stratified.integrate", count, bytes_each=each, max_bytes=max_bytes)

    def run(is_infinite: bool) -> tuple[Array, Array]:
        def part(data: Any, series: Array, chunk: Array) -> moments.Moments:
            del series
            key, fn, lower, upper = data
            corner = _corners(chunk, plan.size, cells, len(lower)).astype(lower.dtype)
            digits = counter_hash.digits(
                jax.random.fold_in(key, chunk),
                shape=(2 * len(lower), plan.size),
                generator=generator,
            )
            inside = counter_hash.to_unit(digits, lower.dtype)
            one, two = (
                unit_cube.evaluate(fn, (corner + u) / cells, lower, upper, is_infinite=is_infinite)
                for u in jnp.split(inside, 2)
            )
            counts = chunk * plan.size + jnp.arange(plan.size, dtype=jnp.int32) < count
            counts = jnp.expand_dims(counts, range(one.ndim - 1))
            mean, half = (
                jnp.where(counts, (one + two) / 2, 0),
                jnp.where(counts, (one - two) / 2, 0),
            )
            return moments.of(chunks.block_sum(mean), half)

        data = (key, fn, lower, upper)
        found = chunks.reduce(part, moments.merge, data, plan=plan, mesh=mesh)
        total, squares = ((each.high + each.low)[0] for each in found[:2])
        return total / count, found.unit[0] * (moments.error_of(squares) / count)

    estimate, std_error = unit_cube.split(lower, upper, run)
    status = unit_cube.ending(lower, upper, estimate, std_error)
    return estimate, Spread(std_error, jnp.int32(2 * count), status)


def _per_axis(count: int, num_dims: int) -> int:
    """Return the largest k with k^d ≤ count."""
    cells = round(count ** (1 / num_dims))
    return cells if cells**num_dims <= count else cells - 1


def _corners(chunk: Array, size: int, cells: int, num_dims: int) -> Array:
    """Return the lower corners of a chunk of cells, counted in cells; shape (d, size)."""
    cell = chunk * size + jnp.arange(size, dtype=jnp.int32)
    powers = [cells**i for i in range(num_dims)]
    return jnp.stack([cell // power % cells for power in powers])
