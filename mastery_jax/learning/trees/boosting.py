"""Boosting: trees that each step down the slope of a loss; what its classifier and regressor share.

    f ← f + ν v_leaf,    v_leaf = −Σ w g / (Σ w h + λ)       over the rows of the leaf

with slope g and curvature h of each row's loss at the outputs so far. A quantile's leaf says the
quantile of its rows' residuals instead.

Source: Friedman (2001), *Greedy function approximation: a gradient boosting machine*, algorithm 1;
Chen & Guestrin (2016), *XGBoost*, eq. 5-7; Friedman (2002), *Stochastic gradient boosting*.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from mastery_jax.core import loop
from mastery_jax.learning.trees import (
    binning,
    ensemble,
    forest,
    gains,
    grower,
    histograms,
    losses,
    monotone,
    soundness,
    splitting,
)
from mastery_jax.learning.trees.ensemble import Trees

__all__ = ["Boosted", "Pace", "boost", "is_sound", "pace", "plan"]


class Pace(NamedTuple):
    """How far each tree goes."""

    learning_rate: Float[Array, ""]  # ν
    l2: Float[Array, ""]  # λ
    min_child_weight: Float[Array, ""]  # Σ w h of a leaf, at least
    min_gain: Float[Array, ""]  # decrease of the loss by a split, at least
    subsample: Float[Array, ""] | None  # share of the rows that a tree is grown on; all where None


class Boosted(NamedTuple):
    """Trees in the order of their rounds, a round's outputs side by side."""

    trees: Trees  # after the best round leaves of value 0
    bias: Float[Array, " outputs"]
    loss: Float[Array, " rounds"]  # mean over the rows that trees were grown on
    held_out_loss: Float[Array, " rounds"] | None
    num_rounds: Int[Array, ""]  # kept
    num_cut: Int[Array, ""]


def plan(
    where: str,
    X: Array,
    *,
    num_rounds: int,
    patience: int,
    num_bins: int,
    max_depth: int,
    max_leaves: int | None,
    max_features: int | None,
    missing: splitting.Missing,
    categorical: tuple[int, ...],
) -> grower.Plan:
    """Return sizes and branches.

    Raises:
        ValueError: a number is outside its range; named after ``where``.
    """
    num_rows, num_features = X.shape
    soundness.insist(where, num_rounds=(num_rounds, 1), patience=(patience, 1))
    if max_features is not None:
        soundness.insist(where, max_features=(max_features, 1, num_features))
    soundness.insist_on_columns(where, categorical, num_features)
    nodes = grower.room(where, num_rows=num_rows, max_depth=max_depth, max_leaves=max_leaves)
    return grower.Plan(
        "newton", num_bins, nodes, max_depth, max_features, missing, categorical=categorical
    )


def pace(
    dtype: Any,
    learning_rate: Any,
    l2: Any,
    min_child_weight: Any,
    min_gain: Any,
    subsample: Any | None,
) -> Pace:
    """Return how far each tree goes, in the precision of the data."""
    return Pace(
        learning_rate=jnp.asarray(learning_rate, dtype),
        l2=jnp.asarray(l2, dtype),
        min_child_weight=jnp.asarray(min_child_weight, dtype),
        min_gain=jnp.asarray(min_gain, dtype),
        subsample=None if subsample is None else jnp.asarray(subsample, dtype),
    )


def is_sound(pace: Pace) -> Bool[Array, ""]:
    """Say whether every tree goes forward, by the rows that there are."""
    are_there = soundness.are_positive(pace.learning_rate)
    are_there &= soundness.are_amounts(pace.l2, pace.min_child_weight, pace.min_gain)
    if pace.subsample is not None:
        are_there &= (pace.subsample > 0) & (pace.subsample <= 1)
    return are_there


class _Carry(NamedTuple):
    outputs: Float[Array, "outputs n"]
    best: Float[Array, ""]  # held-out loss
    best_round: Int[Array, ""]


def boost(
    key: Array,
    X: Array,
    targets: Array,
    weights: Array | None,
    pace: Pace,
    *,
    loss: losses.Loss,
    plan: grower.Plan,
    num_rounds: int,
    is_held_out: Array | None,
    patience: int,
    signs: Array | None,
) -> Boosted:
    """Add ``num_rounds`` times a tree for every output. O(rounds outputs n d depth).

    Args:
        key: Consumed; without effect where neither rows nor features are drawn.
        X: One row per sample; NaN is a missing value.
        targets: Codes or numbers.
        weights: ≥ 0, one where None.
        pace: How far each tree goes.
        loss: What is descended.
        plan: Sizes and branches. Static.
        num_rounds: Static.
        is_held_out: Rows that no tree is grown on, and whose loss decides when to stop; None
            where it does not. The bias is NaN where there is no such row.
        patience: Rounds without a lower held-out loss before it stops. Static.
        signs: Of features, by which outputs rise or fall; None where they need not.
    """
    weights = jnp.ones(len(X), X.dtype) if weights is None else weights.astype(X.dtype)
    grown_on = weights if is_held_out is None else jnp.where(is_held_out, 0, weights)
    bins, codes = forest.binned(X, grown_on, plan)
    rows = histograms.Rows(codes.T, codes.reshape(-1))
    bias = loss.start(targets, grown_on)
    keys = jax.random.split(key, num_rounds)

    def round_(outputs: Array, key: Array) -> tuple[Array, tuple[Trees, Array]]:
        return _round(key, outputs, targets, grown_on, rows, bins, pace, loss, plan, signs)

    def step(carry: _Carry, each: tuple[Array, Array]) -> tuple[_Carry, tuple]:
        key, i = each
        if is_held_out is None:
            outputs, (trees, num_cut) = round_(carry.outputs, key)
            mean = _mean(loss.value(outputs, targets), grown_on)
            return carry._replace(outputs=outputs, best_round=i), (trees, num_cut, mean, None)
        held = jnp.where(is_held_out, weights, 0)
        is_on = i - carry.best_round <= patience
        shapes = jax.eval_shape(round_, carry.outputs, key)[1]
        nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        outputs, (trees, num_cut) = jax.lax.cond(
            is_on, round_, lambda outputs, _: (outputs, nothing), carry.outputs, key
        )
        values = loss.value(outputs, targets)
        mean, other = _mean(values, grown_on), _mean(values, held)
        is_better = is_on & (other < carry.best)
        best = jnp.where(is_better, other, carry.best)
        best_round = jnp.where(is_better, i, carry.best_round)
        return _Carry(outputs, best, best_round), (trees, num_cut, mean, other)

    start = jnp.broadcast_to(bias[:, None], (len(bias), len(X)))
    carry = _Carry(start, jnp.full((), jnp.inf, X.dtype), jnp.int32(-1))
    rounds = jnp.arange(num_rounds, dtype=jnp.int32)
    carry, (trees, num_cut, mean, other) = loop.scan(step, carry, (keys, rounds))
    trees = jax.tree.map(
        lambda leaf: leaf.reshape(math.prod(leaf.shape[:2]), *leaf.shape[2:]), trees
    )
    if is_held_out is not None:
        trees = ensemble.keep(trees, jnp.repeat(rounds <= carry.best_round, len(bias)))
        # Rows that decide nothing, because there are none, must not pass for a choice.
        has_judges = (jnp.where(is_held_out, weights, 0) > 0).any()
        bias = jnp.where(has_judges, bias, jnp.nan)
    return Boosted(trees, bias, mean, other, carry.best_round + 1, num_cut.sum())


def _round(
    key: Array,
    outputs: Array,
    targets: Array,
    weights: Array,
    rows: histograms.Rows,
    bins: binning.Bins,
    pace: Pace,
    loss: losses.Loss,
    plan: grower.Plan,
    signs: Array | None,
) -> tuple[Array, tuple[Trees, Array]]:
    """Return the outputs after one round, its trees and the nodes they had no room for."""
    draw_key, grow_key = jax.random.split(key)
    if pace.subsample is not None:
        is_drawn = jax.random.uniform(draw_key, weights.shape, weights.dtype) < pace.subsample
        weights = jnp.where(is_drawn, weights, 0)
    slopes, curvatures = loss.slopes(outputs, targets)
    is_drawing = plan.max_features is not None or plan.is_random

    def one(each: tuple) -> tuple[Array, tuple[Trees, Array], Array]:
        key, output, slope, curvature = each
        target = histograms.slopes(slope, weights, curvature)
        none = jnp.zeros_like(pace.l2)
        rules = gains.Rules(none, pace.min_child_weight, pace.min_gain, pace.l2, target.scales)
        grown = grower.grow(
            key if is_drawing else None, rows, target, rules, plan=plan, signs=signs
        )
        step = _steps(output, targets, weights, slope, curvature, grown, pace, loss, plan, signs)
        value = jnp.zeros((plan.max_nodes, len(outputs)), step.dtype)
        tree = grower.finish(grown, bins, value)
        return step.at[grown.leaf].get(mode="promise_in_bounds"), (tree, step), grown.num_cut

    keys = jax.random.split(grow_key, len(outputs))
    moved, (trees, steps), num_cut = jax.lax.map(one, (keys, outputs, slopes, curvatures))
    is_leaf = trees.child == jnp.arange(plan.max_nodes, dtype=jnp.int32)[None, :]
    own = jnp.eye(len(outputs), dtype=steps.dtype)
    value = jnp.where(is_leaf, steps, 0)[:, :, None] * own[:, None, :]
    return outputs + moved, (trees._replace(value=value), num_cut.sum())


def _steps(
    output: Array,
    targets: Array,
    weights: Array,
    slope: Array,
    curvature: Array,
    grown: grower.Grown,
    pace: Pace,
    loss: losses.Loss,
    plan: grower.Plan,
    signs: Array | None,
) -> Array:
    """Return how far the rows of every leaf move."""

    def total(values: Array) -> Array:
        return histograms.sum_by_cell(values, grown.leaf, num_cells=plan.max_nodes)

    if loss.quantile is not None:
        step = losses.quantiles_by_node(
            targets - output, weights, grown.leaf, loss.quantile, num_nodes=plan.max_nodes
        )
        if signs is not None:
            sign = signs[grown.feature]
            step = monotone.reconcile(
                step, total(weights), grown.child, sign, max_depth=plan.max_depth or 0
            )
        return pace.learning_rate * step
    g, h = total(weights * slope), total(weights * curvature)
    below = h + pace.l2
    step = -g / jnp.where(below > 0, below, 1)
    if grown.bounds is not None:
        step = monotone.clip(step, grown.bounds)
    return pace.learning_rate * step


def _mean(values: Array, weights: Array) -> Array:
    return jnp.where(weights > 0, values * weights, 0).sum() / weights.sum()
