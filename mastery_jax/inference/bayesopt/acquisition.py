"""What a measurement is worth, by the posterior of a function that is to be minimized.

With z = (best − mean) / std, standard normal density φ and distribution Φ:

    EI        = std h(z),   h(z) = φ(z) + z Φ(z)        expected improvement over the best
    log EI    = log std + log h(z)                      also where EI is below the least float
    PI        = Φ(z)                                    probability of an improvement
    LCB       = −(mean − β std)                         lower confidence bound, its sign turned
    log P     = log Φ((limit − mean) / std)             that a constraint holds

All are to be maximized. Below z = −5, with x = −z, h = φ(x) c / (x + c), where
c = 1/(x + 2/(x + 3/(x + …))) is the tail of Mills' continued fraction: nothing cancels there. A
variance that is not positive stands for certainty.

Source: Jones, Schonlau & Welch (1998), J. Global Optimization 13, eq. 15 (EI); Ament et al. (2023),
*Unexpected Improvements to Expected Improvement*, eq. 8-9 (log EI); Kushner (1964) (PI); Srinivas
et al. (2010), eq. 6 (bound); Gardner et al. (2014), eq. 5 (constraints); Abramowitz & Stegun
(1964), 26.2.14 (the fraction).
"""

import math

import jax
import jax.numpy as jnp
from jax.scipy.special import log_ndtr, ndtr
from jaxtyping import Array, Float

from mastery_jax.core.check import Scalar, checked

__all__ = [
    "confidence_bound",
    "expected_improvement",
    "log_expected_improvement",
    "log_feasibility",
    "probability_of_improvement",
]

LOG_ROOT = math.log(2 * math.pi) / 2
TAIL = -5.0  # below, the fraction is right to some units in the last place with
TERMS = 24  # terms; above, the sum loses 25 units in the last place at most


@jax.jit
@checked
def expected_improvement(
    mean: Float[Array, " n"], variance: Float[Array, " n"], best: Scalar
) -> Float[Array, " n"]:
    """Return by how much a measurement is expected to fall below ``best``. O(n).

    It is 0 in floating point where log_expected_improvement still tells points apart.
    """
    return jnp.exp(log_expected_improvement(mean, variance, best))


@jax.jit
@checked
def log_expected_improvement(
    mean: Float[Array, " n"], variance: Float[Array, " n"], best: Scalar
) -> Float[Array, " n"]:
    """Return the log of the expected improvement, right at any distance below. O(n).

    Args:
        mean: Of the posterior, unit of y.
        variance: Of the posterior; where it is not positive, the improvement is certain.
        best: Least value so far, unit of y.

    Returns:
        Logs; −∞ where there is certainly no improvement.

    Example:
        >>> log_expected_improvement(jnp.array([0.0, 50.0]), jnp.array([1.0, 1.0]), 0.0)
        Array([-9.1893852e-01, -1.2587441e+03], dtype=float32)
    """
    is_open, std = _std(variance)
    gain = jnp.asarray(best, mean.dtype) - mean
    certain = jnp.where(gain > 0, jnp.log(jnp.where(gain > 0, gain, 1)), -jnp.inf)
    return jnp.where(is_open, jnp.log(std) + _log_h(gain / std), certain)


@jax.jit
@checked
def probability_of_improvement(
    mean: Float[Array, " n"], variance: Float[Array, " n"], best: Scalar
) -> Float[Array, " n"]:
    """Return the probability that a measurement falls below ``best``. O(n)."""
    is_open, std = _std(variance)
    gain = jnp.asarray(best, mean.dtype) - mean
    return jnp.where(is_open, ndtr(gain / std), (gain > 0).astype(mean.dtype))


@jax.jit
@checked
def confidence_bound(
    mean: Float[Array, " n"], variance: Float[Array, " n"], best: Scalar, *, beta: Scalar = 2.0
) -> Float[Array, " n"]:
    """Return how low a measurement may be: −(mean − β std). O(n).

    Args:
        mean: Of the posterior, unit of y.
        variance: Of the posterior.
        best: Not used; it is there so that acquisitions are called alike.
        beta: Standard deviations below the mean; more explores more.
    """
    del best
    is_open, std = _std(variance)
    return jnp.where(is_open, jnp.asarray(beta, mean.dtype) * std, 0) - mean


@jax.jit
@checked
def log_feasibility(
    mean: Float[Array, " n"], variance: Float[Array, " n"], limit: Scalar
) -> Float[Array, " n"]:
    """Return the log of the probability that a constraint's value is at most ``limit``. O(n)."""
    is_open, std = _std(variance)
    room = jnp.asarray(limit, mean.dtype) - mean
    return jnp.where(is_open, log_ndtr(room / std), jnp.where(room >= 0, 0, -jnp.inf))


def _std(variance: Array) -> tuple[Array, Array]:
    is_open = variance > 0
    return is_open, jnp.sqrt(jnp.where(is_open, variance, 1))


@jax.custom_jvp
def _log_h(z: Array) -> Array:
    """Return log(φ(z) + z Φ(z))."""
    return _log_h_and_slope(z)[0]


@_log_h.defjvp
def _log_h_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    value, slope = _log_h_and_slope(*primals)
    return value, slope * tangents[0]


def _log_h_and_slope(z: Array) -> tuple[Array, Array]:
    """Return log h and its slope Φ/h: 1/c in the tail, where a difference of logs loses digits."""
    is_tail = z < TAIL
    x = jnp.where(is_tail, -z, -TAIL)
    c = jnp.zeros_like(x)
    for k in reversed(range(1, TERMS + 1)):
        c = k / (x + c)
    tail = jnp.log(c / (x + c)) - x**2 / 2 - LOG_ROOT
    near = jnp.where(is_tail, 0, z)
    h = jnp.exp(-(near**2) / 2 - LOG_ROOT) + near * ndtr(near)
    return jnp.where(is_tail, tail, jnp.log(h)), jnp.where(is_tail, 1 / c, ndtr(near) / h)
