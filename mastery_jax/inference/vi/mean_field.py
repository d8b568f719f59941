"""Mean field: a normal whose numbers know nothing of each other.

    x_i = m_i + exp(s_i) ε_i,   ε_i ~ N(0, 1)
    log q(x) = −Σ_i (ε_i²/2 + s_i) − d/2 log 2π

Where the posterior is correlated, its spread comes out too small: each number is given the others.

Source: Kucukelbir, Tran, Ranganath, Gelman & Blei (2017), *Automatic differentiation variational
inference*, JMLR 18(14), section 2.4.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from mastery_jax.core.check import Scalar, checked
from mastery_jax.inference import vector

__all__ = ["Params", "init", "log_prob", "sample"]


class Params(NamedTuple):
    """A normal."""

    mean: Any  # a position
    log_scale: Float[Array, " d"]  # of each number, in the order of the tree's leaves


@jax.jit
@checked
def init(position: Any, *, scale: Scalar = 0.1) -> Params:
    """Return a normal around a position. O(d).

    Args:
        position: Any tree of floats of one dtype.
        scale: Standard deviation of every number, > 0, its own unit.

    Raises:
        ValueError: leaves that are not floats of one dtype.
    """
    u, _ = vector.flat("mean_field.init", position)
    return Params(position, jnp.full_like(u, jnp.log(jnp.asarray(scale, u.dtype))))


@jax.jit
@checked
def sample(key: Key[Array, ""], params: Params) -> tuple[Any, Float[Array, ""]]:
    """Draw a position, and return the log density there, in nats. O(d).

    Args:
        key: Consumed.
        params: The normal.

    Example:
        >>> position, log_q = sample(jax.random.key(0), init({"a": jnp.zeros(2)}))
        >>> position["a"].shape, log_q.shape
        ((2,), ())
    """
    noise = jax.random.normal(key, params.log_scale.shape, params.log_scale.dtype)
    mean, back = vector.flat("mean_field.sample", params.mean)
    u = mean + jnp.exp(params.log_scale) * noise
    return back(u), _log_prob(noise, params.log_scale)


@jax.jit
@checked
def log_prob(params: Params, position: Any) -> Float[Array, ""]:
    """Return the log density of a position, in nats. O(d).

    Args:
        params: The normal.
        position: A tree like its mean.
    """
    mean, _ = vector.flat("mean_field.log_prob", params.mean)
    away = vector.flat("mean_field.log_prob", position)[0] - mean
    return _log_prob(away * jnp.exp(-params.log_scale), params.log_scale)


def _log_prob(noise: Array, log_scale: Array) -> Array:
    return -(noise * noise / 2 + log_scale + math.log(2 * math.pi) / 2).sum()
