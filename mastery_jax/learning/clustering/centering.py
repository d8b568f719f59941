"""Rows about their weighted mean, and the unit in which their squares are numbers.

    z_i = x_i − m,      m ← m + Σ_i w_i (x_i − m) / Σ_i w_i

The first mean of many rows that are far from 0 is rounded by more than they differ; what it leaves
is added to it. The unit is a power of two: dividing by it changes no digit.

Source: Chan, Golub & LeVeque (1983), *American Statistician* 37(3), section 1 (the corrected
two-pass algorithm).
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from mastery_jax.numerics.linalg.scale import power_of_two

__all__ = ["Centered", "center"]


class Centered(NamedTuple):
    """Rows about their mean."""

    rows: Float[Array, "n d"]  # 0 where the weight is
    origin: Float[Array, " d"]
    unit: Float[Array, ""]  # power of two up to the largest number of the rows


def center(X: Array, weights: Array) -> Centered:
    """Return the rows about their mean; one of weight 0 is not read. O(n d)."""
    share = weights / weights.sum()
    is_there = (weights != 0)[:, None]
    X = jnp.where(is_there, X, 0)
    rough = share @ X
    origin = rough + share @ jnp.where(is_there, X - rough[None, :], 0)
    rows = jnp.where(is_there, X - origin[None, :], 0)
    return Centered(rows, origin, power_of_two(jnp.abs(rows).max()))
