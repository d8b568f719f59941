"""Where a function jumps, bends or peaks: three neighbors, drawn together around the place.

    D(h) = f(x − h) − 2 f(x) + f(x + h)  ~  h^q        q = 2 smooth, 1 kink, 0 jump, < 0 pole

Five points make three triples of half the width; the triple with the largest |D| is kept, again
and again. A steep slope has no D; a bend or peak that is merely narrow has q = 2 once the triple is
narrower; a jump keeps its D down to rounding. q is measured over the last four halvings whose D
stands above rounding. A kink lies where the lines through its neighbors meet; the place of a jump
is bisected until the dtype ends.

Source: Mallat & Hwang (1992), *IEEE Transactions on Information Theory* 38, section III (singular
points from how a difference decays across scales); Davis & Rabinowitz (1984), *Methods of
Numerical Integration*, section 2.12.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from mastery_jax.core import loop

__all__ = ["JUMP", "KINK", "WINDOW", "Found", "bends", "peaks"]

WINDOW = 4  # halvings over which q is measured
JUMP, KINK = 0.25, 1.5  # q below which a place is a jump or pole, and a kink or cusp


class Found(NamedTuple):
    """The places that were looked at, and every value that it took."""

    place: Float[Array, " places"]
    order: Float[Array, " places"]  # q
    is_seen: Bool[Array, " places"]  # D stands above rounding long enough for q to be known
    height: Float[Array, " places"]  # |f| in the middle of the last triple
    points: Float[Array, " evals"]
    values: Float[Array, " evals"]


class _Triple(NamedTuple):
    points: Float[Array, "places 3"]
    values: Float[Array, "places 3"]


def bends(f: Callable[..., Any], t: Any, y: Any, scale: Any, *, num_places: int) -> Found:
    """Draw triples around the cells that are least like a polynomial of degree three.

    O(places · bits of the dtype) calls.

    Args:
        f: Maps points (n) to values (n).
        t: Ascending points at equal distances.
        y: Values there.
        scale: Largest |f|: what rounding is measured by.
        num_places: How many cells are looked at.
    """
    fourth = y[:-4] - 4 * y[1:-3] + 6 * y[2:-2] - 4 * y[3:-1] + y[4:]
    center = 2 + _tops(jnp.abs(fourth), num_places)
    at = center[:, None] + jnp.arange(-2, 3, 2, dtype=jnp.int32)[None]
    number = jnp.finfo(t.dtype)
    steps = 20 if number.nmant > 30 else 12
    last, (ladder, scores, found_t, found_y) = _draw(
        f, _Triple(t[at], y[at]), lambda y: y[:, :-2] - 2 * y[:, 1:-1] + y[:, 2:], steps
    )
    width = ladder.points[..., 2] - ladder.points[..., 0]
    # What rounding does to f, and what rounding x does to a steep f.
    size = jnp.abs(ladder.points[..., 1])
    steep = jnp.abs(jnp.diff(ladder.values, axis=-1)).max(axis=-1) / width
    floor = 32 * number.eps * scale + 8 * number.eps * size * steep
    is_above = jnp.cumprod((scores > floor).astype(jnp.int32), axis=0)
    count = is_above.sum(axis=0, dtype=jnp.int32)
    lane = jnp.arange(len(center), dtype=jnp.int32)
    final = jnp.maximum(count - 1, WINDOW)
    logs = jnp.log2(jnp.where(is_above > 0, scores, 1))
    order = (logs[final - WINDOW, lane] - logs[final, lane]) / WINDOW
    is_seen = count > WINDOW + 1
    # Wide enough that rounding does not turn the lines, narrow enough that they are straight.
    deep = jnp.minimum(final, number.nmant // 2 - 6)
    corner, more_t, more_y = _corner(f, jax.tree.map(lambda rows: rows[deep, lane], ladder), t)
    edge, edge_t, edge_y = _bisect(f, last, number.nmant - 7 - steps)
    return Found(
        place=jnp.where(order < JUMP, edge, corner),
        order=jnp.where(is_seen, order, 2),
        is_seen=is_seen,
        height=jnp.abs(last.values[:, 1]),
        points=jnp.concatenate([found_t.reshape(-1), more_t.reshape(-1), edge_t.reshape(-1)]),
        values=jnp.concatenate([found_y.reshape(-1), more_y.reshape(-1), edge_y.reshape(-1)]),
    )


def peaks(f: Callable[..., Any], t: Any, y: Any, *, num_places: int) -> Found:
    """Climb from the largest |f| to where it is larger still. O(places · bits of the dtype) calls.

    Args:
        f: Maps points (n) to values (n).
        t: Ascending points, at any distances.
        y: Values there.
        num_places: How many local maxima of |f| are climbed.
    """
    center = 1 + _tops(jnp.abs(y[1:-1]), num_places)
    at = center[:, None] + jnp.arange(-1, 2, dtype=jnp.int32)[None]
    steps = 20 if jnp.finfo(t.dtype).nmant > 30 else 12
    last, (_, _, found_t, found_y) = _draw(f, _Triple(t[at], y[at]), lambda y: y[:, 1:-1], steps)
    place = last.points[:, 1]
    return Found(
        place=place,
        order=jnp.full_like(place, 2),
        is_seen=jnp.ones(place.shape, bool),
        height=jnp.abs(last.values[:, 1]),
        points=found_t.reshape(-1),
        values=found_y.reshape(-1),
    )


def _tops(score: Any, num_places: int) -> Any:
    """Return where the largest local maxima are."""
    padded = jnp.pad(score, 2, constant_values=-1)
    near = jnp.stack([padded[i : i + len(score)] for i in range(5)]).max(axis=0)
    return jax.lax.top_k(jnp.where(score == near, score, -1), num_places)[1]


def _draw(f: Callable[..., Any], start: _Triple, score: Callable[[Any], Any], steps: int) -> Any:
    """Halve every triple around its largest score.

    Returns:
        The last triples; of every step the triples, their scores, and the new points and values.
    """

    def step(triple: _Triple) -> tuple[_Triple, Any]:
        t, y = triple.points, triple.values
        new_t = t[:, :-1] + jnp.diff(t, axis=1) / 2
        new_y = f(new_t.reshape(-1)).reshape(new_t.shape)
        five_t, five_y = (
            jnp.stack([old[:, 0], new[:, 0], old[:, 1], new[:, 1], old[:, 2]], axis=1)
            for old, new in ((t, new_t), (y, new_y))
        )
        sizes = jnp.abs(score(five_y))
        best = sizes.argmax(axis=1).astype(jnp.int32)
        at = best[:, None] + jnp.arange(3, dtype=jnp.int32)[None]
        kept = _Triple(
            jnp.take_along_axis(five_t, at, axis=1), jnp.take_along_axis(five_y, at, axis=1)
        )
        return kept, (kept, sizes.max(axis=1), new_t, new_y)

    return loop.scan(step, start, num_steps=steps)


def _corner(f: Callable[..., Any], triple: _Triple, t: Any) -> tuple[Any, Any, Any]:
    """Return where the lines through the points on either side of each triple meet."""
    left, _, right = triple.points.T
    outer_t = jnp.stack([2 * left - right, 2 * right - left]).clip(t[0], t[-1])
    outer_y = f(outer_t.reshape(-1)).reshape(outer_t.shape)
    ends = jnp.stack([left, right]), triple.values[:, ::2].T
    run = ends[0] - outer_t
    slope = (ends[1] - outer_y) / jnp.where(run == 0, 1, run)
    rise = ends[1][1] - ends[1][0] - slope[1] * (right - left)
    turn = slope[0] - slope[1]
    share = rise / jnp.where(turn == 0, 1, turn)
    return (left + share).clip(left, right), outer_t, outer_y


def _bisect(f: Callable[..., Any], triple: _Triple, steps: int) -> tuple[Any, Any, Any]:
    """Halve the half of each triple across which f differs more, as often as asked."""
    rise = jnp.abs(jnp.diff(triple.values, axis=1))
    first = (rise[:, 1] > rise[:, 0]).astype(jnp.int32)
    at = first[:, None] + jnp.arange(2, dtype=jnp.int32)[None]
    start = tuple(jnp.take_along_axis(part, at, axis=1) for part in triple)

    def step(pair: Any) -> tuple[Any, Any]:
        t, y = pair
        middle = t[:, 0] + (t[:, 1] - t[:, 0]) / 2
        value = f(middle)
        is_right = jnp.abs(y[:, 1] - value) > jnp.abs(value - y[:, 0])
        new = [
            jnp.stack(
                [jnp.where(is_right, here, old[:, 0]), jnp.where(is_right, old[:, 1], here)], axis=1
            )
            for old, here in ((t, middle), (y, value))
        ]
        return tuple(new), (middle, value)

    (t, _), (found_t, found_y) = loop.scan(step, start, num_steps=steps)
    return t.mean(axis=1), found_t, found_y
