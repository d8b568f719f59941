"""Shapley values from their definition, over all 2^d sets, in float64; and trees to try them on."""

import itertools
import math

import numpy as np

from mastery_jax.learning.trees import imported_nodes


def shapley(game, d):
    """Return φ (d, …) of a game, which takes a frozenset of players."""
    worth = {
        frozenset(s): np.asarray(game(frozenset(s)))
        for size in range(d + 1)
        for s in itertools.combinations(range(d), size)
    }
    weight = [math.factorial(s) * math.factorial(d - s - 1) / math.factorial(d) for s in range(d)]
    return np.stack(
        [
            sum(weight[len(s)] * (worth[s | {j}] - worth[s]) for s in worth if j not in s)
            for j in range(d)
        ]
    )


def pairs(game, d):
    """Return the interactions (d, d, …) of a game, and on the diagonal what is left of φ."""
    found = np.zeros((d, d, *np.shape(game(frozenset()))))
    for i, j in itertools.combinations(range(d), 2):
        rest = [k for k in range(d) if k not in (i, j)]
        for size in range(len(rest) + 1):
            weight = (
                math.factorial(size) * math.factorial(d - size - 2) / (2 * math.factorial(d - 1))
            )
            for s in map(frozenset, itertools.combinations(rest, size)):
                four = game(s | {i, j}) - game(s | {i}) - game(s | {j}) + game(s)
                found[i, j] += weight * four
        found[j, i] = found[i, j]
    for j, value in enumerate(shapley(game, d)):
        found[j, j] = value - found[j].sum(axis=0)
    return found


def random_trees(seed, *, num_trees=3, depth=4, d=5, outputs=2, sets=(3,), is_empty=False):
    """Return trees with missing values, sets of categories and, it may be, empty nodes."""
    rng = np.random.default_rng(seed)
    grown = [_grow(rng, depth, d, outputs, sets, is_empty) for _ in range(num_trees)]
    return imported_nodes.assemble(grown, is_single=False)


def rows(seed, n=7, d=5, sets=(3,)):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)).astype(np.float32).astype(float)
    X[:, list(sets)] = rng.integers(-1, 80, size=(n, len(sets)))
    X[rng.random(X.shape) < 0.1] = np.nan
    return X


def _grow(rng, depth, d, outputs, sets, is_empty):
    table = []

    def add(level, cover):
        place = len(table)
        table.append(None)
        feature = int(rng.integers(d))
        left = right = -1
        if level and rng.random() < 0.9:
            part = (
                rng.choice([0.0, 1.0]) if is_empty and rng.random() < 0.3 else rng.uniform(0.1, 0.9)
            )
            left, right = add(level - 1, cover * part), add(level - 1, cover * (1 - part))
        is_set = feature in sets
        chosen = np.flatnonzero(rng.random(70) < 0.5).tolist()
        table[place] = (
            feature,
            np.nan if is_set else rng.normal(),
            left,
            right,
            rng.random() < 0.5,
            rng.normal(size=outputs),
            cover,
            0.0,
            imported_nodes.bits(chosen) if is_set else None,
        )
        return place

    add(depth, 100.0)
    columns = list(zip(*table, strict=True))
    return imported_nodes.Nodes(*map(np.array, columns[:-1]), list(columns[-1]))


def goes_left(trees, t, node, x):
    """Say where a node sends a row: the text of the class, word by word."""
    value = x[trees.feature[t, node]]
    if np.isnan(value):
        return bool(trees.missing_left[t, node])
    if not np.isnan(trees.threshold[t, node]):
        return value <= trees.threshold[t, node]
    code, words = int(value), trees.left_set[t, node]
    is_known = 0 <= code < 32 * len(words)
    return bool(is_known and words[code // 32] >> np.uint32(code % 32) & 1)


def by_cover(trees, x):
    """Return the game in which unknown features follow the covers."""
    trees = type(trees)(*map(np.asarray, trees))

    def worth(t, node, known):
        child = trees.child[t, node]
        if child == node:
            return trees.value[t, node].astype(float)
        if trees.feature[t, node] in known:
            return worth(t, child + (not goes_left(trees, t, node, x)), known)
        covers = trees.cover[t, child : child + 2].astype(float)
        parts = covers / covers.sum() if covers.sum() > 0 else [0.5, 0.5]
        return sum(p * worth(t, child + k, known) for k, p in enumerate(parts))

    return lambda known: sum(worth(t, 0, known) for t in range(len(trees.feature)))


def by_background(answer, x, background, weights=None):
    """Return the game in which unknown features are taken from a background, jointly."""
    weights = np.ones(len(background)) if weights is None else weights

    def game(known):
        mixed = np.array(background)
        mixed[:, list(known)] = x[list(known)]
        answers = np.asarray(answer(mixed), float)
        return np.tensordot(weights / weights.sum(), answers, axes=1)

    return game
