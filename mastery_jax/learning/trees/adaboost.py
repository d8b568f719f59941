"""AdaBoost: trees that each attend to the rows that those before them got wrong.

    ε_t = Σ w_i [h_t(x_i) ≠ y_i] / Σ w_i        α_t = ν [ln((1 − ε_t)/ε_t) + ln(K − 1)]
    w_i ← w_i exp(α_t [h_t(x_i) ≠ y_i])
    F_k(x) = Σ_t α_t ([h_t(x) = k] − [h_t(x) ≠ k]/(K − 1))

A tree without an error ends it, and is heard as if it had made the least error that there is; one
that is no better than chance ends it and is not kept.

Source: Zhu, Zou, Rosset & Hastie (2009), *Multi-class AdaBoost*, algorithm 2 (SAMME) and eq. 4.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from mastery_jax.core import loop
from mastery_jax.core.check import Scalar, checked
from mastery_jax.learning.trees import ensemble, forest, gains, grower, histograms, soundness
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
    """Fitted trees, each value a vote for its class."""

    trees: ensemble.Trees  # sum to the mean vote of the trees by their α
    importances: Float[Array, " d"]  # share of the decrease of impurity, by α


class Info(NamedTuple):
    """How boosting went."""

    error: Float[Array, " rounds"]  # ε_t, 0 after the end
    num_steps: Int[Array, ""]  # trees that were kept


class _Carry(NamedTuple):
    weights: Float[Array, " n"]
    is_on: Bool[Array, ""]


@partial(
    jax.jit,
    static_argnames=(
        "num_classes", "num_rounds", "max_depth", "max_leaves", "num_bins", "missing",
        "categorical",
    ),
)  # fmt: skip
@checked
def fit(
    X: Float[Array, "n d"],
    labels: Int[Array, " n"],
    *,
    num_classes: int,
    weights: Float[Array, " n"] | None = None,
    num_rounds: int = 50,
    learning_rate: Scalar = 1.0,
    max_depth: int = 1,
    max_leaves: int | None = None,
    num_bins: int = 256,
    missing: Missing = "learned",
    categorical: tuple[int, ...] = (),
) -> tuple[State, Info]:
    """Grow trees on rows that are weighted anew each time. O(rounds n d depth).

    Args:
        X: One row per sample, of any scale; NaN is a missing value.
        labels: Codes 0 … num_classes − 1. Any other code makes every value NaN.
        num_classes: K ≥ 2. Static.
        weights: ≥ 0, one where None.
        num_rounds: Trees at most. Static.
        learning_rate: ν > 0.
        max_depth: Splits above a leaf at most. Static.
        max_leaves: Of a tree; 2^max_depth where None. Static.
        num_bins: Bins of a feature, 3 to 256. Static.
        missing: ``learned`` tries missing values on both sides of a threshold; ``right`` holds them
            larger than any number. Static.
        categorical: Columns that hold codes 0 … num_bins − 2 of categories; fractions are cut off,
            and any other number is a missing value. A split is a set of codes. Static.

    Returns:
        The trees, and how it went. NaN throughout where labels or weights have no meaning,
        or the learning rate is not positive.

    Raises:
        ValueError: fewer than two classes; a static number outside its range; shapes that disagree.

    Example:
        >>> X, labels = jnp.array([[0.0], [1.0], [2.0], [3.0]]), jnp.array([0, 1, 1, 0])
        >>> state, info = fit(X, labels, num_classes=2)
        >>> predict(state, X)
        Array([0, 1, 1, 0], dtype=int32)
    """
    where, (n, d) = "adaboost.fit", X.shape
    soundness.insist(where, num_classes=(num_classes, 2), num_rounds=(num_rounds, 1))
    soundness.insist_on_columns(where, categorical, d)
    nodes = grower.room(where, num_rows=n, max_depth=max_depth, max_leaves=max_leaves)
    plan = grower.Plan("gini", num_bins, nodes, max_depth, missing=missing, categorical=categorical)
    given = jnp.ones(n, X.dtype) if weights is None else weights.astype(X.dtype)
    bins, codes = forest.binned(X, weights, plan)
    rows = histograms.Rows(codes.T, codes.reshape(-1))
    limits = forest.limits(X.dtype, 0.0, 0.0, 0.0)
    task = forest.of_classes(num_classes, num_trees=1)

    def step(carry: _Carry) -> tuple[_Carry, tuple]:
        target = task.aim(labels, carry.weights)
        rules = gains.Rules(*limits, l2=jnp.zeros((), X.dtype), scales=target.scales)
        grown = grower.grow(None, rows, target, rules, plan=plan)
        shares = task.value(labels, carry.weights, grown.leaf, nodes)
        says = shares.argmax(axis=1).astype(jnp.int32)
        is_wrong = says.at[grown.leaf].get() != labels
        error = jnp.where(is_wrong, carry.weights, 0).sum() / carry.weights.sum()
        is_kept = carry.is_on & (error < 1 - 1 / num_classes)
        say = jnp.where(is_kept, learning_rate * _log_odds(error, num_classes), 0)
        # The others lose what those that are wrong would gain: no power of e is too large.
        after = carry.weights * jnp.where(is_wrong, 1, jnp.exp(-say))
        whole = after.sum()
        after = jnp.where(whole > 0, after / whole * carry.weights.sum(), carry.weights)
        votes = jax.nn.one_hot(says, num_classes, dtype=X.dtype) * (1 + 1 / (num_classes - 1))
        votes = say * (votes - 1 / (num_classes - 1))
        tree = grower.finish(grown, bins, votes)
        return _Carry(after, is_kept & (error > 0)), (
            tree,
            say,
            jnp.where(is_kept, error, 0),
            is_kept,
        )

    carry = _Carry(given / given.sum() * n, jnp.bool_(True))
    _, (trees, says, errors, is_kept) = loop.scan(step, carry, num_steps=num_rounds)
    total = jnp.where(says.sum() > 0, says.sum(), 1)
    trees = trees._replace(value=trees.value / total)
    shares = jax.lax.map(
        lambda tree: forest.importances(tree, d), jax.tree.map(lambda x: x[:, None], trees)
    )
    state = State(trees, (says[:, None] * shares).sum(axis=0) / total)
    info = Info(errors, is_kept.sum(dtype=jnp.int32))
    is_sound = soundness.are_codes(labels, weights, num_classes=num_classes)
    is_sound &= soundness.are_positive(learning_rate)
    return soundness.spoil((state, info), is_sound)


@jax.jit
@checked
def predict(state: State, X: Float[Array, "n d"]) -> Int[Array, " n"]:
    """Return the code of the class that most is said for. O(n trees depth)."""
    return decision_function(state, X).argmax(axis=1).astype(jnp.int32)


@jax.jit
@checked
def predict_proba(state: State, X: Float[Array, "n d"]) -> Float[Array, "n classes"]:
    """Return probabilities, softmax(F / (K − 1)), of every class. O(n trees depth)."""
    votes = decision_function(state, X)
    return jax.nn.softmax(votes / (votes.shape[1] - 1), axis=1)


@jax.jit
@checked
def decision_function(state: State, X: Float[Array, "n d"]) -> Float[Array, "n classes"]:
    """Return what is said for every class by a unit of α, F / Σ α. O(n trees depth)."""
    return ensemble.total(state.trees, X)


@jax.jit
@checked
def staged_predict(state: State, X: Float[Array, "n d"]) -> Int[Array, "rounds n"]:
    """Return the codes of the classes that most is said for after every tree. O(n trees depth)."""
    return ensemble.stages(state.trees, X).argmax(axis=2).astype(jnp.int32)


@jax.jit
@checked
def staged_predict_proba(state: State, X: Float[Array, "n d"]) -> Float[Array, "rounds n classes"]:
    """Return probabilities, softmax(F_t / (K − 1)), after every tree. O(n trees depth).

    Args:
        state: From :func:`fit`.
        X: One row per sample; NaN is a missing value.

    Returns:
        The probabilities, F_t by a unit of the α so far.
    """
    votes = ensemble.stages(state.trees, X)
    # A tree says α, by the sum of all, for the class of a leaf, and less than nothing for others.
    heard = jnp.cumsum(state.trees.value.max(axis=(1, 2)))
    votes = votes / jnp.where(heard > 0, heard, 1)[:, None, None]
    return jax.nn.softmax(votes / (votes.shape[2] - 1), axis=2)


def _log_odds(error: Array, num_classes: int) -> Array:
    """Return how much a tree is listened to; one without an error as if it had made a small one."""
    least = jnp.finfo(error.dtype).eps
    error = jnp.maximum(error, least)
    return jnp.log((1 - error) / error) + jnp.log(jnp.asarray(num_classes - 1, error.dtype))
