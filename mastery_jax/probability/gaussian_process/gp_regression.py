"""Gaussian process regression: the posterior over functions after noisy values were seen.

    y = f(X) + ε,   f ~ GP(m, k),   K = k(X, X) + noise = L Lᵀ,   α = K⁻¹ (y − m)

    E f(x)    = m + k(x, X) α
    cov f(x)  = k(x, x') − VᵀV',                     V = L⁻¹ k(X, x)
    y_i | the others ~ N(y_i − α_i / [K⁻¹]_ii, 1 / [K⁻¹]_ii)

One Cholesky factor serves every prediction. In float32 it fails where noise is below some 1e-6 of
the variance times n; it is never helped by a jitter that was not asked for.

Source: Rasmussen & Williams (2006), *Gaussian Processes for Machine Learning*, algorithm 2.1, eq.
2.23-2.26, and 5.12 (leave-one-out).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve, solve_triangular
from jaxtyping import Array, Bool, Float, Key

from mastery_jax.core.check import Scalar, checked
from mastery_jax.probability.gaussian_process import kernels

__all__ = ["State", "fit", "leave_one_out", "predict", "predict_joint", "sample"]


class State(NamedTuple):
    """A posterior over functions."""

    kernel: kernels.Kernel
    X: Float[Array, "n d"]  # where values were seen, unit of x
    is_observed: Bool[Array, " n"]  # False for rows that fill up the array
    mean: Float[Array, ""]  # m, of the prior, unit of y
    factor: Float[Array, "n n"]  # L, unit of y; NaN where K is not positive definite
    weights: Float[Array, " n"]  # α, per unit of y


@jax.jit
@checked
def fit(
    kernel: kernels.Kernel,
    X: Float[Array, "n d"],
    y: Float[Array, " n"],
    *,
    noise: Scalar | Float[Array, " n"] = 0.0,
    mean: Scalar = 0.0,
    is_observed: Bool[Array, " n"] | None = None,
) -> State:
    """Factorize the covariance of the observations. O(n³/3 + n² d).

    Args:
        kernel: Covariance, with its hyperparameters; White noise is that of ``y``.
        X: One row per observation.
        y: What was seen there.
        noise: More variance of each observation, or of all: a known error, or a jitter, squared
            unit of y.
        mean: m, the constant that the function is drawn around.
        is_observed: False for rows of ``X`` and ``y`` that only fill up the arrays; they may hold
            anything.

    Returns:
        The posterior; NaN throughout where the covariance is not positive definite in this
        precision, or data are not finite.

    Raises:
        ValueError: shapes disagree, or ``kernel`` is none.

    Example:
        >>> state = fit(kernels.RBF(lengthscale=1.0), jnp.array([[0.0], [2.0]]), jnp.ones(2))
        >>> mean, variance = predict(state, jnp.array([[0.0], [1.0]]))
        >>> [round(float(m), 2) for m in mean], round(float(variance[1]), 2)
        ([1.0, 1.07], 0.35)
    """
    mean = jnp.asarray(mean, X.dtype)
    seen = jnp.ones(len(X), bool) if is_observed is None else is_observed
    X, y = jnp.where(seen[:, None], X, 0), jnp.where(seen, y, 0)
    covariance = kernels.gram(kernel, X, noise=noise, is_observed=is_observed)
    factor = jnp.linalg.cholesky(covariance)
    weights = cho_solve((factor, True), jnp.where(seen, y - mean, 0))
    return State(kernel, X, seen, mean, factor, weights)


@jax.jit
@checked
def predict(state: State, X: Float[Array, "m d"]) -> tuple[Float[Array, " m"], Float[Array, " m"]]:
    """Return mean and variance of the function at every row. O(n² m).

    The variance is that of f; a new observation adds its noise. Rounding can leave it below 0, by
    some eps of the prior's variance.
    """
    with jax.default_matmul_precision("highest"):
        across, V = _across(state, X)
        variance = kernels.diagonal(state.kernel, X) - (V**2).sum(axis=0)
        return state.mean + across @ state.weights, variance


@jax.jit
@checked
def predict_joint(
    state: State, X: Float[Array, "m d"]
) -> tuple[Float[Array, " m"], Float[Array, "m m"]]:
    """Return mean and covariance of the function at all rows together. O(n² m + n m²)."""
    with jax.default_matmul_precision("highest"):
        across, V = _across(state, X)
        covariance = kernels.cross(state.kernel, X, X) - V.T @ V
        return state.mean + across @ state.weights, covariance


@partial(jax.jit, static_argnames=("num_samples",))
@checked
def sample(
    key: Key[Array, ""],
    state: State,
    X: Float[Array, "m d"],
    *,
    num_samples: int,
    jitter: Scalar = 0.0,
) -> Float[Array, "num_samples m"]:
    """Draw functions from the posterior, each at all rows together. O(n² m + n m² + m³).

    Args:
        key: Consumed.
        state: A posterior.
        X: Where to draw.
        num_samples: Functions to draw. Static.
        jitter: Variance added to each value drawn. Smooth kernels need some on close rows: about
            1e-10 of the variance in float64, 1e-5 in float32.

    Returns:
        One function a row; NaN throughout where the covariance is not positive definite.
    """
    mean, covariance = predict_joint(state, X)
    jitter = jnp.asarray(jitter, X.dtype) * jnp.eye(len(X), dtype=X.dtype)
    normals = jax.random.normal(key, (num_samples, len(X)), X.dtype)
    with jax.default_matmul_precision("highest"):
        return mean[None, :] + normals @ jnp.linalg.cholesky(covariance + jitter).T


@jax.jit
@checked
def leave_one_out(state: State) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """Return mean and variance of every observation given all others. O(n³).

    They are those of the observation, with its noise. Rows that are not observed give ``mean`` and
    variance 1.
    """
    L, weights = state.factor, state.weights
    with jax.default_matmul_precision("highest"):
        y = state.mean + L @ (L.T @ weights)
        inverse = solve_triangular(L, jnp.eye(len(L), dtype=L.dtype), lower=True)
    variance = 1 / (inverse**2).sum(axis=0)
    return y - variance * weights, variance


def _across(state: State, X: Array) -> tuple[Array, Array]:
    """Return k(x, X) and L⁻¹ k(X, x)."""
    across = kernels.cross(state.kernel, X, state.X)
    across = jnp.where(state.is_observed[None, :], across, 0)
    return across, solve_triangular(state.factor, across.T, lower=True)
