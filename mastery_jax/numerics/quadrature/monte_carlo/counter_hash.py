"""Uniform numbers from a counter: jax.random's threefry, or a hash at a fraction of its cost.

    h_0 = 0x9E3779B9 j + s          j: the counter, s and t: words drawn from the key
    h_1 = (h_0 ^ h_0 >> 16) · 0x21F0AAAD
    h_2 = ((h_1 ^ h_1 >> 15) + t) · 0xD35A2D97
    h_3 = (h_2 ^ h_2 >> 15) · 0xAC4C1B51,      digits = h_3 ^ h_3 >> 14

Every step can be undone: within one stream of 2³² numbers none comes twice. A stream belongs to a
key and a row, its words s and t come from threefry. This is **not** jax.random: it passes the tests
of uniformity and of correlation in tests/quadrature, and is no source of secrets.

Source: Salmon, Moraes, Dror & Shaw (2011), *Parallel random numbers: as easy as 1, 2, 3*, section 2
(counter-based generators) and 3.3 (threefry); L'Ecuyer (2017), *History of uniform random number
generation*, section 4; Knuth (1998), *The Art of Computer Programming* vol. 3, section 6.4 (the
multiplier 2³²/φ); Wellons (2018), *hash-prospector* (the other multipliers and the shifts, found by
search for the least bias of avalanche).
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

__all__ = ["Generator", "digits", "to_unit"]

Generator = Literal["threefry", "hash"]


def digits(key: Array, *, shape: tuple[int, int], generator: Generator) -> Array:
    """Return 32 random bits for every entry of a matrix. O(entries).

    Args:
        key: Consumed.
        shape: Rows and columns; with ``hash`` a row is a stream and a column its counter.
        generator: ``threefry`` or ``hash``.

    Raises:
        ValueError: the generator is neither.
    """
    if generator == "threefry":
        return jax.random.bits(key, shape, jnp.uint32)
    if generator != "hash":
        raise ValueError(f"counter_hash: generator is {generator!r}, not 'threefry' or 'hash'")
    first, second = jax.random.bits(key, (2, shape[0], 1), jnp.uint32)
    counter = jnp.arange(shape[1], dtype=jnp.uint32)[None, :]
    return _mix(counter, first, second)


def to_unit(digits: Array, dtype: DTypeLike) -> Array:
    """Return the midpoint of the interval that binary digits name: strictly inside (0, 1).

    Single precision keeps 23 of the 32 digits, so that both u and 1 − u are exact.
    """
    kept = min(32, jnp.finfo(dtype).nmant)
    top = (digits >> (32 - kept)) if kept < 32 else digits
    return (top.astype(dtype) + 0.5) * 2.0**-kept


def _mix(counter: Array, first: Array, second: Array) -> Array:
    x = counter * jnp.uint32(0x9E3779B9) + first
    x = (x ^ (x >> 16)) * jnp.uint32(0x21F0AAAD)
    x = ((x ^ (x >> 15)) + second) * jnp.uint32(0xD35A2D97)
    x = (x ^ (x >> 15)) * jnp.uint32(0xAC4C1B51)
    return x ^ (x >> 14)
