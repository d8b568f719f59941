"""The nearest rows, exactly, in bounded memory.

    euclidean  √Σ_j (x_j − z_j)²        manhattan  Σ_j |x_j − z_j|        cosine  1 − x·z / |x| |z|

Rows stand in buckets of 32 neighbors of index. One pass keeps the least distance of every bucket
alone, so that distances need not leave the cache; the k nearest rows are in the k nearest buckets,
whose rows are then measured one by one, by differences. The pass takes distances from products,
which round. A few more buckets than k are opened; where the next one might, but for rounding, hold
a row that is as near as the k-th, as among far clusters or many equal rows, the pass is done again
by differences. Of rows that are equally far the first is nearer.

Source: Fix & Hodges (1951), USAF School of Aviation Medicine, report 4 (nearest neighbors); Cover
& Hart (1967), *IEEE Trans. Information Theory* 13(1).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.export
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mastery_jax.core import loop
from mastery_jax.core.check import checked
from mastery_jax.numerics.linalg.scale import power_of_two

__all__ = [
    "Cosine",
    "Euclidean",
    "Found",
    "Manhattan",
    "Metric",
    "Name",
    "make",
    "nearest",
]

Name = Literal["euclidean", "manhattan", "cosine"]
BUCKET = 32
MORE = 4  # buckets than would do without rounding
CELLS = 1 << 23  # numbers that are held at once
TOGETHER = 1024  # queries of a block


class Euclidean(NamedTuple):
    """The length of the straight way."""


class Manhattan(NamedTuple):
    """The length of the way along the axes."""


class Cosine(NamedTuple):
    """One less the cosine of the angle; a row of zeros is at distance 1 of all."""


Metric = Euclidean | Manhattan | Cosine


class Found(NamedTuple):
    """The nearest rows of every query, nearest first."""

    distances: Float[Array, "m k"]  # ∞ where fewer than k rows are there
    indices: Int[Array, "m k"]


class _Buckets(NamedTuple):
    rows: Array  # (buckets, 32 d)
    parts: Array  # (32, d, buckets): the first rows of all buckets, the second …
    squares: Array  # (32, buckets)
    is_there: Array  # (32, buckets)


@partial(jax.jit, static_argnames=("k",))
@checked
def nearest(
    rows: Float[Array, "n d"],
    weights: Float[Array, " n"],
    X: Float[Array, "m d"],
    *,
    k: int,
    metric: Metric | None = None,
) -> Found:
    """Return the k nearest rows of every query. O(m n d + m k d), in blocks of queries.

    In a program that is exported for any number of queries they are one block.

    Args:
        rows: Where to search.
        weights: A row of weight 0 is not there; the others count alike.
        X: Queries, one a row.
        k: 1 … n. Static.
        metric: Euclidean if None.

    Returns:
        Distances in ascending order, and indices; NaN for a query, or any row that is there, that
        is not finite.

    Raises:
        ValueError: k is less than 1, or more than there are rows.

    Example:
        >>> rows = jnp.array([[0.0], [1.0], [5.0]])
        >>> found = nearest(rows, jnp.ones(3), jnp.array([[4.0]]), k=2)
        >>> found.indices, found.distances
        (Array([[2, 1]], dtype=int32), Array([[1., 3.]], dtype=float32))
    """
    num_rows, d = rows.shape
    if not 1 <= k <= num_rows:
        raise ValueError(f"search.nearest: k is {k}, not 1 to {num_rows}, the number of rows")
    metric = Euclidean() if metric is None else metric
    is_there = weights != 0
    rows = jnp.where(is_there[:, None], rows, 0)
    is_bad = ~jnp.isfinite(rows).all() | ~jnp.isfinite(X).all(axis=1)[:, None]
    X = jnp.where(jnp.isfinite(X), X, 0)
    # In a unit that squares of all numbers are numbers in, too.
    unit = power_of_two(jnp.maximum(jnp.abs(rows).max(), jnp.abs(X).max(initial=0)))
    rows, X = rows / unit, X / unit
    if isinstance(metric, Cosine):
        rows, X = _directions(rows), _directions(X)
    # Products of centered rows have more digits; differences are taken of the rows as they came.
    center = rows.mean(axis=0) if isinstance(metric, Euclidean) else jnp.zeros_like(rows[0])
    buckets = _bucket(rows, rows - center[None, :], is_there, metric)
    num_buckets = len(buckets.rows)
    opened = min(k + MORE, num_buckets)
    search = partial(_of_block, center=center, buckets=buckets, opened=opened, k=k, metric=metric)
    with jax.default_matmul_precision("highest"):
        if jax.export.is_symbolic_dim(X.shape[0]):  # no loop has as many steps as are not known
            distances, indices = search(X)
        else:
            most = CELLS // max(opened * BUCKET * d, num_buckets)
            distances, indices = _by_blocks(search, X, max(1, min(len(X), TOGETHER, most)))
    if not isinstance(metric, Cosine):
        distances = distances * unit
    return Found(jnp.where(is_bad, jnp.nan, distances), indices)


def make(name: Name) -> Metric:
    """Return the metric of that name. O(1).

    Raises:
        ValueError: no such metric.
    """
    metrics = {"euclidean": Euclidean, "manhattan": Manhattan, "cosine": Cosine}
    if name not in metrics:
        wanted = "'euclidean', 'manhattan' or 'cosine'"
        raise ValueError(f"search.make: metric is {name!r}, not {wanted}")
    return metrics[name]()


def _directions(X: Array) -> Array:
    length = jnp.sqrt((X**2).sum(axis=1))[:, None]
    return X / jnp.where(length > 0, length, 1)


def _bucket(rows: Array, centered: Array, is_there: Array, metric: Metric) -> _Buckets:
    num_rows, d = rows.shape
    short = -num_rows % BUCKET
    rows, centered = (jnp.pad(x, ((0, short), (0, 0))) for x in (rows, centered))
    return _Buckets(
        rows.reshape(-1, BUCKET * d),
        centered.reshape(-1, BUCKET, d).transpose(1, 2, 0),
        _squares(centered, metric).reshape(-1, BUCKET).T,
        jnp.pad(is_there, (0, short)).reshape(-1, BUCKET).T,
    )


def _squares(X: Array, metric: Metric) -> Array:
    """Return |x|², which is 1 of a direction."""
    return jnp.ones_like(X[:, 0]) if isinstance(metric, Cosine) else (X**2).sum(axis=1)


def _measure(x: Array, z: Array, metric: Metric, axis: int) -> Array:
    """Return distances; of Euclid their squares."""
    if isinstance(metric, Cosine):
        return 1 - (x * z).sum(axis=axis)
    off = x - z
    return (jnp.abs(off) if isinstance(metric, Manhattan) else off**2).sum(axis=axis)


def _by_blocks(search: Callable[[Array], Any], X: Array, size: int) -> tuple[Array, Array]:
    starts = jnp.minimum(jnp.arange(-(-len(X) // size)) * size, len(X) - size)
    _, found = loop.scan(
        lambda _, at: (None, search(jax.lax.dynamic_slice_in_dim(X, at, size))), None, starts
    )
    places = (starts[:, None] + jnp.arange(size)[None, :]).ravel()
    distances, indices = (
        jnp.zeros((len(X), x.shape[2]), x.dtype).at[places].set(x.reshape(-1, x.shape[2]))
        for x in found
    )
    return distances, indices


def _of_block(
    X: Array, *, center: Array, buckets: _Buckets, opened: int, k: int, metric: Metric
) -> tuple[Array, Array]:
    """Return the distances and the indices of the k nearest rows of some queries."""
    centered = X - center[None, :]
    squares = _squares(centered, metric)
    factor = 2 if isinstance(metric, Euclidean) else 1

    def least_by(measure: Callable[[Array, Array], Array], parts: Array) -> Array:
        def compare(least: Array, part: tuple[Array, Array, Array]) -> tuple[Array, None]:
            rows, of_rows, is_there = part
            found = jnp.where(is_there[None, :], measure(rows, of_rows), jnp.inf)
            return jnp.minimum(least, found), None

        least = jnp.full((X.shape[0], len(buckets.rows)), jnp.inf, X.dtype)
        return loop.scan(compare, least, (parts, buckets.squares, buckets.is_there))[0]

    def by_differences() -> tuple[Array, Array]:
        parts = buckets.rows.reshape(-1, BUCKET, X.shape[1]).transpose(1, 2, 0)  # not centered
        return choose(least_by(lambda z, _: _measure(X[:, :, None], z[None], metric, 1), parts))[:2]

    def by_product(rows: Array, of_rows: Array) -> Array:
        return factor * ((squares[:, None] + of_rows[None, :]) / 2 - centered @ rows)

    choose = partial(_choose, X, buckets, opened=opened, k=k, metric=metric)
    if isinstance(metric, Manhattan):
        distances, indices = by_differences()
    else:
        found, places, closed = choose(least_by(by_product, buckets.parts))
        rounding = (X.shape[1] + 4) * jnp.finfo(X.dtype).eps * (squares + buckets.squares.max())
        is_sure = (found[:, -1] < closed - rounding).all()
        distances, indices = jax.lax.cond(is_sure, lambda: (found, places), by_differences)
    return jnp.sqrt(distances) if isinstance(metric, Euclidean) else distances, indices


def _choose(
    X: Array, buckets: _Buckets, least: Array, *, opened: int, k: int, metric: Metric
) -> tuple[Array, Array, Array]:
    """Return the k nearest rows of the nearest buckets, and a bound of those left closed."""
    chosen = jnp.sort(jax.lax.top_k(-least, opened)[1], axis=1)
    # Read from the table: a slice of what top_k returns makes XLA's CPU sort all of it.
    closed = jnp.take_along_axis(least, chosen, axis=1).max(axis=1)
    if opened == least.shape[1]:
        closed = jnp.full_like(closed, jnp.inf)
    rows = buckets.rows[chosen].reshape(X.shape[0], opened * BUCKET, -1)
    distance = _measure(X[:, None, :], rows, metric, 2)
    is_there = buckets.is_there.T[chosen].reshape(distance.shape)
    far, at = jax.lax.top_k(-jnp.where(is_there, distance, jnp.inf), k)
    within = chosen[:, :, None] * BUCKET + jnp.arange(BUCKET, dtype=chosen.dtype)[None, None, :]
    indices = jnp.take_along_axis(within.reshape(distance.shape), at, axis=1)
    return -far, jnp.minimum(indices, buckets.is_there.size - 1).astype(jnp.int32), closed
