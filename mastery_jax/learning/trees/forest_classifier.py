"""Random forest of classification trees: the mean of what many trees say.

    p(k | x) = 1/T Σ_t (share of class k in the leaf of tree t that x falls into)

Each tree is grown on rows drawn with replacement, and each of its nodes looks at a few features
drawn anew. With ``random_thresholds`` and without ``bootstrap`` they are *extra trees*.

Source: Breiman (2001), *Random forests*, *Machine Learning* 45; Geurts, Ernst & Wehenkel (2006),
*Extremely randomized trees*, *Machine Learning* 63.
"""

import math
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, Key

from mastery_jax.core.check import Scalar, checked
from mastery_jax.learning.trees import ensemble, forest, grower, soundness
from mastery_jax.learning.trees.splitting import Missing

__all__ = ["Info", "State", "fit", "predict", "predict_proba"]


class State(NamedTuple):
    """A fitted forest."""

    trees: ensemble.Trees  # each value a share of the probability
    importances: Float[Array, " d"]  # share of the decrease of impurity


class Info(NamedTuple):
    """What was left out."""

    num_cut: Int[Array, ""]  # nodes that ``max_leaves`` kept from being split
    out_of_bag: Float[Array, "n classes"] | None  # probabilities by the trees not grown on the row


@partial(
    jax.jit,
    static_argnames=(
        "num_classes", "num_trees", "criterion", "max_depth", "max_leaves", "max_features",
        "num_bins", "bootstrap", "random_thresholds", "out_of_bag", "missing", "categorical",
        "mesh",
    ),
)  # fmt: skip
@checked
def fit(
    key: Key[Array, ""],
    X: Float[Array, "n d"],
    labels: Int[Array, " n"],
    *,
    num_classes: int,
    weights: Float[Array, " n"] | None = None,
    num_trees: int = 100,
    criterion: Literal["gini", "entropy"] = "gini",
    max_depth: int | None = None,
    max_leaves: int | None = None,
    max_features: int | None = None,
    num_bins: int = 64,
    min_samples_split: Scalar = 2.0,
    min_samples_leaf: Scalar = 1.0,
    min_gain: Scalar = 0.0,
    bootstrap: bool = True,
    random_thresholds: bool = False,
    out_of_bag: bool = False,
    missing: Missing = "learned",
    monotone: Int[Array, " d"] | None = None,
    categorical: tuple[int, ...] = (),
    mesh: Mesh | None = None,
) -> tuple[State, Info]:
    """Grow the trees, the same on any number of devices. O(trees n √d depth).

    Args:
        key: Consumed.
        X: One row per sample, of any scale; NaN is a missing value.
        labels: Codes 0 … num_classes − 1. Any other code makes every value NaN.
        num_classes: K ≥ 2. Static.
        weights: ≥ 0, one where None.
        num_trees: T. Static.
        criterion: Impurity of a node: Gini's, or the entropy in nats. Static.
        max_depth: Splits above a leaf at most; no bound where None. Static.
        max_leaves: Of a tree, grown level by level; 16,384 where None. Static.
        max_features: Features that a node looks at; ⌊√d⌋ where None. Static.
        num_bins: Bins of a feature, 3 to 256; more find finer thresholds in more time. Static.
        min_samples_split: Weight of a node that is split, at least.
        min_samples_leaf: Weight of a leaf, at least.
        min_gain: Decrease of a split node's total impurity, at least, in units of weight.
        bootstrap: Draw rows for each tree, or take them all. Static.
        random_thresholds: Draw one threshold for each feature, or search them all. Static.
        out_of_bag: Follow the rows that a tree was not grown on. Static.
        missing: ``learned`` tries missing values on both sides of a threshold; ``right`` holds them
            larger than any number. Static.
        monotone: Of each feature 1 where the probability of class 1 must not fall with it, −1 where
            it must not rise, 0 where it may do either; of two classes only. Any other number, or a
            sign of categories, makes every value NaN.
        categorical: Columns that hold codes 0 … num_bins − 2 of categories; fractions are cut off,
            and any other number is a missing value. A split is a set of codes. Static.
        mesh: Devices that share the trees, whatever their number; none: where the caller runs.

    Returns:
        The forest, and what was left out. NaN throughout where labels or weights have no meaning,
        or a number is negative.

    Raises:
        ValueError: fewer than two classes; a static number outside its range; shapes that disagree.

    Example:
        >>> X, labels = jnp.arange(20.0)[:, None], jnp.arange(20) // 10
        >>> state, _ = fit(jax.random.key(0), X, labels, num_classes=2, num_trees=10)
        >>> predict(state, jnp.array([[3.0], [16.0]]))
        Array([0, 1], dtype=int32)
    """
    where, (n, d) = "forest_classifier.fit", X.shape
    most = max(1, math.isqrt(d)) if max_features is None else max_features
    soundness.insist(
        where, num_classes=(num_classes, 2), num_trees=(num_trees, 1), max_features=(most, 1, d)
    )
    soundness.insist_on_two(where, monotone, num_classes)
    soundness.insist_on_columns(where, categorical, d)
    nodes = grower.room(where, num_rows=n, max_depth=max_depth, max_leaves=max_leaves)
    trees, num_cut, drawn = forest.grow(
        key,
        X,
        labels,
        weights,
        forest.limits(X.dtype, min_samples_split, min_samples_leaf, min_gain),
        plan=grower.Plan(
            criterion, num_bins, nodes, max_depth, most, missing, random_thresholds, categorical
        ),
        task=forest.of_classes(num_classes, num_trees),
        num_trees=num_trees,
        is_bootstrap=bootstrap,
        is_out_of_bag=out_of_bag,
        mesh=mesh,
        signs=monotone,
    )
    is_sound = soundness.are_codes(labels, weights, num_classes=num_classes)
    is_sound &= soundness.are_signs(monotone, categorical)
    is_sound &= soundness.are_amounts(min_samples_split, min_samples_leaf, min_gain)
    left_out = None if drawn is None else forest.out_of_bag(trees, drawn)
    state = State(trees, forest.importances(trees, d))
    return soundness.spoil((state, Info(num_cut, left_out)), is_sound)


@jax.jit
@checked
def predict(state: State, X: Float[Array, "n d"]) -> Int[Array, " n"]:
    """Return the code of the likeliest class of every row, the lowest of equals. O(n trees depth).

    Args:
        state: From :func:`fit`.
        X: One row per sample; NaN is a missing value.
    """
    return predict_proba(state, X).argmax(axis=1).astype(jnp.int32)


@jax.jit
@checked
def predict_proba(state: State, X: Float[Array, "n d"]) -> Float[Array, "n classes"]:
    """Return every class's probability for every row. O(n trees depth).

    Args:
        state: From :func:`fit`.
        X: One row per sample; NaN is a missing value.
    """
    return ensemble.total(state.trees, X)
