"""Many small least-squares problems at once, one for every user or every item of a table.

    (B + Σ_e a_e z_e z_eᵀ + ρ_g I) x_g = Σ_e b_e z_e      over the entries e of group g

Entries are sorted by their group, and cut into tiles of a fixed number of entries, none with
entries of two groups; what is empty in a tile counts 0. Every tile is a product of small matrices,
and what tiles of one group give is added. Tiles are taken a few hundred at a time and groups in
blocks, so that memory grows neither with n k² nor with the groups times k².

Source: Zhou, Wilkinson, Schreiber & Pan (2008), *AAIM*, eq. 5; Golub & Van Loan (2013), *Matrix
Computations*, section 4.2 (Cholesky).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from mastery_jax.core import loop, smallmat

__all__ = ["Side", "arrange", "solutions"]

MOST = 2**24  # numbers in the matrices of a block of groups, 64 MB in single precision
AT_ONCE = 2**18  # numbers in the rows of the tiles that are multiplied at once, or in the products


class Side(NamedTuple):
    """The entries of a table, by the users or by the items."""

    order: Int[Array, " n"]  # of the entries, by group
    others: Int[Array, " n"]  # in that order: the code of the other side
    ends: Int[Array, " groups"]  # where the entries of each group end
    tile_starts: Int[Array, " groups1"]  # the first tile of each group; and how many there are
    owners: Int[Array, " tiles"]  # the group of each tile
    firsts: Int[Array, " tiles"]  # the first entry of each tile


class _Sums(NamedTuple):
    """What the tiles of a block gave so far: the matrices, and below each its right-hand side."""

    values: Float[Array, "block k1 k"]
    tile: Int[Array, ""]  # the next


class _Verdict(NamedTuple):
    is_done: Bool[Array, ""]


def arrange(groups: Array, others: Array, *, num_groups: int) -> Side:
    """Sort entries by their group, and within it by the other side. O(n log n)."""
    n = len(groups)
    width = _width(n, num_groups)
    at = jnp.arange(n, dtype=jnp.int32)
    _, others, order = jax.lax.sort((groups, others, at), num_keys=2)
    counts = jnp.zeros(num_groups, jnp.int32).at[groups].add(1)
    ends = jnp.cumsum(counts, dtype=jnp.int32)
    tiles = jnp.cumsum(-(-counts // width), dtype=jnp.int32)
    starts = jnp.append(jnp.zeros(1, jnp.int32), tiles)
    most = n // width + min(n, num_groups)
    codes = jnp.arange(num_groups, dtype=jnp.int32)
    owners = jnp.repeat(codes, jnp.diff(starts), total_repeat_length=most)
    within = jnp.arange(most, dtype=jnp.int32) - starts[owners]
    firsts = (ends - counts)[owners] + width * within
    return Side(order, others, ends, starts, owners, firsts)


def solutions(
    side: Side,
    table: Array,
    quadratic: Array,
    linear: Array,
    *,
    ridge: Array,
    base: Array | None = None,
    block_size: int | None = None,
) -> Array:
    """Solve the problem of every group, as (groups, k). O(n k² + groups k³).

    Args:
        side: Of the groups.
        table: z for every code of the other side, (m, k).
        quadratic: a of every entry, in the order of the side.
        linear: b of every entry, in the order of the side.
        ridge: ρ of every group, > 0 where its entries leave a direction free.
        base: B, symmetric positive semidefinite; zeros where None.
        block_size: Groups whose matrices are there at once; by ``MOST`` where None.

    Returns:
        x; NaN for a group whose matrix is not positive definite.
    """
    num_groups, k = len(side.ends), table.shape[1]
    size = min(num_groups, block_size or max(1, MOST // (k * (k + 1))))
    base = jnp.zeros((k, k), table.dtype) if base is None else base

    def block(start: Array) -> Array:
        stop = jnp.minimum(start + size, num_groups)
        end = side.tile_starts[stop]
        zeros = jnp.zeros((size, k + 1, k), table.dtype)
        sums, _, _ = loop.until(
            _add,
            _Sums(zeros, side.tile_starts[start]),
            max_steps=len(side.owners),
            side=side,
            table=table,
            quadratic=quadratic,
            linear=linear,
            start=start,
            end=end,
        )
        own = jnp.minimum(start + jnp.arange(size, dtype=jnp.int32), num_groups - 1)
        shrunk = base[None] + ridge[own][:, None, None] * jnp.eye(k, dtype=table.dtype)[None]
        return _solved(sums.values[:, :k] + shrunk, sums.values[:, k])

    with jax.default_matmul_precision("highest"):
        found = jax.lax.map(block, jnp.arange(0, num_groups, size, dtype=jnp.int32))
    return found.reshape(-1, k)[:num_groups]


def _width(n: int, num_groups: int) -> int:
    """Return the entries of a tile: few where groups have few, for what is empty costs as much."""
    return min(32, max(4, n // (2 * num_groups)))


def _add(
    sums: _Sums,
    *,
    side: Side,
    table: Array,
    quadratic: Array,
    linear: Array,
    start: Array,
    end: Array,
) -> tuple[_Sums, _Verdict]:
    """Add what the next tiles of a block give."""
    n, k = len(side.order), table.shape[1]
    size = len(sums.values)
    width = _width(n, len(side.ends))
    most = len(side.owners)
    num_tiles = min(most, max(1, AT_ONCE // (k * max(k, width))))
    tiles = sums.tile + jnp.arange(num_tiles, dtype=jnp.int32)
    is_here = tiles < end
    tiles = jnp.minimum(tiles, most - 1)
    owners = side.owners[tiles]
    at = side.firsts[tiles][:, None] + jnp.arange(width, dtype=jnp.int32)[None, :]
    is_used = is_here[:, None] & (at < side.ends[owners][:, None])
    at = jnp.minimum(at, n - 1)
    rows = table[side.others[at]]
    a, b = (jnp.where(is_used, values[at], 0)[:, :, None] for values in (quadratic, linear))
    given = jnp.einsum("tli,tlj->tij", jnp.append(a * rows, b, axis=2), rows)
    slots = jnp.where(is_here, owners - start, size)
    values = sums.values.at[slots].add(given, mode="drop")
    tile = sums.tile + num_tiles
    return _Sums(values, tile), _Verdict(tile >= end)


def _solved(matrices: Array, vectors: Array) -> Array:
    if matrices.shape[1] <= smallmat.MAX_SIZE:
        return jax.vmap(smallmat.solve)(matrices, vectors)
    factors = jax.lax.linalg.cholesky(matrices, symmetrize_input=False)
    return jax.scipy.linalg.cho_solve((factors, True), vectors[:, :, None])[:, :, 0]
