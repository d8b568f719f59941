"""The next q points to measure together: where their joint expected improvement is greatest.

    qEI     = E max(best − min_j f(x_j), 0)
            ≈ 1/S Σ_s max(best − min_j f_sj, 0),           f_s = mean + C z_s,  C Cᵀ = covariance
    q-log-EI ≈ log 1/S Σ_s τ softplus(g_s / τ),            g_s = τ log Σ_j exp((best − f_sj) / τ)

The normals z_s are drawn once and kept for all points that are compared (common random numbers):
both are then deterministic, and smooth in the points. As τ goes to 0 the second becomes the log of
the first, but it keeps a slope where no sample improves. With constraints, the sum over samples is
weighted by the probability that every point's constraints hold.

Source: Ginsbourger, Le Riche & Carraro (2010), section 3.1 (qEI); Wilson, Hutter & Deisenroth
(2018), *Maximizing acquisition functions for Bayesian optimization*, eq. 5 (samples); Ament et al.
(2023), *Unexpected Improvements to Expected Improvement*, eq. 10 (logarithm).
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax.nn import logsumexp, softplus
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key

from mastery_jax.core.check import Scalar, checked
from mastery_jax.inference.bayesopt import one_point, surrogate
from mastery_jax.numerics.optimize import multistart
from mastery_jax.probability.gaussian_process import gp_regression

__all__ = ["ask", "expected_improvement", "log_expected_improvement"]


@jax.jit
@checked
def expected_improvement(
    normals: Float[Array, "samples q"],
    mean: Float[Array, " q"],
    cov: Float[Array, "q q"],
    best: Scalar,
) -> Float[Array, ""]:
    """Return qEI, by samples. O(q³ + samples q²).

    Args:
        normals: Standard normal draws, one sample a row.
        mean: Of the posterior at the q points, unit of y.
        cov: Of the posterior there; positive definite.
        best: Least value so far, unit of y.

    Returns:
        The mean over the samples; NaN where ``cov`` is not positive definite.
    """
    gains = _gains(normals, mean, cov, best)
    return jnp.maximum(gains.max(axis=1), 0).mean()


@jax.jit
@checked
def log_expected_improvement(
    normals: Float[Array, "samples q"],
    mean: Float[Array, " q"],
    cov: Float[Array, "q q"],
    best: Scalar,
    *,
    temperature: Scalar = 1e-3,
) -> Float[Array, ""]:
    """Return the smooth log of qEI, by samples. O(q³ + samples q²).

    Args:
        normals: Standard normal draws, one sample a row.
        mean: Of the posterior at the q points, unit of y.
        cov: Of the posterior there; positive definite.
        best: Least value so far, unit of y.
        temperature: τ, unit of y: improvements below it are told apart by their logarithm only.

    Returns:
        The log of the mean over the samples; NaN where ``cov`` is not positive definite.
    """
    scaled = _gains(normals, mean, cov, best) / jnp.asarray(temperature, mean.dtype)
    each = _log_softplus(logsumexp(scaled, axis=1))
    log_tau = jnp.log(jnp.asarray(temperature, mean.dtype))
    return logsumexp(each) - jnp.log(jnp.asarray(len(normals), mean.dtype)) + log_tau


@partial(
    jax.jit,
    static_argnames=("num_points", "num_samples", "num_candidates", "num_searches", "num_starts"),
)
@checked
def ask(
    key: Key[Array, ""],
    state: surrogate.State,
    *,
    num_points: int,
    jitter: Scalar = 1e-6,
    num_samples: int = 128,
    num_candidates: int = 256,
    num_searches: int = 4,
    num_starts: int = 4,
) -> tuple[Float[Array, "num_points d"], one_point.Info]:
    """Return the q points to measure next. O(capacity³ + num_candidates q capacity²).

    Args:
        key: Consumed.
        state: What was told.
        num_points: q. Static.
        jitter: Variance added to each point's, of outputs at variance 1: points of a batch may
            come close to each other.
        num_samples: S, normals that stay the same for all points compared. Static.
        num_candidates: Batches at which it is computed first. Static.
        num_searches: Batches that L-BFGS goes on from. Static.
        num_starts: Searches for hyperparameters. Static.

    Returns:
        One point a row, unit of x, and Info as of ``one_point.ask``.

    Raises:
        ValueError: ``num_points`` is not at least 1.
    """
    if num_points < 1:
        raise ValueError(f"batch.ask: num_points is {num_points}, not at least 1")
    fit_key, candidate_key, sample_key = jax.random.split(key, 3)
    model = surrogate.fit(fit_key, state, num_starts=num_starts)
    draw = partial(one_point.candidates, num_points=num_candidates)
    keys = jax.random.split(candidate_key, num_points)
    batches = jax.vmap(draw, in_axes=(0, None, None), out_axes=1)(keys, state, model.best_at)
    normals = jax.random.normal(sample_key, (num_samples, num_points), state.X.dtype)
    unit = jnp.zeros(num_points * state.X.shape[1], state.X.dtype)
    found, search = multistart.minimize(
        Partial(_loss, model, normals, jitter),
        batches.reshape(num_candidates, -1),
        lower=unit,
        upper=unit + 1,
        is_fixed=jnp.tile(state.is_integer, num_points),
        ftol=one_point.FTOL,
        num_searches=num_searches,
    )
    X = surrogate.to_box(state, found.reshape(num_points, -1))
    return X, one_point.conclude(model, search)


def _loss(model: surrogate.Model, normals: Array, jitter: Scalar, flat: Array) -> Array:
    """Return minus the worth of a batch of points of the cube."""
    X = flat.reshape(normals.shape[1], -1)
    mean, cov = gp_regression.predict_joint(model.objective, X)
    cov = cov + jnp.asarray(jitter, cov.dtype) * jnp.eye(len(X), dtype=cov.dtype)
    best = jnp.where(model.has_best, model.best, 0)  # else ∞, whose slope is no number
    worth = log_expected_improvement(normals, mean, cov, best)
    log_feasible = surrogate.log_feasibility(model, X).sum()
    return -(jnp.where(model.has_best, worth, 0) + log_feasible)


def _gains(normals: Array, mean: Array, cov: Array, best: Scalar) -> Array:
    """Return by how much each point of each sample falls below the best."""
    with jax.default_matmul_precision("highest"):
        draws = mean[None, :] + normals @ jnp.linalg.cholesky(cov).T
    return jnp.asarray(best, mean.dtype) - draws


def _log_softplus(x: Array) -> Array:
    """Return log log(1 + eˣ), which is x far below 0."""
    is_low = x < -15
    return jnp.where(is_low, x, jnp.log(softplus(jnp.where(is_low, 0, x))))
