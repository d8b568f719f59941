"""Decision tree for classes: questions about one feature at a time, and the shares at their end.

Source: Breiman, Friedman, Olshen & Stone (1984), *Classification and Regression Trees*, chapters 2
and 4.
"""

from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mastery_jax.core.check import Scalar, checked
from mastery_jax.learning.trees import ensemble, forest, grower, soundness
from mastery_jax.learning.trees.splitting import Missing

__all__ = ["Info", "State", "fit", "predict", "predict_proba"]


class State(NamedTuple):
    """A fitted tree."""

    trees: ensemble.Trees  # the one tree
    importances: Float[Array, " d"]  # share of the decrease of impurity


class Info(NamedTuple):
    """What was left out."""

    num_cut: Int[Array, ""]  # nodes that ``max_leaves`` kept from being split


@partial(
    jax.jit,
    static_argnames=(
        "num_classes",
        "criterion",
        "max_depth",
        "max_leaves",
        "num_bins",
        "missing",
        "categorical",
    ),
)
@checked
def fit(
    X: Float[Array, "n d"],
    labels: Int[Array, " n"],
    *,
    num_classes: int,
    weights: Float[Array, " n"] | None = None,
    criterion: Literal["gini", "entropy"] = "gini",
    max_depth: int | None = None,
    max_leaves: int | None = None,
    num_bins: int = 256,
    min_samples_split: Scalar = 2.0,
    min_samples_leaf: Scalar = 1.0,
    min_gain: Scalar = 0.0,
    missing: Missing = "learned",
    monotone: Int[Array, " d"] | None = None,
    categorical: tuple[int, ...] = (),
) -> tuple[State, Info]:
    """Grow the tree. O(n d depth).

    A feature of fewer values than bins is split as if there were no bins. Of equal splits the first
    feature's lowest threshold is taken.

    Args:
        X: One row per sample, of any scale; NaN is a missing value.
        labels: Codes 0 … num_classes − 1. Any other code makes every value NaN.
        num_classes: K ≥ 2. Static.
        weights: ≥ 0, one where None. A row of weight 0 has no say.
        criterion: Impurity of a node: Gini's, or the entropy in nats. Static.
        max_depth: Splits above a leaf at most; no bound where None. Static.
        max_leaves: Grown level by level; 16,384 where None. Static.
        num_bins: Bins of a feature, 3 to 256. Static.
        min_samples_split: Weight of a node that is split, at least.
        min_samples_leaf: Weight of a leaf, at least.
        min_gain: Decrease of a split node's total impurity, at least, in units of weight.
        missing: ``learned`` tries missing values on both sides of a threshold; ``right`` holds them
            larger than any number. Static.
        monotone: Of each feature 1 where the probability of class 1 must not fall with it, −1 where
            it must not rise, 0 where it may do either; of two classes only. Any other number, or a
            sign of categories, makes every value NaN.
        categorical: Columns that hold codes 0 … num_bins − 2 of categories; fractions are cut off,
            and any other number is a missing value. A split is a set of codes. Static.

    Returns:
        The tree, and what was left out. NaN throughout where labels or weights have no meaning,
        or a number is negative.

    Raises:
        ValueError: fewer than two classes; a static number outside its range; shapes that disagree.

    Example:
        >>> X, labels = jnp.array([[0.0], [1.0], [2.0], [3.0]]), jnp.array([0, 1, 1, 0])
        >>> state, _ = fit(X, labels, num_classes=2)
        >>> state.trees.threshold[0, :3], predict(state, X)
        (Array([0.5, inf, 2.5], dtype=float32), Array([0, 1, 1, 0], dtype=int32))
    """
    where = "tree_classifier.fit"
    soundness.insist(where, num_classes=(num_classes, 2))
    soundness.insist_on_two(where, monotone, num_classes)
    soundness.insist_on_columns(where, categorical, X.shape[1])
    nodes = grower.room(where, num_rows=len(X), max_depth=max_depth, max_leaves=max_leaves)
    trees, num_cut = forest.grow_one(
        X,
        labels,
        weights,
        forest.limits(X.dtype, min_samples_split, min_samples_leaf, min_gain),
        plan=grower.Plan(
            criterion, num_bins, nodes, max_depth, missing=missing, categorical=categorical
        ),
        task=forest.of_classes(num_classes, num_trees=1),
        signs=monotone,
    )
    state = State(trees, forest.importances(trees, X.shape[1]))
    is_sound = soundness.are_codes(labels, weights, num_classes=num_classes)
    is_sound &= soundness.are_signs(monotone, categorical)
    is_sound &= soundness.are_amounts(min_samples_split, min_samples_leaf, min_gain)
    return soundness.spoil((state, Info(num_cut)), is_sound)


@jax.jit
@checked
def predict(state: State, X: Float[Array, "n d"]) -> Int[Array, " n"]:
    """Return the code of the likeliest class of every row, the lowest of equals. O(n depth)."""
    return predict_proba(state, X).argmax(axis=1).astype(jnp.int32)


@jax.jit
@checked
def predict_proba(state: State, X: Float[Array, "n d"]) -> Float[Array, "n classes"]:
    """Return every class's share in the leaf that a row falls into. O(n depth)."""
    return ensemble.total(state.trees, X)
