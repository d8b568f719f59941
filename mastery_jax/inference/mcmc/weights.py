"""Weights of particles: what they are worth, how far they may be raised, and a draw by them.

    size = (Σ w)² / Σ w²,       w_i = ℓ_i^δ

Source: Kong, Liu & Wong (1994), *J. Am. Stat. Assoc.* 89, 278 (the size); the draw is that of
``filtering.resampling``; Lee & Whiteley (2018), *Biometrika* 105, 609, equation 9 (the error).
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from mastery_jax.core import loop
from mastery_jax.core.check import Scalar
from mastery_jax.inference.filtering import resampling

__all__ = ["draw", "error", "num_changed", "raised", "rise", "size", "spread"]

_SHRINK = 1e-3, 5  # of the spread, towards this part of its variances, as if seen this often
_NUM_HALVINGS = 60  # a rise of 1e-15 still has three digits


def size(log_weights: Array) -> Array:
    """Return how many equal weights these are worth, in [1, N]. O(N).

    Example:
        >>> size(jnp.array([0.0, 0.0, -jnp.inf]))
        Array(2., dtype=float32)
    """
    return jnp.exp(2 * jax.nn.logsumexp(log_weights) - jax.nn.logsumexp(2 * log_weights))


def raised(log_likelihood: Array, power: Array) -> Array:
    """Return log weights ℓ^power, where what is impossible stays so, at power 0 too. O(N).

    Example:
        >>> raised(jnp.array([-2.0, -jnp.inf]), jnp.array(0.0))
        Array([ -0., -inf], dtype=float32)
    """
    is_possible = log_likelihood > -jnp.inf
    return jnp.where(is_possible, power * log_likelihood, -jnp.inf)


def rise(log_likelihood: Array, most: Array, *, min_ess: Scalar) -> Array:
    """Return the greatest power, at most ``most``, worth a part ``min_ess`` of N. O(60 N).

    Example:
        >>> power = rise(jnp.array([0.0, -1.0]), jnp.array(9.0), min_ess=0.99)
        >>> round(float(size(raised(jnp.array([0.0, -1.0]), power))), 3)
        1.98
    """
    wanted = min_ess * log_likelihood.size

    def is_enough(power: Array) -> Array:
        return size(raised(log_likelihood, power)) >= wanted

    def halve(bracket: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
        low, high = bracket
        middle = (low + high) / 2
        is_below = is_enough(middle)
        return (jnp.where(is_below, middle, low), jnp.where(is_below, high, middle)), None

    (low, _), _ = loop.scan(halve, (jnp.zeros_like(most), most), num_steps=_NUM_HALVINGS)
    return jnp.where(is_enough(most), most, low)


def draw(key: Array, log_weights: Array) -> Array:
    """Draw N of N indices with replacement, never one of weight 0. O(N log N).

    All are −1 where no weight is above 0.

    Example:
        >>> draw(jax.random.key(0), jnp.array([-jnp.inf, 0.0, -jnp.inf]))
        Array([1, 1, 1], dtype=int32)
    """
    return resampling.multinomial(key, log_weights, num=log_weights.size)


def error(eve: Array, num_draws: Array) -> Array:
    """Return about the standard error of log Z, after so many draws of N of N. O(N).

    Args:
        eve: The first particle from which each descends, an index in [0, N).
        num_draws: A float, whose dtype is that of the error.

    Example:
        >>> error(jnp.array([0, 1, 2, 3]), jnp.array(0.0)), error(jnp.zeros(4, int), jnp.array(1.0))
        (Array(0.5, dtype=float32), Array(1., dtype=float32))
    """
    n = eve.size
    counts = jnp.zeros(n, num_draws.dtype).at[eve].add(1)
    left = 1 - jnp.square(counts / n).sum()
    return jnp.sqrt(jnp.maximum(1 - (n / (n - 1)) ** num_draws * left, 0))


def num_changed(before: Any, after: Any) -> Array:
    """Return how many particles are not where they were. O(N d).

    Example:
        >>> num_changed(jnp.zeros((3, 2)), jnp.zeros((3, 2)).at[1, 0].set(1.0))
        Array(1, dtype=int32)
    """
    pairs = zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)
    changed = [(a != b).reshape(len(a), -1).any(axis=1) for a, b in pairs]
    return jnp.stack(changed).any(axis=0).sum(dtype=jnp.int32)


def spread(particles: Any, *, is_dense: bool) -> Array:
    """Return a root of the particles' covariance, or of variances. O(N d + d³), O(N d²) if dense.

    It is shrunk towards a small part of the variances, which costs correlations some of their size,
    in any unit. Particles that all share a number are given a small spread there: they may be one.

    Args:
        particles: A pytree of floats of one dtype, with a leading axis of at least 2 particles.
        is_dense: A lower triangle, not a number for each coordinate.

    Example:
        >>> spread(jnp.array([[0.0], [2.0]]), is_dense=False).round(2)
        Array([0.76], dtype=float32)
    """
    leaves = [leaf.reshape(leaf.shape[0], -1) for leaf in jax.tree.leaves(particles)]
    rows = jnp.concatenate(leaves, axis=1)
    n = len(rows)
    part, times = _SHRINK
    share, floor = n / (n + times), part * times / (n + times)
    variance = rows.var(axis=0, ddof=1)
    least = floor * jnp.where(variance > 0, variance, 1)
    if not is_dense:
        return jnp.sqrt(share * variance + least)
    away = rows - rows.mean(axis=0, keepdims=True)
    with jax.default_matmul_precision("highest"):
        cov = share * (away.T @ away) / (n - 1) + jnp.diag(least)
    return jnp.linalg.cholesky(cov)
