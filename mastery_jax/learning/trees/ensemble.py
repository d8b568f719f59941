"""Ensembles: trees as arrays, and the sum of their leaves.

    f(x) = Σ_t v_t(leaf of tree t that x falls into)

A node sends a row left where x_feature ≤ threshold, or where its category is in the node's set; a
missing value (NaN) goes where the node says. The right child stands after the left one, and a leaf
is its own left child, so that a walk of any length ends there. Whatever a tree was grown by, or
imported from, it has this form: it is explained, exported and served as such.

Source: Breiman, Friedman, Olshen & Stone (1984), *Classification and Regression Trees*, section
2.4.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt32

from mastery_jax.core import loop
from mastery_jax.core.check import checked

__all__ = ["Trees", "evaluate", "keep", "leaves", "stages", "total", "trim"]


ROWS = 4096  # that walk together: XLA makes one kernel of a loop whose state is small


class Trees(NamedTuple):
    """Trees side by side, the unused nodes of each at its end; node 0 is the root."""

    feature: Int[Array, "trees nodes"]  # 0 at a leaf
    threshold: Float[Array, "trees nodes"]  # unit of the feature; ∞ at a leaf, NaN with a set
    left_set: UInt32[Array, "trees nodes words"]  # bit c: category c goes left; words may be 0
    missing_left: Bool[Array, "trees nodes"]  # where NaN goes; true at a leaf
    child: Int[Array, "trees nodes"]  # the left one, the right one follows; a leaf is its own
    value: Float[Array, "trees nodes outputs"]  # of a leaf, unit of the sum
    cover: Float[Array, "trees nodes"]  # weight of the rows that a node was grown from
    gain: Float[Array, "trees nodes"]  # decrease of the total impurity; 0 at a leaf
    depth: Int[Array, " trees"]  # steps from the root to the farthest leaf


class _Walk(NamedTuple):
    is_done: Bool[Array, ""]  # never: looking whether all have arrived costs more than a step


@jax.jit
@checked
def evaluate(trees: Trees, X: Float[Array, "n d"]) -> Float[Array, "n outputs"]:
    """Add up the leaves that every row falls into. O(n trees depth).

    Args:
        trees: At least one node each.
        X: One row per sample; NaN is a missing value.

    Returns:
        The sums, in the unit of the leaves' values; NaN throughout where the trees ask for a
        feature that ``X`` lacks. The estimators know their number of features, and refuse.
    """
    return jnp.where(_are_there(trees, X), total(trees, X), jnp.nan)


@partial(jax.jit, static_argnames=("trees_a_round",))
@checked
def stages(
    trees: Trees, X: Float[Array, "n d"], *, trees_a_round: int = 1
) -> Float[Array, "rounds n outputs"]:
    """Return the sums after every round, the last of which are all. O(n trees depth).

    Args:
        trees: At least one node each, in the order in which they were added.
        X: One row per sample; NaN is a missing value.
        trees_a_round: A divisor of the number of trees. Static.

    Returns:
        The sums, in the unit of the leaves' values; NaN throughout where the trees ask for a
        feature that ``X`` lacks.

    Raises:
        ValueError: the trees are no whole number of rounds.

    Example:
        >>> from mastery_jax.learning.trees import tree_regressor
        >>> X = jnp.array([[0.0], [1.0]])
        >>> tree = tree_regressor.fit(X, jnp.array([-1.0, 1.0]))[0].trees
        >>> twice = jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf]), tree)
        >>> stages(twice, X)[:, :, 0].tolist()
        [[-1.0, 1.0], [-2.0, 2.0]]
    """
    count = len(trees.depth)
    if trees_a_round < 1 or count % trees_a_round:
        problem = f"trees_a_round is {trees_a_round}, no divisor of {count} trees"
        raise ValueError(f"ensemble.stages: {problem}")
    flat, starts = _flat(X)

    def add(total: Array, tree: Trees) -> tuple[Array, None]:
        return total + _take(tree.value, _walk(tree, flat, starts)), None

    def step(total: Array, round_: Trees) -> tuple[Array, Array]:
        total = loop.scan(add, total, round_)[0]
        return total, total

    shape = (count // trees_a_round, trees_a_round)
    rounds = jax.tree.map(lambda leaf: leaf.reshape(*shape, *leaf.shape[1:]), trees)
    sums = loop.scan(step, _zeros(trees, X), rounds)[1]
    return jnp.where(_are_there(trees, X), sums, jnp.nan)


@jax.jit
@checked
def leaves(trees: Trees, X: Float[Array, "n d"]) -> Int[Array, "n trees"]:
    """Return the leaf of every tree that every row falls into. O(n trees depth).

    Args:
        trees: At least one node each.
        X: One row per sample; NaN is a missing value.

    Returns:
        The nodes; −1 throughout where the trees ask for a feature that ``X`` lacks.
    """

    def block(X: Array) -> Array:
        flat, starts = _flat(X)
        return jax.lax.map(lambda tree: _walk(tree, flat, starts), trees).T

    found = _by_block(block, X)
    return jnp.where(_are_there(trees, X), found, -1)


def total(trees: Trees, X: Array) -> Array:
    """Return the sums of leaves, where X is known to be wide enough. O(n trees depth)."""

    def block(X: Array) -> Array:
        flat, starts = _flat(X)
        return loop.scan(_add, _zeros(trees, X), trees, flat=flat, starts=starts)[0]

    return _by_block(block, X)


def keep(trees: Trees, is_kept: Array) -> Trees:
    """Return the trees, those that are not kept as a leaf of value 0. O(trees nodes).

    Args:
        trees: At least one node each.
        is_kept: (trees,) booleans.
    """
    num_nodes = trees.child.shape[1]
    leaf = jax.tree.map(jnp.zeros_like, trees)._replace(
        threshold=jnp.full_like(trees.threshold, jnp.inf),
        missing_left=jnp.ones_like(trees.missing_left),
        child=jnp.broadcast_to(jnp.arange(num_nodes, dtype=jnp.int32), trees.child.shape),
    )

    def one(kept: Array, gone: Array) -> Array:
        return jnp.where(is_kept.reshape(-1, *[1] * (kept.ndim - 1)), kept, gone)

    return jax.tree.map(one, trees, leaf)


def trim(trees: Trees) -> Trees:
    """Return the trees without the nodes that none of them uses, on the host. O(trees nodes).

    Growing makes room for as many nodes as a tree might have; a file or an explanation wants those
    it has. The number decides a shape, so that this is no function for ``jit``.
    """
    child = np.asarray(trees.child)
    used = int(np.where(child != np.arange(child.shape[1]), child + 2, 1).max(initial=1))
    return jax.tree.map(lambda leaf: leaf[:, :used] if leaf.ndim > 1 else leaf, trees)


def _are_there(trees: Trees, X: Array) -> Array:
    """Say whether rows are as wide as the trees ask."""
    return trees.feature.max() < X.shape[1]


def _zeros(trees: Trees, X: Array) -> Array:
    return jnp.zeros((X.shape[0], trees.value.shape[2]), trees.value.dtype)


def _by_block(block: Callable[[Array], Array], X: Array) -> Array:
    """Apply ``block`` to some rows after others; to all at once where their number is a symbol."""
    n, d = X.shape
    if not isinstance(n, int) or n <= ROWS:
        return block(X)
    count = -(-n // ROWS)
    padded = jnp.pad(X, ((0, count * ROWS - n), (0, 0)))
    found = jax.lax.map(block, padded.reshape(count, ROWS, d))
    return found.reshape(count * ROWS, -1)[:n]


def _add(sums: Array, tree: Trees, *, flat: Array, starts: Array) -> tuple[Array, None]:
    return sums + _take(tree.value, _walk(tree, flat, starts)), None


def _flat(X: Array) -> tuple[Array, Array]:
    return X.reshape(-1), jnp.arange(X.shape[0], dtype=jnp.int32) * X.shape[1]


def _take(array: Array, index: Array) -> Array:
    return array.at[index].get(mode="promise_in_bounds", wrap_negative_indices=False)


def _walk(tree: Trees, flat: Array, starts: Array) -> Array:
    """Return the leaf of every row in one tree."""
    with jax.enable_x64(True):  # for records that do not leave it
        # A walk is bound by what it reads: three small numbers in one are read once.
        ask = 2 * tree.feature + tree.missing_left.astype(jnp.int32)
        record = (ask.astype(jnp.int64) << 32) + tree.child.astype(jnp.int64)

        def step(node: Array) -> tuple[Array, _Walk]:
            found = _take(record, node)
            ask, child = (found >> 32).astype(jnp.int32), found.astype(jnp.int32)
            x, threshold = _take(flat, starts + (ask >> 1)), _take(tree.threshold, node)
            is_left = x <= threshold
            if tree.left_set.shape[1]:
                is_left |= jnp.isnan(threshold) & _is_in(tree.left_set, node, x)
            is_left |= jnp.isnan(x) & ((ask & 1) == 1)
            return child + (~is_left).astype(jnp.int32), _Walk(jnp.bool_(False))

        root = jnp.zeros_like(starts)
        return loop.until(step, root, max_steps=tree.depth)[0]


def _is_in(left_set: Array, node: Array, x: Array) -> Array:
    """Say whether a value is one of the categories of a node's set."""
    code = jnp.where(jnp.isnan(x), -1, x).astype(jnp.int32)
    words = left_set.at[node, code >> 5].get(mode="fill", fill_value=0)
    return (code >= 0) & (((words >> (code & 31).astype(words.dtype)) & 1) == 1)
