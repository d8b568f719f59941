"""Low rank: independent numbers, and a few directions in which they move together.

    x = m + exp(s) ∘ (ε + W η),   ε ~ N(0, I_d),   η ~ N(0, I_k)
    cov x = D (I + W Wᵀ) D,   D = diag exp(s)
    log q(x) = −(|a − W η̂|² + |η̂|²)/2 − Σ s_i − log |C|/2 − d/2 log 2π,   a = D⁻¹ (x − m)

with C = I + WᵀW and η̂ = C⁻¹Wᵀa: nothing of size d by d is made, and what Woodbury's |a|² − |Wᵀa|²_C
would subtract, where W is large, never arises.

Source: Ong, Nott & Smith (2018), *J. Comput. Graph. Stat.* 27(3), 465, section 3; Golub & Van Loan
(2013), *Matrix Computations*, section 2.1.4.
"""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve
from jaxtyping import Array, Float, Key

from mastery_jax.core.check import Scalar, checked
from mastery_jax.inference import vector

__all__ = ["Params", "init", "log_prob", "sample"]


class Params(NamedTuple):
    """A normal."""

    mean: Any  # a position
    log_scale: Float[Array, " d"]  # s
    directions: Float[Array, "d k"]  # W, in units of exp(s)


@partial(jax.jit, static_argnames=("rank",))
@checked
def init(key: Key[Array, ""], position: Any, *, rank: int, scale: Scalar = 0.1) -> Params:
    """Return a normal of nearly independent numbers around a position. O(d rank).

    Args:
        key: Consumed: small directions are drawn, since from zero they would never move.
        position: Any tree of floats of one dtype.
        rank: How many directions, at least 1. Static.
        scale: Standard deviation of every number, > 0, its own unit.

    Raises:
        ValueError: ``rank`` < 1, or leaves that are not floats of one dtype.
    """
    if rank < 1:
        raise ValueError(f"low_rank.init: rank is {rank}, not at least 1")
    u, _ = vector.flat("low_rank.init", position)
    directions = 0.01 * jax.random.normal(key, (u.size, rank), u.dtype)
    return Params(position, jnp.full_like(u, jnp.log(jnp.asarray(scale, u.dtype))), directions)


@jax.jit
@checked
def sample(key: Key[Array, ""], params: Params) -> tuple[Any, Float[Array, ""]]:
    """Draw a position, and return the log density there, in nats. O(d k + k³).

    Args:
        key: Consumed.
        params: The normal.
    """
    own_key, shared_key = jax.random.split(key)
    size, rank = params.directions.shape
    dtype = params.log_scale.dtype
    own = jax.random.normal(own_key, (size,), dtype)
    shared = jax.random.normal(shared_key, (rank,), dtype)
    with jax.default_matmul_precision("highest"):
        away = own + params.directions @ shared
    mean, back = vector.flat("low_rank.sample", params.mean)
    return back(mean + jnp.exp(params.log_scale) * away), _log_prob(away, params)


@jax.jit
@checked
def log_prob(params: Params, position: Any) -> Float[Array, ""]:
    """Return the log density of a position, in nats. O(d k + k³).

    Args:
        params: The normal.
        position: A tree like its mean.
    """
    mean, _ = vector.flat("low_rank.log_prob", params.mean)
    away = vector.flat("low_rank.log_prob", position)[0] - mean
    return _log_prob(away * jnp.exp(-params.log_scale), params)


def _log_prob(away: Array, params: Params) -> Array:
    W = params.directions
    with jax.default_matmul_precision("highest"):
        root = jnp.linalg.cholesky(jnp.eye(W.shape[1], dtype=W.dtype) + W.T @ W)
        shared = cho_solve((root, True), W.T @ away)
        own = away - W @ shared
    distance = (own * own).sum() + (shared * shared).sum()
    stretch = params.log_scale.sum() + jnp.log(jnp.diagonal(root)).sum()
    return -distance / 2 - stretch - away.size * math.log(2 * math.pi) / 2
