"""Ensembles: trees as arrays, and the sum of their leaves.

    f(x) = Σ_t v_t(leaf of tree t that x falls into)

A node sends a row left where x_feature ≤ threshold, or where its category is in the node's set; a
missing value (NaN) goes where the node says. The right child stands after the left one, and a leaf
is its own left child, so that a walk of any length ends there. Whatever a tree was grown by, or
imported from, it has this form: it is explained, exported and served as such.

Source: Breiman, Friedman, Olshen & Stone (1984), *Classification and Regression Trees*, section
2.4.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt32

from mastery_jax.core import loop
from mastery_jax.core.check import checked

__all__ = ["Trees", "evaluate", "keep", "leaves", "trim"]


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
        The sums, in the unit of the leaves' values. A row narrower than the features that the
        trees ask for is not noticed here: the estimators keep the number.
    """
    flat, starts = _flat(X)

    def add(total: Array, tree: Trees) -> tuple[Array, None]:
        return total + _take(tree.value, _walk(tree, flat, starts)), None

    zeros = jnp.zeros((len(X), trees.value.shape[2]), trees.value.dtype)
    return loop.scan(add, zeros, trees)[0]


@jax.jit
@checked
def leaves(trees: Trees, X: Float[Array, "n d"]) -> Int[Array, "n trees"]:
    """Return the leaf of every tree that every row falls into. O(n trees depth)."""
    flat, starts = _flat(X)
    return jax.lax.map(lambda tree: _walk(tree, flat, starts), trees).T


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


def _flat(X: Array) -> tuple[Array, Array]:
    return X.reshape(-1), jnp.arange(len(X), dtype=jnp.int32) * X.shape[1]


def _take(array: Array, index: Array) -> Array:
    return array.at[index].get(mode="promise_in_bounds", wrap_negative_indices=False)


def _walk(tree: Trees, flat: Array, starts: Array) -> Array:
    """Return the leaf of every row in one tree."""
    # A walk is bound by what it reads: two small numbers in one are read once.
    both = 2 * tree.feature + tree.missing_left.astype(jnp.int32)

    def step(node: Array) -> tuple[Array, _Walk]:
        word = _take(both, node)
        x = _take(flat, starts + (word >> 1))
        is_left = x <= _take(tree.threshold, node)
        if tree.left_set.shape[1]:
            code = jnp.where(jnp.isnan(x), -1, x).astype(jnp.int32)
            words = tree.left_set.at[node, code >> 5].get(mode="fill", fill_value=0)
            is_in = (code >= 0) & (((words >> (code & 31).astype(words.dtype)) & 1) == 1)
            is_left |= jnp.isnan(_take(tree.threshold, node)) & is_in
        is_left |= jnp.isnan(x) & ((word & 1) == 1)
        return _take(tree.child, node) + (~is_left).astype(jnp.int32), _Walk(jnp.bool_(False))

    root = jnp.zeros(len(starts), jnp.int32)
    return loop.until(step, root, max_steps=tree.depth)[0]
