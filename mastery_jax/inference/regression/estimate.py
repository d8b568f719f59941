"""What draws of a regression say of each number, and how far that is from the closed form.

    distance of a mean = |m̂ − m| / e(m̂),    e = sd / √ESS
    distance of a standard deviation = |ŝ − s| / e(ŝ),    e(ŝ) = e(mean of (x − m̂)²) / 2 ŝ

Over p + 1 numbers the largest is some 2 to 3 for an engine that is right. An approximation has no
such limit: its distance grows with its draws, and its ratio of standard deviations says how wrong.

Source: Gelman et al. (2013), *Bayesian Data Analysis*, section 11.4; Vehtari, Gelman, Simpson,
Carpenter & Bürkner (2021), *Bayesian Analysis* 16, 667 (ESS, R-hat).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from mastery_jax.inference.mcmc import diagnostics
from mastery_jax.inference.regression import closed_form
from mastery_jax.inference.regression.closed_form import State
from mastery_jax.inference.regression.model import Draws, Info

__all__ = ["Distance", "Estimate", "distance", "of_draws"]


class Estimate(NamedTuple):
    """What is said of one number, in its own unit."""

    mean: float
    sd: float
    low: float  # 2.5 % quantile
    high: float  # 97.5 % quantile
    ess: float  # of chains, by their bulk; of independent draws, their number by construction
    rhat: float | None  # None for independent draws


class Distance(NamedTuple):
    """How far an engine is from the closed form, at the worst of all numbers."""

    mean: float  # of a mean, in its standard errors
    sd: float  # of a standard deviation, in its standard errors
    sd_ratio: float  # that is farthest from 1: below, the engine is too sure


def _numbers(draws: Draws) -> Any:
    """Return the draws of every number, (chain, draw, number): the weights, and the noise."""
    if draws.noise is None:
        return np.asarray(draws.weights)
    noise = np.asarray(draws.noise)[..., None]
    return np.concatenate([np.asarray(draws.weights), noise], axis=-1)


def of_draws(columns: Sequence[str], draws: Draws, info: Info) -> dict[str, Estimate]:
    """Return what draws say of each weight by its name, and of the noise. O(S log S) each.

    Args:
        columns: Names of the weights.
        draws: At least 4 of each chain.
        info: Of the engine that gave them.

    Example:
        >>> draws = Draws(jax.numpy.arange(8.0).reshape(2, 4, 1), None)
        >>> found = of_draws(["w"], draws, Info(jax.numpy.int32(1)))["w"]
        >>> found.mean, round(found.sd, 3), found.high, found.ess, found.rhat
        (3.5, 2.449, 6.825, 8.0, None)
    """
    every = _numbers(draws)
    size = every.shape[-1]
    flat = every.astype(float).reshape(-1, size)
    low, high = np.quantile(flat, (0.025, 0.975), axis=0).tolist()
    mean, sd = flat.mean(axis=0).tolist(), flat.std(axis=0, ddof=1).tolist()
    ess, rhat = [float(len(flat))] * size, [None] * size
    if info.verdict is not None:
        ess, rhat = (np.asarray(f(every)).tolist() for f in (diagnostics.ess, diagnostics.rhat))
    said = [*columns, "noise"][:size]
    return {
        name: Estimate(mean[i], sd[i], low[i], high[i], ess[i], rhat[i])
        for i, name in enumerate(said)
    }


def distance(draws: Draws, info: Info, exact: State) -> Distance:
    """Return how far draws are from the closed form, at the worst number. O(S log S) each.

    Args:
        draws: Of a normal family, at least 4 of each chain.
        info: Of the engine that gave them.
        exact: Of the same rows and prior.

    Returns:
        NaN where a draw is not finite.

    Example:
        >>> exact = State(*map(jax.numpy.asarray, ([0.0], [[1.0]], 30.0, 30.0)))
        >>> draws = closed_form.sample(jax.random.key(0), exact)
        >>> found = distance(draws, Info(jax.numpy.int32(1)), exact)
        >>> found.mean < 5, found.sd < 5, 0.9 < found.sd_ratio < 1.1
        (True, True, True)
    """
    moments = closed_form.moments(exact)
    means = np.append(np.asarray(moments.weights, float), float(moments.noise))
    sds = np.append(np.asarray(moments.weights_sd, float), float(moments.noise_sd))
    away = (_numbers(draws).astype(float) - means) / sds  # means 0, variances 1, where it is right
    flat = away.reshape(-1, away.shape[-1])
    center, spread = flat.mean(axis=0), flat.std(axis=0, ddof=1)
    squares = (away - center) ** 2
    errors = [_error(x, info) for x in (away, squares)]
    ratio = spread[np.argmax(np.abs(np.log(spread)))]
    return Distance(
        mean=float(np.abs(center / errors[0]).max()),
        sd=float(np.abs((spread - 1) / (errors[1] / (2 * spread))).max()),
        sd_ratio=float(ratio),
    )


def _error(x: Any, info: Info) -> Any:
    """Return the standard error of the mean over all draws."""
    if info.verdict is None:
        return x.reshape(-1, x.shape[-1]).std(axis=0, ddof=1) / np.sqrt(x.shape[0] * x.shape[1])
    return np.asarray(diagnostics.mcse(jax.numpy.asarray(x)), float)
