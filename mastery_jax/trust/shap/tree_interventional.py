"""TreeSHAP, interventional: exact Shapley values of trees, unknown features from a background.

The game of a leaf pays v where x passes the conditions on the known features S, times the share of
the background that passes the others. With O the set of all conditions that x passes,

    φ_j(O)  =  v Σ_{S ⊆ O∖j} |S|! (m − 1 − |S|)!/m! ([j ∈ O] F(S ∪ j) − F(S)),
    F(S)    =  Σ_r w_r [r passes all k ∉ S]

Up to 10 conditions, F and φ are tables over all sets, made of a histogram of the background by
sums over sub- and supersets: a row then costs one look-up, whatever the size of the background.
With more, every pair of a row and a row of the background is one game, of the A conditions that x
alone passes and the B that r alone passes; where each is passed by one of the two,

    φ_j = v (A−1)! B!/(A+B)!  of the former,    −v A! (B−1)!/(A+B)!  of the latter

Source: Lundberg et al. (2020), *Nature Machine Intelligence* 2, algorithm 3 and supplement 2.4 (the
pairs); Kennes (1991), *Computational aspects of the Möbius transformation* (sums over subsets).
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mastery_jax.core import loop
from mastery_jax.core.check import checked
from mastery_jax.trust.shap import coalitions, explanation
from mastery_jax.trust.shap.explanation import Explanation, Info
from mastery_jax.trust.shap.lanes import add, by_block
from mastery_jax.trust.shap.paths import Group, Paths, are_there, columns, holds, insist, split

__all__ = ["explain"]

MOST = 10  # conditions whose sets are tabled: 2^10 entries each
TABLED = 1 << 18  # entries of the tables that are held at once
INSIDE = "promise_in_bounds"
WORD = 31  # conditions in an integer


@jax.jit
@checked
def explain(
    paths: Paths,
    X: Float[Array, "n d"],
    background: Float[Array, "rows d"],
    *,
    weights: Float[Array, " rows"] | None = None,
    bias: Float[Array, " outputs"] | None = None,
    answers: Float[Array, "n outputs"] | None = None,
) -> tuple[Explanation, Info]:
    """Attribute the sum of the trees to the features. O(leaves (rows m + 2^m m² + n m)).

    With more than 10 conditions m to a leaf, its cost is O(n rows m).

    Args:
        paths: Of the trees, by ``paths.prepare``; the covers are not read.
        X: The rows to explain; NaN is a missing value.
        background: What unknown features are taken from, jointly.
        weights: Of the background, ≥ 0; one where None. Only their ratios count.
        bias: Added to the sum of the trees; zero where None.
        answers: What the model itself says of the rows, in the unit of the sum, for the gap to be
            measured against. Where None it is measured against the sum of the paths and the bias,
            and sees rounding alone.

    Returns:
        The attributions, in the unit of the sum, from the mean over the background; and the gap.
        NaN throughout where no row of the background has weight or one has a negative one, or the
        trees ask for a feature that ``X`` and the background lack.

    Raises:
        ValueError: shapes disagree, ``X`` has no features, the background has no rows, or ``bias``
            or ``answers`` are not of the trees' outputs.

    Example:
        >>> from sklearn.tree import DecisionTreeRegressor
        >>> from mastery_jax.learning.trees import imported
        >>> from mastery_jax.trust.shap.paths import prepare
        >>> rows, y = jnp.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), [0, 0, 0, 4]
        >>> trees = imported.from_sklearn(DecisionTreeRegressor().fit(rows, y)).trees
        >>> found, info = explain(prepare(trees), rows[3:], rows[:1])
        >>> found.expected.tolist(), found.values[0, :, 0].tolist()
        ([0.0], [2.0, 2.0])
    """
    insist("tree_interventional.explain", paths, X, bias=bias, answers=answers)
    n, d = X.shape
    outputs = paths.groups[0].value.shape[1]
    seen = columns(paths, background)
    share = coalitions.shares("tree_interventional.explain", seen.T, weights)

    def block(lanes: Array) -> tuple[Array, Array, Array]:
        size = lanes.shape[1]
        sums = (
            jnp.zeros((d * outputs, size), lanes.dtype),
            jnp.zeros((outputs, size), lanes.dtype),
            jnp.zeros((outputs, 1), lanes.dtype),
        )
        for group in paths.groups:
            way = _by_table if group.feature.shape[1] <= MOST else _by_pair
            sums = way(sums, group, lanes, seen, share)
        # The background's mean is the same for all blocks; here it stands beside every lane.
        values, answers, expected = sums
        return values, answers, jnp.broadcast_to(expected, answers.shape)

    values, sums, expected = by_block(block, columns(paths, X), d * outputs)
    start = jnp.zeros(outputs, values.dtype) if bias is None else bias.astype(values.dtype)
    # Of a leaf whose table lacks a pattern, and of a feature in no leaf, NaN shares would be lost.
    is_known = are_there(paths, X) & ~jnp.isnan(share.sum())
    values = jnp.where(is_known, values.T[:n].reshape(n, d, outputs), jnp.nan)
    expected = jnp.where(is_known, expected[:, 0] + start, jnp.nan)
    said = sums.T[:n] + start[None, :] if answers is None else answers.astype(values.dtype)
    return explanation.close(values, expected, said)


def _by_table(sums: tuple, group: Group, lanes: Array, seen: Array, share: Array) -> tuple:
    """Add all leaves of a group to the attributions, the answers and the expectations."""
    width = group.feature.shape[1]
    size = min(max(TABLED // (width << width), 1), 128)

    def some(sums: tuple, leaves: Group) -> tuple[tuple, None]:
        _, counts = loop.scan(_count, None, leaves, lanes=seen, share=share)
        table, reached = _tables(counts)
        return loop.scan(_look_up, sums, (leaves, table, reached), lanes=lanes)[0], None

    return loop.scan(some, sums, split(group, size))[0]


def _count(_: None, leaf: Group, *, lanes: Array, share: Array) -> tuple[None, Array]:
    """Return how much of the background passes which conditions of a leaf."""
    pattern = _pattern(holds(leaf, lanes))
    return None, jnp.zeros(1 << len(leaf.feature), share.dtype).at[pattern].add(share)


def _tables(counts: Array) -> tuple[Array, Array]:
    """Return φ / v of every leaf, (leaves, width, patterns), and F(∅) of every leaf."""
    size = counts.shape[1]
    width = size.bit_length() - 1
    of_others = counts
    for bit in range(width):  # sums over supersets
        pair = of_others.reshape(-1, size >> (bit + 1), 2, 1 << bit)
        below = pair[:, :, :1] + pair[:, :, 1:]
        of_others = jnp.concatenate([below, pair[:, :, 1:]], axis=2).reshape(-1, size)
    known = of_others[:, ::-1]  # F: the conditions that are not in S are those to be passed
    sets, bits = np.arange(size), 1 << np.arange(width)[:, None]
    has_j, without = (sets & bits) > 0, sets & ~bits
    order = np.array([int(s).bit_count() for s in without.flat]).reshape(without.shape)
    weight = np.array([1 / (width * math.comb(width - 1, s)) for s in range(width)])[order]
    gained = jnp.where(has_j[None], known[:, None, :], 0) - known[:, without]
    table = jnp.asarray(weight, counts.dtype)[None] * gained
    for bit in range(width):  # sums over subsets, of the features other than j
        pair = table.reshape(-1, width, size >> (bit + 1), 2, 1 << bit)
        is_other = (np.arange(width) != bit)[None, :, None, None, None]
        above = pair[:, :, :, 1:] + jnp.where(is_other, pair[:, :, :, :1], 0)
        table = jnp.concatenate([pair[:, :, :, :1], above], axis=3).reshape(-1, width, size)
    return table, known[:, 0]


def _look_up(sums: tuple, terms: tuple, *, lanes: Array) -> tuple[tuple, None]:
    leaf, table, reached = terms
    values, answers, expected = sums
    pattern = jax.lax.optimization_barrier(_pattern(holds(leaf, lanes)))
    _, found = loop.scan(lambda _, line: (None, line.at[pattern].get(mode=INSIDE)), None, table)
    values = add(values, leaf.feature, leaf.value, found)
    is_all = (pattern == table.shape[1] - 1).astype(answers.dtype)
    answers = answers + leaf.value[:, None] * is_all[None, :]
    return (values, answers, expected + (leaf.value * reached)[:, None]), None


def _pattern(is_passed: Array) -> Array:
    """Return the conditions that are passed as the bits of an integer."""

    def step(pattern: Array, is_one: Array) -> tuple[Array, None]:
        return 2 * pattern + is_one.astype(jnp.int32), None

    return loop.scan(step, jnp.zeros(is_passed.shape[1], jnp.int32), is_passed[::-1])[0]


def _by_pair(sums: tuple, group: Group, lanes: Array, seen: Array, share: Array) -> tuple:
    width = group.feature.shape[1]
    one, other = (np.arange(width + 1)[:, None], np.arange(width + 1)[None, :])
    both = np.vectorize(lambda a, b: 1 / (a * math.comb(a + b, a)) if a else 0.0)
    weights = tuple(
        jnp.asarray(table.reshape(-1), share.dtype)
        for table in (both(one, other), both(other, one))
    )
    step = partial(_pair_leaf, lanes=lanes, seen=seen, share=share, weights=weights)
    return loop.scan(step, sums, group)[0]


def _pair_leaf(
    sums: tuple, leaf: Group, *, lanes: Array, seen: Array, share: Array, weights: tuple
) -> tuple[tuple, None]:
    """Add one leaf, by all pairs of a row of the background (first axis) and a lane."""
    values, answers, expected = sums
    mine, theirs = (holds(leaf, rows) for rows in (lanes, seen))
    width = len(mine)
    only_x, only_r = (jnp.zeros((seen.shape[1], lanes.shape[1]), jnp.int32) for _ in range(2))
    is_reached = jnp.ones(only_x.shape, bool)
    for start in range(0, width, WORD):
        x, r = (_pattern(passed[start : start + WORD]) for passed in (mine, theirs))
        x, r = x[None, :], r[:, None]
        only_x += jax.lax.population_count(x & ~r)
        only_r += jax.lax.population_count(r & ~x)
        is_reached &= (x | r) == (1 << min(WORD, width - start)) - 1
    index = only_x * (width + 1) + only_r
    up, down = (
        jnp.where(is_reached, table.at[index].get(mode=INSIDE), 0) * share[:, None]
        for table in weights
    )
    passed = theirs.astype(share.dtype)
    with jax.default_matmul_precision("highest"):
        found = jnp.where(mine, (1 - passed) @ up, -(passed @ down))
    values = add(values, leaf.feature, leaf.value, found)
    is_all = mine.all(axis=0).astype(answers.dtype)
    reached = passed.min(axis=0) @ share
    answers = answers + leaf.value[:, None] * is_all[None, :]
    return (values, answers, expected + (leaf.value * reached)[:, None]), None
