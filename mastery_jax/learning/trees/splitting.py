"""Splitting: where a node's rows part best, found in one walk over the bins of its histogram.

The walk adds one bin after the other to the left side and keeps the best split so far, so that a
node's thresholds are never laid out beside each other:

    gini           Σ_k l_k²/n_l + Σ_k r_k²/n_r − Σ_k t_k²/n
    entropy        Σ_k l_k ln(l_k/n_l) + Σ_k r_k ln(r_k/n_r) − Σ_k t_k ln(t_k/n)
    squared error  (G_l − H_l G/H)² H / (H_l H_r)
    newton         ½ [G_l²/(H_l + λ) + G_r²/(H_r + λ) − G²/(H + λ)]

are the decrease of a node's total impurity, with l, r, t the weights of the classes left, right and
together, G the sum of weighted residuals or gradients and H that of weights or second derivatives.
Of gains that are equal but for rounding the first feature's lowest bin is taken, whatever the
program that computes them. Where features have signs, a step −G/(H + λ) is clipped to the bounds of
its node first, and gains −(G v + ½ (H + λ) v²).

Source: Breiman, Friedman, Olshen & Stone (1984), *Classification and Regression Trees*, sections
4.2-4.3 and 8.4; Chen & Guestrin (2016), *XGBoost*, eq. 7; random thresholds: Geurts, Ernst &
Wehenkel (2006), *Extremely randomized trees*, table 1.
"""

import functools
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt32

from mastery_jax.core import loop
from mastery_jax.learning.trees.monotone import Fence, clip

__all__ = ["COUNTED", "Criterion", "Missing", "Rules", "Split", "best", "is_open", "say", "weigh"]

Criterion = Literal["gini", "entropy", "squared_error", "newton"]
Missing = Literal["learned", "right"]

COUNTED = ("gini", "entropy")  # whose channels are classes
NOISE = 16  # units in the last place that rounding may move a sum by


class Rules(NamedTuple):
    """What a split must obey."""

    min_split: Float[Array, ""]  # weight, or curvature, of a node that is split
    min_leaf: Float[Array, ""]  # of either child
    min_gain: Float[Array, ""]  # decrease of the total impurity
    l2: Float[Array, ""]  # λ of newton
    scales: Float[Array, " channels"]  # what one of a channel's integers stands for


class Split(NamedTuple):
    """The best split of every node; ``gain`` is −inf where there is none."""

    gain: Float[Array, " nodes"]
    place: Int[Array, " nodes"]  # which of the node's features
    bin: Int[Array, " nodes"]  # the last one that goes left
    missing_left: Bool[Array, " nodes"]
    left: Int[Array, "channels nodes"]  # what went left


class _Best(NamedTuple):
    """The best split of every feature of every node so far."""

    gain: Float[Array, "features nodes"]
    bin: Int[Array, "features nodes"]
    left: Int[Array, "channels features nodes"]
    missing_left: Bool[Array, "features nodes"] | None  # None where they stay right
    order: UInt32[Array, "features nodes"] | None  # of the threshold drawn; None where searched


def best(
    histogram: Array,
    rules: Rules,
    criterion: Criterion,
    missing: Missing,
    draw: Array | None = None,
    fence: Fence | None = None,
    is_set: Array | None = None,
) -> Split:
    """Return every node's best split over its features. O(features bins channels nodes).

    Args:
        histogram: Whole numbers; the last bin holds the rows whose value is missing.
        rules: What a split must obey.
        criterion: The impurity. Static.
        missing: ``learned`` tries them on both sides, ``right`` leaves them there. Static.
        draw: Where given, each feature's threshold is drawn by these bits from all that part the
            rows, and only the feature is chosen by its gain.
        fence: Where given, what the signs of features allow.
        is_set: Where given, which of a node's features hold categories; their bins stand in the
            order of their means. Splits that gain nothing are refused there: which of equal
            categories they would part is decided by no more than their codes.
    """
    num_features, num_bins, _, num_nodes = histogram.shape
    total = histogram.sum(axis=1, dtype=histogram.dtype).swapaxes(0, 1)
    absent = histogram[:, -1].swapaxes(0, 1)
    gain_of, surely = _gains(total, rules, criterion, fence)
    is_learned = missing == "learned"

    def step(carry: tuple[Array, _Best], i: Array) -> tuple[tuple[Array, _Best], None]:
        seen, kept = carry
        here = jax.lax.dynamic_index_in_dim(histogram, i, axis=1, keepdims=False)
        seen = seen + here.swapaxes(0, 1)
        gain, left, to_left = gain_of(seen), seen, None
        if is_learned:
            other = gain_of(seen + absent)
            to_left = surely(other) > gain
            gain = jnp.where(to_left, other, gain)
            left = seen + jnp.where(to_left[None], absent, 0)
        order, is_better = None, surely(gain) > kept.gain
        if draw is not None:
            order = jnp.where(gain > -jnp.inf, _mix(draw + i.astype(draw.dtype)), 0)
            is_better = order > jnp.asarray(kept.order)
        found = _Best(gain, jnp.broadcast_to(i, gain.shape), left, to_left, order)
        return (seen, _choose(is_better, found, kept)), None

    lanes = (num_features, num_nodes)
    nothing = _Best(
        gain=jnp.full(lanes, -jnp.inf, rules.min_leaf.dtype),
        bin=jnp.zeros(lanes, jnp.int32),
        left=jnp.zeros_like(total),
        missing_left=jnp.zeros(lanes, bool) if is_learned else None,
        order=None if draw is None else jnp.zeros(lanes, jnp.uint32),
    )
    bins = jnp.arange(num_bins - 1, dtype=jnp.int32)
    (_, by_feature), _ = loop.scan(step, (jnp.zeros_like(total), nothing), bins)
    if is_set is not None:
        is_idle = is_set & (surely(by_feature.gain) <= 0)
        by_feature = by_feature._replace(gain=jnp.where(is_idle, -jnp.inf, by_feature.gain))
    return _over_features(by_feature, surely)


def is_open(total: Array, rules: Rules, criterion: Criterion) -> Array:
    """Say which nodes may be split, as far as their totals tell."""
    is_enough = weigh(total, rules, criterion) >= rules.min_split
    if criterion in COUNTED:
        return is_enough & (total.max(axis=0) < total.sum(axis=0, dtype=total.dtype))
    return is_enough


def weigh(total: Array, rules: Rules, criterion: Criterion) -> Array:
    """Return every node's weight, or curvature."""
    whole = total.sum(axis=0, dtype=total.dtype) if criterion in COUNTED else total[1]
    return whole.astype(rules.scales.dtype) * rules.scales[-1]


def say(total: Array, rules: Rules, criterion: Criterion) -> Array:
    """Return what every node says: a mean, a step, or the share of the second of two classes."""
    channels = _channels(total, rules)
    return _say(channels, _weight(channels, criterion), rules, criterion)


def _over_features(found: _Best, surely: Callable[[Array], Array]) -> Split:
    """Return the best of every node's features, the first of equals."""
    num_features, num_nodes = found.gain.shape
    least = surely(found.gain)
    kept = jax.tree.map(lambda leaf: leaf[..., 0, :], found)
    place = jnp.zeros(num_nodes, jnp.int32)
    for i in range(1, num_features):
        other = jax.tree.map(lambda leaf, i=i: leaf[..., i, :], found)
        is_better = least[i] > kept.gain
        kept, place = _choose(is_better, other, kept), jnp.where(is_better, i, place)
    is_left = jnp.zeros(num_nodes, bool) if kept.missing_left is None else kept.missing_left
    return Split(kept.gain, place, kept.bin, is_left, kept.left)


def _choose(take: Array, a: _Best, b: _Best) -> _Best:
    return jax.tree.map(lambda x, y: jnp.where(take, x, y), a, b)


def _mix(bits: Array) -> Array:
    """Return bits that look unlike those given, never 0; Wellons' *lowbias32*."""
    bits = (bits ^ (bits >> 16)) * jnp.uint32(0x7FEB352D)
    bits = (bits ^ (bits >> 15)) * jnp.uint32(0x846CA68B)
    return (bits ^ (bits >> 16)) | jnp.uint32(1)


def _gains(
    total: Array, rules: Rules, criterion: Criterion, fence: Fence | None
) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    """Return what gives the gain of what went left, and what takes rounding off a gain.

    A split that is not allowed gains −inf.
    """
    dtype = rules.min_leaf.dtype
    eps = NOISE * jnp.finfo(dtype).eps
    is_counted = criterion in COUNTED

    def measure(side: Array) -> tuple[list[Array], Array]:
        channels = _channels(side, rules)
        return channels, _weight(channels, criterion)

    whole, n = measure(total)
    mean = _ratio(whole[0], n)
    if criterion == "squared_error":
        before = whole[0] * mean
        least = eps**2 * before
    else:
        before = _purity(whole, n, rules, criterion, fence)
        # Classes that this split does not part may still be parted below: a gain of 0 is allowed.
        least = jnp.full_like(before, -1 if is_counted else 0)
    size = n if is_counted else jnp.abs(before)

    def gain_of(left: Array) -> Array:
        (a, m), (b, r) = measure(left), measure(total - left)
        if criterion == "squared_error":
            gain = (a[0] - m * mean) ** 2 * _ratio(n, m * r)
        else:
            after = _purity(a, m, rules, criterion, fence) + _purity(b, r, rules, criterion, fence)
            gain = after - before
        if is_counted:
            gain = jnp.maximum(gain, 0)
        is_allowed = (jnp.minimum(m, r) > 0) & (jnp.minimum(m, r) >= rules.min_leaf)
        if fence is not None:
            left_says, right_says = _say(a, m, rules, criterion), _say(b, r, rules, criterion)
            is_allowed &= _are_in_order(left_says, right_says, fence, criterion)
        return jnp.where(is_allowed & (gain > least) & (gain >= rules.min_gain), gain, -jnp.inf)

    return gain_of, lambda gain: gain * (1 - eps) - size * eps


def _channels(side: Array, rules: Rules) -> list[Array]:
    return [c.astype(rules.scales.dtype) * u for c, u in zip(side, rules.scales, strict=True)]


def _weight(channels: list[Array], criterion: Criterion) -> Array:
    return functools.reduce(jnp.add, channels) if criterion in COUNTED else channels[1]


def _say(side: list[Array], weight: Array, rules: Rules, criterion: Criterion) -> Array:
    if criterion == "newton":
        return -_ratio(side[0], weight + rules.l2)
    return _ratio(side[1] if criterion in COUNTED else side[0], weight)


def _are_in_order(left: Array, right: Array, fence: Fence, criterion: Criterion) -> Array:
    """Say whether what two children say agrees with the sign of their feature.

    A step is clipped before it is judged. A share or a mean is not, and must lie within the bounds.
    """
    sign = fence.sign.astype(left.dtype)
    if criterion == "newton":
        return sign * (clip(left, fence.bounds) - clip(right, fence.bounds)) <= 0
    is_within = (clip(left, fence.bounds) == left) & (clip(right, fence.bounds) == right)
    return (sign == 0) | (is_within & (sign * (left - right) <= 0))


def _purity(
    side: list[Array], weight: Array, rules: Rules, criterion: Criterion, fence: Fence | None
) -> Array:
    if criterion == "newton":
        curvature = jnp.maximum(weight + rules.l2, jnp.finfo(weight.dtype).tiny)
        if fence is None:
            return side[0] ** 2 / (2 * curvature)
        step = clip(-side[0] / curvature, fence.bounds)
        return -(side[0] + curvature * step / 2) * step
    if criterion == "gini":
        return _ratio(functools.reduce(jnp.add, [x * x for x in side]), weight)
    logs = [jax.scipy.special.xlogy(x, _ratio(x, weight)) for x in side]
    return functools.reduce(jnp.add, logs)


def _ratio(a: Array, b: Array) -> Array:
    return a / jnp.where(b > 0, b, 1)
