"""Where the nodes of a rule lie, when the ends of an interval may be infinite.

    half-line   x = anchor ± unit (1 − t)/t,   t in (0, 1]
    line        x = unit t/(1 − t²),           t in (−1, 1)

Any other interval is left as it is: nodes near an end keep the digits that x has there.

Source: Piessens, de Doncker-Kapenga, Überhuber & Kahaner (1983), *QUADPACK*, section 3.4 (QAGI);
the map of the line: Davis & Rabinowitz (1984), *Methods of Numerical Integration*, section 3.1.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float

from mastery_jax.numerics.quadrature import report

__all__ = ["Frame", "abscissae", "frame", "total"]


class Frame(NamedTuple):
    """Where x(t) lies for one problem, or many along a leading axis."""

    edges: Float[Array, "... segments"]  # ascending t: the ends, and the breakpoints between
    anchor: Float[Array, "..."]  # the finite end of a half-line, unit of x
    direction: Float[Array, "..."]  # the unit, times ±1: where a half-line goes; 0 if finite
    is_line: Bool[Array, "..."]  # both ends are infinite


def frame(
    lower: Array, upper: Array, between: Array, *, unit: Array | float = 1.0
) -> tuple[Frame, Array, Array]:
    """Return where t runs, the sign of the integral, and whether this is no interval at all.

    ``between`` holds breakpoints in x, in any order; ``unit`` is the length from which an end at
    infinity is seen.
    """
    low, high = jnp.minimum(lower, upper), jnp.maximum(lower, upper)
    is_from, is_to = jnp.isinf(low), jnp.isinf(high)
    is_line, is_half = is_from & is_to, is_from != is_to
    is_bad = jnp.isnan(low) | ((low == high) & is_from)
    is_bad |= ~(jnp.isfinite(unit) & (unit > 0))
    is_bad |= ~((low <= between) & (between <= high) & jnp.isfinite(between)).all()
    anchor = jnp.where(is_half, jnp.where(is_from, high, low), 0)
    place, away = between / unit, jnp.abs(between - anchor) / unit
    far = 2 * place / (1 + jnp.sqrt(1 + 4 * place * place))
    near = 1 / (1 + away)
    t = jnp.where(is_line, far, jnp.where(is_half, near, between))
    first = jnp.where(is_line, -1, jnp.where(is_half, 0, low))
    last = jnp.where(is_line | is_half, 1, high)
    edges = jnp.concatenate([first[None], jnp.sort(t), last[None]])
    return (
        Frame(
            edges=jnp.where(is_bad, 0, edges),
            anchor=anchor,
            direction=jnp.where(
                is_line, unit, jnp.where(is_half, jnp.where(is_from, -unit, unit), 0)
            ).astype(edges.dtype),
            is_line=is_line & ~is_bad,
        ),
        jnp.where(upper < lower, -1, 1).astype(edges.dtype),
        is_bad,
    )


def total(
    fn: Partial,
    ends: tuple[Array, Array, Array],
    intervals: tuple[Array, Array, Array],
    *,
    unit: Array,
    rule: Any,
) -> Array:
    """Return ∫ f over intervals that were found, as a sum that can be differentiated. O(all nodes).

    Nodes move with the ends, so that derivatives of derivatives are right too.

    Args:
        fn: The integrand.
        ends: Lower and upper end, and the breakpoints.
        intervals: Left ends and right ends in t, and how many of them are in use.
        unit: As ``frame`` had it.
        rule: Nodes in (−1, 1) and their weights.
    """
    lower, upper, _ = ends
    starts, stops, count = intervals
    fixed = jax.lax.stop_gradient
    low, high = jnp.minimum(lower, upper), jnp.maximum(lower, upper)
    where, _, _ = fixed(frame(*ends, unit=unit))
    is_used = jnp.arange(len(starts), dtype=jnp.int32) < count
    left = jnp.where(is_used, starts, starts[0])
    half = (jnp.where(is_used, stops, stops[0]) - left) / 2
    nodes, weights, _ = (jnp.asarray(part, left.dtype) for part in rule)
    t = (left + half)[:, None] + half[:, None] * nodes[None]
    x, slope = abscissae(t, where)
    is_finite = jnp.isfinite(low) & jnp.isfinite(high)
    width = jnp.where(is_finite & (high > low), fixed(high - low), 1)
    low, high = jnp.where(jnp.isfinite(low), low, 0), jnp.where(jnp.isfinite(high), high, 0)
    shift, stretch = low - fixed(low), high - fixed(high)  # 0, and not so their derivatives
    share = jnp.where(is_finite, (x - fixed(low)) / width, (where.direction < 0).astype(x.dtype))
    x = x + shift * (1 - share) + stretch * share
    slope = slope * (1 + jnp.where(is_finite, (stretch - shift) / width, 0))
    # An interval of no width, which is one, still grows with its ends.
    moved = ((upper - fixed(upper)) - (lower - fixed(lower))) / 2
    grows = jnp.arange(len(starts), dtype=jnp.int32) == 0
    grows &= fixed(lower == upper) & jnp.isfinite(fixed(lower))
    half = jnp.where(is_used, half, 0) + jnp.where(grows, moved, 0)
    mass = half[:, None] * weights[None] * slope
    return report.weighted(fn, x.reshape(-1), mass.reshape(-1))


def abscissae(t: Array, frame: Frame) -> tuple[Array, Array]:
    """Return x(t) and dx/dt: t itself, or the map of an infinite interval.

    half-line   x = anchor ± unit (1 − t)/t,   t in (0, 1]
    line        x = unit t/(1 − t²),           t in (−1, 1)
    """
    anchor, direction, is_line = (jnp.broadcast_to(field, t.shape) for field in frame[1:])
    is_half = (direction != 0) & ~is_line
    stretch = jnp.where(direction == 0, 1, direction)
    r = 1 / jnp.where(is_line, 1 - t * t, jnp.where(is_half, t, 1))
    far = anchor + direction * (1 - t) * r
    x = jnp.where(is_half, far, stretch * t * r)
    return x, jnp.abs(stretch) * r * r * jnp.where(is_line, 1 + t * t, 1)
