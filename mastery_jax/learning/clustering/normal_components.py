"""The normal components of a mixture: their log densities, and the likeliest for given shares.

    log N(x; μ, L Lᵀ) = −|L⁻¹(x − μ)|²/2 − Σ_m log L_mm − d/2 log 2π

The forms of covariance are told apart by the shape of the factors, (k, d, d) if full, (1, d, d) if
tied, (k, 1, d) if diagonal, (k, 1, 1) if spherical; where two shapes agree, so do the densities.

Source: Bishop (2006), *Pattern Recognition and Machine Learning*, eq. 2.43 and 9.24-9.26; the
number of parameters: McLachlan & Peel (2000), *Finite Mixture Models*, section 3.1.
"""

import math
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float

from mastery_jax.core.check import Scalar

__all__ = ["Covariance", "State", "log_densities", "maximize", "num_parameters"]

Covariance = Literal["full", "tied", "diag", "spherical"]


class State(NamedTuple):
    """A fitted mixture."""

    weights: Float[Array, " k"]  # π, sums to 1
    means: Float[Array, "k d"]  # μ, unit of the features
    factors: Float[Array, "covs rows columns"]  # lower L with Σ = L Lᵀ, or standard deviations


def log_densities(state: State, X: Array) -> Array:
    """Return log π_j + log N(x_i; μ_j, Σ_j) as (k, n), in nats. O(n d² k)."""
    factors, d = state.factors, state.means.shape[1]
    with jax.default_matmul_precision("highest"):
        if factors.shape[1] == 1:
            log_det = jnp.broadcast_to(jnp.log(factors), (len(factors), 1, d)).sum(axis=(1, 2))
            squares = _diagonal_squares(X, state.means, factors[:, 0, :])
        else:
            log_det = jnp.log(jnp.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
            squares = _full_squares(X, state.means, factors)
    log_weights = jnp.log(state.weights) - log_det - d / 2 * math.log(2 * math.pi)
    return log_weights[:, None] - squares / 2


def _full_squares(X: Array, means: Array, factors: Array) -> Array:
    """Return |L⁻¹(x − μ)|² as (k, n), by one product with each inverse factor."""
    eye = jnp.broadcast_to(jnp.eye(factors.shape[1], dtype=X.dtype), factors.shape)
    inverses = solve_triangular(factors, eye, lower=True)
    inverses = jnp.broadcast_to(inverses, (len(means), *inverses.shape[1:]))

    def one(component: tuple[Array, Array]) -> Array:
        mean, inverse = component
        return ((inverse @ (X - mean[None, :]).T) ** 2).sum(axis=0)

    return jax.lax.map(one, (means, inverses))


def _diagonal_squares(X: Array, means: Array, scales: Array) -> Array:
    def one(component: tuple[Array, Array]) -> Array:
        mean, scale = component
        return (((X - mean[None, :]) / scale[None, :]) ** 2).sum(axis=1)

    return jax.lax.map(one, (means, scales))


def maximize(
    shares: Array, X: Array, *, covariance: Covariance, reg_covar: Scalar, unit: Array
) -> State:
    """Return the likeliest components where row i belongs to j by the part ``shares[j, i]``.

    O(n d² k + d³ k). A component without any share stays at the origin of ``X``. Squares are formed
    in the unit, a power of two. The mean of many rows far from the origin is rounded by more than
    they differ: it is taken once more of what it leaves.
    """
    total = shares.sum(axis=1)
    safe = jnp.where(total > 0, total, 1)
    is_diagonal = covariance in ("diag", "spherical")

    def moments(component: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        share, rough, total = component
        D = (X - rough[None, :]) / unit
        rest = share @ D / total
        D = D - rest[None, :]
        return rough + rest * unit, share @ D**2 if is_diagonal else (D * share[:, None]).T @ D

    means, sums = jax.lax.map(moments, (shares, shares @ X / safe[:, None], safe))
    weights = total / total.sum()
    # XLA would divide twice by one product, which may be 0.
    added = reg_covar * (1 / unit) * (1 / unit)
    if is_diagonal:
        variances = sums / safe[:, None]
        if covariance == "spherical":
            variances = variances.mean(axis=1)[:, None]
        return State(weights, means, jnp.sqrt(variances + added)[:, None, :] * unit)
    if covariance == "tied":
        sums = sums.sum(axis=0)[None] / total.sum()
    else:
        sums = sums / safe[:, None, None]
    eye = jnp.eye(X.shape[1], dtype=X.dtype)
    return State(weights, means, jnp.linalg.cholesky(sums + added * eye[None]) * unit)


def num_parameters(state: State) -> int:
    """Return how many numbers of the model are free. O(1)."""
    (k, d), (covs, rows, columns) = state.means.shape, state.factors.shape
    per_covariance = columns if rows == 1 else d * (d + 1) // 2
    return k - 1 + k * d + covs * per_covariance
