"""Binning: every feature cut into a few bins of about equal weight, so that a split is a count.

    code(x) = #{k : e_k < x},    x ≤ e_k  ⟺  code(x) ≤ k

A feature of few distinct values gets an edge halfway between each two of them, and a tree then
finds the very splits that it would find without bins. The last code is that of a missing value.

Source: Ranka & Singh (1998), *CLOUDS: a decision tree classifier for large datasets*, section 3;
Ke et al. (2017), *LightGBM*, algorithm 1.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from mastery_jax.core import loop, ordering
from mastery_jax.core.check import checked

__all__ = ["Bins", "fit", "transform"]

MOST_BINS = 256  # a code is one byte
TOGETHER = 16  # edges that one pass over a column compares


class Bins(NamedTuple):
    """Where every feature is cut."""

    edges: Float[Array, "d edges"]  # ascending, unit of the feature; ∞ where fewer are needed


@partial(jax.jit, static_argnames=("num_bins", "max_rows"))
@checked
def fit(
    X: Float[Array, "n d"],
    *,
    weights: Float[Array, " n"] | None = None,
    num_bins: int = 256,
    max_rows: int = 10_000,
) -> Bins:
    """Cut every feature at quantiles, or between all its values if they are few. O(d m log m).

    Args:
        X: One row per sample; NaN is a missing value.
        weights: ≥ 0, one where None. A row of weight 0 has no say.
        num_bins: Bins of a feature, that of missing values among them; 3 to 256. Static.
        max_rows: At most so many rows with weight, m, evenly spaced, are looked at. Static.

    Raises:
        ValueError: ``num_bins`` or ``max_rows`` is outside its range.

    Example:
        >>> fit(jnp.array([[1.0], [2.0], [2.0], [5.0]]), num_bins=4).edges
        Array([[1.5, 3.5]], dtype=float32)
    """
    if not 3 <= num_bins <= MOST_BINS:
        raise ValueError(f"binning.fit: num_bins is {num_bins}, not 3 to {MOST_BINS}")
    if max_rows < 1:
        raise ValueError(f"binning.fit: max_rows is {max_rows}, not at least 1")
    if weights is not None:
        weights = weights.astype(X.dtype)
    if len(X) > max_rows:
        X, weights = _sample(X, weights, max_rows)
    cut = partial(_cut, weights=weights, num_edges=num_bins - 2)
    return Bins(jax.lax.map(cut, X.T))


@jax.jit
@checked
def transform(bins: Bins, X: Float[Array, "n d"]) -> UInt8[Array, "d n"]:
    """Return the bin of every value, feature by feature. O(n d edges).

    Args:
        bins: From :func:`fit`.
        X: One row per sample; NaN gets the code after that of the last bin.

    Example:
        >>> transform(Bins(jnp.array([[1.5, 3.5]])), jnp.array([[1.0], [2.0], [jnp.nan]]))
        Array([[0, 1, 3]], dtype=uint8)
    """
    num_edges = bins.edges.shape[1]
    room = -num_edges % TOGETHER

    def code(column: tuple[Array, Array]) -> Array:
        x, edges = column
        blocks = jnp.pad(edges, (0, room), constant_values=jnp.inf).reshape(-1, TOGETHER)

        def count(code: Array, block: Array) -> tuple[Array, None]:
            for k in range(TOGETHER):
                code = code + (x > block[k]).astype(code.dtype)
            return code, None

        code, _ = loop.scan(count, jnp.zeros(len(x), jnp.uint8), blocks)
        return jnp.where(jnp.isnan(x), jnp.uint8(num_edges + 1), code)

    return jax.lax.map(code, (X.T, bins.edges))


def _sample(X: Array, weights: Array | None, count: int) -> tuple[Array, Array | None]:
    """Return every so-manieth row, of those with weight; at most ``count``."""
    if weights is None:
        return X[:: -(-len(X) // count)], None
    through = jnp.cumsum(weights > 0, dtype=jnp.int32)
    stride = -(-through[-1] // count)
    rank = jnp.arange(count, dtype=jnp.int32) * stride
    place = jnp.searchsorted(through, rank + 1).astype(jnp.int32)
    chosen = X.at[place].get(mode="clip")
    return chosen, jnp.where(rank < through[-1], weights.at[place].get(mode="clip"), 0)


def _cut(x: Array, *, weights: Array | None, num_edges: int) -> Array:
    """Return one feature's edges."""
    if weights is None:
        (x,) = ordering.sort(x)
        weight = jnp.where(jnp.isnan(x), 0, 1).astype(x.dtype)
    else:
        x = jnp.where(weights > 0, x, jnp.nan)
        x, weight = ordering.sort(x, jnp.where(jnp.isnan(x), 0, weights))
    last = jnp.roll(x, 1)
    place = jnp.arange(len(x), dtype=jnp.int32)
    is_new = (place > 0) & (x > last)  # no NaN is greater
    middle = x / 2 + last / 2
    middle = jnp.where((middle >= last) & (middle < x), middle, last)

    rank = jnp.cumsum(is_new, dtype=jnp.int32)
    everywhere = jnp.full(num_edges, jnp.inf, x.dtype)
    everywhere = everywhere.at[jnp.where(is_new, rank - 1, num_edges)].set(middle, mode="drop")

    # An edge stands at the first change of value at or after its quantile; where a value is so
    # heavy that the next edge would stand there too, at the last change before.
    through = jnp.cumsum(weight)
    shares = jnp.arange(1, num_edges + 1, dtype=x.dtype) / (num_edges + 1)
    # A sum that meets its share but for rounding has met it.
    wanted = shares * through[-1] * (1 - 16 * jnp.finfo(x.dtype).eps)
    at = jnp.searchsorted(through, wanted).astype(jnp.int32)
    after = jax.lax.cummin(jnp.where(is_new, place, len(x)), reverse=True)
    after = after.at[at + 1].get(mode="fill", fill_value=len(x))
    before = jax.lax.cummax(jnp.where(is_new, place, 0)).at[at].get()
    is_twice = jnp.append(after[1:] == after[:-1], False) & (before > 0)
    change = jnp.where(is_twice, before, after)
    quantiles = middle.at[change].get(mode="fill", fill_value=jnp.inf)
    return jnp.where(rank[-1] <= num_edges, everywhere, quantiles)
