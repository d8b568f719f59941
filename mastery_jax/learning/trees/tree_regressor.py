"""Decision tree for numbers: questions about one feature at a time, and the mean at their end.

Source: Breiman, Friedman, Olshen & Stone (1984), *Classification and Regression Trees*, chapter
8.
"""

from functools import partial
from typing import NamedTuple

import jax
from jaxtyping import Array, Float, Int

from mastery_jax.core.check import Scalar, checked
from mastery_jax.learning.trees import ensemble, forest, grower, soundness
from mastery_jax.learning.trees.splitting import Missing

__all__ = ["Info", "State", "fit", "predict"]


class State(NamedTuple):
    """A fitted tree."""

    trees: ensemble.Trees  # the one tree, its values above the bias; unit of y
    bias: Float[Array, ""]  # mean of y
    importances: Float[Array, " d"]  # share of the decrease of squared error


class Info(NamedTuple):
    """What was left out."""

    num_cut: Int[Array, ""]  # nodes that ``max_leaves`` kept from being split


@partial(jax.jit, static_argnames=("max_depth", "max_leaves", "num_bins", "missing", "categorical"))
@checked
def fit(
    X: Float[Array, "n d"],
    y: Float[Array, " n"],
    *,
    weights: Float[Array, " n"] | None = None,
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
        y: One target per sample; one that is not finite makes every value NaN.
        weights: ≥ 0, one where None. A row of weight 0 has no say.
        max_depth: Splits above a leaf at most; no bound where None. Static.
        max_leaves: Grown level by level; 16,384 where None. Static.
        num_bins: Bins of a feature, 3 to 256. Static.
        min_samples_split: Weight of a node that is split, at least.
        min_samples_leaf: Weight of a leaf, at least.
        min_gain: Decrease of a split node's squared error, at least, in units of weight times y².
        missing: ``learned`` tries missing values on both sides of a threshold; ``right`` holds them
            larger than any number. Static.
        monotone: Of each feature 1 where the answer must not fall with it, −1 where it must not
            rise, 0 where it may do either. Any other number, or a sign of categories, makes every
            value NaN.
        categorical: Columns that hold codes 0 … num_bins − 2 of categories; fractions are cut off,
            and any other number is a missing value. A split is a set of codes. Static.

    Returns:
        The tree, and what was left out. NaN throughout where targets or weights have no meaning,
        or a number is negative.

    Raises:
        ValueError: a static number outside its range; shapes that disagree.

    Example:
        >>> import jax.numpy as jnp
        >>> X, y = jnp.array([[0.0], [1.0], [2.0], [3.0]]), jnp.array([1.0, 1.0, 5.0, 6.0])
        >>> state, _ = fit(X, y, max_depth=1)
        >>> state.trees.threshold[0, 0], predict(state, X)
        (Array(1.5, dtype=float32), Array([1. , 1. , 5.5, 5.5], dtype=float32))
    """
    where = "tree_regressor.fit"
    soundness.insist_on_columns(where, categorical, X.shape[1])
    nodes = grower.room(where, num_rows=len(X), max_depth=max_depth, max_leaves=max_leaves)
    bias, centered = forest.center(y, weights)
    trees, num_cut = forest.grow_one(
        X,
        centered,
        weights,
        forest.limits(X.dtype, min_samples_split, min_samples_leaf, min_gain),
        plan=grower.Plan(
            "squared_error", num_bins, nodes, max_depth, missing=missing, categorical=categorical
        ),
        task=forest.of_numbers(num_trees=1),
        signs=monotone,
    )
    state = State(trees, bias, forest.importances(trees, X.shape[1]))
    is_sound = soundness.are_targets(y, weights) & soundness.are_signs(monotone, categorical)
    is_sound &= soundness.are_amounts(min_samples_split, min_samples_leaf, min_gain)
    return soundness.spoil((state, Info(num_cut)), is_sound)


@jax.jit
@checked
def predict(state: State, X: Float[Array, "n d"]) -> Float[Array, " n"]:
    """Return the mean target of the leaf that a row falls into, in the unit of y. O(n depth)."""
    return state.bias + ensemble.total(state.trees, X)[:, 0]
