"""TreeSHAP, path-dependent: Shapley values of trees, exact; unknown features follow the covers.

The game of a leaf with value v pays v Π_{k∈S} o_k Π_{k∉S} z_k for the features S that are known,
o_k = 1 where x passes the condition on k, z_k the share of the rows that did. With

    |S|! (m − 1 − |S|)! / m!  =  ∫₀¹ t^|S| (1 − t)^(m−1−|S|) dt        (Beta function)

the sum over all 2^(m−1) sets S is the integral of a product,

    φ_j  =  v (o_j − z_j) ∫₀¹ Π_{k≠j} (t o_k + (1 − t) z_k) dt

which Gauss's rule with ⌈m/2⌉ nodes takes exactly, its degree being m − 1. All factors are
positive: nothing cancels, however deep the tree, where the recursion over subset sizes divides by
what it has multiplied. With P = Π_k (t o_k + (1 − t) z_k), the integrand is P (1 − z_j) / (t + (1 −
t) z_j) where x passes, and −P / (1 − t), the same for all j, where it does not. Interactions are
the same integral without two features.

Source: Lundberg, Erion & Lee (2018), *Consistent individualized feature attribution for tree
ensembles*, arXiv:1802.03888, algorithm 1 (the game), eq. 3-5 (interactions); Owen (1972),
*Management Science* 18, 64 (the integral); Golub & Welsch (1969) (the nodes).
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mastery_jax.core import loop
from mastery_jax.core.check import checked
from mastery_jax.trust.shap import explanation
from mastery_jax.trust.shap.explanation import Explanation, Info
from mastery_jax.trust.shap.lanes import add, by_block
from mastery_jax.trust.shap.paths import (
    Group,
    Paths,
    are_there,
    base_value,
    columns,
    holds,
    insist,
    split,
)

__all__ = ["explain", "interactions"]

LEAVES = 128  # at once: XLA makes one kernel of a loop whose state is small


@jax.jit
@checked
def explain(
    paths: Paths,
    X: Float[Array, "n d"],
    *,
    bias: Float[Array, " outputs"] | None = None,
    answers: Float[Array, "n outputs"] | None = None,
) -> tuple[Explanation, Info]:
    """Attribute the sum of the trees to the features. O(n leaves m²), m conditions to a leaf.

    Args:
        paths: Of the trees, by ``paths.prepare``.
        X: The rows to explain; NaN is a missing value.
        bias: Added to the sum of the trees; zero where None.
        answers: What the model itself says of the rows, in the unit of the sum, for the gap to be
            measured against. Where None it is measured against the sum of the paths and the bias,
            and sees rounding alone.

    Returns:
        The attributions, in the unit of the sum (of boosted classifiers: log odds), from the mean
        of the trees over the rows that they were grown from; and the gap. Attributions and gap are
        NaN where the trees ask for a feature that ``X`` lacks.

    Raises:
        ValueError: ``paths`` or ``X`` have other ranks, ``X`` has no features, or ``bias``
            or ``answers`` are not of the trees' outputs.

    Example:
        >>> from sklearn.tree import DecisionTreeRegressor
        >>> from mastery_jax.learning.trees import imported
        >>> from mastery_jax.trust.shap.paths import prepare
        >>> rows, y = jnp.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), [0, 0, 0, 4]
        >>> trees = imported.from_sklearn(DecisionTreeRegressor().fit(rows, y)).trees
        >>> found, info = explain(prepare(trees), rows[3:])
        >>> found.expected.tolist(), found.values[0, :, 0].tolist()
        ([1.0], [1.5, 1.5])
    """
    insist("tree_path_dependent.explain", paths, X, bias=bias, answers=answers)
    n, d = X.shape
    outputs = paths.groups[0].value.shape[1]

    def block(lanes: Array) -> tuple[Array, Array]:
        sums = (
            jnp.zeros((d * outputs, lanes.shape[1]), lanes.dtype),
            jnp.zeros((outputs, lanes.shape[1]), lanes.dtype),
        )
        for group in paths.groups:
            sums = _by_leaf(_explain_leaf, sums, group, lanes)
        return sums

    values, sums = by_block(block, columns(paths, X), d * outputs)
    origin = jnp.zeros(outputs, values.dtype) if bias is None else bias.astype(values.dtype)
    values = jnp.where(are_there(paths, X), values.T[:n].reshape(n, d, outputs), jnp.nan)
    said = sums.T[:n] + origin[None, :] if answers is None else answers.astype(values.dtype)
    return explanation.close(values, origin + base_value(paths), said)


@jax.jit
@checked
def interactions(paths: Paths, X: Float[Array, "n d"]) -> Float[Array, "n d d outputs"]:
    """Split every attribution among pairs of features. O(n leaves m³).

    Args:
        paths: Of the trees, by ``paths.prepare``.
        X: The rows to explain; NaN is a missing value.

    Returns:
        A symmetric matrix for each row and output: half of what features i and j add together
        stands at (i, j) and at (j, i), what i adds alone at (i, i); line i sums to φ_i. NaN
        throughout where the trees ask for a feature that ``X`` lacks.

    Raises:
        ValueError: ``paths`` or ``X`` have other ranks, or ``X`` has no features.

    Example:
        >>> from sklearn.tree import DecisionTreeRegressor
        >>> from mastery_jax.learning.trees import imported
        >>> from mastery_jax.trust.shap.paths import prepare
        >>> rows, y = jnp.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), [0, 0, 0, 4]
        >>> trees = imported.from_sklearn(DecisionTreeRegressor().fit(rows, y)).trees
        >>> interactions(prepare(trees), rows[3:])[0, :, :, 0].round(3).tolist()
        [[1.0, 0.5], [0.5, 1.0]]
    """
    insist("tree_path_dependent.interactions", paths, X)
    n, d = X.shape
    outputs = paths.groups[0].value.shape[1]

    def block(lanes: Array) -> Array:
        pairs = jnp.zeros((d * d * outputs, lanes.shape[1]), lanes.dtype)
        for group in paths.groups:
            pairs = _by_leaf(_pair_leaf, pairs, group, lanes)
        return pairs

    pairs = by_block(block, columns(paths, X), d * d * outputs).T[:n].reshape(n, d, d, outputs)
    values = explain(paths, X)[0].values
    alone = values - pairs.sum(axis=2)
    both = pairs + jnp.eye(d, dtype=pairs.dtype)[None, :, :, None] * alone[:, :, None, :]
    return jnp.where(are_there(paths, X), both, jnp.nan)


def _by_leaf(step: Callable[..., tuple], sums: Any, group: Group, lanes: Array) -> Any:
    """Apply ``step`` to all leaves of a group, some at a time, so that the inner loop is small."""

    def some(sums: Any, leaves: Group) -> tuple[Any, None]:
        return loop.scan(step, sums, _terms(leaves), lanes=lanes)[0], None

    return loop.scan(some, sums, split(group, LEAVES))[0]


def _terms(group: Group) -> tuple[Group, Array, Array, Array]:
    """Return the leaves, and at the nodes their factors and what divides P by one of them.

    All but the leaves are (leaves, nodes, width + 1): in front is what all features share, of the
    factors the weight of the node, of the ratios −1 / (1 − t) of those that do not pass.
    """
    width = group.feature.shape[1]
    nodes, weights = np.polynomial.legendre.leggauss(-(-width // 2))
    t, w = (jnp.asarray(v / 2, group.share.dtype)[None, :, None] for v in (nodes + 1, weights))
    share = group.share[:, None, :]
    passed, failed = t + (1 - t) * share, (1 - t) * share

    def headed(head: Array, rest: Array) -> Array:
        return jnp.concatenate([jnp.broadcast_to(head, (*rest.shape[:2], 1)), rest], axis=2)

    return group, headed(w, passed), failed, headed(-1 / (1 - t), (1 - share) / passed)


def _explain_leaf(sums: tuple[Array, Array], terms: tuple, *, lanes: Array) -> tuple:
    """Add one leaf to the attributions (d outputs, n) and the answers (outputs, n)."""
    leaf, passed, failed, ratio = terms
    values, answers = sums
    is_passed, product = _products(leaf, passed, failed, lanes)
    nodes = range(len(product))
    up = functools.reduce(jnp.add, (ratio[q, 1:, None] * product[q][None, :] for q in nodes))
    down = functools.reduce(jnp.add, (ratio[q, 0] * product[q] for q in nodes))
    found = jax.lax.optimization_barrier(jnp.where(is_passed, up, down[None, :]))
    values = add(values, leaf.feature, leaf.value, found)
    is_all = _are_all(is_passed).astype(answers.dtype)
    return (values, answers + leaf.value[:, None] * is_all[None, :]), None


def _pair_leaf(pairs: Array, terms: tuple, *, lanes: Array) -> tuple[Array, None]:
    """Add one leaf to what two features (d d outputs, n) add together, half to either order."""
    leaf, passed, failed, ratio = terms
    is_passed, product = _products(leaf, passed, failed, lanes)
    by_feature = jnp.where(is_passed[:, None, :], ratio[:, 1:].T[:, :, None], ratio[None, :, :1])
    num_features, nodes = len(lanes), range(len(product))

    def step(pairs: Array, both: Array) -> tuple[Array, None]:
        i, j = both
        at_nodes = (by_feature[i, q] * by_feature[j, q] * product[q] for q in nodes)
        found = functools.reduce(jnp.add, at_nodes)
        i, j = leaf.feature[i], leaf.feature[j]
        places = jnp.stack([i * num_features + j, j * num_features + i])
        return add(pairs, places, leaf.value, jnp.stack([found / 2, found / 2])), None

    where = np.stack(np.triu_indices(len(is_passed), 1), axis=1)
    return loop.scan(step, pairs, jnp.asarray(where, jnp.int32))


def _products(leaf: Group, passed: Array, failed: Array, lanes: Array) -> tuple[Array, Array]:
    """Return which conditions the lanes pass (m, n), and P at the nodes by weight (nodes, n)."""

    def step(product: Array, terms: tuple[Array, Array, Array]) -> tuple[Array, None]:
        is_one, if_so, if_not = terms
        return product * jnp.where(is_one[None, :], if_so[:, None], if_not[:, None]), None

    is_passed = holds(leaf, lanes)
    start = jnp.broadcast_to(passed[:, :1], (len(passed), lanes.shape[1]))
    product, _ = loop.scan(step, start, (is_passed, passed[:, 1:].T, failed.T))
    return is_passed, jax.lax.optimization_barrier(product)


def _are_all(is_passed: Array) -> Array:
    """Say where all conditions hold, one by one: XLA is slow at reducing a short axis."""

    def step(is_all: Array, is_one: Array) -> tuple[Array, None]:
        return is_all & is_one, None

    return loop.scan(step, jnp.ones(is_passed.shape[1], bool), is_passed)[0]
