"""How far Markov chains can be trusted, computed inside a program.

Every chain is split in halves; draws are replaced by the normal scores of their ranks, Φ⁻¹ of
(rank − 3/8) / (S + 1/4) among all S draws, so that heavy tails do no harm. With W the mean variance
within half-chains of n draws and B/n the variance of their means,

    R-hat = √(((n − 1)/n · W + B/n) / W),
    ESS   = S / τ,  τ = −1 + 2 Σ_t (1 − (W − acov_t) / ((n − 1)/n · W + B/n)),

the sum cut by Geyer's initial monotone sequence. Draws that are NaN, or all equal, give NaN. Of
plain draws, with ρ the mean of the chains' autocorrelations,

    τ(M) = 1 + 2 Σ_{t ≤ M} ρ_t      at the least M that is at least c max(τ(M), 1).

Draws of double precision that outlive ``jax.enable_x64`` are taken in single.

Source: Vehtari, Gelman, Simpson, Carpenter & Bürkner (2021), *Bayesian Analysis* 16, 667, equations
3-4, 10-13 and 14 (ranks, folding, tails); Geyer (1992), *Statistical Science* 7, 473, section 3.3;
E-BFMI: Betancourt (2016), arXiv:1604.00695, equation 11; the window M: Sokal (1997), *Functional
Integration*, NATO ASI B 361, 131, section 3.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtri
from jaxtyping import Array, Float

from mastery_jax.core import ordering
from mastery_jax.core.check import Scalar, checked
from mastery_jax.inference import vector

__all__ = ["autocorrelation", "bfmi", "ess", "integrated_time", "mcse", "rhat"]

Draws = Float[Array, "chain draw"] | Float[Array, "chain draw d"]
Lags = Float[Array, "chain lag"] | Float[Array, "chain lag d"]
Summary = Float[Array, ""] | Float[Array, " d"]


@partial(jax.jit, static_argnames=("kind",))
@checked
def ess(draws: Draws, *, kind: Literal["bulk", "tail", "mean"] = "bulk") -> Summary:
    """Return the effective number of independent draws. O(S log S) for each quantity.

    Args:
        draws: At least 4 for each chain.
        kind: ``bulk``, of the normal scores: whether the centre of the distribution is known;
            ``tail``, the lesser of those of the 5 % and 95 % quantiles; ``mean``, of the plain
            draws, which sets the error of their mean.

    Returns:
        At most S log₁₀ S; NaN where the draws are NaN or do not vary.
    """
    of = {"bulk": lambda x: _effective(_scores(_split(x))), "tail": _tail, "mean": _of_mean}
    if kind not in of:
        raise ValueError(f"diagnostics.ess: kind is {kind!r}, not one of {sorted(of)}")
    return _of_each(of[kind], draws)


@jax.jit
@checked
def rhat(draws: Draws) -> Summary:
    """Return rank-normalized split R-hat: 1 where all chains agree; below 1.01 is good.

    The greater of that of the draws (do the chains agree on the location?) and that of their
    distances from the median (on the spread?). O(S log S) for each quantity.

    Returns:
        NaN where the draws are NaN or all equal, infinity where only chains differ.
    """

    def one(x: Array) -> Array:
        halves = _split(x)
        folded = jnp.abs(halves - _quantile(ordering.sort(halves.ravel())[0], 0.5))
        # Of two values that are as frequent, all are as far from the median.
        return jnp.fmax(_plain_rhat(_scores(halves)), _plain_rhat(_scores(folded)))

    return _of_each(one, draws)


@jax.jit
@checked
def mcse(draws: Draws) -> Summary:
    """Return the standard error of the mean of all draws, in their unit. O(S log S)."""
    return _of_each(lambda x: (x - x.mean()).std(ddof=1) / jnp.sqrt(_of_mean(x)), draws)


@jax.jit
@checked
def bfmi(energy: Float[Array, "chain draw"]) -> Float[Array, " chain"]:
    """Return the fraction of the energy's variance that fresh momenta explore, for each chain.

    Below 0.3 a sampler walks too slowly between levels of energy to see the tails.

    Args:
        energy: Of successive transitions (``nuts.Info.energy``), in nats.
    """
    energy = vector.native(energy)
    return jnp.square(jnp.diff(energy, axis=1)).mean(axis=1) / energy.var(axis=1, ddof=1)


@jax.jit
@checked
def autocorrelation(draws: Draws) -> Lags:
    """Return each chain's correlation with itself at lags 0, 1, …, draws − 1. O(S log S).

    Returns:
        As many lags as draws, of covariances divided by all of them, so that late lags fade; NaN
        for a chain that does not vary.

    Example:
        >>> autocorrelation(jnp.array([[1.0, -1.0, 1.0, -1.0]])).round(4)
        Array([[ 1.  , -0.75,  0.5 , -0.25]], dtype=float32)
    """
    if draws.ndim == 3:
        return jax.vmap(autocorrelation, in_axes=-1, out_axes=-1)(draws)
    draws = vector.native(draws)
    autocov = _from_power(_power(draws), draws.shape[1])
    # A mean that is rounded would leave a still chain some variance.
    is_still = (draws.max(axis=1) == draws.min(axis=1))[:, None]
    return autocov / jnp.where(is_still, jnp.nan, autocov[:, :1])


@jax.jit
@checked
def integrated_time(draws: Draws, *, window: Scalar = 5.0) -> Summary:
    """Return τ, the number of draws of a chain that are worth one. O(S log S) a quantity.

    Args:
        draws: At least 4 for each chain; τ is uncertain unless a chain has some 50 τ of them.
        window: c: lags are added up to c τ, or c if that is more. Traced.

    Returns:
        Below 1 for draws that alternate; NaN where they are NaN or a chain does not vary.

    Example:
        >>> thrice = jnp.repeat(jax.random.normal(jax.random.key(0), (4, 500)), 3, axis=1)
        >>> bool(2.5 < integrated_time(thrice) < 3.5)
        True
    """

    def one(x: Array) -> Array:
        rho = autocorrelation(x).mean(axis=0)
        tau = 2 * jnp.cumsum(rho) - 1
        is_far = jnp.arange(rho.size).astype(rho.dtype) >= window * jnp.maximum(tau, 1)
        last = jnp.where(is_far.any(), jnp.argmax(is_far), rho.size - 1)
        return tau[last]

    return _of_each(one, draws)


def _of_each(fn: Callable[[Array], Array], draws: Array) -> Array:
    """Apply ``fn`` to the draws of each quantity, and let no NaN pass for a rank."""
    if draws.shape[1] < 4:
        raise ValueError(f"diagnostics: {draws.shape[1]} draws for each chain, not at least 4")
    if draws.ndim == 3:
        return jax.vmap(partial(_of_each, fn), in_axes=-1)(draws)
    draws = vector.native(draws)
    return jnp.where(jnp.isnan(draws).any(), jnp.nan, fn(draws))


def _split(x: Array) -> Array:
    """Cut every chain in halves; of an odd number of draws the middle one is dropped."""
    half = x.shape[1] // 2
    return jnp.concatenate([x[:, :half], x[:, -half:]])


def _quantile(in_order: Array, prob: float) -> Array:
    """Interpolate between the sorted numbers (type 7 of Hyndman & Fan)."""
    place = prob * (in_order.size - 1)
    low = min(math.floor(place), in_order.size - 2)
    return in_order[low] + (place - low) * (in_order[low + 1] - in_order[low])


def _scores(x: Array) -> Array:
    """Return the normal scores of the ranks in all of ``x``; equal numbers share their rank."""
    (in_order,) = ordering.sort(x.ravel())
    below = jnp.searchsorted(in_order, x, side="left")
    not_above = jnp.searchsorted(in_order, x, side="right")
    # Both tails by the lower one: 1 − p keeps few digits in single precision.
    from_low = (below + not_above + 1).astype(x.dtype) / 2
    from_high = x.size + 1 - from_low
    lower = ndtri((jnp.minimum(from_low, from_high) - 0.375) / (x.size + 0.25))
    return jnp.where(from_low < from_high, lower, -lower)


def _variances(x: Array) -> tuple[Array, Array]:
    """Return W, and the estimate of the target's variance from within and between chains."""
    n = x.shape[1]
    within = x.var(axis=1, ddof=1).mean()
    return within, within * (n - 1) / n + x.mean(axis=1).var(ddof=1)


def _plain_rhat(x: Array) -> Array:
    within, total = _variances(x)
    return jnp.sqrt(total / within)


def _effective(x: Array) -> Array:
    """Return the effective sample size of half-chains."""
    n = x.shape[1]
    within, total = _variances(x)
    autocov = _from_power(_power(x).mean(axis=0), n)
    rho = (1 - (within - autocov) / total).at[0].set(1)

    last = max((n - 3) // 2, 0)
    pairs = rho[0 : 2 * last + 1 : 2] + rho[1 : 2 * last + 2 : 2]
    num_kept = jnp.minimum(jax.lax.cummin((pairs > 0).astype(int)).sum(), last)
    kept = jnp.where(jnp.arange(last + 1) < num_kept, jax.lax.cummin(pairs), 0)
    # One more even term halves the variance of the cut (Stan's improvement).
    tau = -1 + 2 * kept.sum() + jnp.maximum(rho[2 * num_kept], 0)
    tau = jnp.maximum(tau, 1 / math.log10(x.size))
    return jnp.where(x.max() > x.min(), x.size / tau, jnp.nan)


def _power(x: Array) -> Array:
    """Return the power spectrum of each chain, padded, so that its correlation is not circular."""
    size = 1 << (2 * x.shape[1] - 1).bit_length()
    spectrum = jnp.fft.rfft(x - x.mean(axis=1, keepdims=True), size)
    return jnp.square(spectrum.real) + jnp.square(spectrum.imag)


def _from_power(power: Array, n: int) -> Array:
    """Return the autocovariances of n draws, each divided by n."""
    return jnp.fft.irfft(power, 2 * (power.shape[-1] - 1))[..., :n] / n


def _of_mean(x: Array) -> Array:
    return _effective(_split(x - x.mean()))  # far from 0 a mean of few digits would be a variance


def _tail(x: Array) -> Array:
    (in_order,) = ordering.sort(x.ravel())
    sizes = [
        _effective(_split((x <= _quantile(in_order, prob)).astype(x.dtype)))
        for prob in (0.05, 0.95)
    ]
    # Where one value holds a tail, no draw is beyond its quantile: the other tail tells.
    return jnp.fmin(*sizes)
