"""Vectors: their inner product, their length, and the angle between two.

    x·y = Σ x_i y_i            cos(x, y) = x·y / (|x| |y|)
    |x|₁ = Σ |x_i|             |x| = √(x·x)             |x|∞ = max |x_i|

Lengths are formed after a division by a power of two near the largest entry: a square neither
overflows nor underflows where the length itself does not.

Source: Golub & Van Loan (2013), *Matrix Computations*, sections 1.1.2 and 2.2; scaled lengths:
Blue (1978), *ACM Transactions on Mathematical Software* 4(1).
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mastery_jax.core.check import checked
from mastery_jax.numerics.linalg.scale import power_of_two

__all__ = ["cosine_similarity", "dot", "norm"]


@jax.jit
@checked
def dot(x: Float[Array, " n"], y: Float[Array, " n"]) -> Float[Array, ""]:
    """Return the inner product at full precision. O(n).

    Example:
        >>> dot(jnp.array([1.0, 2.0, 3.0]), jnp.array([4.0, 5.0, 6.0]))
        Array(32., dtype=float32)
    """
    with jax.default_matmul_precision("highest"):
        return x @ y


@jax.jit
@checked
def cosine_similarity(x: Float[Array, " n"], y: Float[Array, " n"]) -> Float[Array, ""]:
    """Return the cosine of the angle between two vectors. O(n).

    Returns:
        A number in [−1, 1], up to its rounding; NaN where a vector is 0, which has no direction, or
        is not finite.

    Example:
        >>> cosine_similarity(jnp.array([1.0, 2.0, 3.0]), jnp.array([4.0, 5.0, 6.0])).round(3)
        Array(0.975, dtype=float32)
    """
    x, y = (v / power_of_two(jnp.abs(v).max(initial=0)) for v in (x, y))
    return dot(x, y) / (jnp.sqrt(dot(x, x)) * jnp.sqrt(dot(y, y)))


@partial(jax.jit, static_argnames=("order",))
@checked
def norm(x: Float[Array, " n"], *, order: float = 2) -> Float[Array, ""]:
    """Return the length of a vector. O(n).

    Args:
        x: Anything.
        order: 1 for the sum of the sizes, 2 for the Euclidean length, ``math.inf`` for the largest
            size. Static.

    Returns:
        A number ≥ 0, whose derivative at the zero vector is 0.

    Raises:
        ValueError: another order.

    Example:
        >>> norm(jnp.array([3e30, 4e30]))
        Array(5.e+30, dtype=float32)
    """
    if order not in (1, 2, math.inf):
        raise ValueError(f"vectors.norm: order is {order}, not 1, 2 or math.inf")
    if order == 1:
        return jnp.abs(x).sum()
    largest = jnp.abs(x).max(initial=0)
    if order == math.inf:
        return largest
    size = power_of_two(largest)
    square = dot(x / size, x / size)
    is_zero = square == 0
    return jnp.where(is_zero, 0, size * jnp.sqrt(jnp.where(is_zero, 1, square)))
