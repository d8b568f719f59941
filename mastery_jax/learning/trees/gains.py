"""Gains: what a split is worth, reckoned without a difference of large numbers.

    gini           Σ_k l_k²/n_l + Σ_k r_k²/n_r − Σ_k t_k²/n  =  Σ_k (l_k − n_l t_k/n)² n/(n_l n_r)
    entropy        Σ_k l_k ln(l_k/n_l) + Σ_k r_k ln(r_k/n_r) − Σ_k t_k ln(t_k/n)
    squared error  (G_l − H_l G/H)² H / (H_l H_r)
    newton         ½ [G_l²/(H_l + λ) + G_r²/(H_r + λ) − G²/(H + λ)]
                   = ½ [(G_l − (H_l + λ) G/S)² S / ((H_l + λ)(H_r + λ)) − λ G²/(S (H + λ))]

are the decrease of a node's total impurity, with l, r, t the weights of the classes left, right and
together, G the sum of weighted residuals or gradients, H that of weights or second derivatives and
S = H + 2λ. All are reckoned from what a side has beyond its share: a difference of purities would
lose a rare class, and detail beside a large mean, to rounding. Of the entropy that is
Σ [x ln(x/e) − x + e] over both sides of every class, with e the share of the side.

Where features have signs, a step −G/(H + λ) is clipped to the bounds of its node first, and gains
−(G v + ½ (H + λ) v²).

Source: Breiman, Friedman, Olshen & Stone (1984), *Classification and Regression Trees*, sections
4.2-4.3 and 8.4; Chen & Guestrin (2016), *XGBoost*, eq. 7.
"""

from collections.abc import Callable
from functools import partial, reduce
from typing import Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from mastery_jax.learning.trees.monotone import Fence, clip

__all__ = ["COUNTED", "Criterion", "Rules", "gains", "is_open", "say", "weigh"]

Criterion = Literal["gini", "entropy", "squared_error", "newton"]

COUNTED = ("gini", "entropy")  # whose channels are classes
NOISE = 16  # units in the last place that rounding may move a sum by


class Rules(NamedTuple):
    """What a split must obey."""

    min_split: Float[Array, ""]  # weight, or curvature, of a node that is split
    min_leaf: Float[Array, ""]  # of either child
    min_gain: Float[Array, ""]  # decrease of the total impurity
    l2: Float[Array, ""]  # λ of newton
    scales: Float[Array, " channels"]  # what one of a channel's integers stands for


# The gain from both sides and their weights; what its rounding grows with; what is paid for l2.
_Form = tuple[Callable[[list[Array], Array, list[Array], Array], Array], Array, Array]


def gains(
    total: Array, rules: Rules, criterion: Criterion, fence: Fence | None
) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    """Return what gives the gain of what went left, and what takes rounding off a gain.

    A split that is not allowed gains −inf.
    """
    dtype = rules.min_leaf.dtype
    eps = NOISE * jnp.finfo(dtype).eps
    is_counted = criterion in COUNTED
    whole = _channels(total, rules)
    n = _weight(whole, criterion)
    form = _newton if criterion == "newton" else _counted if is_counted else _squared
    gain_by, size, paid = form(whole, n, rules, criterion, fence)
    # Classes that this split does not part may still be parted below: a gain of 0 is allowed.
    least = jnp.full_like(size, -1) if is_counted else eps**2 * size

    def gain_of(left: Array) -> Array:
        a, b = _channels(left, rules), _channels(total - left, rules)
        m, r = _weight(a, criterion), _weight(b, criterion)
        gain = gain_by(a, m, b, r)
        is_allowed = (jnp.minimum(m, r) > 0) & (jnp.minimum(m, r) >= rules.min_leaf)
        if fence is not None:
            left_says, right_says = _say(a, m, rules, criterion), _say(b, r, rules, criterion)
            is_allowed &= _are_in_order(left_says, right_says, fence, criterion)
        return jnp.where(is_allowed & (gain > least) & (gain >= rules.min_gain), gain, -jnp.inf)

    def surely(gain: Array) -> Array:
        # A square of what rounding moves by eps √size, and so itself by eps √(gain size).
        square = jnp.maximum(gain + paid, 0)
        return gain - eps * (square + jnp.sqrt(square * size)) - eps**2 * size

    return gain_of, surely


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


def _channels(side: Array, rules: Rules) -> list[Array]:
    return [c.astype(rules.scales.dtype) * u for c, u in zip(side, rules.scales, strict=True)]


def _weight(channels: list[Array], criterion: Criterion) -> Array:
    return reduce(jnp.add, channels) if criterion in COUNTED else channels[1]


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


def _surplus(a: Array, m: Array, b: Array, r: Array, mean: Array) -> Array:
    """Return what the left side has beyond its share, reckoned on the lighter side."""
    return jnp.where(m <= r, a - m * mean, r * mean - b)


def _squared(whole: list[Array], n: Array, *_: object) -> _Form:
    mean = _ratio(whole[0], n)

    def gain_by(a: list[Array], m: Array, b: list[Array], r: Array) -> Array:
        return _surplus(a[0], m, b[0], r, mean) ** 2 * _ratio(n, m * r)

    return gain_by, whole[0] * mean, jnp.zeros_like(n)


def _counted(whole: list[Array], n: Array, _: Rules, criterion: Criterion, __: object) -> _Form:
    shares = [_ratio(t, n) for t in whole]

    def gain_by(a: list[Array], m: Array, b: list[Array], r: Array) -> Array:
        parts = []
        for x, y, share in zip(a, b, shares, strict=True):
            surplus = _surplus(x, m, y, r, share)
            if criterion == "gini":
                parts.append(surplus**2)
            else:
                parts.append(_excess(x, m * share, surplus) + _excess(y, r * share, -surplus))
        gain = reduce(jnp.add, parts)
        return gain * _ratio(n, m * r) if criterion == "gini" else jnp.maximum(gain, 0)

    return gain_by, n, jnp.zeros_like(n)


def _excess(x: Array, expected: Array, surplus: Array) -> Array:
    """Return x ln(x/e) − x + e, which is about (x − e)²/2e, from x − e."""
    eps = jnp.finfo(x.dtype).eps
    return x * jnp.log1p(jnp.maximum(_ratio(surplus, expected), eps - 1)) - surplus


def _newton(
    whole: list[Array], n: Array, rules: Rules, criterion: Criterion, fence: Fence | None
) -> _Form:
    both = n + 2 * rules.l2
    mean = _ratio(whole[0], both)
    # What l2 takes twice of the children, and once of the node.
    paid = rules.l2 * whole[0] * _ratio(mean, n + rules.l2) / 2

    def gain_by(a: list[Array], m: Array, b: list[Array], r: Array) -> Array:
        m_l2, r_l2 = m + rules.l2, r + rules.l2
        square = _surplus(a[0], m_l2, b[0], r_l2, mean) ** 2
        gain = square * _ratio(both, m_l2 * r_l2) / 2 - paid
        if fence is None:
            return gain
        lost = partial(_lost, rules=rules, fence=fence)
        return gain - lost(a, m) - lost(b, r) + lost(whole, n)

    return gain_by, whole[0] * mean, paid


def _lost(side: list[Array], weight: Array, *, rules: Rules, fence: Fence) -> Array:
    """Return what the bounds of its node take from a step."""
    step = _say(side, weight, rules, "newton")
    return (weight + rules.l2) * (clip(step, fence.bounds) - step) ** 2 / 2


def _ratio(a: Array, b: Array) -> Array:
    return a / jnp.where(b > 0, b, 1)
