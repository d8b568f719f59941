"""Full rank: a normal with a whole covariance, by its Cholesky factor.

    x = m + L ε,   ε ~ N(0, I),   L lower triangular, its diagonal exp of what is stored
    log q(x) = −|ε|²/2 − Σ_i log L_ii − d/2 log 2π

Source: Kucukelbir, Tran, Ranganath, Gelman & Blei (2017), *Automatic differentiation variational
inference*, JMLR 18(14), section 2.4.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float, Key

from mastery_jax.core.check import Scalar, checked
from mastery_jax.inference import vector

__all__ = ["Params", "factor", "from_factor", "init", "log_prob", "sample"]


class Params(NamedTuple):
    """A normal."""

    mean: Any  # a position
    log_factor: Float[Array, "d d"]  # L, but logarithms on its diagonal; nothing counts above it


@jax.jit
@checked
def init(position: Any, *, scale: Scalar = 0.1) -> Params:
    """Return a normal of independent numbers around a position. O(d²).

    Args:
        position: Any tree of floats of one dtype.
        scale: Standard deviation of every number, > 0, its own unit.

    Raises:
        ValueError: leaves that are not floats of one dtype.
    """
    u, _ = vector.flat("full_rank.init", position)
    log_scale = jnp.log(jnp.asarray(scale, u.dtype))
    return Params(position, log_scale * jnp.eye(u.size, dtype=u.dtype))


@jax.jit
@checked
def from_factor(position: Any, factor: Float[Array, "d d"]) -> Params:
    """Return the normal of a mean and the Cholesky factor of its covariance. O(d²).

    Args:
        position: The mean.
        factor: L, lower triangular with a positive diagonal.
    """
    return Params(position, jnp.tril(factor, -1) + jnp.diag(jnp.log(jnp.diagonal(factor))))


@jax.jit
@checked
def factor(params: Params) -> Float[Array, "d d"]:
    """Return L: L Lᵀ is the covariance. O(d²)."""
    stored = params.log_factor
    return jnp.tril(stored, -1) + jnp.diag(jnp.exp(jnp.diagonal(stored)))


@jax.jit
@checked
def sample(key: Key[Array, ""], params: Params) -> tuple[Any, Float[Array, ""]]:
    """Draw a position, and return the log density there, in nats. O(d²).

    Args:
        key: Consumed.
        params: The normal.

    Example:
        >>> position, log_q = sample(jax.random.key(0), init({"a": jnp.zeros(2)}))
        >>> position["a"].shape, log_q.shape
        ((2,), ())
    """
    noise = jax.random.normal(key, params.log_factor.shape[:1], params.log_factor.dtype)
    with jax.default_matmul_precision("highest"):
        away = factor(params) @ noise
    mean, back = vector.flat("full_rank.sample", params.mean)
    return back(mean + away), _log_prob(noise, params)


@jax.jit
@checked
def log_prob(params: Params, position: Any) -> Float[Array, ""]:
    """Return the log density of a position, in nats. O(d²).

    Args:
        params: The normal.
        position: A tree like its mean.
    """
    mean, _ = vector.flat("full_rank.log_prob", params.mean)
    away = vector.flat("full_rank.log_prob", position)[0] - mean
    return _log_prob(solve_triangular(factor(params), away, lower=True), params)


def _log_prob(noise: Array, params: Params) -> Array:
    stretch = jnp.diagonal(params.log_factor)
    return -(noise * noise / 2 + stretch + math.log(2 * math.pi) / 2).sum()
