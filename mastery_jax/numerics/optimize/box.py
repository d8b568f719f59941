"""Bounds of variables, and what a minimum within them meets.

    x = clip(x − ∇f(x), l, u)        at a minimum in the box, and where no bound is active ∇f = 0

``None`` in place of bounds is no box at all, and costs nothing.

Source: Bertsekas (1982), SIAM J. Control Optim. 20(2), eq. 2 (stationarity) and 32 (which variables
are held); Nocedal & Wright (2006), *Numerical Optimization*, eq. 16.70.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float

from mastery_jax.numerics.optimize import objective

__all__ = ["Bounds", "clip", "held", "make", "projected", "stationarity"]


class Bounds(NamedTuple):
    """A box; infinite where a variable has no bound."""

    lower: Float[Array, " n"]
    upper: Float[Array, " n"]


def make(lower: jax.Array | None, upper: jax.Array | None, x: jax.Array) -> Bounds | None:
    """Return the box for variables like ``x``, or ``None`` if neither side is given."""
    if lower is None and upper is None:
        return None
    return Bounds(
        jnp.full_like(x, -jnp.inf) if lower is None else lower.astype(x.dtype),
        jnp.full_like(x, jnp.inf) if upper is None else upper.astype(x.dtype),
    )


def clip(x: jax.Array, bounds: Bounds | None) -> jax.Array:
    """Return the nearest point in the box."""
    return x if bounds is None else jnp.clip(x, bounds.lower, bounds.upper)


def projected(x: jax.Array, gradient: jax.Array, bounds: Bounds | None) -> jax.Array:
    """Return x − clip(x − ∇f), which is zero at a minimum in the box; nothing cancels here."""
    return gradient if bounds is None else jnp.clip(gradient, x - bounds.upper, x - bounds.lower)


def held(x: jax.Array, gradient: jax.Array, bounds: Bounds | None) -> tuple[jax.Array, jax.Array]:
    """Say which variables are held at (or next to) a bound, and how far away it is."""
    if bounds is None:
        return jnp.zeros(len(x), bool), jnp.zeros_like(x)
    norm = jnp.abs(projected(x, gradient, bounds)).max()
    near = jnp.minimum(norm, jnp.sqrt(jnp.finfo(x.dtype).eps)) * jnp.maximum(1, jnp.abs(x))
    at_lower = (x - bounds.lower <= near) & (gradient > 0)
    at_upper = (bounds.upper - x <= near) & (gradient < 0)
    to_bound = jnp.where(at_lower, bounds.lower - x, jnp.where(at_upper, bounds.upper - x, 0))
    return at_lower | at_upper, to_bound


def stationarity(fn: Partial, bounds: Bounds | None, x: jax.Array) -> jax.Array:
    """Return what is zero at a minimum of ``fn`` in the box: the equation it meets."""
    return projected(x, objective.gradient(fn, x), bounds)
