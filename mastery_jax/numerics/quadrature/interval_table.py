"""The intervals of many integrals as one table: a row for each interval, a lane for each integral.

    table[i, :, lane] = (left, right, value…, error…)        an array-valued integrand has several

On a CPU the rows that are in use and the lanes are walked one by one: XLA puts such loops, and the
loop around them, into one kernel, while a scatter, or a vector operation on every row whether in
use or not, costs more than the integrand. Elsewhere whole vectors are read and written.

Source: https://openxla.org/xla/operation_semantics (DynamicUpdateSlice, Scatter, While).
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mastery_jax.core import loop

__all__ = ["Interval", "Survey", "fresh", "pick", "put", "survey", "write"]


class Interval(NamedTuple):
    """One interval of each lane."""

    left: Float[Array, " lanes"]
    right: Float[Array, " lanes"]
    value: Float[Array, "lanes values"]
    error: Float[Array, "lanes values"]  # ∞ where not yet known, or not finite


class Survey(NamedTuple):
    """What all intervals of a lane say together."""

    worst: Int[Array, " lanes"]  # the first row of the largest error
    value: Float[Array, "lanes values"]  # sums
    error: Float[Array, "lanes values"]


class _Known(NamedTuple):
    row: Array
    most: Array
    worst: Array
    sums: Array


class _Seen(NamedTuple):
    is_done: Array


def fresh(edges: Array, size: int) -> Array:
    """Return rows of intervals between edges (edges, lanes), none evaluated yet. O(rows lanes).

    Example:
        >>> fresh(jnp.array([[0.0], [1.0]]), 1)[0, :, 0]
        Array([ 0.,  1.,  0., inf], dtype=float32)
    """
    left, right = edges[:-1, None], edges[1:, None]
    value = jnp.zeros((len(left), size, edges.shape[1]), edges.dtype)
    return jnp.concatenate([left, right, value, jnp.full_like(value, jnp.inf)], axis=1)


def pick(table: Array, at: Array) -> Interval:
    """Return the interval in row ``at`` of each lane. O(lanes).

    Example:
        >>> pick(fresh(jnp.array([[0.0], [1.0]]), 1), jnp.array([0])).right
        Array([1.], dtype=float32)
    """
    row = table[at, :, jnp.arange(table.shape[2])]
    value, error = jnp.split(row[:, 2:], 2, axis=1)
    return Interval(row[:, 0], row[:, 1], value, error)


def put(table: Array, *changes: tuple[Array, Interval]) -> Array:
    """Return a table in which, change by change, row ``at`` of each lane is another. O(lanes).

    Example:
        >>> table = fresh(jnp.array([[0.0], [1.0]]), 1)
        >>> other = pick(table, jnp.array([0]))._replace(right=jnp.array([0.5]))
        >>> put(table, (jnp.array([0]), other))[0, :2, 0]
        Array([0. , 0.5], dtype=float32)
    """
    columns = []
    for at, (left, right, value, error) in changes:
        ends = jnp.stack([left, right], axis=1)
        columns.append((at, jnp.concatenate([ends, value, error], axis=1)))

    def one(table: Array, lane: Array) -> tuple[Array, None]:
        for at, column in columns:
            new = jax.lax.dynamic_slice_in_dim(column, lane, 1).T[None]
            table = jax.lax.dynamic_update_slice(table, new, (at[lane], jnp.int32(0), lane))
        return table, None

    def vectors(table: Array) -> Array:
        for at, column in columns:
            table = table.at[at, :, jnp.arange(len(at))].set(column)
        return table

    walk = partial(_each, one, count=table.shape[2])
    return jax.lax.platform_dependent(table, cpu=walk, default=vectors)


def write(tables: Any, at: Array, new: Any) -> Any:
    """Return tables in which row ``at`` is that of each lane. O(lanes).

    Args:
        tables: Each with one row more than is wanted, the last: for lanes that have nothing.
        at: Row of each lane; no two alike but the last.
        new: A row for each lane.

    Example:
        >>> write(jnp.zeros(3), jnp.array([1, 2]), jnp.array([5.0, 6.0]))[:2]
        Array([0., 5.], dtype=float32)
    """

    def one(tables: Any, lane: Array) -> tuple[Any, None]:
        def put_row(table: Array, rows: Array) -> Array:
            row = jax.lax.dynamic_slice_in_dim(rows, lane, 1)
            return jax.lax.dynamic_update_slice_in_dim(table, row, at[lane], 0)

        return jax.tree.map(put_row, tables, new), None

    def vectors(tables: Any) -> Any:
        return jax.tree.map(lambda table, rows: table.at[at].set(rows), tables, new)

    return jax.lax.platform_dependent(
        tables, cpu=partial(_each, one, count=len(at)), default=vectors
    )


def survey(table: Array, num_intervals: Array) -> Survey:
    """Return the sums of each lane, and its worst interval. O(rows in use · lanes).

    Args:
        table: Of every lane at least one row is in use.
        num_intervals: How many rows of each lane are in use: the first.

    Example:
        >>> found = survey(fresh(jnp.array([[0.0], [1.0], [2.0]]), 1), jnp.array([2]))
        >>> found.worst, found.value
        (Array([0], dtype=int32), Array([[0.]], dtype=float32))
    """
    rows, numbers, lanes = table.shape
    size, last = (numbers - 2) // 2, num_intervals.max()

    def one(known: _Known) -> tuple[_Known, _Seen]:
        row, most, worst, sums = known
        is_used = row < num_intervals
        here = jax.lax.dynamic_index_in_dim(table, row, keepdims=False)[2:]
        here = jnp.where(is_used[None], here, 0)
        error = jnp.where(is_used, here[size:].max(axis=0), -1)
        is_worse = error > most
        most, worst = jnp.where(is_worse, error, most), jnp.where(is_worse, row, worst)
        return _Known(row + 1, most, worst, sums + here), _Seen(row + 1 >= last)

    def walk(table: Array) -> tuple[Array, Array]:
        nothing = jnp.full(lanes, -1, table.dtype), jnp.zeros(lanes, jnp.int32)
        known = _Known(jnp.int32(0), *nothing, jnp.zeros((2 * size, lanes), table.dtype))
        known, _, _ = loop.until(one, known, max_steps=rows)
        return known.worst, known.sums

    def vectors(table: Array) -> tuple[Array, Array]:
        is_used = jnp.arange(rows, dtype=jnp.int32)[:, None] < num_intervals[None]
        used = jnp.where(is_used[:, None], table[:, 2:], 0)
        error = jnp.where(is_used, used[:, size:].max(axis=1), -1)
        return error.argmax(axis=0).astype(jnp.int32), used.sum(axis=0)

    worst, sums = jax.lax.platform_dependent(table, cpu=walk, default=vectors)
    return Survey(worst, sums[:size].T, sums[size:].T)


def _each(one: Any, start: Any, *, count: int) -> Any:
    """Call ``one(known, lane)`` for each lane."""
    return loop.scan(one, start, jnp.arange(count, dtype=jnp.int32))[0]
