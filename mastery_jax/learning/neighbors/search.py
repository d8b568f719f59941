"""The nearest rows, exactly, in bounded memory.

    euclidean  √Σ_j (x_j − z_j)²        manhattan  Σ_j |x_j − z_j|        cosine  1 − x·z / |x| |z|

Rows stand in buckets of 32 neighbors of index. One pass keeps the least distance of every bucket
alone, so that distances need not leave the cache; the k nearest rows are in the k nearest buckets,
whose rows are then measured one by one, by differences. The pass takes distances from products,
which round: a few more buckets than k are opened, and a row is lost only where that many buckets
lie within the rounding of its distance. Of rows that are equally far the first is nearer.

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
    offsets: Array  # (32, buckets): what is added to products; ∞ for what is no row


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
    is_bad = ~jnp.isfinite(rows).all()
    if isinstance(metric, Cosine):
        rows, X = _unit(rows), _unit(X)
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
    is_bad = is_bad | ~jnp.isfinite(X).all(axis=1)[:, None]
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


def _unit(X: Array) -> Array:
    length = jnp.sqrt((X**2).sum(axis=1))[:, None]
    return X / jnp.where(length > 0, length, 1)


def _bucket(rows: Array, centered: Array, is_there: Array, metric: Metric) -> _Buckets:
    num_rows, d = rows.shape
    short = -num_rows % BUCKET
    rows, centered = (jnp.pad(x, ((0, short), (0, 0))) for x in (rows, centered))
    offset = jnp.zeros_like(rows[:, 0])
    if isinstance(metric, Euclidean):
        offset = (centered**2).sum(axis=1)
    offset = jnp.where(jnp.pad(is_there, (0, short)), offset, jnp.inf)
    return _Buckets(
        rows.reshape(-1, BUCKET * d),
        centered.reshape(-1, BUCKET, d).transpose(1, 2, 0),
        offset.reshape(-1, BUCKET).T,
    )


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

    def compare(least: Array, part: tuple[Array, Array]) -> tuple[Array, None]:
        rows, offset = part
        if isinstance(metric, Manhattan):
            products = jnp.abs(centered[:, :, None] - rows[None]).sum(axis=1)
        else:
            products = centered @ rows * (-2 if isinstance(metric, Euclidean) else -1)
        return jnp.minimum(least, offset[None, :] + products), None

    least = jnp.full((X.shape[0], len(buckets.rows)), jnp.inf, X.dtype)
    least, _ = loop.scan(compare, least, (buckets.parts, buckets.offsets))
    chosen = jnp.sort(jax.lax.top_k(-least, opened)[1], axis=1)
    rows = buckets.rows[chosen].reshape(X.shape[0], opened * BUCKET, -1)
    if isinstance(metric, Cosine):
        distance = 1 - (rows * X[:, None, :]).sum(axis=2)
    elif isinstance(metric, Manhattan):
        distance = jnp.abs(rows - X[:, None, :]).sum(axis=2)
    else:
        distance = ((rows - X[:, None, :]) ** 2).sum(axis=2)
    is_absent = jnp.isinf(buckets.offsets.T[chosen]).reshape(distance.shape)
    far, at = jax.lax.top_k(-jnp.where(is_absent, jnp.inf, distance), k)
    within = chosen[:, :, None] * BUCKET + jnp.arange(BUCKET, dtype=chosen.dtype)[None, None, :]
    indices = jnp.take_along_axis(within.reshape(distance.shape), at, axis=1)
    distances = jnp.sqrt(-far) if isinstance(metric, Euclidean) else -far
    return distances, jnp.minimum(indices, buckets.offsets.size - 1).astype(jnp.int32)
