"""Trees grown by the definition, for the oracles: every threshold of every feature is tried."""

import itertools
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
    bounds: tuple = (-np.inf, np.inf)
    split: tuple | None = None  # gain, feature, threshold, categories that go left
    child: int | None = None


@dataclass
class Kind:
    """What rows add up to, what a split gains, and what a leaf says within its bounds."""

    score: Callable  # of a sum, and of the step that it takes where steps are clipped
    say: Callable  # what signs speak of
    value: Callable  # of what is said, within bounds
    weight: Callable = field(default=np.sum)
    is_step: bool = False  # clipped before a split is judged; else a split must be within bounds


def of_classes(criterion, *, num_trees=1):
    def gini(total):
        return (total**2).sum() / total.sum()

    def entropy(total):
        return special.xlogy(total, total / total.sum()).sum()

    def value(total, low, high):
        share = total / total.sum()
        if len(total) == 2:
            share = np.array([1 - np.clip(share[1], low, high), np.clip(share[1], low, high)])
        return share / num_trees

    score = {"gini": gini, "entropy": entropy}[criterion]
    return Kind(score, lambda total: total[1] / total.sum(), value)


def of_numbers():
    def say(total):
        return total[0] / total[1]

    return Kind(
        lambda t: t[0] ** 2 / t[1],
        say,
        lambda t, low, high: np.clip([say(t)], low, high),
        weight=lambda t: t[1],
    )


def of_slopes(*, l2, rate):
    def say(total):
        return -total[0] / (total[1] + l2)

    def score(total, low, high):
        step = np.clip(say(total), low, high)
        return -(total[0] * step + (total[1] + l2) * step**2 / 2)

    return Kind(
        score,
        say,
        lambda t, low, high: rate * np.clip([say(t)], low, high),
        weight=lambda t: t[1],
        is_step=True,
    )


def edges_of(X):
    values = [np.unique(column) for column in X.T]
    return [(v[1:] + v[:-1]) / 2 for v in values]


def parts_of(x, cuts, is_set):
    """Yield thresholds, sets, and which rows go left; of a set all that there are."""
    if not is_set:
        for cut in cuts:
            yield cut, None, x <= cut
        return
    codes = np.unique(x).astype(int)
    for size in range(1, len(codes)):
        for chosen in itertools.combinations(codes, size):
            yield np.nan, chosen, np.isin(x, chosen)


def gain_of(node, left, kind, sign, min_leaf):
    """Return what a split gains, −∞ where it may not be."""
    right, bounds = node.total - left, node.bounds
    if min(kind.weight(left), kind.weight(right)) < max(min_leaf, 1e-9):
        return -np.inf
    says = np.array([kind.say(left), kind.say(right)])
    clipped = np.clip(says, *bounds)
    if kind.is_step:
        is_allowed = sign * (clipped[0] - clipped[1]) <= 0
        scores = [kind.score(total, *bounds) for total in (left, right, node.total)]
    else:
        is_within = (clipped == says).all()
        is_allowed = sign == 0 or (is_within and sign * (says[0] - says[1]) <= 0)
        scores = [kind.score(total) for total in (left, right, node.total)]
    return scores[0] + scores[1] - scores[2] if is_allowed else -np.inf


def bounds_below(node, left, kind, sign):
    says = [np.clip(kind.say(total), *node.bounds) for total in (left, node.total - left)]
    (low, high), middle = node.bounds, sum(says) / 2
    below, above = (low, middle), (middle, high)
    return {0: (node.bounds, node.bounds), 1: (below, above), -1: (above, below)}[int(sign)]


def grow(X, stats, kind, *, max_depth, min_leaf=1.0, signs=None, sets=()):
    """Return the nodes, level by level; ``stats`` (n, channels) are added up."""
    edges = edges_of(X)
    signs = np.zeros(X.shape[1]) if signs is None else signs
    nodes = [Node(np.arange(len(X)), 0, stats.sum(axis=0))]
    for node in nodes:  # grows as it is read
        if node.depth == max_depth:
            continue
        best = None
        for feature, cuts in enumerate(edges):
            parts = parts_of(X[node.rows, feature], cuts, feature in sets)
            for cut, chosen, is_left in parts:
                left = stats[node.rows][is_left].sum(axis=0)
                gain = gain_of(node, left, kind, signs[feature], min_leaf)
                if gain > (node.split[0] if node.split else 0) + 1e-12:
                    is_first = chosen is None or kind.say(left) <= kind.say(node.total - left)
                    node.split = gain, feature, cut, chosen
                    best = left, is_left
                    if not is_first:  # categories of the lesser mean go left
                        best = node.total - left, ~is_left
                        rest = np.setdiff1d(X[node.rows, feature], chosen)
                        node.split = gain, feature, cut, tuple(rest.astype(int))
        if node.split:
            node.child = len(nodes)
            left, is_left = best
            fences = bounds_below(node, left, kind, signs[node.split[1]])
            for side, bounds in zip((is_left, ~is_left), fences, strict=True):
                rows = node.rows[side]
                nodes.append(Node(rows, node.depth + 1, stats[rows].sum(axis=0), bounds))
    return nodes


def lay_out(nodes, kind, *, room, words=0):
    """Return one tree in the form of the library, with space for ``room`` nodes."""
    outputs = len(kind.value(nodes[0].total, *nodes[0].bounds))
    tree = ensemble.Trees(
        feature=np.zeros(room, np.int32),
        threshold=np.full(room, np.inf),
        left_set=np.zeros((room, words), np.uint32),
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
            tree.gain[i], tree.feature[i], tree.threshold[i], chosen = node.split
            tree.child[i], tree.missing_left[i] = node.child, False
            if chosen is not None:
                tree.left_set[i, 0] = sum(1 << code for code in chosen)
        else:
            tree.value[i] = kind.value(node.total, *node.bounds)
    return tree


def stack(trees):
    return ensemble.Trees(*(np.stack(leaves) for leaves in zip(*trees, strict=True)))


def leaves(tree, X):
    """Walk every row down one tree."""
    found = []
    for x in X:
        node = 0
        while tree.child[node] != node:
            value, threshold = x[tree.feature[node]], tree.threshold[node]
            is_left = tree.missing_left[node] if np.isnan(value) else value <= threshold
            if np.isnan(threshold):
                is_left = bool(int(tree.left_set[node, 0]) >> int(value) & 1)
            node = tree.child[node] + (not is_left)
        found.append(node)
    return np.array(found)


def evaluate(trees, X):
    each = [ensemble.Trees(*parts) for parts in zip(*trees, strict=True)]
    return sum(tree.value[leaves(tree, X)] for tree in each)


def stages(trees, X):
    each = [ensemble.Trees(*parts) for parts in zip(*trees, strict=True)]
    return np.cumsum([tree.value[leaves(tree, X)] for tree in each], axis=0)


def importances(trees, num_features):
    shares = np.zeros(num_features)
    for feature, gain in zip(trees.feature, trees.gain, strict=True):
        part = np.bincount(feature, gain, num_features)
        shares += part / (part.sum() or 1)
    return shares / (shares.sum() or 1)
