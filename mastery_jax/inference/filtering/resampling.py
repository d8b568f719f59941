"""Which particles live on: draws of indices with chances that are the weights.

    systematic    one random shift for all: u_k = (k + U) / N            the least noise, usually
    stratified    one draw in each of N equal parts: u_k = (k + U_k) / N
    residual      ⌊N w_i⌋ copies of each, and the rest multinomial
    multinomial   N independent draws

and the index of u_k is the first whose cumulative weight exceeds it. The expected number of copies
of a particle is N w_i under each of them.

Weights become whole numbers that add up to some 2⁶¹ / N, and all that follows is exact: sums,
comparisons and the expected counts. A floating-point cumulative sum of 10⁵ weights in single
precision is off by some percent of each weight, and can draw a particle of weight zero; this cannot
be, and it gives the same indices in single and in double precision, and on every device. A share
of the weight below 2⁻⁶² N is taken for zero.

Source: Kitagawa (1996), *Journal of Computational and Graphical Statistics* 5(1), 1 (stratified,
systematic); Liu & Chen (1998), *Journal of the American Statistical Association* 93, 1032
(residual); Gordon, Salmond & Smith (1993), *IEE Proceedings F* 140(2), 107 (multinomial); Douc,
Cappé & Moulines (2005), arXiv:cs/0507025 (their variances).
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from mastery_jax.core.check import checked

__all__ = ["effective_size", "multinomial", "residual", "stratified", "systematic"]


@jax.jit
@checked
def effective_size(log_weights: Float[Array, " particles"]) -> Float[Array, ""]:
    """Return 1 / Σ w², how many particles of equal weight would be as good. O(particles).

    Args:
        log_weights: In nats, up to a constant; −inf for a weight of zero.

    Returns:
        A number from 1 to the number of particles; NaN where no weight is above zero, or one is
        NaN or infinite.

    Example:
        >>> effective_size(jnp.array([0.0, 0.0, -jnp.inf]))
        Array(2., dtype=float32)
    """
    shares = _shares(log_weights)
    return 1 / (shares**2).sum()


@partial(jax.jit, static_argnames=("num",))
@checked
def systematic(
    key: Key[Array, ""], log_weights: Float[Array, " particles"], *, num: int
) -> Int[Array, " num"]:
    """Draw indices by one shift of an equidistant comb. O(particles + num log(particles)).

    Each particle gets ⌊N w⌋ or ⌈N w⌉ copies. How these vary depends on the order of the particles.

    Args:
        key: Consumed.
        log_weights: In nats, up to a constant; −inf for a weight of zero.
        num: N, how many to draw. Static.

    Returns:
        Indices in rising order; all −1 where no weight is above zero, or one is NaN or infinite.

    Raises:
        ValueError: ``num`` is not from 1 to 2³⁰.

    Example:
        >>> systematic(jax.random.key(0), jnp.log(jnp.array([0.25, 0.0, 0.75])), num=4)
        Array([0, 2, 2, 2], dtype=int32)
    """
    with jax.enable_x64(True):
        units, total, is_alive = _units("systematic", log_weights, num)
        shift = _below(key, total, ())
        places = (jnp.arange(num) * total + shift) // num
        return _found(units, places, is_alive)


@partial(jax.jit, static_argnames=("num",))
@checked
def stratified(
    key: Key[Array, ""], log_weights: Float[Array, " particles"], *, num: int
) -> Int[Array, " num"]:
    """Draw one index in each of ``num`` equal parts. O(particles + num log(particles)).

    Args:
        key: Consumed.
        log_weights: In nats, up to a constant; −inf for a weight of zero.
        num: N, how many to draw. Static.

    Returns:
        Indices in rising order; all −1 where no weight is above zero, or one is NaN or infinite.

    Raises:
        ValueError: ``num`` is not from 1 to 2³⁰.

    Example:
        >>> stratified(jax.random.key(0), jnp.log(jnp.array([0.5, 0.0, 0.5])), num=4)
        Array([0, 0, 2, 2], dtype=int32)
    """
    with jax.enable_x64(True):
        units, total, is_alive = _units("stratified", log_weights, num)
        places = (jnp.arange(num) * total + _below(key, total, (num,))) // num
        return _found(units, places, is_alive)


@partial(jax.jit, static_argnames=("num",))
@checked
def residual(
    key: Key[Array, ""], log_weights: Float[Array, " particles"], *, num: int
) -> Int[Array, " num"]:
    """Copy each particle ⌊N w⌋ times, and draw the rest. O(particles + num log(particles)).

    Args:
        key: Consumed.
        log_weights: In nats, up to a constant; −inf for a weight of zero.
        num: N, how many to draw. Static.

    Returns:
        Indices, the copies first; all −1 where no weight is above zero, or one is NaN or infinite.

    Raises:
        ValueError: ``num`` is not from 1 to 2³⁰.

    Example:
        >>> residual(jax.random.key(0), jnp.log(jnp.array([0.5, 0.0, 0.5])), num=4)
        Array([0, 0, 2, 2], dtype=int32)
    """
    with jax.enable_x64(True):
        units, total, is_alive = _units("residual", log_weights, num)
        copies = units * num // jnp.maximum(total, 1)
        rest = units * num - copies * total
        order = jnp.arange(num)
        copied = _found(copies, order, is_alive)
        drawn = _found(rest, _below(key, rest.sum(), (num,)), is_alive)
        return jnp.where(order < copies.sum(), copied, drawn)


@partial(jax.jit, static_argnames=("num",))
@checked
def multinomial(
    key: Key[Array, ""], log_weights: Float[Array, " particles"], *, num: int
) -> Int[Array, " num"]:
    """Draw indices independently of each other. O(particles + num log(particles)).

    Args:
        key: Consumed.
        log_weights: In nats, up to a constant; −inf for a weight of zero.
        num: N, how many to draw. Static.

    Returns:
        Indices; all −1 where no weight is above zero, or one is NaN or infinite.

    Raises:
        ValueError: ``num`` is not from 1 to 2³⁰.

    Example:
        >>> multinomial(jax.random.key(0), jnp.array([-jnp.inf, 0.0, -jnp.inf]), num=3)
        Array([1, 1, 1], dtype=int32)
    """
    with jax.enable_x64(True):
        units, total, is_alive = _units("multinomial", log_weights, num)
        return _found(units, _below(key, total, (num,)), is_alive)


def _shares(log_weights: Array) -> Array:
    """Return weights that add up to 1; NaN throughout where they cannot."""
    weights = jnp.exp(log_weights - log_weights.max())
    return weights / weights.sum()


def _units(where: str, log_weights: Array, num: int) -> tuple[Array, Array, Array]:
    """Return weights as whole numbers, their sum, and whether there are any.

    The sum times ``num`` stays below 2⁶², and products with it do not overflow.
    """
    if not 1 <= num <= 2**30:
        raise ValueError(f"resampling.{where}: num is {num}, not from 1 to 2**30")
    shares = _shares(jax.lax.stop_gradient(log_weights))
    is_alive = jnp.isfinite(shares).all()
    whole = jnp.round(jnp.where(is_alive, shares, 0) * 2.0 ** (61 - num.bit_length()))
    units = whole.astype(jnp.int64)
    return units, units.sum(), is_alive


def _below(key: Array, total: Array, shape: tuple[int, ...]) -> Array:
    """Return whole numbers from 0 up to, but not including, ``total``."""
    high, low = jax.random.bits(key, (2, *shape), jnp.uint32).astype(jnp.int64)
    fraction = ((high << 21) | (low >> 11)).astype(float) * 2.0**-53
    return jnp.minimum((fraction * total.astype(float)).astype(jnp.int64), total - 1)


def _found(units: Array, places: Array, is_alive: Array) -> Array:
    """Return the index of the unit that stands at each place."""
    indices = jnp.searchsorted(jnp.cumsum(units), places, side="right")
    return jnp.where(is_alive, indices, -1).astype(jnp.int32)
