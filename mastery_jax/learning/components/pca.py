"""Principal components: the orthogonal directions along which the rows vary most.

    Z = X − μ,   W^½ Z = U diag(s) Vᵀ,   the components are the rows of Vᵀ
    variance along component j:  s_j² / (Σ_i w_i − 1)

with weights W = diag(w). The entry of largest size of every component is positive. Whitened
coordinates are divided by their standard deviation.

Source: Pearson (1901), *Philosophical Magazine* 2(11); Jolliffe (2002), *Principal Component
Analysis*, sections 3.5 (by singular values) and 14.2.1 (weights); whitening: Bishop (2006),
*Pattern Recognition and Machine Learning*, eq. 12.24.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mastery_jax.core.check import checked
from mastery_jax.learning.components.singular import Solver, leading
from mastery_jax.numerics.linalg.scale import power_of_two

__all__ = ["Solver", "State", "fit", "inverse_transform", "transform"]


class State(NamedTuple):
    """Fitted components."""

    mean: Float[Array, " d"]  # unit of the features
    components: Float[Array, "k d"]  # rows of length 1, orthogonal; 0 where ``singular`` says so
    scales: Float[Array, " k"]  # by which coordinates are divided: 1, or deviations if whitened
    singular_values: Float[Array, " k"]  # s, unit of the features
    explained_variance: Float[Array, " k"]  # squared unit of the features
    explained_variance_ratio: Float[Array, " k"]  # part of the variance of all features


@partial(jax.jit, static_argnames=("num_components", "whiten", "solver"))
@checked
def fit(
    X: Float[Array, "n d"],
    *,
    num_components: int,
    weights: Float[Array, " n"] | None = None,
    whiten: bool = False,
    solver: Solver = "svd",
) -> State:
    """Find the leading components. O(n d min(n, d)).

    Differentiable where the singular values kept are distinct from each other and the rest.
    scikit-learn's ``n_components`` is ``num_components``.

    Args:
        X: One row per sample. Features of large variance lead: standardize them if units differ.
        num_components: k, at least 1 and at most min(n, d). Static.
        weights: ≥ 0, one where None; as if row i were there w_i times.
        whiten: Give coordinates variance 1. Static.
        solver: ``svd`` for all digits, ``eigh`` of the smaller side for speed, which sees no
            variance under (16 + min(n, d)) eps of the largest. Static.

    Returns:
        The components; NaN for NaN in the data and weights that are negative or sum to at most 1.
        A component along which nothing varies, but for the rounding that ``singular`` tells, has
        variance 0 and is whitened to 0. Squares of an extreme unit may leave the range of the
        dtype, as the variances do then, but nothing else.

    Raises:
        ValueError: ``num_components`` is out of range, or shapes disagree.

    Example:
        >>> X = jnp.array([[0.0, 0.0], [1.0, 2.0], [2.0, 4.0]])
        >>> state = fit(X, num_components=1)
        >>> state.explained_variance.round(3), state.explained_variance_ratio.round(3)
        (Array([5.], dtype=float32), Array([1.], dtype=float32))
    """
    if not 1 <= num_components <= min(X.shape):
        raise ValueError(
            f"pca.fit: num_components is {num_components}, not from 1 to {min(X.shape)}, the "
            "smaller side of X"
        )
    weights = jnp.ones_like(X[:, 0]) if weights is None else weights
    total = weights.sum()
    is_bad = (weights < 0).any() | ~(total > 1)
    freedom = jnp.where(is_bad, jnp.nan, total - 1)
    total = jnp.where(is_bad, jnp.nan, total)
    unit = power_of_two(jnp.abs(X).max())  # in which squares are numbers
    with jax.default_matmul_precision("highest"):
        mean = weights @ (X / unit) / total
        Z = X / unit - mean[None, :]
        rest = weights @ Z / total  # by which rounding of a far mean missed it
        Z = Z - rest[None, :]
        is_weighted = weights > 0  # the root has no slope at 0
        roots = jnp.where(is_weighted, jnp.sqrt(jnp.where(is_weighted, weights, 1)), 0)
        values, components = leading(roots[:, None] * Z, num_components, solver)
        variance = values**2 / freedom
        whole = (weights @ Z**2).sum() / freedom
    scales = _deviations(variance) * unit if whiten else jnp.ones_like(variance)
    ratio = variance / jnp.where(whole == 0, 1, whole)
    mean = (mean + rest) * unit
    return State(mean, components, scales, values * unit, variance * unit**2, ratio)


@jax.jit
@checked
def transform(state: State, X: Float[Array, "n d"]) -> Float[Array, "n k"]:
    """Return the coordinates of every row along the components. O(n d k)."""
    with jax.default_matmul_precision("highest"):
        Z = (X - state.mean[None, :]) @ state.components.T
    return Z * _reciprocals(state.scales)[None, :]


@jax.jit
@checked
def inverse_transform(state: State, Z: Float[Array, "n k"]) -> Float[Array, "n d"]:
    """Return the row that has the coordinates and nothing besides. O(n d k)."""
    with jax.default_matmul_precision("highest"):
        return (Z * state.scales[None, :]) @ state.components + state.mean[None, :]


def _deviations(variance: Array) -> Array:
    is_some = variance != 0  # the root has no slope at 0
    return jnp.where(is_some, jnp.sqrt(jnp.where(is_some, variance, 1)), 0)


def _reciprocals(scales: Array) -> Array:
    return jnp.where(scales == 0, 0, 1 / jnp.where(scales == 0, 1, scales))
