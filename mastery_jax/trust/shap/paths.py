"""Paths: every leaf of every tree, with the conditions that lead to it, one for each feature.

    leaf ℓ is reached   ⟺   x_k ∈ C_ℓk for all features k on its path,    z_ℓk = share of the rows

Nodes that ask for one feature twice are one condition: an interval, a set of categories, and
whether a missing value is let through; its share is the product of the shares along the path. All
that is known of a tree in the games of Shapley is in its leaves: a game of a leaf is a product over
k, and a game of the trees is the sum of those.

Source: Lundberg et al. (2020), *Nature Machine Intelligence* 2, algorithm 1 (the games); Yang
(2021), *Fast TreeSHAP*, arXiv:2109.09847, section 3.2 (leaves in place of nodes).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt32

from mastery_jax.core import loop
from mastery_jax.learning.trees.ensemble import Trees

__all__ = [
    "Group",
    "Host",
    "Paths",
    "are_there",
    "base_value",
    "columns",
    "holds",
    "insist",
    "prepare",
    "split",
]

WIDTHS = (1, 2, 4, 6, 8, 10, 12, 14, 16, 20, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
FEW = 8  # a width that less than one leaf in 8 needs is not worth a program of its own


class Group(NamedTuple):
    """Leaves with at most as many conditions as the group is wide; what is not one, all pass."""

    feature: Int[Array, "leaves width"]
    lower: Float[Array, "leaves width"]  # excluded; NaN where there is none
    upper: Float[Array, "leaves width"]  # included
    takes_missing: Bool[Array, "leaves width"]
    codes: UInt32[Array, "leaves width words"]  # bit c: category c passes; words may be 0
    takes_others: Bool[Array, "leaves width"]  # whether categories beyond the words pass
    share: Float[Array, "leaves width"]  # of the rows at a node that pass, in [0, 1]
    value: Float[Array, "leaves outputs"]  # unit of the trees' sum


class Host(NamedTuple):
    """A group while it is made, of NumPy arrays; the feature of what is no condition is −1."""

    feature: Any
    lower: Any
    upper: Any
    takes_missing: Any
    codes: Any
    takes_others: Any
    share: Any
    value: Any


class Paths(NamedTuple):
    """All leaves, by the number of their conditions."""

    groups: tuple[Group, ...]


def prepare(trees: Trees) -> Paths:
    """Follow every path from the roots, on the host. O(leaves depth²).

    Where no row has been, at a node of cover 0, both sides have a share of one half, so that
    nothing is divided by nothing and the shares of a node's children add up to one.

    Args:
        trees: Grown here or imported. Their number of leaves decides shapes, so that this is no
            function for ``jit``.

    Returns:
        The paths, in the precision of the trees; leaves of several widths are several groups.

    Example:
        >>> from sklearn.tree import DecisionTreeRegressor
        >>> from mastery_jax.learning.trees import imported
        >>> fitted = DecisionTreeRegressor().fit([[0.0], [0.0], [1.0], [2.0]], [1, 1, 1, 4])
        >>> (group,) = prepare(imported.from_sklearn(fitted).trees).groups
        >>> group.upper.tolist(), (4 * group.share).tolist(), group.value.tolist()
        ([[1.5], [inf]], [[3.0], [1.0]], [[1.0], [4.0]])
    """
    ended = _follow(Trees._make(np.asarray(field) for field in trees))
    width = max(max(part.feature.shape[1] for part in ended), 1)
    parts = zip(*(_widen(part, width) for part in ended), strict=True)
    whole = Host._make(map(np.concatenate, parts))
    groups = []
    for rows, wide in _widths((whole.feature >= 0).sum(axis=1)):
        cut = [field[rows, :wide] for field in whole[:-1]]
        cut = [np.maximum(cut[0], 0), *cut[1:], whole.value[rows]]
        groups.append(Group._make(map(jnp.asarray, cut)))
    return Paths(tuple(groups))


def columns(paths: Paths, X: Any) -> Any:
    """Return the rows of X as lanes: one line a feature."""
    return jnp.asarray(X, paths.groups[0].upper.dtype).T


def holds(leaf: Group, lanes: Array) -> Array:
    """Say which lanes pass each condition of one leaf, (width, n). O(width n).

    The barrier keeps XLA from asking anew wherever an answer is used.

    Args:
        leaf: One leaf of a group, without the leading axis.
        lanes: (features, n).
    """

    def one(_: None, condition: tuple[Array, ...]) -> tuple[None, Array]:
        feature, lower, upper, takes_missing, codes, takes_others = condition
        x = jax.lax.dynamic_index_in_dim(lanes, feature, keepdims=False)
        is_in = (x <= upper) & ~(x <= lower)
        if len(codes):
            code = jnp.where(jnp.isnan(x), -1, x).astype(jnp.int32)
            word = codes.at[code >> 5].get(mode="fill", fill_value=0)
            is_known = (code >= 0) & (code < 32 * len(codes))
            is_bit = (word >> (code & 31).astype(word.dtype)) & 1 == 1
            is_in &= jnp.where(is_known, is_bit, takes_others)
        return None, is_in | (jnp.isnan(x) & takes_missing)

    return jax.lax.optimization_barrier(loop.scan(one, None, tuple(leaf[:6]))[1])


def split(group: Group, size: int) -> Group:
    """Give the leaves of a group two axes, the second of at most ``size``; what fills up is 0."""
    size = min(size, len(group.value))
    count = -(-len(group.value) // size)

    def one(field: Array) -> Array:
        pads = [(0, count * size - len(field))] + [(0, 0)] * (field.ndim - 1)
        return jnp.pad(field, pads).reshape(count, size, *field.shape[1:])

    return Group._make(map(one, group))


def base_value(paths: Paths) -> Array:
    """Return the mean of the trees over the rows that they were grown from. O(leaves width)."""
    means = [jnp.prod(group.share, axis=1)[:, None] * group.value for group in paths.groups]
    return jnp.concatenate(means).sum(axis=0)


def are_there(paths: Paths, X: Array) -> Array:
    """Say whether rows are as wide as the trees ask. O(leaves width)."""
    return jnp.stack([group.feature.max() for group in paths.groups]).max() < X.shape[1]


def insist(where: str, paths: Paths, X: Array, **of_outputs: Array | None) -> None:
    """Insist on the shapes of all groups, which are too many for an annotation.

    Args:
        where: Who asks.
        paths: Of the trees.
        X: The rows to explain.
        of_outputs: Arrays whose last axis is the outputs of the trees, by name.

    Raises:
        ValueError: a field has another rank, X has no features, or outputs are others.
    """
    ranks = (2, 2, 2, 2, 3, 2, 2, 2)
    for index, group in enumerate(paths.groups):
        for name, field, rank in zip(Group._fields, group, ranks, strict=True):
            if field.ndim != rank:
                shape = jax.typeof(field).str_short()
                raise ValueError(
                    f"{where}: paths.groups[{index}].{name} is {shape}, not of rank {rank}"
                )
    if not X.shape[1]:
        raise ValueError(f"{where}: X has no features")
    outputs = paths.groups[0].value.shape[1]
    for name, array in of_outputs.items():
        if array is not None and array.shape[-1] != outputs:
            shape = jax.typeof(array).str_short()
            raise ValueError(f"{where}: {name} is {shape}, not of {outputs} outputs")


def _follow(trees: Any) -> list[Host]:
    """Return the leaves of every depth, their conditions in the order of the path."""
    num_trees, _, words = trees.left_set.shape
    tree, node = np.arange(num_trees), np.zeros(num_trees, int)
    shape = (num_trees, 0)
    at = Host(
        feature=np.zeros(shape, np.int32),
        lower=np.zeros(shape, trees.threshold.dtype),
        upper=np.zeros(shape, trees.threshold.dtype),
        takes_missing=np.zeros(shape, bool),
        codes=np.zeros((*shape, words), np.uint32),
        takes_others=np.zeros(shape, bool),
        share=np.zeros(shape, trees.cover.dtype),
        value=trees.value[:, 0],
    )
    ended = []
    while len(tree):
        is_leaf = trees.child[tree, node] == node
        leaf = Host._make(field[is_leaf] for field in at)
        ended.append(leaf._replace(value=trees.value[tree[is_leaf], node[is_leaf]]))
        tree, node = tree[~is_leaf], node[~is_leaf]
        at = Host._make(field[~is_leaf] for field in at)
        sides = [_descend(trees, tree, node, at, is_left) for is_left in (True, False)]
        at = Host._make(map(np.concatenate, zip(*(found for found, _ in sides), strict=True)))
        tree, node = np.tile(tree, 2), np.concatenate([below for _, below in sides])
    return ended


def _descend(trees: Any, tree: Any, node: Any, at: Host, is_left: bool) -> tuple[Host, Any]:
    """Return the conditions of one child of every node, and where that child stands."""
    wide = _widen(at, at.feature.shape[1] + 1)
    feature = trees.feature[tree, node]
    rows = np.arange(len(tree))
    is_same = wide.feature == feature[:, None]
    slot = np.where(is_same.any(axis=1), is_same.argmax(axis=1), (wide.feature >= 0).sum(axis=1))
    wide.feature[rows, slot] = feature
    threshold, left = trees.threshold[tree, node], trees.child[tree, node]
    below = left if is_left else left + 1
    missing = trees.missing_left[tree, node]
    wide.takes_missing[rows, slot] &= missing if is_left else ~missing
    bound, nearer = (wide.upper, np.fmin) if is_left else (wide.lower, np.fmax)
    bound[rows, slot] = nearer(bound[rows, slot], threshold)  # a set's threshold is NaN
    is_set = np.isnan(threshold)
    chosen = trees.left_set[tree, node] if is_left else ~trees.left_set[tree, node]
    wide.codes[rows[is_set], slot[is_set]] &= chosen[is_set]
    wide.takes_others[rows, slot] &= ~is_set | (not is_left)
    both = trees.cover[tree, left] + trees.cover[tree, left + 1]
    part = trees.cover[tree, below] / np.where(both > 0, both, 1)
    wide.share[rows, slot] *= np.where(both > 0, part, both.dtype.type(0.5))
    return wide, below


def _widen(at: Host, width: int) -> Host:
    """Add conditions that all pass; their feature is −1."""
    none = (-1, np.nan, np.inf, True, ~np.uint32(0), True, 1)

    def one(field: Any, fill: Any) -> Any:
        shape = (len(field), width - field.shape[1], *field.shape[2:])
        return np.concatenate([field, np.full(shape, fill, field.dtype)], axis=1)

    wide = [one(*pair) for pair in zip(at[:-1], none, strict=True)]
    return Host._make([*wide, at.value])


def _widths(count: Any) -> list[tuple[Any, int]]:
    """Return which leaves are together, and how wide their group is; wide ones come last."""
    widths = np.array(WIDTHS)
    needed = widths[np.searchsorted(widths, np.maximum(count, 1))]
    groups, left = [], needed
    for width in np.unique(needed):
        mine = left <= width
        if mine.sum() * FEW < len(count) and width != needed.max():
            continue
        groups.append((np.flatnonzero(mine), int(width)))
        left = np.where(mine, np.iinfo(left.dtype).max, left)
    return groups
