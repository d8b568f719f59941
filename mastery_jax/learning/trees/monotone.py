"""Monotone trees: what a node may say is bounded, so that an answer never falls where it must rise.

    s v_left ≤ s v_right                          of a split on a feature of sign s = ±1
    s v ≤ s m on its left,   s m ≤ s v on its right,    m = (v_left + v_right)/2

Of two rows that differ in that feature alone, the trees part at such a split or nowhere: whatever
stands below, one leaf is on either side of m. A split that contradicts its sign is refused, a leaf
is clipped to its bounds. Splits on other features hand the bounds of a node down to both children.

Source: LightGBM (2020), 3.0, *Parameters*, ``monotone_constraints_method=basic``; Auguste, Malory &
Smirnov (2020), *A better method to enforce monotonic constraints in regression and classification
trees*, section 2.2.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mastery_jax.core import loop

__all__ = ["Bounds", "Fence", "at", "below", "clip", "fence", "reconcile", "unbounded"]


class Bounds(NamedTuple):
    """What a node may say, in the unit of its value."""

    lower: Float[Array, " nodes"]
    upper: Float[Array, " nodes"]


class Fence(NamedTuple):
    """What the splits of some nodes must obey."""

    sign: Int[Array, "features nodes"]  # of each node's features: −1, 0 or 1
    bounds: Bounds  # (1, nodes)


def unbounded(num_nodes: int, dtype: jnp.dtype) -> Bounds:
    """Return bounds that hold nothing back."""
    infinite = jnp.full(num_nodes, jnp.inf, dtype)
    return Bounds(-infinite, infinite)


def fence(sign: Array, bounds: Bounds, nodes: Array, features: Array | None) -> Fence:
    """Return what the splits of ``nodes`` must obey; of all features where None are chosen."""
    own = Bounds(*(bound[None, :] for bound in at(bounds, nodes)))
    if features is not None:
        return Fence(sign[features], own)
    return Fence(jnp.broadcast_to(sign[:, None], (len(sign), len(nodes))), own)


def at(bounds: Bounds, nodes: Array) -> Bounds:
    """Return the bounds of ``nodes``, of no node in particular where there is none."""
    return Bounds(*(bound.at[nodes].get(mode="clip") for bound in bounds))


def clip(values: Array, bounds: Bounds) -> Array:
    """Return values between their bounds."""
    return jnp.minimum(jnp.maximum(values, bounds.lower), bounds.upper)


def below(sign: Array, bounds: Bounds, left: Array, right: Array) -> tuple[Bounds, Bounds]:
    """Return the bounds of the left and of the right children of nodes.

    Args:
        sign: Of the feature that each node is split on.
        bounds: Of the nodes.
        left: What the left children say.
        right: What the right ones say.
    """
    middle = (clip(left, bounds) + clip(right, bounds)) / 2
    is_rising, is_falling = sign > 0, sign < 0
    lower, upper = bounds
    return (
        Bounds(jnp.where(is_falling, middle, lower), jnp.where(is_rising, middle, upper)),
        Bounds(jnp.where(is_rising, middle, lower), jnp.where(is_falling, middle, upper)),
    )


def reconcile(values: Array, weight: Array, child: Array, sign: Array, *, max_depth: int) -> Array:
    """Return values of leaves that were found without regard to signs, within bounds.

    What a node says is the mean of its leaves; the bounds follow from that. O(nodes depth).

    Args:
        values: Of the leaves; of other nodes anything.
        weight: Of the leaves' rows.
        child: The left one of each node; a leaf is its own.
        sign: Of the feature that a node is split on.
        max_depth: Of the tree, at most. Static.
    """
    most = len(child)
    is_inner = child != jnp.arange(most, dtype=child.dtype)
    left, right = (jnp.where(is_inner, child + side, 0) for side in (0, 1))

    def up(carry: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
        said, heavy = carry
        both = heavy[left] + heavy[right]
        mean = heavy[left] * said[left] + heavy[right] * said[right]
        mean = jnp.where(both > 0, mean / jnp.where(both > 0, both, 1), 0)
        return (jnp.where(is_inner, mean, said), jnp.where(is_inner, both, heavy)), None

    weight = jnp.where(is_inner, 0, weight)
    (said, _), _ = loop.scan(up, (jnp.where(is_inner, 0, values), weight), num_steps=max_depth)

    def down(bounds: Bounds) -> tuple[Bounds, None]:
        sides = below(sign, bounds, said[left], said[right])
        places = jnp.where(is_inner, jnp.stack([left, right]), most)
        lower, upper = (
            bound.at[places].set(jnp.stack(pair), mode="drop")
            for bound, *pair in zip(bounds, *sides, strict=True)
        )
        return Bounds(lower, upper), None

    bounds, _ = loop.scan(down, unbounded(most, values.dtype), num_steps=max_depth)
    return clip(values, bounds)
