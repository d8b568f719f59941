"""Halton's sequence in a box: dimension j counts in the j-th prime, its digits mirrored.

    i = Σ_p a_p b^p,      x_i = Σ_p π_p(a_p) b^(−p−1)

Scrambled, the p-th digit is permuted by π_p(a) = (s a + t) mod b with s in 1 ... b−1 and t drawn
anew for every place: any two digits go to any two with equal probability, as under a uniform
permutation, and so the mean is unbiased with the same variance. Any number of points may be taken.

Source: Halton (1960), *Numer. Math.* 2, 84; Owen (2017), *A randomized Halton algorithm in R*,
arXiv:1706.02808, section 2; Matousek (1998), *J. Complexity* 14, 527, section 3 (linear digits).
"""

import itertools
import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from mastery_jax.core import loop
from mastery_jax.core.check import checked
from mastery_jax.numerics.quadrature.monte_carlo import unit_cube

__all__ = ["Digits", "points", "randomize", "sample", "sequence"]

_PLACES = 32  # of base 2; other bases have fewer


class Digits(NamedTuple):
    """How digits are permuted; leading axis: their place."""

    scale: Array  # (32, d, 1), s
    shift: Array  # (32, d, 1), t


@partial(jax.jit, static_argnames=("num_points",))
@checked
def sequence(
    lower: Float[Array, " d"], upper: Float[Array, " d"], *, num_points: int
) -> Float[Array, "n d"]:
    """Return the first points of the sequence itself, which begins at ``lower``. O(32 n d).

    Args:
        lower: Finite bounds.
        upper: The other bounds; never reached.
        num_points: n. Static.

    Raises:
        ValueError: no point.

    Example:
        >>> sequence(jnp.zeros(2), jnp.ones(2), num_points=3)[:, 0]
        Array([0.  , 0.5 , 0.25], dtype=float32)
    """
    _check("halton.sequence", num_points)
    ones = jnp.ones((_PLACES, len(lower), 1), jnp.uint32)
    unit = _mirror(Digits(ones, 0 * ones), jnp.uint32(0), num_points, 0.0, lower.dtype)
    return unit_cube.affine(unit, lower, upper)[0].T


@partial(jax.jit, static_argnames=("num_points",))
@checked
def sample(
    key: Key[Array, ""], lower: Float[Array, " d"], upper: Float[Array, " d"], *, num_points: int
) -> Float[Array, "n d"]:
    """Return scrambled points: each uniform in the box, together even. O(32 n d).

    Args:
        key: Consumed.
        lower: Finite bounds.
        upper: The other bounds.
        num_points: n. Static.

    Raises:
        ValueError: no point.
    """
    _check("halton.sample", num_points)
    digits = randomize(key, num_dims=len(lower))
    unit = points(digits, jnp.uint32(0), size=num_points, dtype=lower.dtype)
    return unit_cube.affine(unit, lower, upper)[0].T


def randomize(key: Array, *, num_dims: int) -> Digits:
    """Return random permutations of every digit. O(32 d)."""
    scale_key, shift_key = jax.random.split(key)
    shape, bases = (_PLACES, num_dims, 1), jnp.asarray(_primes(num_dims), jnp.int32)[None, :, None]
    scale = jax.random.randint(scale_key, shape, 1, bases)
    shift = jax.random.randint(shift_key, shape, 0, bases)
    return Digits(scale.astype(jnp.uint32), shift.astype(jnp.uint32))


def points(digits: Digits, start: Array, *, size: int, dtype: DTypeLike) -> Array:
    """Return ``size`` points from ``start`` on, in the unit cube; shape (d, size). O(32 d size)."""
    return _mirror(digits, start, size, 0.5, dtype)


def _mirror(digits: Digits, start: Array, size: int, offset: float, dtype: DTypeLike) -> Array:
    """Mirror indices as whole numbers, as many digits as the dtype holds; then divide once.

    Places beyond the last that the dtype holds are cut off: the point is the middle of its cell.
    """
    bits = min(32, jnp.finfo(dtype).nmant)
    bases = _primes(digits.scale.shape[1])
    places = np.floor(bits * math.log(2) / np.log(bases) + 1e-9)
    base = jnp.asarray(bases, jnp.uint32)[:, None]
    place = jnp.arange(_PLACES, dtype=jnp.uint32)
    has_place = place[:, None, None] < jnp.asarray(places, jnp.uint32)[None, :, None]

    def step(state: tuple[Array, Array], row: tuple[Array, Array, Array]) -> tuple[Any, None]:
        (left, mirrored), (scale, shift, is_here) = state, row
        above = left // base
        digit = ((left - above * base) * scale + shift) % base
        return (above, jnp.where(is_here, mirrored * base + digit, mirrored)), None

    index = start + jnp.arange(size, dtype=jnp.uint32)
    index = jnp.broadcast_to(index[None, :], (len(bases), size))
    rows = (digits.scale, digits.shift, has_place)
    (_, mirrored), _ = loop.scan(step, (index, jnp.zeros_like(index)), rows)
    volume = jnp.asarray(1 / np.asarray(bases, float) ** places, dtype)[:, None]
    return (mirrored.astype(dtype) + offset) * volume


def _primes(count: int) -> list[int]:
    """Return the first primes."""
    found: list[int] = []
    for candidate in itertools.count(2):
        if len(found) == count:
            break
        if all(candidate % prime for prime in found):
            found.append(candidate)
    return found


def _check(where: str, num_points: int) -> None:
    if num_points < 1:
        raise ValueError(f"{where}: num_points is {num_points}, not at least 1")
