"""Forests: many trees on the same bins, each on rows and features drawn anew.

A bootstrap draws n of the n rows with replacement. Some 0.632 n different rows are drawn, and only
these are kept while a tree grows.

Source: Breiman (2001), *Random forests*, definition 1.1 and section 3.1 (out of bag); Geurts, Ernst
& Wehenkel (2006), *Extremely randomized trees*, table 1.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int, UInt8

from mastery_jax.core import loop
from mastery_jax.learning.trees import (
    binning,
    categories,
    gains,
    grower,
    histograms,
    monotone,
)
from mastery_jax.learning.trees.ensemble import Trees

__all__ = [
    "Drawn",
    "Limits",
    "Task",
    "binned",
    "center",
    "grow",
    "grow_one",
    "importances",
    "limits",
    "of_classes",
    "of_numbers",
    "out_of_bag",
]

KEPT = 1 - math.exp(-1)  # share of the rows that a bootstrap draws at least once
SPREAD = math.sqrt(math.exp(-1) - 2 * math.exp(-2))  # its standard deviation, times √n
SURE = 10  # standard deviations: more rows than the room for them are drawn once in 1e23 times


class Limits(NamedTuple):
    """What every split must obey."""

    min_split: Float[Array, ""]
    min_leaf: Float[Array, ""]
    min_gain: Float[Array, ""]


class Task(NamedTuple):
    """What trees are grown for."""

    aim: Callable[[Array, Array], histograms.Target]  # from targets and weights of rows
    value: Callable[..., Array]  # from those, their nodes, the number and the bounds of these


class _Data(NamedTuple):
    bins: binning.Bins
    codes: UInt8[Array, "n d"]
    targets: Array
    weights: Float[Array, " n"]
    signs: Int[Array, " d"] | None


class Drawn(NamedTuple):
    """Where rows ended, and whether their tree was grown on them."""

    leaf: Int[Array, "trees n"]
    is_out: Bool[Array, "trees n"]


def grow(
    key: Array,
    X: Array,
    targets: Array,
    weights: Array | None,
    limits: Limits,
    *,
    plan: grower.Plan,
    task: Task,
    num_trees: int,
    is_bootstrap: bool,
    is_out_of_bag: bool,
    mesh: Mesh | None,
    signs: Array | None = None,
) -> tuple[Trees, Int[Array, ""], Drawn | None]:
    """Grow the trees one after the other, on each device of ``mesh`` its share. O(trees n depth).

    Args:
        key: Consumed.
        X: One row per sample.
        targets: What is to be told of each row: a code or a number.
        weights: Of the rows, ≥ 0, one where None.
        limits: What every split must obey.
        plan: Sizes and branches. Static.
        task: What the splits are to tell apart, and what a node's value is. Static.
        num_trees: Static.
        is_bootstrap: Whether rows are drawn. Static.
        is_out_of_bag: Whether rows that were not drawn are followed. Static.
        mesh: Devices that share the trees, whatever their number; none: where the caller runs.
        signs: Of features, by which answers rise or fall; None where they need not.
    """
    data = _Data(*binned(X, weights, plan), targets, _ones(X, weights), signs)

    def one(key: Array, data: _Data) -> tuple[Trees, Array, Drawn | None]:
        bag_key, grow_key = jax.random.split(key)
        is_out = jnp.zeros(len(targets), bool)
        if is_bootstrap:
            counts = _bootstrap(bag_key, len(targets))
            is_out = counts == 0
            data = data._replace(weights=data.weights * counts.astype(X.dtype))
        if is_bootstrap and not is_out_of_bag:
            data = _keep(data)
        tree, grown = _tree(grow_key, data, limits, plan, task)
        return tree, grown.num_cut, Drawn(grown.leaf, is_out) if is_out_of_bag else None

    trees, num_cut, drawn = _deal(one, jax.random.split(key, num_trees), data, mesh)
    return trees, num_cut.sum(), drawn


def grow_one(
    X: Array,
    targets: Array,
    weights: Array | None,
    limits: Limits,
    *,
    plan: grower.Plan,
    task: Task,
    signs: Array | None = None,
) -> tuple[Trees, Int[Array, ""]]:
    """Grow one tree on all rows and all features, with nothing drawn. O(n d depth)."""
    data = _Data(*binned(X, weights, plan), targets, _ones(X, weights), signs)
    tree, grown = _tree(None, data, limits, plan, task)
    return jax.tree.map(lambda leaf: leaf[None], tree), grown.num_cut


def binned(
    X: Array, weights: Array | None, plan: grower.Plan
) -> tuple[binning.Bins, UInt8[Array, "n d"]]:
    """Cut the features, and return every row's codes."""
    if plan.categorical:
        X = categories.codes(X, plan.categorical, plan.num_bins)
    bins = binning.fit(X, weights=weights, num_bins=plan.num_bins)
    if plan.categorical:
        bins = categories.cut(bins, plan.categorical)
    return bins, binning.transform(bins, X).T


def limits(dtype: Any, *values: Any) -> Limits:
    """Return limits in the precision of the data."""
    return Limits(*(jnp.asarray(value, dtype) for value in values))


def center(y: Array, weights: Array | None) -> tuple[Float[Array, ""], Float[Array, " n"]]:
    """Return the weighted mean, and the targets less it; 0 for a row of weight 0. O(n)."""
    if weights is None:
        return y.mean(), y - y.mean()
    y = jnp.where(weights == 0, 0, y)
    bias = (weights * y).sum() / weights.sum()
    return bias, jnp.where(weights == 0, 0, y - bias)


def of_classes(num_classes: int, num_trees: int) -> Task:
    """Tell codes apart; the value of a node is its share of each, a T-th of it."""

    def aim(labels: Array, weights: Array) -> histograms.Target:
        return histograms.classes(labels, weights, num_classes=num_classes)

    def value(
        labels: Array,
        weights: Array,
        node: Array,
        num_nodes: int,
        bounds: monotone.Bounds | None = None,
    ) -> Array:
        cell = node * num_classes + jnp.clip(labels, 0, num_classes - 1)
        sums = histograms.sum_by_cell(weights, cell, num_cells=num_nodes * num_classes)
        sums = sums.reshape(num_nodes, num_classes)
        if bounds is not None:
            second = monotone.clip(sums[:, 1] / sums.sum(axis=1), bounds)
            return jnp.stack([1 - second, second], axis=1) / num_trees
        return sums / (num_trees * sums.sum(axis=1)[:, None])

    return Task(aim, value)


def of_numbers(num_trees: int) -> Task:
    """Tell numbers apart; the value of a node is their mean, a T-th of it."""

    def aim(y: Array, weights: Array) -> histograms.Target:
        return histograms.slopes(y, weights, jnp.ones_like(y))

    def value(
        y: Array,
        weights: Array,
        node: Array,
        num_nodes: int,
        bounds: monotone.Bounds | None = None,
    ) -> Array:
        parts = (weights * y, weights)
        total, weight = (histograms.sum_by_cell(x, node, num_cells=num_nodes) for x in parts)
        if bounds is not None:
            return monotone.clip(total / weight, bounds)[:, None] / num_trees
        return (total / (num_trees * weight))[:, None]

    return Task(aim, value)


def out_of_bag(trees: Trees, drawn: Drawn) -> Float[Array, "n outputs"]:
    """Return the mean over the trees not grown on a row; NaN where each was. O(trees n)."""
    num_rows = drawn.leaf.shape[1]
    dtype, outputs = trees.value.dtype, trees.value.shape[2]

    def add(carry: tuple[Array, Array], each: tuple[Trees, Drawn]) -> tuple[tuple, None]:
        total, count = carry
        tree, (leaf, is_out) = each
        value = tree.value.at[leaf].get(mode="promise_in_bounds")
        return (total + jnp.where(is_out[:, None], value, 0), count + is_out.astype(dtype)), None

    zeros = jnp.zeros((num_rows, outputs), dtype), jnp.zeros(num_rows, dtype)
    (total, count), _ = loop.scan(add, zeros, (trees, drawn))
    return total * len(drawn.leaf) / count[:, None]


def importances(trees: Trees, num_features: int) -> Float[Array, " d"]:
    """Return the mean over trees of each feature's share of the decrease of impurity. O(nodes).

    Nothing but zeros where no tree has a split.
    """

    def one(tree: Trees) -> Array:
        gains = jnp.zeros(num_features, tree.gain.dtype).at[tree.feature].add(tree.gain)
        return _share(gains)

    return _share(jax.lax.map(one, trees).sum(axis=0))


def _share(parts: Array) -> Array:
    whole = parts.sum()
    return jnp.where(whole == 0, parts, parts / jnp.where(whole == 0, 1, whole))


def _deal(one: Callable, keys: Array, data: tuple, mesh: Mesh | None) -> tuple:
    if mesh is None:
        return jax.lax.map(lambda key: one(key, data), keys)
    dealt = jax.shard_map(
        lambda keys, data: jax.lax.map(lambda key: one(key, data), keys),
        mesh=mesh,
        in_specs=(jax.P(mesh.axis_names), jax.P()),
        out_specs=jax.P(mesh.axis_names),
        check_vma=False,
    )
    count = len(keys)
    padded = math.ceil(count / mesh.size) * mesh.size
    found = dealt(keys.at[jnp.arange(padded) % count].get(), data)
    return jax.tree.map(lambda leaf: leaf[:count], found)


def _tree(
    key: Array | None, data: _Data, limits: Limits, plan: grower.Plan, task: Task
) -> tuple[Trees, grower.Grown]:
    rows = histograms.Rows(data.codes.T, data.codes.reshape(-1))
    target = task.aim(data.targets, data.weights)
    rules = gains.Rules(*limits, l2=jnp.zeros_like(limits.min_gain), scales=target.scales)
    grown = grower.grow(key, rows, target, rules, plan=plan, signs=data.signs)
    value = task.value(data.targets, data.weights, grown.leaf, plan.max_nodes, grown.bounds)
    return grower.finish(grown, data.bins, value), grown


def _ones(X: Array, weights: Array | None) -> Array:
    return jnp.ones(len(X), X.dtype) if weights is None else weights.astype(X.dtype)


def _bootstrap(key: Array, num_rows: int) -> Array:
    """Draw as many rows as there are; return how often each was drawn."""
    drawn = jax.random.randint(key, (num_rows,), 0, num_rows)
    return jnp.zeros(num_rows, jnp.int32).at[drawn].add(1, mode="promise_in_bounds")


def _keep(data: _Data) -> _Data:
    """Leave out rows of weight 0."""
    count = len(data.weights)
    most = min(count, math.ceil(count * KEPT + SURE * SPREAD * math.sqrt(count)))
    kept = jnp.nonzero(data.weights > 0, size=most, fill_value=count)[0]
    return data._replace(
        codes=data.codes.at[kept].get(mode="clip"),
        targets=data.targets.at[kept].get(mode="clip"),
        weights=data.weights.at[kept].get(mode="fill", fill_value=0),
    )
