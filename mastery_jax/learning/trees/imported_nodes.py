"""Imported nodes: a tree of another library, a list of nodes, brought into the form of the house.

A peer says where both children of a node stand, and which numbers it compares; here the right child
follows the left one. A comparison is kept exactly, whatever the precision of the peer and of ours:

    x < t                 ⟺  x ≤ the number before t
    x₃₂ ≤ t₆₄             ⟺  x₃₂ ≤ t₆₄ rounded down to single precision
    round₃₂(x₆₄) ≤ t₃₂    ⟺  x₆₄ ≤ half-way to the number after t₃₂, or just below

A set of categories is the test of a node whose threshold is NaN. What is in no set goes right, so
that a node that sends the unknown left has its children exchanged.

Source: IEEE (2019), *Standard for Floating-Point Arithmetic* 754, section 4.3.1 (ties to even).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from mastery_jax.learning.trees.ensemble import Trees

__all__ = ["Nodes", "assemble", "bits", "exchange", "round_down"]

WORD = 32  # bits


class Nodes(NamedTuple):
    """One tree on the host; row 0 is the root, and −1 in ``left`` marks a leaf."""

    feature: Any
    threshold: Any  # left where x ≤ it; NaN where a set decides
    left: Any
    right: Any
    missing_left: Any
    value: Any  # (nodes, outputs)
    cover: Any
    gain: Any
    left_set: Any = None  # a list: words of the categories that go left, or None


def assemble(trees: Sequence[Nodes], *, is_single: bool) -> Trees:
    """Lay trees side by side, on the host. O(trees nodes).

    Args:
        trees: At least one.
        is_single: Whether the peer rounds what it is asked about to single precision first. The
            thresholds are then single, too.

    Returns:
        The trees in jax's default precision, x64 or not.
    """
    dtype = np.dtype(jnp.zeros(0).dtype)
    size = max(len(tree.feature) for tree in trees)
    sets = [words for tree in trees for words in tree.left_set or () if words is not None]
    num_words = max((len(words) for words in sets), default=0)
    laid = [_lay(tree, size, num_words, is_single, dtype) for tree in trees]
    return Trees(*(jnp.asarray(np.stack(field)) for field in zip(*laid, strict=True)))


def round_down(threshold: Any, dtype: Any) -> Any:
    """Return the greatest number of a precision that is not above a double one.

    Example:
        >>> float(round_down(np.array([0.1]), np.single)[0]) <= 0.1
        True
    """
    threshold = np.asarray(threshold, np.double)
    with np.errstate(over="ignore"):  # beyond the greatest single number: its neighbour is
        near = threshold.astype(dtype)
    below = np.nextafter(near, np.asarray(-np.inf, dtype))
    return np.where(near.astype(np.double) > threshold, below, near)


def bits(codes: Sequence[int]) -> Any:
    """Return a set of categories as 32-bit words.

    Example:
        >>> bits([0, 2, 33]).tolist()
        [5, 2]
    """
    words = np.zeros(max(codes, default=0) // WORD + 1, np.uint32)
    for code in codes:
        words[code // WORD] |= np.uint32(1 << code % WORD)
    return words


def exchange(nodes: Nodes, where: Any) -> Nodes:
    """Exchange the children of some nodes; the caller gives the sets that now go left."""
    where = np.asarray(where, bool)
    return nodes._replace(
        left=np.where(where, nodes.right, nodes.left),
        right=np.where(where, nodes.left, nodes.right),
        missing_left=np.asarray(nodes.missing_left, bool) ^ where,
    )


def _lay(nodes: Nodes, size: int, num_words: int, is_single: bool, dtype: Any) -> tuple:
    """Return the fields of one tree in order of breadth, padded to ``size`` nodes."""
    order, child, depth = _breadth(np.asarray(nodes.left), np.asarray(nodes.right))
    used = len(order)
    is_leaf = child == np.arange(used)

    def padded(values: Any, fill: Any, kind: Any) -> Any:
        whole = np.full((size, *np.shape(values)[1:]), fill, kind)
        whole[:used] = values
        return whole

    def inner(values: Any, at_leaf: Any) -> Any:
        return np.where(is_leaf, at_leaf, np.asarray(values)[order])

    sets = np.zeros((size, num_words), np.uint32)
    for place, node in enumerate(order):
        words = None if nodes.left_set is None else nodes.left_set[node]
        if words is not None:
            sets[place, : len(words)] = words
    threshold = _thresholds(np.asarray(nodes.threshold, np.double), is_single, dtype)
    value = np.where(is_leaf[:, None], np.asarray(nodes.value)[order], 0)
    tail = np.arange(size, dtype=np.int32)
    tail[:used] = child
    return (
        padded(inner(nodes.feature, 0), 0, np.int32),
        padded(inner(threshold, np.inf), np.inf, dtype),
        sets,
        padded(inner(nodes.missing_left, True), True, bool),
        tail,
        padded(value, 0, dtype),
        padded(np.asarray(nodes.cover)[order], 0, dtype),
        padded(inner(nodes.gain, 0), 0, dtype),
        np.int32(depth),
    )


def _breadth(left: Any, right: Any) -> tuple[Any, Any, int]:
    """Return old nodes in their new order, the new left child of each, and the depth."""
    order, depths, child = [0], [0], []
    for place, node in enumerate(order):  # grows while it is read
        if left[node] < 0:
            child.append(place)
            continue
        child.append(len(order))
        order += [int(left[node]), int(right[node])]
        depths += 2 * [depths[place] + 1]
    return np.array(order), np.array(child), max(depths)


def _thresholds(threshold: Any, is_single: bool, dtype: Any) -> Any:
    """Return thresholds of our precision that send every x where the peer sends it."""
    is_wide = np.dtype(dtype).itemsize > np.dtype(np.single).itemsize
    if not is_single or not is_wide:
        return round_down(threshold, dtype)
    single = round_down(threshold, np.single)
    after = np.nextafter(single, np.single(np.inf))
    middle = single.astype(np.double) / 2 + after.astype(np.double) / 2
    is_even = single.view(np.uint32) % 2 == 0
    halfway = np.where(is_even, middle, np.nextafter(middle, -np.inf))
    return np.where(np.isfinite(after) & np.isfinite(single), halfway, threshold)
