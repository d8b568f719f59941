"""Histograms: how much of each class, or how much slope, lies in each bin of each feature.

What is added up are whole numbers: weights, or slopes, in units that let their sum fill half of an
integer. A sum of whole numbers is the same in any order, so that a tree is the same to the last bit
however its rows are dealt; and a slope and its weight fit into one integer of 64 bits, which a CPU
adds in the time of one.

Source: Ranka & Singh (1998), *CLOUDS*, section 3; Shi, Ke, Chen & Zheng (2022), *Quantized training
of gradient boosting decision trees*, section 4.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, UInt8

__all__ = [
    "Rows",
    "Target",
    "accumulate",
    "classes",
    "move",
    "rule",
    "slopes",
    "sum_by_cell",
    "total",
]

FULL = 30  # bits that a sum may fill, of half an integer
MOST = 62  # and of a whole one
LEAST = -90  # power of two: of less than this float32 could not hold a part in 2³⁰
WORD = 512  # more than a bin, and than the bin of a node that stays whole


class Rows(NamedTuple):
    """Binned rows, laid out both ways: one reads a feature of all rows, or one of each row."""

    columns: UInt8[Array, "d n"]
    flat: UInt8[Array, " n*d"]  # row by row


class Target(NamedTuple):
    """What is added up for every row; classes have one amount, slopes have two."""

    label: Int[Array, " n"] | None  # whose channel the amount belongs to
    amounts: Int[Array, "amounts n"]
    scales: Float[Array, " channels"]  # what a channel's 1 stands for


def classes(labels: Array, weights: Array, *, num_classes: int) -> Target:
    """Add up the weight of every class. Weights of whole numbers are kept as they are.

    A label that is no code counts as the nearest one: it must not be written elsewhere.
    """
    unit = _unit(weights)
    labels = jnp.clip(labels, 0, num_classes - 1)
    return Target(labels, _whole(weights / unit)[None], jnp.full(num_classes, unit))


def slopes(slope: Array, weights: Array, curvature: Array) -> Target:
    """Add up weighted slopes and weighted curvatures, which are ≥ 0."""
    amounts, units = [], []
    for values in (slope, curvature):
        unit = _unit(weights * values)
        # Rounded before it is weighted, a row of weight 2 is two rows.
        amounts.append(_whole(jnp.round(values / unit) * weights))
        units.append(unit)
    return Target(None, jnp.stack(amounts), jnp.stack(units))


def total(target: Target) -> Int[Array, " channels"]:
    """Add up all rows. O(n)."""
    if target.label is None:
        return target.amounts.sum(axis=1, dtype=jnp.int32)
    return jnp.zeros(len(target.scales), jnp.int32).at[target.label].add(target.amounts[0])


def accumulate(
    rows: Rows,
    target: Target,
    slot: Array,
    features: Array | None,
    *,
    num_nodes: int,
    num_bins: int,
) -> Int[Array, "chosen bins channels nodes"]:
    """Add up every node's histograms of the features chosen for it. O(n chosen).

    Args:
        rows: The binned rows.
        target: What is added up.
        slot: Which node a row belongs to, ``num_nodes`` where to none.
        features: By node; all features where None.
        num_nodes: Number of nodes. Static.
        num_bins: Bins of a feature. Static.
    """
    num_labels = 1 if target.label is None else len(target.scales)
    is_in = slot < num_nodes
    base = jnp.where(is_in, slot, 0)
    if target.label is not None:
        base += target.label * num_nodes
    with jax.enable_x64(True):  # for sums that do not leave it
        amount = target.amounts[0]
        if target.label is None:
            amount = (amount.astype(jnp.int64) << 32) + target.amounts[1].astype(jnp.int64)
        amount = jnp.where(is_in, amount, 0)
        zeros = jnp.zeros(num_bins * num_labels * num_nodes, amount.dtype)

        def add(code: Array) -> Array:
            cell = base + code.astype(jnp.int32) * jnp.int32(num_labels * num_nodes)
            return zeros.at[cell].add(amount, mode="promise_in_bounds", wrap_negative_indices=False)

        if features is None:
            sums = jax.lax.map(add, rows.columns)
        else:
            slot = jnp.where(is_in, slot, 0)
            sums = jax.lax.map(lambda chosen: add(_codes(rows, _take(chosen, slot))), features)
        sums = sums.reshape(-1, num_bins, num_labels, num_nodes)
        if target.label is None:
            low = (sums & 0xFFFFFFFF).astype(jnp.int32)
            high = (sums >> 32).astype(jnp.int32)
            sums = jnp.concatenate([high, low], axis=2)
    return sums


def rule(feature: Array, last: Array, missing_left: Array) -> Int[Array, " nodes"]:
    """Return a split as one word: three small numbers in one are read once."""
    return (feature * WORD + last) * 2 + missing_left.astype(jnp.int32)


def move(
    rows: Rows,
    node: Array,
    rules: Array,
    child: Array,
    sets: Array | None = None,
    *,
    num_bins: int,
) -> Int[Array, " n"]:
    """Return every row's node after some were split: the left child, or the one after it. O(n).

    Args:
        rows: The binned rows.
        node: Where each row is.
        rules: Of each node, by :func:`rule`; one that stays whole sends all bins left.
        child: The left child; of a node that stays whole, the node.
        sets: Where given, the bins that may go left, as bits, (nodes, words).
        num_bins: Bins of a feature. Static.
    """
    word = _take(rules, node)
    code = _codes(rows, word >> 10).astype(jnp.int32)
    at = jnp.where((code == num_bins - 1) & (word & 1 == 1), -1, code)
    is_right = at > ((word >> 1) & (WORD - 1))
    if sets is not None:
        part = _take(sets.reshape(-1), node * sets.shape[1] + (code >> 5))
        is_right |= (part >> (code & 31).astype(part.dtype)) & 1 == 0
    return _take(child, node) + is_right.astype(jnp.int32)


def sum_by_cell(values: Array, cell: Array, *, num_cells: int) -> Float[Array, " cells"]:
    """Add up rows by cell, to some 60 bits and the same in any order. O(n)."""
    total = jnp.abs(values).sum()
    _, power = jnp.frexp(total)
    with jax.enable_x64(True):  # for sums that do not leave it
        whole = jnp.ldexp(values, MOST - power).astype(jnp.int64)
        sums = jnp.zeros(num_cells, jnp.int64)
        sums = sums.at[cell].add(whole, mode="promise_in_bounds", wrap_negative_indices=False)
        sums = jnp.ldexp(sums.astype(values.dtype), power - MOST)
    # A total that is not finite would be lost in a whole number.
    return jnp.where(jnp.isfinite(total), sums, jnp.nan)


def _unit(values: Array) -> Array:
    """Return the power of two, some 2⁻³⁰ of the absolute sum, that values are counted in."""
    _, power = jnp.frexp(jnp.abs(values).sum())
    return jnp.ldexp(jnp.ones((), values.dtype), jnp.maximum(power, LEAST) - FULL)


def _whole(values: Array) -> Array:
    return jnp.round(values).astype(jnp.int32)


def _codes(rows: Rows, feature: Array) -> Array:
    """Return each row's code of its own feature."""
    num_features, num_rows = rows.columns.shape
    start = jnp.arange(num_rows, dtype=jnp.int32) * num_features
    return _take(rows.flat, start + feature)


def _take(array: Array, index: Array) -> Array:
    return array.at[index].get(mode="promise_in_bounds", wrap_negative_indices=False)
