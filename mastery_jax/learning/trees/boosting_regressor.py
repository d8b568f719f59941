"""Gradient boosting for numbers: trees that each correct what those before them left.

    f(x) = b + Σ_t v_t(leaf of tree t that x falls into)

for the mean of y, or for a quantile of it. Trees grow level by level to ``max_depth``.

Source: Friedman (2001), *Greedy function approximation: a gradient boosting machine*, algorithms 2
and 3; Chen & Guestrin (2016), *XGBoost*, eq. 5-7.
"""

from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from mastery_jax.core.check import Scalar, checked
from mastery_jax.learning.trees import boosting, ensemble, forest, losses, soundness
from mastery_jax.learning.trees.splitting import Missing

__all__ = ["Info", "State", "fit", "predict", "staged_predict"]


class State(NamedTuple):
    """Fitted trees."""

    trees: ensemble.Trees  # each value a step, unit of y
    bias: Float[Array, ""]  # unit of y
    importances: Float[Array, " d"]  # share of the decrease of the loss


class Info(NamedTuple):
    """How boosting went."""

    loss: Float[Array, " rounds"]  # mean over the rows that trees were grown on
    held_out_loss: Float[Array, " rounds"] | None  # mean over those held out
    num_steps: Int[Array, ""]  # rounds that were kept
    num_cut: Int[Array, ""]  # nodes that ``max_leaves`` kept from being split


@partial(
    jax.jit,
    static_argnames=(
        "loss", "num_rounds", "max_depth", "max_leaves", "max_features", "num_bins",
        "patience", "missing", "categorical",
    ),
)  # fmt: skip
@checked
def fit(
    key: Key[Array, ""],
    X: Float[Array, "n d"],
    y: Float[Array, " n"],
    *,
    weights: Float[Array, " n"] | None = None,
    loss: Literal["squared_error", "quantile"] = "squared_error",
    quantile: Scalar = 0.5,
    num_rounds: int = 100,
    learning_rate: Scalar = 0.1,
    max_depth: int = 6,
    max_leaves: int | None = None,
    max_features: int | None = None,
    num_bins: int = 64,
    l2: Scalar = 1.0,
    min_child_weight: Scalar = 1.0,
    min_gain: Scalar = 0.0,
    subsample: Scalar | None = None,
    is_held_out: Bool[Array, " n"] | None = None,
    patience: int = 10,
    missing: Missing = "learned",
    monotone: Int[Array, " d"] | None = None,
    categorical: tuple[int, ...] = (),
) -> tuple[State, Info]:
    """Add one tree a round. O(rounds n d depth).

    Args:
        key: Consumed; without effect unless rows or features are drawn.
        X: One row per sample, of any scale; NaN is a missing value.
        y: One target per sample; one that is not finite makes every value NaN.
        weights: ≥ 0, one where None.
        loss: Half the squared error, whose minimum is the mean; or the quantile loss. Static.
        quantile: Share of y below what is predicted, in (0, 1); of the quantile loss.
        num_rounds: Rounds at most. Static.
        learning_rate: By which every tree's step is shortened, in (0, 1].
        max_depth: Splits above a leaf at most. Static.
        max_leaves: Of a tree, grown level by level; 2^max_depth where None. Static.
        max_features: Features drawn for each node; all where None. Static.
        num_bins: Bins of a feature, 3 to 256. Static.
        l2: Penalty on the squares of a tree's steps.
        min_child_weight: Weight of a leaf's rows, at least.
        min_gain: Decrease of the loss by a split, at least, in its unit times weight.
        subsample: Share of the rows drawn for each round, in (0, 1]; all where None.
        is_held_out: Rows that no tree is grown on, and whose loss decides when to stop; None
            where all rounds are wanted. The bias is NaN where it marks no row.
        patience: Rounds without a lower held-out loss before it stops. Static.
        missing: ``learned`` tries missing values on both sides of a threshold; ``right`` holds them
            larger than any number. Static.
        monotone: Of each feature 1 where the answer must not fall with it, −1 where it must not
            rise, 0 where it may do either. Any other number, or a sign of categories, makes every
            value NaN.
        categorical: Columns that hold codes 0 … num_bins − 2 of categories; fractions are cut off,
            and any other number is a missing value. A split is a set of codes. Static.

    Returns:
        The trees up to the best round, and how it went. NaN throughout where targets or weights
        have no meaning, or a number is out of range.

    Raises:
        ValueError: a static number outside its range; shapes that disagree.

    Example:
        >>> X, y = jnp.arange(20.0)[:, None], jnp.arange(20.0) // 10
        >>> state, info = fit(jax.random.key(0), X, y, learning_rate=1.0, num_rounds=3, l2=0.0)
        >>> predict(state, jnp.array([[3.0], [16.0]])), info.num_steps
        (Array([0., 1.], dtype=float32), Array(3, dtype=int32))
    """
    where = "boosting_regressor.fit"
    if loss not in ("squared_error", "quantile"):
        raise ValueError(f"{where}: loss is {loss!r}, not 'squared_error' or 'quantile'")
    descended = losses.squared_error()
    if loss == "quantile":
        descended = losses.quantile_loss(jnp.asarray(quantile, X.dtype))
    is_known = True if weights is None else weights != 0
    pace = boosting.pace(X.dtype, learning_rate, l2, min_child_weight, min_gain, subsample)
    found = boosting.boost(
        key,
        X,
        jnp.where(is_known, y, 0),
        weights,
        pace,
        loss=descended,
        plan=boosting.plan(
            where, X, num_rounds=num_rounds, patience=patience, num_bins=num_bins,
            max_depth=max_depth, max_leaves=max_leaves, max_features=max_features, missing=missing,
            categorical=categorical,
        ),
        num_rounds=num_rounds,
        is_held_out=is_held_out,
        patience=patience,
        signs=monotone,
    )  # fmt: skip
    state = State(found.trees, found.bias[0], forest.importances(found.trees, X.shape[1]))
    info = Info(found.loss, found.held_out_loss, found.num_rounds, found.num_cut)
    is_sound = soundness.are_targets(y, weights) & soundness.are_signs(monotone, categorical)
    is_sound &= boosting.is_sound(pace)
    if loss == "quantile":
        is_sound &= soundness.are_positive(quantile, 1 - jnp.asarray(quantile))
    return soundness.spoil((state, info), is_sound)


@jax.jit
@checked
def predict(state: State, X: Float[Array, "n d"]) -> Float[Array, " n"]:
    """Return the mean, or the quantile, of every row's target, in its unit. O(n trees depth)."""
    return state.bias + ensemble.total(state.trees, X)[:, 0]


@jax.jit
@checked
def staged_predict(state: State, X: Float[Array, "n d"]) -> Float[Array, "rounds n"]:
    """Return what is predicted after every round, in the unit of y. O(n trees depth).

    Args:
        state: From :func:`fit`.
        X: One row per sample; NaN is a missing value.

    Returns:
        The predictions; after the best round, where there was one, they stay as they are.
    """
    return state.bias + ensemble.stages(state.trees, X)[:, :, 0]
