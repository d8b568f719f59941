"""Growing one tree: a queue of nodes, split some at a time by the histograms of binned rows.

Each step takes the oldest nodes of the queue, adds up the histograms of them all in one pass over
the rows, splits each at its best threshold and puts its children at the end. How many nodes a step
takes decides what it costs; a long queue is worked off by a wider program.

Source: Breiman, Friedman, Olshen & Stone (1984), *Classification and Regression Trees*, section
2.4; a level of nodes by one pass: Mehta, Agrawal & Rissanen (1996), *SLIQ*, section 3.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, UInt32

from mastery_jax.core import loop
from mastery_jax.learning.trees import categories, drawing, gains, histograms, monotone, splitting
from mastery_jax.learning.trees.binning import Bins
from mastery_jax.learning.trees.ensemble import Trees

__all__ = ["Grown", "Plan", "finish", "grow", "room"]

WIDTHS = (32, 512)  # nodes that a step takes
MOST_LEAVES = 16_384  # of a tree, where the caller sets no bound


class Plan(NamedTuple):
    """What decides shapes and branches; all of it is static."""

    criterion: gains.Criterion
    num_bins: int
    max_nodes: int
    max_depth: int | None = None
    max_features: int | None = None  # drawn anew for each node
    missing: splitting.Missing = "learned"
    is_random: bool = False  # thresholds are drawn, not searched
    categorical: tuple[int, ...] = ()  # columns of categories


class Grown(NamedTuple):
    """One tree over bins. A node's right child is the one after its left."""

    feature: Int[Array, " nodes"]
    last: Int[Array, " nodes"]  # bin that goes left; all do at a leaf, and of a set those in it
    missing_left: Bool[Array, " nodes"]
    child: Int[Array, " nodes"]  # the left one; a leaf is its own
    gain: Float[Array, " nodes"]  # decrease of the total impurity, 0 at a leaf
    cover: Float[Array, " nodes"]  # weight, or curvature
    depth: Int[Array, " nodes"]
    num_nodes: Int[Array, ""]
    num_cut: Int[Array, ""]  # nodes that could have been split, had there been room
    leaf: Int[Array, " n"]  # of every row, those of weight 0 too
    sets: UInt32[Array, "nodes words"] | None  # bins that may go left; None without categories
    bounds: monotone.Bounds | None  # of what a node may say; None where features have no signs


class _Given(NamedTuple):
    rows: histograms.Rows
    target: histograms.Target
    limits: gains.Rules
    signs: Int[Array, " d"] | None


class _Carry(NamedTuple):
    tree: Grown
    is_queued: Bool[Array, " nodes"]
    key: Key[Array, ""] | None


class _Queue(NamedTuple):
    is_done: Bool[Array, ""]


def grow(
    key: Array | None,
    rows: histograms.Rows,
    target: histograms.Target,
    rules: gains.Rules,
    *,
    plan: Plan,
    signs: Array | None = None,
) -> Grown:
    """Grow a tree until no node can be split or nodes run out. O(n features depth).

    Args:
        key: Consumed; None where nothing is drawn.
        rows: The binned rows.
        target: What the splits are to tell apart.
        rules: What a split must obey.
        plan: Sizes and branches. Static.
        signs: Of features: −1, 0 or 1; None where nothing is to rise or fall.
    """
    num_rows, most = rows.columns.shape[1], plan.max_nodes
    integers, false = jnp.zeros(most, jnp.int32), jnp.zeros(most, bool)
    whole = histograms.total(target)[:, None]
    cover = gains.weigh(whole, rules, plan.criterion)
    is_open = gains.is_open(whole, rules, plan.criterion)
    tree = Grown(
        feature=integers,
        last=jnp.full(most, plan.num_bins, jnp.int32),
        missing_left=~false,
        child=jnp.arange(most, dtype=jnp.int32),
        gain=jnp.zeros(most, rules.min_leaf.dtype),
        cover=jnp.zeros(most, rules.min_leaf.dtype).at[0].set(cover[0]),
        depth=integers,
        num_nodes=jnp.int32(1),
        num_cut=jnp.int32(0),
        leaf=jnp.zeros(num_rows, jnp.int32),
        sets=categories.everywhere(most, plan.num_bins) if plan.categorical else None,
        bounds=None if signs is None else monotone.unbounded(most, cover.dtype),
    )
    carry = _Carry(tree, false.at[0].set(is_open[0]), key)
    # No level has more nodes than half of all, or than its depth allows.
    longest = most // 2
    if plan.max_depth is not None and plan.max_depth < 31:
        longest = min(longest, 2 ** (plan.max_depth - 1))
    widths = WIDTHS[:1] if longest <= WIDTHS[0] else WIDTHS
    given = _Given(rows, target, rules, signs)
    for width in widths:
        most_waiting = most if width == widths[-1] else width
        step = partial(_step, given=given, plan=plan, width=width, most_waiting=most_waiting)
        carry = loop.until(step, carry, max_steps=most)[0]
    return carry.tree


def finish(tree: Grown, bins: Bins, value: Array) -> Trees:
    """Return a tree over the features themselves, with the values of its leaves."""
    most = len(value)
    edges = jnp.pad(bins.edges, ((0, 0), (0, 1)), constant_values=jnp.inf)
    node = jnp.arange(most, dtype=jnp.int32)
    is_leaf = (tree.child == node) & (node < tree.num_nodes)
    threshold = edges.at[tree.feature, tree.last].get(mode="fill", fill_value=jnp.inf)
    left_set = jnp.zeros((most, 0), jnp.uint32)
    if tree.sets is not None:
        is_set = (tree.child != node) & (tree.last == edges.shape[1] + 1)  # num_bins
        threshold = jnp.where(is_set, jnp.nan, threshold)
        left_set = jnp.where(is_set[:, None], tree.sets, 0)
    return Trees(
        feature=tree.feature,
        threshold=threshold,
        left_set=left_set,
        missing_left=tree.missing_left,
        child=tree.child,
        value=jnp.where(is_leaf[:, None], value, 0),
        cover=tree.cover,
        gain=tree.gain,
        depth=tree.depth.max(),
    )


def room(where: str, *, num_rows: int, max_depth: int | None, max_leaves: int | None) -> int:
    """Return how many nodes a tree may need.

    Raises:
        ValueError: ``max_depth`` or ``max_leaves`` is not at least 1; named after ``where``.
    """
    for name, value in (("max_depth", max_depth), ("max_leaves", max_leaves)):
        if value is not None and value < 1:
            raise ValueError(f"{where}: {name} is {value}, not at least 1")
    leaves = min(num_rows, MOST_LEAVES if max_leaves is None else max_leaves)
    if max_depth is not None and max_depth < 31:
        leaves = min(leaves, 2**max_depth)
    return 2 * leaves - 1


class _Found(NamedTuple):
    """How some nodes are split best."""

    split: splitting.Split
    feature: Int[Array, " nodes"]
    total: Int[Array, "channels nodes"]
    sets: UInt32[Array, "nodes words"] | None


def _step(
    carry: _Carry, *, given: _Given, plan: Plan, width: int, most_waiting: int
) -> tuple[_Carry, _Queue]:
    """Split the oldest nodes of the queue; stop where it is empty, or too long for this width."""
    tree, is_queued = carry.tree, carry.is_queued
    nodes, slot = _take(is_queued, width)
    key, found = _find(carry, given, plan, nodes, slot)
    split = found.split
    wants = split.gain > -jnp.inf
    left = tree.num_nodes + 2 * (jnp.cumsum(wants, dtype=jnp.int32) - 1)
    is_split = wants & (left + 1 < plan.max_nodes)
    left = jnp.where(is_split, left, nodes)
    last = jnp.where(is_split, split.bin, plan.num_bins)
    depth = tree.depth.at[nodes].get(mode="fill", fill_value=0) + 1
    children = jnp.where(is_split, jnp.stack([left, left + 1]), plan.max_nodes)
    parts = (split.left, found.total - split.left)

    def put(array: Array, values: Array) -> Array:
        return array.at[nodes].set(jnp.where(is_split, values, array.at[nodes].get()), mode="drop")

    def born(array: Array, values: Array) -> Array:
        return array.at[children].set(values, mode="drop")

    is_open, weight = (
        jnp.stack([ask(part, given.limits, plan.criterion) for part in parts])
        for ask in (gains.is_open, gains.weigh)
    )
    if plan.max_depth is not None:
        is_open &= (depth < plan.max_depth)[None, :]
    # By a scatter, which XLA writes down: every row would work out anew what its node decided.
    rules = jnp.full(plan.max_nodes, plan.num_bins * 2, jnp.int32)
    words = histograms.rule(found.feature, last, split.missing_left)
    rules = rules.at[nodes].set(words, mode="drop")
    child = put(tree.child, left)
    sets = jax.tree.map(jax.vmap(put, 1, 1), tree.sets, found.sets)  # of None, none
    leaf = histograms.move(given.rows, tree.leaf, rules, child, sets, num_bins=plan.num_bins)
    tree = Grown(
        feature=put(tree.feature, found.feature),
        last=put(tree.last, last),
        missing_left=put(tree.missing_left, split.missing_left),
        child=child,
        gain=put(tree.gain, split.gain),
        cover=born(tree.cover, weight),
        depth=born(tree.depth, jnp.stack([depth, depth])),
        num_nodes=tree.num_nodes + 2 * is_split.sum(dtype=jnp.int32),
        num_cut=tree.num_cut + (wants & ~is_split).sum(dtype=jnp.int32),
        leaf=leaf,
        sets=sets,
        bounds=_inherit(tree.bounds, given, plan, nodes, found, parts, born),
    )
    is_queued = born(is_queued.at[nodes].set(False, mode="drop"), is_open)
    waiting = is_queued.sum(dtype=jnp.int32)
    return _Carry(tree, is_queued, key), _Queue((waiting == 0) | (waiting > most_waiting))


def _find(
    carry: _Carry, given: _Given, plan: Plan, nodes: Array, slot: Array
) -> tuple[Array | None, _Found]:
    """Return the next key, and how every node is split best."""
    width = len(nodes)
    rows, target, limits, signs = given
    slot = slot.at[carry.tree.leaf].get(mode="promise_in_bounds", wrap_negative_indices=False)
    key, features, bits = drawing.draw(
        carry.key, len(rows.columns), width, max_features=plan.max_features,
        is_random=plan.is_random,
    )  # fmt: skip
    sums = histograms.accumulate(
        rows, target, slot, features, num_nodes=width, num_bins=plan.num_bins
    )
    total = sums[0].sum(axis=0, dtype=sums.dtype)
    fence = order = is_set = sets = None
    if signs is not None and carry.tree.bounds is not None:
        fence = monotone.fence(signs, carry.tree.bounds, nodes, features)
    if plan.categorical:
        sums, order = categories.arrange(
            sums, features, plan.categorical, criterion=plan.criterion, dtype=limits.scales.dtype
        )
        is_set = order.is_set
    split = splitting.best(sums, limits, plan.criterion, plan.missing, bits, fence, is_set)
    chosen = split.place
    if order is not None:
        split, sets = categories.settle(split, order, total, plan.num_bins)
    if features is not None:
        chosen = jnp.take_along_axis(features, split.place[None], axis=0)[0]
    return key, _Found(split, chosen, total, sets)


def _inherit(
    bounds: monotone.Bounds | None,
    given: _Given,
    plan: Plan,
    nodes: Array,
    found: _Found,
    parts: tuple[Array, Array],
    born: Callable[[Array, Array], Array],
) -> monotone.Bounds | None:
    """Return all bounds, those of the children among them."""
    if bounds is None or given.signs is None:
        return None
    says = (gains.say(part, given.limits, plan.criterion) for part in parts)
    left, right = monotone.below(given.signs[found.feature], monotone.at(bounds, nodes), *says)
    pairs = zip(bounds, left, right, strict=True)
    return monotone.Bounds(*(born(bound, jnp.stack(pair)) for bound, *pair in pairs))


def _take(is_queued: Array, width: int) -> tuple[Array, Array]:
    """Return the oldest nodes of the queue, and every node's place among them.

    A place without a node holds the number of all nodes; a node without a place holds ``width``.
    """
    most = len(is_queued)
    rank = jnp.cumsum(is_queued, dtype=jnp.int32) - 1
    place = jnp.where(is_queued & (rank < width), rank, width)
    nodes = jnp.full(width, most, jnp.int32)
    nodes = nodes.at[place].set(jnp.arange(most, dtype=jnp.int32), mode="drop")
    slot = jnp.full(most, width, jnp.int32)
    return nodes, slot.at[nodes].set(jnp.arange(width, dtype=jnp.int32), mode="drop")
