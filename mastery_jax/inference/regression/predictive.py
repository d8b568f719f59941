"""What the next rows will be, and whether the model could have made the rows it was fitted to.

    p(y* | x*, y) ≈ 1/S Σ_s p(y* | x*, w_s, σ_s)
    E y* ≈ mean_s μ_s,    Var y* ≈ var_s μ_s + mean_s v_s       (v = σ² or μ (1 − μ))
    p(T) ≈ 1/S Σ_s [T(y_s, w_s) > T(y, w_s)],    y_s ~ p(· | w_s, σ_s);   ties count half

T is the standard deviation, the least and the greatest y if normal. The fit has seen the first, so
that its p is near 1/2 unless the prior was in the way; the ends it has hardly seen. If bernoulli, T
is Σ_g (Σ_{i ∈ g} y_i − μ_i)² / Σ_{i ∈ g} μ_i (1 − μ_i) over tenths g of the rows by their mean log
odds: too large where log odds are not linear in the columns. (Deviance would say nothing: at the
mode it depends on the fit alone.)

Source: Gelman et al. (2013), *Bayesian Data Analysis*, sections 6.3 and 7.1; Gelman, Meng & Stern
(1996), *Statistica Sinica* 6, 733 (T of draws); Hosmer & Lemeshow (1980), *Communications in
Statistics* 9, 1043 (the tenths).
"""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, Key

from mastery_jax.core.check import checked
from mastery_jax.inference.regression.model import Draws
from mastery_jax.inference.regression.prior import Family, refuse_family

__all__ = ["Prediction", "log_density", "p_values", "predict", "sample"]

NUM_GROUPS = 10
LEVELS = (0.025, 0.5, 0.975)
BATCH = 256
"""Draws, or rows, that are in memory at a time."""


class Prediction(NamedTuple):
    """What is expected of new rows."""

    mean: Float[Array, " n"]  # unit of y; a probability if bernoulli
    sd: Float[Array, " n"]  # of a new y
    quantiles: Float[Array, "q n"]  # of a new y


@partial(jax.jit, static_argnames=("family",))
@checked
def sample(
    key: Key[Array, ""], draws: Draws, X: Float[Array, "n p"], *, family: Family = "normal"
) -> Float[Array, "chain draw n"]:
    """Draw a y of each row from each draw of the posterior. O(S n p).

    Args:
        key: Consumed.
        draws: As an engine gave them.
        X: New rows.
        family: Static.

    Raises:
        ValueError: shapes disagree, the family is unknown, or the draws are not of it.

    Example:
        >>> draws = Draws(jnp.ones((2, 3, 1)), jnp.zeros((2, 3)))
        >>> sample(jax.random.key(0), draws, jnp.array([[4.0]]))[0, 0]
        Array([4.], dtype=float32)
    """
    _refuse("predictive.sample", draws, family)
    with jax.default_matmul_precision("highest"):
        level = draws.weights @ X.T
    noise = None if draws.noise is None else draws.noise[..., None]
    return _replicate(key, level, noise)


@partial(jax.jit, static_argnames=("family",))
@checked
def predict(
    key: Key[Array, ""],
    draws: Draws,
    X: Float[Array, "n p"],
    *,
    family: Family = "normal",
    levels: Float[Array, " q"] | None = None,
) -> Prediction:
    """Say what new rows will be. O(S n (p + log S)); O(S) memory beyond what is given.

    Args:
        key: Consumed, for the quantiles: mean and sd have no noise of their own.
        draws: As an engine gave them.
        X: New rows.
        family: Static.
        levels: Of the quantiles, in [0, 1]; 0.025, 0.5 and 0.975 where None. Traced.

    Raises:
        ValueError: shapes disagree, the family is unknown, or the draws are not of it.

    Example:
        >>> draws = Draws(jnp.array([[[1.0], [3.0]]]), jnp.zeros((1, 2)))
        >>> found = predict(jax.random.key(0), draws, jnp.array([[2.0]]))
        >>> found.mean, found.sd, found.quantiles[1]
        (Array([4.], dtype=float32), Array([2.], dtype=float32), Array([4.], dtype=float32))
    """
    _refuse("predictive.predict", draws, family)
    weights, noise = _flat(draws)
    probs = jnp.asarray(LEVELS, X.dtype) if levels is None else levels

    def one(row: tuple[Array, Array]) -> tuple[Array, Array, Array]:
        key, x = row
        level = _levels(weights, x)
        mean, variance = _mean_and_variance(level, noise)
        quantiles = jnp.quantile(_replicate(key, level, noise), probs)
        spread = jnp.sqrt(mean.var() + variance.mean())
        return mean.mean(), spread, quantiles

    rows = (jax.random.split(key, len(X)), X)
    mean, sd, quantiles = jax.lax.map(one, rows, batch_size=BATCH)
    return Prediction(mean, sd, quantiles.T)


@partial(jax.jit, static_argnames=("family",))
@checked
def log_density(
    draws: Draws, X: Float[Array, "n p"], y: Float[Array, " n"], *, family: Family = "normal"
) -> Float[Array, " n"]:
    """Return log p(y* | x*, y) of each new row, in nats. O(S n p).

    Args:
        draws: As an engine gave them.
        X: New rows.
        y: What was seen there; 0 and 1 if bernoulli.
        family: Static.

    Raises:
        ValueError: shapes disagree, the family is unknown, or the draws are not of it.

    Example:
        >>> draws = Draws(jnp.zeros((1, 2, 1)), None)
        >>> log_density(draws, jnp.ones((1, 1)), jnp.ones(1), family="bernoulli").round(4)
        Array([-0.6931], dtype=float32)
    """
    _refuse("predictive.log_density", draws, family)
    weights, noise = _flat(draws)

    def one(row: tuple[Array, Array]) -> Array:
        x, y = row
        each = _log_prob(_levels(weights, x), noise, y)
        return logsumexp(each) - math.log(len(each))

    return jax.lax.map(one, (X, y), batch_size=BATCH)


@partial(jax.jit, static_argnames=("family",))
@checked
def p_values(
    key: Key[Array, ""],
    draws: Draws,
    X: Float[Array, "n p"],
    y: Float[Array, " n"],
    *,
    family: Family = "normal",
) -> dict[str, Array]:
    """Return how often data of the model exceed these, T by T; near 0 or 1 they differ. O(S n p).

    Args:
        key: Consumed.
        draws: As an engine gave them.
        X: The rows of the fit.
        y: What was seen there.
        family: Static.

    Returns:
        By name: ``sd``, ``min`` and ``max``; of a bernoulli, ``calibration``. NaN where a draw or y
        is.

    Raises:
        ValueError: shapes disagree, the family is unknown, or the draws are not of it.

    Example:
        >>> draws = Draws(jnp.zeros((1, 200, 1)), jnp.ones((1, 200)))
        >>> found = p_values(jax.random.key(0), draws, jnp.ones((3, 1)), 9 * jnp.ones(3))
        >>> float(found["max"]), float(found["sd"])
        (0.0, 1.0)
    """
    _refuse("predictive.p_values", draws, family)
    weights, noise = _flat(draws)
    groups = _groups(X, weights.mean(axis=0)) if family == "bernoulli" else None

    def one(given: tuple[Array, Array, Array | None]) -> dict[str, Array]:
        key, w, sd = given
        level = _levels(w[None, :], X.T)[0]
        made = _replicate(key, level, sd)
        if groups is None:
            ours, theirs = _extent(made), _extent(y)
        else:
            ours, theirs = (_miss(groups, level, each) for each in (made, y))
        return jax.tree.map(_exceeds, ours, theirs)

    keys = jax.random.split(key, len(weights))
    found = jax.lax.map(one, (keys, weights, noise), batch_size=BATCH)
    return jax.tree.map(lambda each: each.mean(axis=0), found)


def _refuse(where: str, draws: Draws, family: Family) -> None:
    refuse_family(where, family)
    if (draws.noise is None) != (family == "bernoulli"):
        came = "no noise" if draws.noise is None else "noise"
        raise ValueError(f"{where}: draws have {came}, not what family {family!r} has")


def _flat(draws: Draws) -> tuple[Array, Array | None]:
    """Return weights (S, p), and noise (S,)."""
    weights = draws.weights.reshape(-1, draws.weights.shape[-1])
    return weights, None if draws.noise is None else draws.noise.ravel()


def _levels(weights: Array, x: Array) -> Array:
    with jax.default_matmul_precision("highest"):
        return weights @ x


def _mean_and_variance(level: Array, noise: Array | None) -> tuple[Array, Array]:
    if noise is not None:
        return level, noise**2
    mean = jax.nn.sigmoid(level)
    return mean, mean * (1 - mean)


def _replicate(key: Array, level: Array, noise: Array | None) -> Array:
    if noise is not None:
        return level + noise * jax.random.normal(key, level.shape, level.dtype)
    # Drawn by log odds: a probability is rounded to 1 where they are large.
    return (jax.random.logistic(key, level.shape, level.dtype) < level).astype(level.dtype)


def _log_prob(level: Array, noise: Array | None, y: Array) -> Array:
    if noise is None:
        return y * level - jax.nn.softplus(level)
    return -(((y - level) / noise) ** 2) / 2 - jnp.log(noise) - math.log(2 * math.pi) / 2


def _exceeds(a: Array, b: Array) -> Array:
    half = ((a > b).astype(a.dtype) + (a >= b).astype(a.dtype)) / 2
    return jnp.where(jnp.isnan(a) | jnp.isnan(b), jnp.nan, half)


def _extent(y: Array) -> dict[str, Array]:
    return {"max": y.max(), "min": y.min(), "sd": y.std()}


def _groups(X: Array, weights: Array) -> Array:
    """Return which tenth each row is in, (g, n) of 0 and 1."""
    n = len(X)
    count = min(NUM_GROUPS, n)
    rank = jnp.argsort(jnp.argsort(_levels(weights[None, :], X.T)[0]))
    return (jnp.arange(count)[:, None] == (rank * count // n)[None, :]).astype(X.dtype)


def _miss(groups: Array, level: Array, y: Array) -> dict[str, Array]:
    mean, variance = _mean_and_variance(level, None)
    off, scale = groups @ (y - mean), groups @ variance
    return {"calibration": (off**2 / jnp.maximum(scale, jnp.finfo(scale.dtype).tiny)).sum()}
