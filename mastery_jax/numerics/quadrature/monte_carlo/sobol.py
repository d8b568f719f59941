"""Sobol's sequence in a box, as it is or scrambled: 2^m points, every cell of volume 2^−m hit once.

    x_i = g_1 v_1 ^ g_2 v_2 ^ ... ,      g = i ^ (i >> 1), the Gray code of i

bit by bit, for each dimension with its own v. Two ways to scramble keep the net property and make
every point uniform, so that the mean is unbiased and the variance of a smooth integrand falls like
n^−3: ``matrix`` multiplies the v by a random lower triangular matrix of bits and shifts all points
by one random word; ``owen`` permutes each digit by a hash of the digits above it.

Source: Sobol (1967), *USSR Comput. Math. Math. Phys.* 7(4), 86; Antonov & Saleev (1979), ibid.
19(1), 252 (Gray code); Matousek (1998), *J. Complexity* 14, 527 (matrix); Owen (1995), *Randomly
permuted (t, m, s)-nets*; Burley (2020), *J. Comput. Graph. Tech.* 9(4), 1, section 2 (a hash that
permutes so), with the multipliers of Vegdahl (2021), *Building a better LK hash*.
"""

from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from mastery_jax.core.check import checked
from mastery_jax.numerics.quadrature.monte_carlo import counter_hash, joe_kuo, unit_cube

__all__ = ["Net", "points", "randomize", "sample", "sequence"]

_INNER = 256  # columns of the table of low bits


class Net(NamedTuple):
    """A scrambled sequence."""

    directions: Array  # (d, 32), words
    shift: Array  # (d, 1), a word


@partial(jax.jit, static_argnames=("num_points",))
@checked
def sequence(
    lower: Float[Array, " d"], upper: Float[Array, " d"], *, num_points: int
) -> Float[Array, "n d"]:
    """Return the first points of the sequence itself, which begins at ``lower``. O(n d).

    Args:
        lower: Finite bounds; d at most 128.
        upper: The other bounds; never reached.
        num_points: n, best a power of two. Static.

    Raises:
        ValueError: no point, or more dimensions than are tabulated.

    Example:
        >>> sequence(jnp.zeros(2), jnp.ones(2), num_points=4)
        Array([[0.  , 0.  ],
               [0.5 , 0.5 ],
               [0.75, 0.25],
               [0.25, 0.75]], dtype=float32)
    """
    if num_points < 1:
        raise ValueError(f"sobol.sequence: num_points is {num_points}, not at least 1")
    size = 2 ** (num_points - 1).bit_length()
    net = Net(_directions(len(lower), "sobol.sequence"), jnp.zeros((len(lower), 1), jnp.uint32))
    digits = _digits(net, jnp.uint32(0), size)[:, :num_points]
    kept = min(joe_kuo.BITS, jnp.finfo(lower.dtype).nmant + 1)
    unit = (digits >> (joe_kuo.BITS - kept)).astype(lower.dtype) * 2.0**-kept
    return unit_cube.affine(unit, lower, upper)[0].T


@partial(jax.jit, static_argnames=("num_points", "scramble"))
@checked
def sample(
    key: Key[Array, ""],
    lower: Float[Array, " d"],
    upper: Float[Array, " d"],
    *,
    num_points: int,
    scramble: Literal["matrix", "owen"] = "owen",
) -> Float[Array, "n d"]:
    """Return scrambled points: each uniform in the box, together even. O(n d).

    Args:
        key: Consumed.
        lower: Finite bounds; d at most 128.
        upper: The other bounds.
        num_points: A power of two: only whole nets are even. Static.
        scramble: ``owen`` or ``matrix``. Static.

    Raises:
        ValueError: not a power of two, no such scramble, or too many dimensions.

    Example:
        >>> points = sample(jax.random.key(0), jnp.zeros(3), jnp.ones(3), num_points=8)
        >>> jnp.sort((8 * points).astype(int), axis=0)[:, 0]  # one in every eighth
        Array([0, 1, 2, 3, 4, 5, 6, 7], dtype=int32)
    """
    if num_points < 1 or num_points & (num_points - 1):
        raise ValueError(f"sobol.sample: num_points is {num_points}, not a power of two")
    num_dims = len(lower)
    if scramble == "matrix":
        digits = _digits(randomize(key, num_dims=num_dims), jnp.uint32(0), num_points)
    elif scramble == "owen":
        seeds = jax.random.bits(key, (num_dims, 1), jnp.uint32)
        net = Net(_directions(num_dims, "sobol.sample"), jnp.zeros((num_dims, 1), jnp.uint32))
        digits = _permute(_digits(net, jnp.uint32(0), num_points), seeds)
    else:
        raise ValueError(f"sobol.sample: scramble is {scramble!r}, not 'matrix' or 'owen'")
    return unit_cube.affine(counter_hash.to_unit(digits, lower.dtype), lower, upper)[0].T


def randomize(key: Array, *, num_dims: int) -> Net:
    """Return a net scrambled by random matrices and a shift. O(32³ d).

    Raises:
        ValueError: more dimensions than are tabulated.
    """
    columns = _directions(num_dims, "sobol")
    matrix_key, shift_key = jax.random.split(key)
    places = jnp.arange(joe_kuo.BITS, dtype=jnp.uint32)[::-1]  # of a row's own digit, the first 31
    own = jnp.uint32(1) << places
    above = ~(own | (own - 1))
    rows = jax.random.bits(matrix_key, (num_dims, joe_kuo.BITS), jnp.uint32)
    rows = (rows & above[None, :]) | own[None, :]
    parity = jax.lax.population_count(rows[:, None, :] & columns[:, :, None]) & 1
    directions = (parity << places[None, None, :]).sum(axis=2, dtype=jnp.uint32)
    return Net(directions, jax.random.bits(shift_key, (num_dims, 1), jnp.uint32))


def points(net: Net, start: Array, *, size: int, dtype: DTypeLike) -> Array:
    """Return ``size`` points from ``start`` on, in the unit cube; shape (d, size). O(d size).

    Args:
        net: From :func:`randomize`.
        start: A multiple of ``size``.
        size: A power of two.
        dtype: Of the points.
    """
    return counter_hash.to_unit(_digits(net, start, size), dtype)


def _directions(num_dims: int, where: str) -> Array:
    if num_dims > joe_kuo.MAX_DIMS:
        raise ValueError(f"{where}: {num_dims} dimensions, not at most {joe_kuo.MAX_DIMS}")
    return jnp.asarray(joe_kuo.directions(num_dims))


def _digits(net: Net, start: Array, size: int) -> Array:
    """Combine a table of low bits with one of high bits: x is linear in the bits of i."""
    inner = min(size, _INNER)
    low = _combine(net.directions, jnp.arange(inner, dtype=jnp.uint32))
    steps = jnp.arange(size // inner, dtype=jnp.uint32) * inner
    high = _combine(net.directions, start + steps) ^ net.shift
    return (high[:, :, None] ^ low[:, None, :]).reshape(len(low), size)


def _combine(directions: Array, index: Array) -> Array:
    """Return x of some indices, shape (d, indices)."""
    gray = index ^ (index >> 1)
    bits = gray[:, None] >> jnp.arange(joe_kuo.BITS, dtype=jnp.uint32)[None, :] & 1
    words = jnp.where(bits[None] == 1, directions[:, None, :], 0)
    return jax.lax.reduce(words, jnp.uint32(0), jax.lax.bitwise_xor, (2,))


def _permute(digits: Array, seeds: Array) -> Array:
    """Permute every binary digit by a hash of those above it."""
    x = _reverse(digits)
    x = x ^ (x * jnp.uint32(0x3D20ADEA))
    x = (x + seeds) * ((seeds >> 16) | 1)
    x = x ^ (x * jnp.uint32(0x05526C56))
    x = x ^ (x * jnp.uint32(0x53A22864))
    return _reverse(x)


def _reverse(x: Array) -> Array:
    """Return the 32 bits in the other order."""
    for shift, mask in ((1, 0x55555555), (2, 0x33333333), (4, 0x0F0F0F0F), (8, 0x00FF00FF)):
        x = ((x & jnp.uint32(mask)) << shift) | ((x >> shift) & jnp.uint32(mask))
    return (x << 16) | (x >> 16)
