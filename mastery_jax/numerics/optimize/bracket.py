"""Between which step sizes a good one lies: one trial narrows the bracket and proposes the next.

    φ(t) = f(x + t d),      good enough: φ(t) ≤ φ(0) + c₁ t φ'(0), and φ' has risen enough

``low`` is the best step so far that falls enough and still goes down; ``high``, infinite at first,
is beyond a minimum of φ. A line search is this step repeated; a minimizer may have it as a part of
its own loop, so that under ``vmap`` no lane waits for another's line search.

Source: Nocedal & Wright (2006), *Numerical Optimization*, algorithms 3.5 and 3.6, as one step, and
eq. 3.59 (cubic); Hager & Zhang (2005), SIAM J. Optim. 16(1), eq. 4.1 (what rounding hides).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

__all__ = ["NUM_CUBIC", "Bracket", "falls_enough", "narrow", "propose", "start"]

NUM_CUBIC = 5
"""Trials by interpolation; from then on the bracket is halved, so that every search ends."""


class Bracket(NamedTuple):
    """Two step sizes, with φ and its slope at each."""

    low: Float[Array, ""]
    low_value: Float[Array, ""]
    low_slope: Float[Array, ""]
    high: Float[Array, ""]  # may lie below low; infinite until a trial went too far
    high_value: Float[Array, ""]
    high_slope: Float[Array, ""]


def start(value: jax.Array, slope: jax.Array) -> Bracket:
    """Return the bracket of a search at t = 0: nothing is known but φ(0) and φ'(0)."""
    zero, far = jnp.zeros_like(value), jnp.full_like(value, jnp.inf)
    return Bracket(zero, value, slope, far, value, slope)


def falls_enough(
    value: jax.Array, slope: jax.Array, first: Bracket, expected: jax.Array, c1: float | jax.Array
) -> jax.Array:
    """Say whether a trial falls enough, as far as rounding lets one see.

    Args:
        value: φ(t).
        slope: φ'(t).
        first: The bracket at t = 0.
        expected: t φ'(0), the change that the first slope promises, < 0.
        c1: The part of it that is enough.
    """
    here = first.low_value
    noise = 100 * jnp.finfo(value.dtype).eps * jnp.abs(here)  # a sum cancels: f is not exact
    is_flat = (value <= here + noise) & (slope <= (2 * c1 - 1) * first.low_slope)
    return (value <= here + c1 * expected) | is_flat


def narrow(
    bracket: Bracket, t: jax.Array, value: jax.Array, slope: jax.Array, is_low: jax.Array
) -> Bracket:
    """Return the bracket after a trial that was not accepted.

    Args:
        bracket: The one that proposed the trial.
        t: The trial.
        value: φ(t), which may be NaN.
        slope: φ'(t).
        is_low: It falls enough.
    """
    trial = (t, value, slope)
    is_better = is_low & (value < bracket.low_value)
    # The slope points back to where the bracket's low end was: there is the new high end.
    is_past = slope * jnp.where(jnp.isinf(bracket.high), 1, bracket.high - bracket.low) >= 0
    low, high = bracket[:3], bracket[3:]
    new_high = [
        jnp.where(is_better, jnp.where(is_past, a, b), c)
        for a, b, c in zip(low, high, trial, strict=True)
    ]
    new_low = [jnp.where(is_better, a, b) for a, b in zip(trial, low, strict=True)]
    return Bracket(*new_low, *new_high)


def propose(bracket: Bracket, before: Bracket, num_tries: jax.Array) -> jax.Array:
    """Return the next step size to try.

    Args:
        bracket: As the last trial left it.
        before: As it was before.
        num_tries: Trials so far.
    """
    width = bracket.high - bracket.low
    is_open = jnp.isinf(bracket.high)
    part = _cubic(bracket, jnp.where(is_open, 1, width))
    part = jnp.where(num_tries < NUM_CUBIC, jnp.clip(part, 0.1, 0.9), 0.5)
    can_fit = jnp.isfinite(bracket.high_value) & jnp.isfinite(bracket.high_slope)
    part = jnp.where(can_fit, part, 0.1)
    # Still going down: on to where the slope would be zero, if it goes on as from before to here.
    moved, rise = bracket.low - before.low, bracket.low_slope - before.low_slope
    ahead = -bracket.low_slope / jnp.where(rise > 0, rise, 1)
    ahead = jnp.where(rise > 0, jnp.clip(ahead, 1, 4), 4)
    return bracket.low + jnp.where(is_open, moved * ahead, part * jnp.where(is_open, 0, width))


def _cubic(bracket: Bracket, width: jax.Array) -> jax.Array:
    """Return where the cubic through both ends is least, as a part of the way from low to high."""
    rise = (bracket.high_value - bracket.low_value) / width
    a = bracket.low_slope + bracket.high_slope - 3 * rise
    square = a * a - bracket.low_slope * bracket.high_slope
    root = jnp.sign(width) * jnp.sqrt(jnp.maximum(square, 0))
    bottom = bracket.high_slope - bracket.low_slope + 2 * root
    part = 1 - (bracket.high_slope + root - a) / jnp.where(bottom == 0, 1, bottom)
    return jnp.where((square >= 0) & (bottom != 0) & jnp.isfinite(part), part, 0.5)
