"""Backpropagation by hand: the chain rule through a network of two layers.

    H = tanh(X W₁ + b₁)        Z = H W₂ + b₂        P = softmax(Z)
    L = −1/n Σ_i log P_{i, label_i}

Backwards, each line from the one above, with Y the labels as rows with a single 1:

    ∂L/∂Z  = (P − Y) / n
    ∂L/∂W₂ = Hᵀ ∂L/∂Z                ∂L/∂b₂ = Σ_i (∂L/∂Z)_i
    ∂L/∂H  = ∂L/∂Z W₂ᵀ
    ∂L/∂A  = ∂L/∂H ∘ (1 − H²)        A = X W₁ + b₁, and tanh′ = 1 − tanh²
    ∂L/∂W₁ = Xᵀ ∂L/∂A                ∂L/∂b₁ = Σ_i (∂L/∂A)_i

``jax.grad`` of ``loss`` gives the same numbers, and does the same products in the same order.

Source: Rumelhart, Hinton & Williams (1986), *Nature* 323, eq. 4-7; Goodfellow, Bengio & Courville
(2016), *Deep Learning*, algorithm 6.4.
"""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from mastery_jax.core.check import Scalar, checked
from mastery_jax.numerics.activations import log_softmax, tanh

__all__ = ["Params", "backward", "forward", "init", "loss"]


class Params(NamedTuple):
    """The weights of a network of two layers."""

    W1: Float[Array, "d hidden"]  # per unit of the feature
    b1: Float[Array, " hidden"]
    W2: Float[Array, "hidden classes"]  # nats
    b2: Float[Array, " classes"]  # nats


@partial(jax.jit, static_argnames=("dim", "hidden", "classes"))
@checked
def init(
    key: Key[Array, ""], *, dim: int, hidden: int, classes: int, scale: Scalar = 1.0
) -> Params:
    """Draw normal weights of scale / √inputs, and biases of 0. O(hidden (dim + classes)).

    Args:
        key: Of the draw.
        dim: Features of a sample. Static.
        hidden: Units between the layers. Static.
        classes: K. Static.
        scale: Standard deviation of a layer's sum over inputs of size 1. Its dtype is that of the
            network.
    """
    first, second = jax.random.split(key)
    dtype = jnp.result_type(scale)
    W1 = scale * jax.random.normal(first, (dim, hidden), dtype) / math.sqrt(dim)
    W2 = scale * jax.random.normal(second, (hidden, classes), dtype) / math.sqrt(hidden)
    return Params(W1, jnp.zeros_like(W1[0]), W2, jnp.zeros_like(W2[0]))


@jax.jit
@checked
def forward(params: Params, X: Float[Array, "n d"]) -> Float[Array, "n classes"]:
    """Return the logits of every row, in nats. O(n hidden (d + classes))."""
    with jax.default_matmul_precision("highest"):
        return _layers(params, X)[1]


@jax.jit
@checked
def loss(params: Params, X: Float[Array, "n d"], labels: Int[Array, " n"]) -> Float[Array, ""]:
    """Return the mean cross-entropy of the labels, in nats per sample. O(n hidden (d + classes)).

    Args:
        params: Of the network.
        X: One row per sample.
        labels: Codes 0 … classes − 1. Any other code counts as a sample without loss.
    """
    return -(_one_hot(labels, params) * log_softmax(forward(params, X))).sum() / len(X)


@jax.jit
@checked
def backward(
    params: Params, X: Float[Array, "n d"], labels: Int[Array, " n"]
) -> tuple[Float[Array, ""], Params]:
    """Return the loss and its gradient, by the chain rule. O(n hidden (d + classes)).

    Twice the products of ``forward``, and no call of ``jax.grad``.

    Args:
        params: Of the network.
        X: One row per sample.
        labels: Codes 0 … classes − 1, as in ``loss``.

    Returns:
        The loss in nats per sample, and its derivative with respect to each field of ``params``.

    Raises:
        ValueError: shapes that disagree.

    Example:
        >>> params = init(jax.random.key(0), dim=2, hidden=3, classes=2)
        >>> X, labels = jnp.array([[1.0, 2.0], [0.0, -1.0]]), jnp.array([0, 1])
        >>> by_hand = backward(params, X, labels)[1]
        >>> by_jax = jax.grad(loss)(params, X, labels)
        >>> max(float(abs(a - b).max()) for a, b in zip(by_hand, by_jax)) < 1e-6
        True
    """
    with jax.default_matmul_precision("highest"):
        H, Z = _layers(params, X)
        log_P, Y = log_softmax(Z), _one_hot(labels, params)
        by_Z = (jnp.exp(log_P) * Y.sum(axis=1)[:, None] - Y) / len(X)
        by_H = by_Z @ params.W2.T
        by_A = by_H * (1 - H**2)
        gradient = Params(W1=X.T @ by_A, b1=by_A.sum(axis=0), W2=H.T @ by_Z, b2=by_Z.sum(axis=0))
    return -(Y * log_P).sum() / len(X), gradient


def _layers(params: Params, X: Array) -> tuple[Array, Array]:
    H = tanh(X @ params.W1 + params.b1[None, :])
    return H, H @ params.W2 + params.b2[None, :]


def _one_hot(labels: Array, params: Params) -> Array:
    return jax.nn.one_hot(labels, len(params.b2), dtype=params.b2.dtype)
