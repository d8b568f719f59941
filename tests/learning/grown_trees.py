"""Trees grown by the definition, for the oracles: every threshold of every feature is tried."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy import special

from mastery_jax.learning.trees import ensemble


@dataclass
class Node:
    rows: np.ndarray
    depth: int
    total: np.ndarray
    split: tuple | None = None  # gain, feature, threshold
    child: int | None = None


@dataclass
class Kind:
    """What rows add up to, what a split gains, and what a leaf says."""

    score: Callable
    value: Callable
    weight: Callable = field(default=np.sum)


def of_classes(criterion, *, num_trees=1):
    def gini(total):
        return (total**2).sum() / total.sum()

    def entropy(total):
        return special.xlogy(total, total / total.sum()).sum()

    score = {"gini": gini, "entropy": entropy}[criterion]
    return Kind(score, lambda total: total / total.sum() / num_trees)


def of_numbers():
    return Kind(lambda t: t[0] ** 2 / t[1], lambda t: t[:1] / t[1:], weight=lambda t: t[1])


def of_slopes(*, l2, rate):
    return Kind(
        lambda t: t[0] ** 2 / (t[1] + l2) / 2,
        lambda t: -rate * t[:1] / (t[1:] + l2),
        weight=lambda t: t[1],
    )


def edges_of(X):
    values = [np.unique(column) for column in X.T]
    return [(v[1:] + v[:-1]) / 2 for v in values]


def grow(X, stats, kind, *, max_depth, min_leaf=1.0):
    """Return the nodes, level by level; ``stats`` (n, channels) are added up."""
    edges = edges_of(X)
    nodes = [Node(np.arange(len(X)), 0, stats.sum(axis=0))]
    for node in nodes:  # grows as it is read
        if node.depth == max_depth:
            continue
        for feature, cuts in enumerate(edges):
            for cut in cuts:
                left = stats[node.rows][X[node.rows, feature] <= cut].sum(axis=0)
                right = node.total - left
                if min(kind.weight(left), kind.weight(right)) < max(min_leaf, 1e-9):
                    continue
                gain = kind.score(left) + kind.score(right) - kind.score(node.total)
                if gain > (node.split[0] if node.split else 0) + 1e-12:
                    node.split = gain, feature, cut
        if node.split:
            node.child = len(nodes)
            is_left = X[node.rows, node.split[1]] <= node.split[2]
            for side in (is_left, ~is_left):
                rows = node.rows[side]
                nodes.append(Node(rows, node.depth + 1, stats[rows].sum(axis=0)))
    return nodes


def lay_out(nodes, kind, *, room):
    """Return one tree in the form of the library, with space for ``room`` nodes."""
    outputs = len(kind.value(nodes[0].total))
    tree = ensemble.Trees(
        feature=np.zeros(room, np.int32),
        threshold=np.full(room, np.inf),
        left_set=np.zeros((room, 0), np.uint32),
        missing_left=np.ones(room, bool),
        child=np.arange(room, dtype=np.int32),
        value=np.zeros((room, outputs)),
        cover=np.zeros(room),
        gain=np.zeros(room),
        depth=np.int32(max(node.depth for node in nodes)),
    )
    for i, node in enumerate(nodes):
        tree.cover[i] = kind.weight(node.total)
        if node.split:
            tree.gain[i], tree.feature[i], tree.threshold[i] = node.split
            tree.child[i], tree.missing_left[i] = node.child, False
        else:
            tree.value[i] = kind.value(node.total)
    return tree


def stack(trees):
    return ensemble.Trees(*(np.stack(leaves) for leaves in zip(*trees, strict=True)))


def leaves(tree, X):
    """Walk every row down one tree."""
    found = []
    for x in X:
        node = 0
        while tree.child[node] != node:
            value = x[tree.feature[node]]
            is_left = tree.missing_left[node] if np.isnan(value) else value <= tree.threshold[node]
            node = tree.child[node] + (not is_left)
        found.append(node)
    return np.array(found)


def evaluate(trees, X):
    each = [ensemble.Trees(*parts) for parts in zip(*trees, strict=True)]
    return sum(tree.value[leaves(tree, X)] for tree in each)


def importances(trees, num_features):
    shares = np.zeros(num_features)
    for feature, gain in zip(trees.feature, trees.gain, strict=True):
        part = np.bincount(feature, gain, num_features)
        shares += part / (part.sum() or 1)
    return shares / (shares.sum() or 1)
