"""Who is near whom: each row's nearest rows, and probabilities of a given perplexity over them.

    p_{j|i} = exp(−β_i |x_i − x_j|²) / Σ_l exp(−β_i |x_i − x_l|²)     over the k nearest rows of i
    β_i such that  −Σ_j p_{j|i} log p_{j|i} = log perplexity
    P_ij = (p_{j|i} + p_{i|j}) / 2n,    Σ_ij P_ij = 1

The roots are found for all rows at once, by Newton's method in log β inside a bracket that halves.
A pair is kept as an edge from a row to a near one. Where both are near each other there are two
edges, each with P_ij; otherwise the one edge stands for both directions.

Source: van der Maaten & Hinton (2008), *Journal of Machine Learning Research* 9, eq. 1 and section
3.1 (symmetry); van der Maaten (2014), *Journal of Machine Learning Research* 15, section 4.1 (3
perplexity nearest rows).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from mastery_jax.core import loop
from mastery_jax.core.check import Scalar

__all__ = ["Edges", "Near", "attraction", "between", "cost", "edges", "nearest", "perplexed"]

BLOCK = 256  # rows whose distances to all others are formed at a time
MORE = 8  # candidates than would do without rounding


class Near(NamedTuple):
    """The nearest rows of some rows; near ones lie along the first axis."""

    rows: Int[Array, "k n"]
    squares: Float[Array, "k n"]  # squared distances, squared unit of the features


class Edges(NamedTuple):
    """The symmetric affinities of n rows."""

    rows: Int[Array, "k n"]  # the near row
    weights: Float[Array, "k n"]  # P_ij
    is_mutual: Bool[Array, "k n"]  # the other direction is an edge of its own


class _Search(NamedTuple):
    log_beta: Float[Array, " n"]
    low: Float[Array, " n"]
    high: Float[Array, " n"]


class _Verdict(NamedTuple):
    is_done: Bool[Array, ""]


def nearest(X: Array, Y: Array, num_neighbors: int, *, is_same: bool) -> Near:
    """Find the nearest rows of ``Y`` for every row of ``X``, nearest first. O(n m d).

    With ``is_same``, X is Y, and a row is no neighbor of itself. A few more candidates than are
    asked for come from products, which round, and are measured by differences. Where a row left
    out might, but for rounding, be nearer, as in far clusters, its block is searched again by
    differences. No other row is nearer, then, but for the rounding of differences and their sum.
    Centered rows are searched faster. Squares must be numbers.
    """
    n, d = X.shape
    block_size = min(BLOCK, n)
    blocks = jnp.pad(X, ((0, -n % block_size), (0, 0)), mode="edge").reshape(-1, block_size, d)
    starts = jnp.arange(len(blocks), dtype=jnp.int32) * block_size
    lengths = (Y**2).sum(axis=1)
    search = partial(_of_block, Y=Y, lengths=lengths, num_neighbors=num_neighbors, is_same=is_same)
    with jax.default_matmul_precision("highest"):
        found = jax.lax.map(lambda slot: search(*slot), (blocks, starts))
    rows, squares = (a.reshape(-1, num_neighbors)[:n].T for a in found)
    return Near(rows.astype(jnp.int32), squares)


def _of_block(
    X: Array, start: Array, *, Y: Array, lengths: Array, num_neighbors: int, is_same: bool
) -> tuple[Array, Array]:
    """Return the nearest rows, and their squared distances, of rows that begin at ``start``."""
    codes = jnp.arange(len(X), dtype=jnp.int32)
    num_others = len(Y) - is_same
    num_candidates = min(num_neighbors + MORE, num_others)

    def others(scores: Array) -> Array:
        if not is_same:
            return scores
        return scores.at[codes, start + codes].set(-jnp.inf, mode="drop")

    def by_differences() -> tuple[Array, Array]:
        far, found = jax.lax.top_k(others(-between(X, Y)), num_neighbors)
        return found, -far

    scores = others(2 * (X @ Y.T) - lengths[None, :])
    _, found = jax.lax.top_k(scores, num_candidates)
    squares = ((X[:, None, :] - Y[found]) ** 2).sum(axis=2)
    far, at = jax.lax.top_k(-squares, num_neighbors)
    kept = jnp.take_along_axis(found, at, axis=1), -far
    if num_candidates == num_others:
        return kept
    # Read from the table: a slice of what top_k returns makes XLA's CPU sort all of it.
    own_lengths = (X**2).sum(axis=1)
    closed = own_lengths - jnp.take_along_axis(scores, found, axis=1).min(axis=1)
    rounding = (X.shape[1] + 4) * jnp.finfo(X.dtype).eps * (own_lengths + lengths.max())
    last = -far.min(axis=1)
    is_sure = ((last == 0) | (last < closed - rounding)).all()
    return jax.lax.cond(is_sure, lambda: kept, by_differences)


def perplexed(squares: Array, *, perplexity: Scalar, max_steps: int = 100) -> tuple[Array, Array]:
    """Return p_{j|i} for squared distances (k, n), and |perplexity reached − wanted| / wanted.

    O(k n) a step, some ten steps. Where at least ``perplexity`` rows are at one and the same
    least distance there is no root, and the error says so.
    """
    wanted = jnp.log(jnp.asarray(perplexity, squares.dtype))
    nearest_square = squares.min(axis=0)
    D = squares - nearest_square[None, :]
    mean = D.mean(axis=0)
    is_flat = ~(mean > 0)
    D = D / jnp.where(is_flat, 1, mean)[None, :]  # free of units
    zeros = jnp.zeros_like(mean)
    search = _Search(zeros, zeros - 40, zeros + 40)
    atol = 64 * float(jnp.finfo(D.dtype).eps)
    search, _, _ = loop.until(_newton, search, max_steps=max_steps, D=D, wanted=wanted, atol=atol)
    p, entropy, _ = _spread(search.log_beta, D)
    return p, jnp.abs(jnp.expm1(entropy - wanted))


def between(X: Array, Y: Array) -> Array:
    """Return |x − y|² of all rows of two tables, as (n, m), by differences. O(n m d).

    Products of rows are quicker but lose, of rows close together and far from the origin, all.
    """

    def add(total: Array, feature: tuple[Array, Array]) -> tuple[Array, None]:
        x, y = feature
        return total + (x[:, None] - y[None, :]) ** 2, None

    return loop.scan(add, jnp.zeros((len(X), len(Y)), X.dtype), (X.T, Y.T))[0]


def _spread(log_beta: Array, D: Array) -> tuple[Array, Array, Array]:
    """Return probabilities, their entropy, and its slope in log β."""
    beta = jnp.exp(log_beta)
    p = jnp.exp(-beta[None, :] * D)
    total = p.sum(axis=0)
    p = p / total[None, :]
    mean = (p * D).sum(axis=0)
    variance = (p * (D - mean[None, :]) ** 2).sum(axis=0)
    return p, jnp.log(total) + beta * mean, -(beta**2) * variance


def _newton(search: _Search, *, D: Array, wanted: Array, atol: float) -> tuple[_Search, _Verdict]:
    _, entropy, slope = _spread(search.log_beta, D)
    excess = entropy - wanted
    is_wide = excess > 0
    low = jnp.where(is_wide, search.log_beta, search.low)
    high = jnp.where(is_wide, search.high, search.log_beta)
    step = search.log_beta - excess / jnp.where(slope < 0, slope, -1)
    is_inside = (step > low) & (step < high) & (slope < 0)
    log_beta = jnp.where(is_inside, step, (low + high) / 2)
    is_root = (jnp.abs(excess) <= atol) | (high - low <= jnp.finfo(D.dtype).eps * 64)
    log_beta = jnp.where(is_root, search.log_beta, log_beta)
    return _Search(log_beta, low, high), _Verdict((is_root | jnp.isnan(excess)).all())


def edges(near: Near, p: Array) -> Edges:
    """Make probabilities symmetric. O(n k²)."""
    k, n = p.shape
    own = jnp.arange(n, dtype=jnp.int32)

    def back(slot: tuple[Array, Array]) -> tuple[Array, Array]:
        rows, codes = slot  # one near row of each row
        is_back = near.rows[:, rows] == codes[None, :]
        return jnp.where(is_back, p[:, rows], 0).sum(axis=0), is_back.any(axis=0)

    returned, is_mutual = jax.lax.map(back, (near.rows, jnp.broadcast_to(own, (k, n))))
    return Edges(near.rows, (p + returned) / (2 * n), is_mutual)


def attraction(Y: Array, given: Edges) -> Array:
    """Return Σ_j P_ij (y_i − y_j) / (1 + |y_i − y_j|²) as (c, n), for Y (c, n). O(k n c).

    Neighbor by neighbor: a scatter of one index a row costs a third of one scatter of all.
    """

    def add(forces: list[Array], edge: Edges) -> tuple[list[Array], None]:
        differences = [y - y.at[edge.rows].get(mode="promise_in_bounds") for y in Y]
        pull = edge.weights / (1 + sum(d**2 for d in differences))
        alone = jnp.where(edge.is_mutual, 0, pull)
        return [
            (f + pull * d).at[edge.rows].add(-alone * d, mode="promise_in_bounds")
            for f, d in zip(forces, differences, strict=True)
        ], None

    return jnp.stack(loop.scan(add, [jnp.zeros_like(y) for y in Y], given)[0])


def cost(Y: Array, given: Edges) -> Array:
    """Return Σ_ij P_ij (log P_ij + log(1 + |y_i − y_j|²)), in nats, for Y (c, n). O(k n c)."""
    spread = 1 + sum((y[None, :] - y[given.rows]) ** 2 for y in Y)
    is_some = given.weights > 0
    logs = jnp.log(jnp.where(is_some, given.weights, 1) * spread)
    return (given.weights * logs * jnp.where(given.is_mutual, 1, 2)).sum()
