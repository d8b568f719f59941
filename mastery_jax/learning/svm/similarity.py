"""Kernels of rows: how alike two of them are.

    linear       k(x, z) = x·z
    rbf          k(x, z) = exp(−γ |x − z|²)
    poly         k(x, z) = (γ x·z + c)^degree
    precomputed  what stands where rows would: the kernel of rows by rows

A kernel is data: a NamedTuple of hyperparameters. The rule "scale" for γ is 1 / (d v), with v the
variance of all entries of X; it makes γ |x − z|² some 2 for two rows at random.

Distances come from products of rows, which is several times faster than from differences, with
centered rows, since a common shift would cost digits: in float32 γ |x − z|² is off by some 1e-6
γ |x|². ``probability.gaussian_process.kernels`` has kernels by differences, with derivatives.

Source: Schölkopf & Smola (2002), *Learning with Kernels*, section 2.3; Chang & Lin (2011), *ACM
TIST* 2(3), section 2.
"""

from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from mastery_jax.core.check import Scalar, checked

__all__ = [
    "RBF",
    "Kernel",
    "Linear",
    "Name",
    "Polynomial",
    "Precomputed",
    "cross",
    "gram",
    "is_sound",
    "make",
    "scale",
    "without_absent",
]

Name = Literal["linear", "rbf", "poly", "precomputed"]


class Linear(NamedTuple):
    """The product of rows."""


class RBF(NamedTuple):
    """A bump about every row."""

    gamma: Float[Array, ""]  # γ > 0, per squared unit of the features


class Polynomial(NamedTuple):
    """Products of up to ``degree`` features."""

    gamma: Float[Array, ""]  # γ > 0, per squared unit of the features
    offset: Float[Array, ""]  # c ≥ 0
    degree: Float[Array, ""]  # a whole number ≥ 1


class Precomputed(NamedTuple):
    """The kernel itself stands where rows would."""


Kernel = Linear | RBF | Polynomial | Precomputed


@jax.jit
@checked
def cross(kernel: Kernel, X: Float[Array, "n d"], Z: Float[Array, "m d"]) -> Float[Array, "n m"]:
    """Return the kernel of every row of ``X`` with every row of ``Z``. O(n m d).

    Args:
        kernel: What ``make`` returns; not Precomputed, which has no rows.
        X: Rows.
        Z: Rows.

    Raises:
        ValueError: a kernel that has no rows.

    Example:
        >>> cross(RBF(jnp.array(0.5)), jnp.zeros((1, 2)), jnp.zeros((1, 2)))
        Array([[1.]], dtype=float32)
    """
    with jax.default_matmul_precision("highest"):
        match kernel:
            case Linear():
                return X @ Z.T
            case RBF(gamma):
                center = Z.mean(axis=0)[None, :]
                X, Z = X - center, Z - center
                squared = (X**2).sum(axis=1)[:, None] + (Z**2).sum(axis=1)[None, :] - 2 * X @ Z.T
                return jnp.exp(-gamma * jnp.maximum(squared, 0))
            case Polynomial(gamma, offset, degree):
                return (gamma * X @ Z.T + offset) ** degree
            case _:
                raise ValueError(f"similarity.cross: kernel is {kernel!r}, not one of rows")


def gram(where: str, kernel: Kernel, X: Array) -> Array:
    """Return the kernel of all rows with all rows, for the function that is named. O(n² d).

    Raises:
        ValueError: a Gram matrix that was computed before is not square.
    """
    if not isinstance(kernel, Precomputed):
        return cross(kernel, X, X)
    if X.shape[0] != X.shape[1]:
        raise ValueError(f"{where}: X is {X.shape[0]} x {X.shape[1]}, not a Gram matrix")
    return X


def make(name: Name, gamma: Scalar, offset: Scalar, degree: int, like: Array) -> Kernel:
    """Return the kernel of that name, in the precision of ``like``. O(1).

    Raises:
        ValueError: no such kernel, or a degree below 1.
    """
    if degree < 1:
        raise ValueError(f"similarity.make: degree is {degree}, not at least 1")
    number = partial(jnp.asarray, dtype=like.dtype)
    if name == "linear":
        return Linear()
    if name == "rbf":
        return RBF(number(gamma))
    if name == "poly":
        return Polynomial(number(gamma), number(offset), number(degree))
    if name == "precomputed":
        return Precomputed()
    raise ValueError(
        f"similarity.make: kernel is {name!r}, not 'linear', 'rbf', 'poly' or 'precomputed'"
    )


def is_sound(kernel: Kernel) -> Bool[Array, ""]:
    """Return whether γ is not ≤ 0, where the kernel has one; NaN makes all values NaN. O(1)."""
    gamma = getattr(kernel, "gamma", None)
    return jnp.asarray(True) if gamma is None else ~(gamma <= 0)


def without_absent(X: Array, weights: Array) -> Array:
    """Return the rows, with the mean of the others in place of those of weight 0. O(n d).

    What stands there has no say, but it must be a number, and ``cross`` takes its center from all.
    """
    is_absent = (weights == 0)[:, None]
    mean = jnp.where(is_absent, 0, X).sum(axis=0) / jnp.maximum(
        (weights != 0).sum(dtype=X.dtype), 1
    )
    return jnp.where(is_absent, mean[None, :], X)


@jax.jit
@checked
def scale(X: Float[Array, "n d"], *, weights: Float[Array, " n"] | None = None) -> Float[Array, ""]:
    """Return γ = 1 / (d v), with v the variance of all entries of ``X``. O(n d).

    Args:
        X: One row per sample.
        weights: ≥ 0, one where None: rows of weight 0 have no say. scikit-learn's rule knows no
            weights.

    Returns:
        γ, per squared unit of the features; infinite where all entries are equal (scikit-learn: 1).

    Example:
        >>> scale(jnp.array([[0.0, 2.0], [2.0, 0.0]]))
        Array(0.5, dtype=float32)
    """
    weights = jnp.ones_like(X[:, 0]) if weights is None else weights
    share = weights / weights.sum() / X.shape[1]
    X = jnp.where((weights == 0)[:, None], 0, X)
    mean = (share[:, None] * X).sum()
    return 1 / (X.shape[1] * (share[:, None] * (X - mean) ** 2).sum())
