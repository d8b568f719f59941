"""Codes of classes: wide enough to count with, and sums of weights by them that do not drift.

    total_k = Σ_{i: code_i = k} w_i             table_kl = Σ_{i: one_i = k, other_i = l} w_i

Added to one number row after row, ones cease to count at 2²⁴ in float32, and fractions drift much
earlier. Here every few rows are added to numbers of their own, and those as a tree.

Source: Higham (1993), *SIAM J. Scientific Computing* 14(4), section 3 (the error by the order).
"""

import jax.numpy as jnp
from jaxtyping import Array

__all__ = ["table", "totals", "widened"]

FEW = 512  # rows of a part; where there are more codes, as many rows: a part costs K sums
MOST = 1 << 22  # rows of a part: float32 still counts them


def widened(*codes: Array) -> tuple[Array, ...]:
    """Return codes in one dtype, of 32 bits or more. O(n).

    A number of classes may have no place in a narrow dtype, and a wide code wraps around in it.
    """
    dtypes = [jnp.dtype(jnp.int32), *(each.dtype for each in codes)]
    widest = max(dtypes, key=lambda dtype: dtype.itemsize)
    return tuple(each.astype(widest) for each in codes)


def totals(weights: Array, codes: Array, num_codes: int) -> Array:
    """Return the weight of every code, of 0 … num_codes − 1. O(n + K + n K / MOST), memory too."""
    size = min(max(FEW, num_codes), MOST)
    part = jnp.arange(len(codes)) // size
    sums = jnp.zeros((max(1, -(-len(codes) // size)), num_codes), weights.dtype)
    return sums.at[part, codes].add(weights).sum(axis=0)


def table(weights: Array, one: Array, other: Array, num_one: int, num_other: int) -> Array:
    """Return the weight of every pair of codes, at the cost of ``totals``.

    NaN throughout for a code that is none in a row with weight, and for weights that are NaN.
    """
    one, other = widened(one, other)
    is_code = (one >= 0) & (one < num_one) & (other >= 0) & (other < num_other)
    cell = jnp.where(is_code, one * num_other + other, 0)
    is_bad = (~is_code & (weights != 0)).any() | jnp.isnan(weights).any()
    found = jnp.where(is_bad, jnp.nan, totals(weights, cell, num_one * num_other))
    return found.reshape(num_one, num_other)
