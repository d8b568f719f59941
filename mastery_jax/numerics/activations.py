"""Activations: the functions between two linear layers, and the softmax after the last.

    sigmoid     1 / (1 + e^(−x))                    relu        max(x, 0)
    tanh        (e^x − e^(−x)) / (e^x + e^(−x))     leaky_relu  x if x ≥ 0, else slope · x
    softmax     e^(x_i) / Σ_j e^(x_j)               gelu        x Φ(x), Φ the normal cdf
    log_softmax x_i − log Σ_j e^(x_j)               silu        x · sigmoid(x)

Every exponential has an argument ≤ 0, so that none overflows, and every branch that is not taken
is finite, so that no gradient is NaN. All take arrays of any rank.

Source: Goodfellow, Bengio & Courville (2016), *Deep Learning*, sections 4.1 and 6.2-6.3; gelu:
Hendrycks & Gimpel (2016), arXiv:1606.08415, eq. 1-2; silu: Elfwing, Uchibe & Doya (2018), *Neural
Networks* 107, eq. 8; leaky_relu: Maas, Hannun & Ng (2013), *ICML*.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mastery_jax.core.check import Scalar, checked

__all__ = ["gelu", "leaky_relu", "log_softmax", "relu", "sigmoid", "silu", "softmax", "tanh"]


@jax.jit
@checked
def sigmoid(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Map log-odds to a probability in [0, 1], element by element. O(size).

    Example:
        >>> sigmoid(jnp.array([-200.0, 0.0, 200.0]))
        Array([0. , 0.5, 1. ], dtype=float32)
    """
    small = jnp.exp(_minus_abs(x))
    return jnp.where(x >= 0, 1, small) / (1 + small)


@jax.jit
@checked
def tanh(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Squash into [−1, 1], element by element. O(size).

    Example:
        >>> tanh(jnp.array([-200.0, 0.0, 200.0]))
        Array([-1.,  0.,  1.], dtype=float32)
    """
    small = jnp.expm1(2 * _minus_abs(x))
    return jnp.where(x >= 0, -small, small) / (2 + small)


@jax.jit
@checked
def relu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Keep what is positive, element by element; the slope at 0 is 0. O(size).

    Example:
        >>> relu(jnp.array([-2.0, 0.0, 3.0]))
        Array([0., 0., 3.], dtype=float32)
    """
    return jnp.where(x > 0, x, 0)


@jax.jit
@checked
def leaky_relu(x: Float[Array, "..."], *, negative_slope: Scalar = 0.01) -> Float[Array, "..."]:
    """Keep what is positive and shrink the rest, element by element. O(size).

    Args:
        x: Anything.
        negative_slope: Factor on negative values. Traced.

    Example:
        >>> leaky_relu(jnp.array([-2.0, 0.0, 3.0]), negative_slope=0.5)
        Array([-1.,  0.,  3.], dtype=float32)
    """
    return jnp.where(x >= 0, x, x * jnp.asarray(negative_slope, x.dtype))


@jax.jit
@checked
def silu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Weight each value by its own sigmoid (also called swish). O(size).

    Example:
        >>> silu(jnp.array([0.0, 200.0]))
        Array([  0., 200.], dtype=float32)
    """
    return x * sigmoid(x)


@partial(jax.jit, static_argnames=("approximate",))
@checked
def gelu(x: Float[Array, "..."], *, approximate: bool = False) -> Float[Array, "..."]:
    """Weight each value by the chance that a standard normal stays below it. O(size).

    Args:
        x: Anything.
        approximate: Use the tanh formula of GPT-2 and BERT, off by at most 5e-4, instead of the
            normal cdf. Static.

    Example:
        >>> gelu(jnp.array([0.0, 200.0]))
        Array([  0., 200.], dtype=float32)
    """
    if approximate:
        # (1 + tanh u) / 2 = sigmoid(2u), which keeps its digits where tanh u is near −1.
        return x * sigmoid(math.sqrt(8 / math.pi) * (x + 0.044715 * x**3))
    return x * jax.scipy.special.erfc(-x / math.sqrt(2)) / 2


@partial(jax.jit, static_argnames=("axis",))
@checked
def softmax(x: Float[Array, "..."], *, axis: int = -1) -> Float[Array, "..."]:
    """Map logits to probabilities that sum to 1 along an axis. O(size).

    Args:
        x: Logits in nats. An entry of −∞ gets probability 0.
        axis: The axis to normalize. Static.

    Returns:
        Probabilities; NaN along a slice that is −∞ throughout, or holds +∞ or NaN.

    Example:
        >>> softmax(jnp.array([1000.0, 1000.0, -jnp.inf]))
        Array([0.5, 0.5, 0. ], dtype=float32)
    """
    small = jnp.exp(_below_max(x, axis))
    return small / small.sum(axis=axis, keepdims=True)


@partial(jax.jit, static_argnames=("axis",))
@checked
def log_softmax(x: Float[Array, "..."], *, axis: int = -1) -> Float[Array, "..."]:
    """Map logits to log-probabilities along an axis, in nats. O(size).

    Args:
        x: Logits in nats. An entry of −∞ stays −∞.
        axis: The axis to normalize. Static.

    Returns:
        Log-probabilities ≤ 0; NaN along a slice that is −∞ throughout, or holds +∞ or NaN.

    Example:
        >>> log_softmax(jnp.array([0.0, 0.0]))
        Array([-0.6931472, -0.6931472], dtype=float32)
    """
    shifted = _below_max(x, axis)
    return shifted - jnp.log(jnp.exp(shifted).sum(axis=axis, keepdims=True))


def _minus_abs(x: Array) -> Array:
    """Return −|x|, with slope −1 at 0: the branch that is taken there is that of x ≥ 0."""
    return jnp.where(x >= 0, -x, x)


def _below_max(x: Array, axis: int) -> Array:
    return x - jax.lax.stop_gradient(x.max(axis=axis, keepdims=True))
