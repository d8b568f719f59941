"""Categories: a split is a set of codes, found among the prefixes of one order of them.

    Σ_c∈L (G_c, H_c) of every set L lies in a convex polygon, whose corners are the sums of
    {c : G_c/H_c ≤ t},    and what a split gains is convex in that sum: it is greatest at a corner

so that of all 2^(k−1) − 1 ways to part k categories, the best one cuts the order of their means:
of the residual, of the gradient by the curvature, of the share of the second of two classes. With
more classes no order is sure to hold it; categories then stand in the order of the first principal
component of their shares, weighted by their rows.

A split sends missing values, and categories that none of the node's rows has, to the right: where
they would go left, the children are exchanged.

Source: Fisher (1958), *On grouping for maximum homogeneity*; Breiman, Friedman, Olshen & Stone
(1984), theorem 4.5; Coppersmith, Hong & Hosking (1999), *Partitioning nominal attributes in
decision trees*, section 4 (the principal component).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt32

from mastery_jax.core import loop
from mastery_jax.learning.trees.binning import Bins
from mastery_jax.learning.trees.gains import COUNTED, Criterion
from mastery_jax.learning.trees.splitting import Split

__all__ = ["Order", "arrange", "codes", "cut", "everywhere", "settle", "words"]

WORD = 32  # bits
NEAR = 0.99  # of the greatest: as good to start from
TURNS = 16  # of the power method; that it stops short costs a worse order, no wrong split


class Order(NamedTuple):
    """In which order the categories of some nodes stand."""

    is_set: Bool[Array, "features nodes"]  # which of each node's features hold categories
    rank: Int[Array, "lanes bins nodes"]  # of each code; beyond all where no row has it
    lane: Int[Array, " features"]  # of each feature that holds categories; any of another


def words(num_bins: int) -> int:
    """Return how many words hold a set of codes, that of missing values among them."""
    return -(-num_bins // WORD)


def everywhere(num_nodes: int, num_bins: int) -> UInt32[Array, "nodes words"]:
    """Return sets of all codes."""
    return jnp.full((num_nodes, words(num_bins)), ~np.uint32(0))


def codes(X: Array, columns: tuple[int, ...], num_bins: int) -> Float[Array, "n d"]:
    """Return rows whose categories are codes 0 … num_bins − 2; what is no such code is missing.

    Fractions are cut off, as LightGBM does, so that trees of both read a number alike.
    """
    at = np.array(columns, np.int32)
    found = X[:, at]
    is_code = (found > -1) & (found < num_bins - 1)
    return X.at[:, at].set(jnp.where(is_code, jnp.trunc(found), jnp.nan))


def cut(bins: Bins, columns: tuple[int, ...]) -> Bins:
    """Return bins that are the codes themselves in some columns."""
    halves = jnp.arange(bins.edges.shape[1], dtype=bins.edges.dtype) + 0.5
    return Bins(bins.edges.at[np.array(columns, np.int32)].set(halves[None, :]))


def arrange(
    sums: Array,
    features: Array | None,
    columns: tuple[int, ...],
    *,
    criterion: Criterion,
    dtype: jnp.dtype,
) -> tuple[Array, Order]:
    """Put the categories of every node in the order of their means. O(lanes bins² nodes).

    Args:
        sums: Histograms, (features, bins, channels, nodes).
        features: Chosen for each node; all of them where None.
        columns: Those that hold categories. Static.
        criterion: What splits are judged by. Static.
        dtype: Of means.

    Returns:
        Histograms whose bins stand in that order where they are categories, the last one being that
        of missing values; and the order.
    """
    num_features, num_bins, _, num_nodes = sums.shape
    at, lane = slice(None), np.arange(num_features, dtype=np.int32)
    if features is None:
        at = np.array(columns, np.int32)
        lane = np.zeros(num_features, np.int32)
        lane[at] = np.arange(len(at))
        is_set = np.isin(np.arange(num_features), at)[:, None]
        is_set = jnp.broadcast_to(is_set, (num_features, num_nodes))
    else:
        is_set = jnp.isin(features, np.array(columns, np.int32))
    part = sums[at, :-1]
    code = jnp.arange(num_bins - 1, dtype=jnp.int32)[None, :, None]
    mean = jnp.where(is_set[at][:, None, :], _means(part, criterion, dtype), code.astype(dtype))
    rank = _ranks(mean)
    lanes, nodes = (np.arange(size)[:, None, None] for size in (len(part), num_nodes))
    order = (
        jnp.zeros_like(rank)
        .at[lanes, rank, nodes.swapaxes(0, 2)]
        .set(jnp.broadcast_to(code, rank.shape), mode="promise_in_bounds", unique_indices=True)
    )
    moved = jnp.take_along_axis(part, order[:, :, None, :], axis=1)
    rank = jnp.where(mean < jnp.inf, rank, num_bins)
    return sums.at[at, :-1].set(moved), Order(is_set, rank, jnp.asarray(lane))


def settle(split: Split, order: Order, total: Array, num_bins: int) -> tuple[Split, Array]:
    """Return the splits with missing values on the right of a set, and the sets. O(nodes bins).

    Args:
        split: In terms of the order.
        order: From :func:`arrange`.
        total: Of every node, (channels, nodes).
        num_bins: A split on a set has it for its last bin. Static.
    """
    node = jnp.arange(len(split.place), dtype=jnp.int32)
    is_set = order.is_set[split.place, node]
    rank = order.rank[order.lane[split.place], :, node]
    is_left = (rank <= split.bin[:, None]) ^ split.missing_left[:, None]
    is_left = is_left & (rank < num_bins)
    bits = jnp.pad(is_left, ((0, 0), (0, WORD * words(num_bins) - num_bins + 1)))
    bits = bits.reshape(len(node), -1, WORD).astype(jnp.uint32)
    sets = (bits << np.arange(WORD, dtype=np.uint32)[None, None, :]).sum(axis=2, dtype=jnp.uint32)
    sets = jnp.where(is_set[:, None], sets, ~np.uint32(0))
    is_exchanged = (is_set & split.missing_left)[None, :]
    split = split._replace(
        bin=jnp.where(is_set, num_bins, split.bin),
        missing_left=split.missing_left & ~is_set,
        left=jnp.where(is_exchanged, total - split.left, split.left),
    )
    return split, sets


def _ranks(mean: Array) -> Int[Array, "lanes bins nodes"]:
    """Return how many stand before each, of equal ones the first first.

    By comparing all pairs: up to 256 of them XLA's CPU counts faster than it sorts.
    """
    code = jnp.arange(mean.shape[1], dtype=jnp.uint8)

    def count(rank: Array, each: tuple[Array, Array]) -> tuple[Array, None]:
        one, other = each
        one = one[:, None]
        is_before = (one < mean) | ((one == mean) & (other < code)[None, :, None])
        return rank + is_before.astype(rank.dtype), None

    rank, _ = loop.scan(count, jnp.zeros(mean.shape, jnp.uint8), (mean.swapaxes(0, 1), code))
    return rank.astype(jnp.int32)


def _means(part: Array, criterion: Criterion, dtype: jnp.dtype) -> Float[Array, "lanes bins nodes"]:
    """Return what categories are sorted by; ∞ for one that no row has."""
    channels = part.astype(dtype)
    above, weight = channels[:, :, 0], channels[:, :, 1]
    if criterion in COUNTED:
        above, weight = channels[:, :, 1], channels.sum(axis=2)
        if part.shape[2] > 2:
            above = _along_principal(channels, weight)
    return jnp.where(weight > 0, above / jnp.where(weight > 0, weight, 1), jnp.inf)


def _along_principal(counts: Array, weight: Array) -> Float[Array, "lanes bins nodes"]:
    """Return the first principal component of every category's shares, times its weight."""
    share = counts / jnp.where(weight > 0, weight, 1)[:, :, None]
    whole = weight.sum(axis=1)[:, None]
    mean = counts.sum(axis=1) / jnp.where(whole > 0, whole, 1)
    off = share - mean[:, None]
    with jax.default_matmul_precision("highest"):
        spread = jnp.einsum("fbkn,fbln->fnkl", weight[:, :, None] * off, off)
        diagonal = jnp.diagonal(spread, axis1=2, axis2=3)
        # The first of about equals, as the two of two classes are: rounding must not turn it round.
        greatest = (diagonal >= NEAR * diagonal.max(axis=2, keepdims=True)).argmax(axis=2)
        start = jnp.take_along_axis(spread, greatest[:, :, None, None], axis=2)[:, :, 0]

        def turn(direction: Array) -> tuple[Array, None]:
            size = jnp.abs(direction).max(axis=2, keepdims=True)
            direction = direction / jnp.where(size > 0, size, 1)
            return jnp.einsum("fnkl,fnl->fnk", spread, direction), None

        direction, _ = loop.scan(turn, start, num_steps=TURNS)
        return jnp.einsum("fbkn,fnk->fbn", counts, direction)
