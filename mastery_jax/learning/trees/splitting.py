"""Splitting: where a node's rows part best, found in one walk over the bins of its histogram.

The walk adds one bin after the other to the left side and keeps the best split so far, so that a
node's thresholds are never laid out beside each other. What a split is worth is in :mod:`gains`. Of
gains that are equal but for rounding the first feature's lowest bin is taken, whatever the program
that computes them.

Source: Breiman, Friedman, Olshen & Stone (1984), *Classification and Regression Trees*, sections
4.2-4.3 and 8.4; Chen & Guestrin (2016), *XGBoost*, eq. 7; random thresholds: Geurts, Ernst &
Wehenkel (2006), *Extremely randomized trees*, table 1.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt32

from mastery_jax.core import loop
from mastery_jax.learning.trees.gains import Criterion, Rules, gains
from mastery_jax.learning.trees.monotone import Fence

__all__ = ["Missing", "Split", "best"]

Missing = Literal["learned", "right"]


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
    gain_of, surely = gains(total, rules, criterion, fence)
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
