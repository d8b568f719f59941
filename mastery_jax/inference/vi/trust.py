"""Whether draws of a guide may stand for a posterior: the tail of their importance ratios.

    log w_k = log p(x_k) − log q(x_k)
    k̂: shape of the generalized Pareto distribution of the largest w     (see ``pareto_tail``)

Below 0.7 the ratios can be smoothed, and moments corrected with them; above, the guide misses a
part of the posterior that no number of draws will make up for, whatever its bound says.

Source: Yao, Vehtari, Simpson & Gelman (2018), *Yes, but did it work?*, ICML; Vehtari, Simpson,
Gelman, Yao & Gabry (2024), *Pareto smoothed importance sampling*, JMLR 25(72), algorithm 1.
"""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int, Key

from mastery_jax.core.check import checked
from mastery_jax.core.status import Status
from mastery_jax.inference.vi import elbo
from mastery_jax.numerics.quadrature.monte_carlo import pareto_tail

__all__ = ["LIMIT", "Report", "assess", "resample", "smooth"]

LIMIT = 0.7
"""The shape above which importance ratios are not to be trusted."""


class Report(NamedTuple):
    """What draws of a guide are worth."""

    pareto_shape: Float[Array, ""]  # k̂
    elbo: Float[Array, ""]  # nats
    elbo_error: Float[Array, ""]  # its standard error
    log_evidence: Float[Array, ""]  # log of the mean of the smoothed ratios, nats
    effective_size: Float[Array, ""]  # (Σ w)² / Σ w², of the smoothed ratios
    mean: Any  # of the posterior, corrected: a position
    sd: Any  # of each number of it, corrected
    status: Int[Array, ""]  # core.status.Status
    is_done: Bool[Array, ""]  # status is CONVERGED


@partial(jax.jit, static_argnames=("guide", "num_draws"))
@checked
def assess(
    key: Key[Array, ""], params: Any, *, guide: elbo.Guide, log_density: Partial, num_draws: int
) -> Report:
    """Draw from a guide, and say how far that may be trusted. O(num_draws) densities.

    Args:
        key: Consumed.
        params: Of the guide.
        guide: The family. Static.
        log_density: ``position -> nats``, up to a constant.
        num_draws: At least 25; a thousand tell k̂ to some 0.1. Static.

    Returns:
        The report: CONVERGED where k̂ ≤ 0.7; DIVERGED where it is above; NOT_FINITE where no ratio
        is finite, or one is NaN.

    Raises:
        ValueError: too few draws.
    """
    draws, gain = elbo.gains(key, params, guide=guide, log_density=log_density, num_draws=num_draws)
    log_weights, shape = smooth(gain)
    weights = jax.nn.softmax(log_weights)

    def mean_of(leaf: Array) -> Array:
        return jnp.tensordot(weights, leaf, axes=1, precision="highest")

    mean = jax.tree.map(mean_of, draws)
    sd = jax.tree.map(lambda leaf, m: jnp.sqrt(mean_of((leaf - m[None]) ** 2)), draws, mean)
    is_bad = jnp.isnan(gain).any() | (gain == jnp.inf).any() | ~jnp.isfinite(gain).any()
    status = jnp.where(shape <= LIMIT, Status.CONVERGED, Status.DIVERGED)
    status = jnp.where(is_bad, Status.NOT_FINITE, status).astype(jnp.int32)
    return Report(
        pareto_shape=shape,
        elbo=gain.mean(),
        elbo_error=gain.std(ddof=1) / num_draws**0.5,
        log_evidence=logsumexp(log_weights) - math.log(num_draws),
        effective_size=1 / (weights * weights).sum(),
        mean=mean,
        sd=sd,
        status=status,
        is_done=status == Status.CONVERGED,
    )


@jax.jit
@checked
def smooth(log_ratios: Float[Array, " draws"]) -> tuple[Float[Array, " draws"], Float[Array, ""]]:
    """Return log ratios with the largest ones smoothed, and k̂. O(draws log draws).

    The largest min(draws/5, 3 √draws) are replaced by the means of their order statistics under the
    fitted tail, and none is left above the largest that was seen.

    Args:
        log_ratios: At least 25, in any order, in nats; −∞ is a ratio of zero.

    Returns:
        The smoothed logs, in the order given, and k̂; NaN where one of them is. k̂ is ∞ where three
        quarters of the tail are below the least normal number beside the largest, and −∞ where all
        of it is equal: then nothing is smoothed.

    Raises:
        ValueError: fewer than 25.
    """
    n = len(log_ratios)
    if n < 25:
        raise ValueError(f"trust.smooth: {n} log ratios, not at least 25")
    count = min(math.ceil(n / 5), math.ceil(3 * n**0.5))
    largest, places = jax.lax.top_k(log_ratios, count + 1)
    top = largest[0]
    ratios = jnp.exp(largest - jnp.where(jnp.isfinite(top), top, 0))
    limit = ratios[count]
    tail = pareto_tail.fit(jnp.maximum(ratios[:count] - limit, 0), limit=limit)
    rank = (jnp.arange(count, 0, -1).astype(ratios.dtype) - 0.5) / count  # from the largest down
    is_flat = ~jnp.isfinite(tail.shape)
    k_used = jnp.where(is_flat | (tail.shape == 0), 1, tail.shape)
    excess = tail.scale * jnp.expm1(-k_used * jnp.log1p(-rank)) / k_used
    logs = jnp.minimum(jnp.log(limit + excess), 0) + top
    smoothed = log_ratios.at[places[:count]].set(jnp.where(is_flat, largest[:count], logs))
    return smoothed, tail.shape


@partial(jax.jit, static_argnames=("num_draws",))
@checked
def resample(
    key: Key[Array, ""], draws: Any, log_ratios: Float[Array, " draws"], *, num_draws: int
) -> Any:
    """Draw positions again, by their smoothed ratios: importance resampling. O(num_draws log n).

    Args:
        key: Consumed.
        draws: Positions, with a leading axis.
        log_ratios: Of each, log p − log q, in nats.
        num_draws: How many to return; with replacement. Static.

    Raises:
        ValueError: fewer than 25 ratios.
    """
    picked = jax.random.categorical(key, smooth(log_ratios)[0], shape=(num_draws,))
    return jax.tree.map(lambda leaf: leaf[picked], draws)
