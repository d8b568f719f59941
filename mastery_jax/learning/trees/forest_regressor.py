"""Random forest of regression trees: the mean of what many trees say.

    f(x) = 1/T Σ_t (mean of y in the leaf of tree t that x falls into)

Each tree is grown on rows drawn with replacement. With ``random_thresholds`` and without
``bootstrap`` they are *extra trees*.

Source: Breiman (2001), *Random forests*, *Machine Learning* 45, section 11; Geurts, Ernst &
Wehenkel (2006), *Extremely randomized trees*, *Machine Learning* 63.
"""

from functools import partial
from typing import NamedTuple

import jax
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, Key

from mastery_jax.core.check import Scalar, checked
from mastery_jax.learning.trees import ensemble, forest, grower, soundness
from mastery_jax.learning.trees.splitting import Missing

__all__ = ["Info", "State", "fit", "predict"]


class State(NamedTuple):
    """A fitted forest."""

    trees: ensemble.Trees  # each value a T-th of a mean, above the bias; unit of y
    bias: Float[Array, ""]  # mean of y
    importances: Float[Array, " d"]  # share of the decrease of squared error


class Info(NamedTuple):
    """What was left out."""

    num_cut: Int[Array, ""]  # nodes that ``max_leaves`` kept from being split
    out_of_bag: Float[Array, " n"] | None  # predictions by the trees not grown on the row


@partial(
    jax.jit,
    static_argnames=(
        "num_trees", "max_depth", "max_leaves", "max_features", "num_bins", "bootstrap",
        "random_thresholds", "out_of_bag", "missing", "categorical", "mesh",
    ),
)  # fmt: skip
@checked
def fit(
    key: Key[Array, ""],
    X: Float[Array, "n d"],
    y: Float[Array, " n"],
    *,
    weights: Float[Array, " n"] | None = None,
    num_trees: int = 100,
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
    """Grow the trees, the same on any number of devices. O(trees n d depth).

    Args:
        key: Consumed.
        X: One row per sample, of any scale; NaN is a missing value.
        y: One target per sample; one that is not finite makes every value NaN.
        weights: ≥ 0, one where None.
        num_trees: T. Static.
        max_depth: Splits above a leaf at most; no bound where None. Static.
        max_leaves: Of a tree, grown level by level; 16,384 where None. Static.
        max_features: Features that a node looks at; all where None. Static.
        num_bins: Bins of a feature, 3 to 256; more find finer thresholds in more time. Static.
        min_samples_split: Weight of a node that is split, at least.
        min_samples_leaf: Weight of a leaf, at least.
        min_gain: Decrease of a split node's squared error, at least, in units of weight times y².
        bootstrap: Draw rows for each tree, or take them all. Static.
        random_thresholds: Draw one threshold for each feature, or search them all. Static.
        out_of_bag: Follow the rows that a tree was not grown on. Static.
        missing: ``learned`` tries missing values on both sides of a threshold; ``right`` holds them
            larger than any number. Static.
        monotone: Of each feature 1 where the answer must not fall with it, −1 where it must not
            rise, 0 where it may do either. Any other number, or a sign of categories, makes every
            value NaN.
        categorical: Columns that hold codes 0 … num_bins − 2 of categories; fractions are cut off,
            and any other number is a missing value. A split is a set of codes. Static.
        mesh: Devices that share the trees, whatever their number; none: where the caller runs.

    Returns:
        The forest, and what was left out. NaN throughout where targets or weights have no meaning,
        or a number is negative.

    Raises:
        ValueError: a static number outside its range; shapes that disagree.

    Example:
        >>> import jax.numpy as jnp
        >>> X, y = jnp.arange(20.0)[:, None], jnp.arange(20.0) // 10
        >>> state, _ = fit(jax.random.key(0), X, y, num_trees=10)
        >>> jnp.abs(predict(state, jnp.array([[3.0], [16.0]]))).round(5)
        Array([0., 1.], dtype=float32)
    """
    where, (n, d) = "forest_regressor.fit", X.shape
    most = d if max_features is None else max_features
    soundness.insist(where, num_trees=(num_trees, 1), max_features=(most, 1, d))
    soundness.insist_on_columns(where, categorical, d)
    nodes = grower.room(where, num_rows=n, max_depth=max_depth, max_leaves=max_leaves)
    bias, centered = forest.center(y, weights)
    trees, num_cut, drawn = forest.grow(
        key,
        X,
        centered,
        weights,
        forest.limits(X.dtype, min_samples_split, min_samples_leaf, min_gain),
        plan=grower.Plan(
            "squared_error",
            num_bins,
            nodes,
            max_depth,
            most,
            missing,
            random_thresholds,
            categorical,
        ),
        task=forest.of_numbers(num_trees),
        num_trees=num_trees,
        is_bootstrap=bootstrap,
        is_out_of_bag=out_of_bag,
        mesh=mesh,
        signs=monotone,
    )
    left_out = None if drawn is None else bias + forest.out_of_bag(trees, drawn)[:, 0]
    state = State(trees, bias, forest.importances(trees, d))
    is_sound = soundness.are_targets(y, weights) & soundness.are_signs(monotone, categorical)
    is_sound &= soundness.are_amounts(min_samples_split, min_samples_leaf, min_gain)
    return soundness.spoil((state, Info(num_cut, left_out)), is_sound)


@jax.jit
@checked
def predict(state: State, X: Float[Array, "n d"]) -> Float[Array, " n"]:
    """Return the expected target of every row, in the unit of y. O(n trees depth).

    Args:
        state: From :func:`fit`.
        X: One row per sample; NaN is a missing value.
    """
    return state.bias + ensemble.total(state.trees, X)[:, 0]
