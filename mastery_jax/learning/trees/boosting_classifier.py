"""Gradient boosting for classes: trees that each correct the log-odds of those before them.

    p = sigmoid(f), or softmax(f_1 … f_K),    f(x) = b + Σ_t v_t(leaf of tree t that x falls into)

scikit-learn's ``HistGradientBoostingClassifier`` and LightGBM grow by leaves; this grows level by
level to ``max_depth``, as XGBoost does.

Source: Friedman (2001), *Greedy function approximation: a gradient boosting machine*, algorithms 5
and 6; Chen & Guestrin (2016), *XGBoost*, eq. 5-7.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from mastery_jax.core.check import Scalar, checked
from mastery_jax.learning.trees import boosting, ensemble, forest, losses, soundness
from mastery_jax.learning.trees.splitting import Missing

__all__ = [
    "Info",
    "State",
    "decision_function",
    "fit",
    "predict",
    "predict_proba",
    "staged_predict",
    "staged_predict_proba",
]


class State(NamedTuple):
    """Fitted trees; two classes have one output, the log-odds of the second."""

    trees: ensemble.Trees  # each value a part of the log-odds, nats
    bias: Float[Array, " outputs"]  # nats
    importances: Float[Array, " d"]  # share of the decrease of the loss


class Info(NamedTuple):
    """How boosting went."""

    loss: Float[Array, " rounds"]  # mean over the rows that trees were grown on, nats
    held_out_loss: Float[Array, " rounds"] | None  # mean over those held out, nats
    num_steps: Int[Array, ""]  # rounds that were kept
    num_cut: Int[Array, ""]  # nodes that ``max_leaves`` kept from being split


@partial(
    jax.jit,
    static_argnames=(
        "num_classes", "num_rounds", "max_depth", "max_leaves", "max_features", "num_bins",
        "patience", "missing", "categorical",
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
    """Add trees, one for every output a round. O(rounds K n d depth).

    Args:
        key: Consumed; without effect unless rows or features are drawn.
        X: One row per sample, of any scale; NaN is a missing value.
        labels: Codes 0 … num_classes − 1. Any other code makes every value NaN.
        num_classes: K ≥ 2. Static.
        weights: ≥ 0, one where None.
        num_rounds: Rounds at most. Static.
        learning_rate: By which every tree's step is shortened, in (0, 1].
        max_depth: Splits above a leaf at most. Static.
        max_leaves: Of a tree, grown level by level; 2^max_depth where None. Static.
        max_features: Features drawn for each node; all where None. Static.
        num_bins: Bins of a feature, 3 to 256. Static.
        l2: Penalty on the squares of a tree's steps.
        min_child_weight: Weighted p (1 − p) of a leaf's rows, at least.
        min_gain: Decrease of the loss by a split, at least, in nats times weight.
        subsample: Share of the rows drawn for each round, in (0, 1]; all where None.
        is_held_out: Rows that no tree is grown on, and whose loss decides when to stop; None
            where all rounds are wanted. The bias is NaN where it marks no row.
        patience: Rounds without a lower held-out loss before it stops. Static.
        missing: ``learned`` tries missing values on both sides of a threshold; ``right`` holds them
            larger than any number. Static.
        monotone: Of each feature 1 where the probability of class 1 must not fall with it, −1 where
            it must not rise, 0 where it may do either; of two classes only. Any other number, or a
            sign of categories, makes every value NaN.
        categorical: Columns that hold codes 0 … num_bins − 2 of categories; fractions are cut off,
            and any other number is a missing value. A split is a set of codes. Static.

    Returns:
        The trees up to the best round, and how it went. NaN throughout where labels or weights have
        no meaning, or a number is out of range.

    Raises:
        ValueError: fewer than two classes; a static number outside its range; shapes that disagree.

    Example:
        >>> X, labels = jnp.arange(20.0)[:, None], jnp.arange(20) // 10
        >>> state, info = fit(jax.random.key(0), X, labels, num_classes=2, num_rounds=20)
        >>> predict(state, jnp.array([[3.0], [16.0]])), info.num_steps
        (Array([0, 1], dtype=int32), Array(20, dtype=int32))
    """
    where = "boosting_classifier.fit"
    soundness.insist(where, num_classes=(num_classes, 2))
    soundness.insist_on_two(where, monotone, num_classes)
    plan = boosting.plan(
        where, X, num_rounds=num_rounds, patience=patience, num_bins=num_bins, max_depth=max_depth,
        max_leaves=max_leaves, max_features=max_features, missing=missing,
            categorical=categorical,
    )  # fmt: skip
    pace = boosting.pace(X.dtype, learning_rate, l2, min_child_weight, min_gain, subsample)
    found = boosting.boost(
        key,
        X,
        jnp.clip(labels, 0, num_classes - 1),
        weights,
        pace,
        loss=losses.log_loss(num_classes),
        plan=plan,
        num_rounds=num_rounds,
        is_held_out=is_held_out,
        patience=patience,
        signs=monotone,
    )
    state = State(found.trees, found.bias, forest.importances(found.trees, X.shape[1]))
    info = Info(found.loss, found.held_out_loss, found.num_rounds, found.num_cut)
    is_sound = soundness.are_codes(labels, weights, num_classes=num_classes)
    is_sound &= soundness.are_signs(monotone, categorical)
    is_sound &= boosting.is_sound(pace)
    return soundness.spoil((state, info), is_sound)


@jax.jit
@checked
def predict(state: State, X: Float[Array, "n d"]) -> Int[Array, " n"]:
    """Return the code of the likeliest class of every row. O(n trees depth)."""
    return predict_proba(state, X).argmax(axis=1).astype(jnp.int32)


@jax.jit
@checked
def predict_proba(state: State, X: Float[Array, "n d"]) -> Float[Array, "n classes"]:
    """Return every class's probability for every row. O(n trees depth)."""
    return _probs(decision_function(state, X))


@jax.jit
@checked
def decision_function(state: State, X: Float[Array, "n d"]) -> Float[Array, "n outputs"]:
    """Return the log-odds of the second class, or every logit, in nats. O(n trees depth)."""
    return state.bias[None, :] + ensemble.total(state.trees, X)


@jax.jit
@checked
def staged_predict(state: State, X: Float[Array, "n d"]) -> Int[Array, "rounds n"]:
    """Return the codes of the likeliest classes after every round. O(n trees depth)."""
    return staged_predict_proba(state, X).argmax(axis=2).astype(jnp.int32)


@jax.jit
@checked
def staged_predict_proba(state: State, X: Float[Array, "n d"]) -> Float[Array, "rounds n classes"]:
    """Return the probabilities of all classes after every round. O(n trees depth).

    Args:
        state: From :func:`fit`.
        X: One row per sample; NaN is a missing value.

    Returns:
        The probabilities; after the best round, where there was one, they stay as they are.
    """
    sums = ensemble.stages(state.trees, X, trees_a_round=len(state.bias))
    return _probs(state.bias[None, None, :] + sums)


def _probs(outputs: Array) -> Array:
    if outputs.shape[-1] > 1:
        return jax.nn.softmax(outputs, axis=-1)
    return jax.nn.sigmoid(jnp.concatenate([-outputs, outputs], axis=-1))
