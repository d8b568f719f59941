"""The posterior of the average effect: draws of a regression, averaged over the population.

    θ_s = Σ_i ω_i (μ_s(x_i, 1) − μ_s(x_i, 0)),        μ_s the regression of draw s
    ω ~ Dirichlet(w), one draw for each s (population);        ω = w / Σ w (sample)

μ_s is a mean: no noise of the outcome is added. Noise drawn for each unit would average out in θ
and leave its spread to whatever else varies; here what varies is the whole function, which does
not average out. ``estimate`` has the flat prior of normal linear regression, β, log σ ∝ 1,

    σ² ~ φ ν / χ²_ν,        β | σ² ~ N(β̂, σ² (AᵀA)⁻¹),        A = (1, X, T, T (X − x̄)),  ν = n − p

Source: Rubin (1978), *Ann. Stat.* 6(1); Gelman et al. (2013), *Bayesian Data Analysis*, section
14.2 (the posterior); Rubin (1981), *Ann. Stat.* 9(1) (the weights ω).
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int, Key

from mastery_jax.core import partials
from mastery_jax.core.check import Scalar, checked
from mastery_jax.core.status import Status
from mastery_jax.inference.causal import effect
from mastery_jax.inference.causal.effect import Effect
from mastery_jax.probability import glm

__all__ = ["Info", "average", "estimate"]


class Info(NamedTuple):
    """The draws."""

    status: Int[Array, ""]
    draws: Float[Array, " draws"]  # of θ


@partial(jax.jit, static_argnames=("num_draws", "is_population"))
@checked
def estimate(
    key: Key[Array, ""],
    X: Float[Array, "n d"],
    treatment: effect.Treatment,
    y: Float[Array, " n"],
    *,
    num_draws: int = 2000,
    is_population: bool = True,
    weights: Float[Array, " n"] | None = None,
    level: Scalar = 0.95,
) -> tuple[Effect, Info]:
    """Draw the average effect under a linear model with slopes for each arm. O(n d² + n draws).

    Args:
        key: Consumed.
        X: Covariates that were fixed before the treatment.
        treatment: 0 or 1, or booleans.
        y: Outcome.
        num_draws: At least 2. Static.
        is_population: Average over the population that the rows are a sample of, or else over the
            rows themselves. Static.
        weights: Counts of the rows; one where None.
        level: Probability in the interval between the draws' quantiles.

    Returns:
        Mean, standard deviation and quantiles of the draws, and Info: SINGULAR, with NaN, where a
        coefficient is not determined; BAD_INPUT, with NaN, where an arm is empty or the
        treatment is not 0 and 1 alone; NOT_FINITE, with NaN, where there are no more rows than
        coefficients, or y is constant.

    Raises:
        ValueError: shapes disagree, or fewer than 2 draws.

    Example:
        >>> x = jnp.linspace(-1.0, 1.0, 40)
        >>> treatment = (jnp.arange(40) % 3 == 0).astype(jnp.int32)
        >>> y = x + jnp.where(treatment == 1, 2.0, 0.0) + 0.01 * jnp.cos(40 * x)
        >>> found, _ = estimate(jax.random.key(0), x[:, None], treatment, y)
        >>> round(float(found.estimate), 1)
        2.0
    """
    if num_draws < 2:
        raise ValueError(f"bayesian.estimate: num_draws is {num_draws}, not at least 2")
    T, weights, is_bad = effect.arms(treatment, weights, y)
    share = weights / weights.sum()
    noise_key, scale_key, weight_key = jax.random.split(key, 3)
    with jax.default_matmul_precision("highest"):
        Z = X - (share @ X)[None, :]
        A = jnp.concatenate([Z, T[:, None], T[:, None] * Z], axis=1)
        model, info = glm.fit(A, y, family="normal", weights=weights)
        d = X.shape[1]
        flat = model.coefs[d:]
        cov = info.cov[d + 1 :, d + 1 :]
        unit = jnp.sqrt(jnp.diagonal(cov))
        root = jnp.linalg.cholesky(cov / unit[:, None] / unit[None, :]) * unit[:, None]
        noise = jax.random.normal(noise_key, (num_draws, len(flat)), y.dtype) @ root.T
        freedom = weights.sum() - A.shape[1] - 1
        chi2 = 2 * jax.random.gamma(scale_key, freedom / 2, (num_draws,), y.dtype)
        beta = flat[None, :] + noise * jnp.sqrt(freedom / chi2)[:, None]
        draws = beta[:, 0]
        if is_population:
            keys = jax.random.split(weight_key, num_draws)
            means = jax.lax.map(lambda key: _dirichlet(key, weights) @ Z, keys)
            draws = draws + (means * beta[:, 1:]).sum(axis=1)
    draws = jnp.where(is_bad, jnp.nan, draws)
    is_lost = ~jnp.isfinite(draws).all()
    status = jnp.where(is_lost, jnp.maximum(info.status, Status.NOT_FINITE), info.status)
    status = jnp.where(is_bad, Status.BAD_INPUT, status).astype(jnp.int32)
    return _summary(draws, level), Info(status, draws)


@partials.takes("mean")
@partial(jax.jit, static_argnames=("is_population",))
@checked
def average(
    key: Key[Array, ""],
    draws: Any,
    X: Float[Array, "n d"],
    *,
    mean: Partial,
    is_population: bool = True,
    weights: Float[Array, " n"] | None = None,
    level: Scalar = 0.95,
) -> tuple[Effect, Info]:
    """Average the effects of any regression's posterior draws. Two means of n rows for each draw.

    Args:
        key: Consumed; for ω of the population.
        draws: Parameters, with a leading axis of draws on every leaf, as samplers return them.
        X: Covariates of the rows.
        mean: ``Partial(f, *constants)``; ``f(*constants, params, X, treated)`` is the expected
            outcome of every row, where ``treated`` is 1 or 0 for each: a mean, without noise.
        is_population: As in :func:`estimate`. Static.
        weights: Counts of the rows; one where None.
        level: Probability in the interval between the draws' quantiles.

    Returns:
        Mean, standard deviation and quantiles of the draws, and Info: NOT_FINITE where one is not.

    Raises:
        ValueError: ``draws`` has no leading axis of one size, or ``mean`` is not a Partial.

    Example:
        >>> mean = Partial(lambda slope, X, treated: slope * treated)
        >>> X, draws = jnp.zeros((5, 1)), jnp.array([1.0, 2.0, 3.0])
        >>> found, _ = average(jax.random.key(0), draws, X, mean=mean)
        >>> round(float(found.estimate), 3), round(float(found.std_error), 3)
        (2.0, 1.0)
    """
    counts = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(draws)}
    if len(counts) != 1 or not min(counts):
        raise ValueError(f"bayesian.average: draws has leading axes {sorted(counts)}, not one")
    ((num_draws,),) = counts
    weights = jnp.ones_like(X[:, 0]) if weights is None else weights
    ones = jnp.ones_like(weights)

    def one(given: tuple[Array, Any]) -> Array:
        key, params = given
        omega = _dirichlet(key, weights) if is_population else weights / weights.sum()
        return (omega * (mean(params, X, ones) - mean(params, X, 0 * ones))).sum()

    found = jax.lax.map(one, (jax.random.split(key, num_draws), draws))
    is_finite = jnp.isfinite(found).all()
    status = jnp.where(is_finite, Status.CONVERGED, Status.NOT_FINITE).astype(jnp.int32)
    return _summary(found, level), Info(status, found)


def _dirichlet(key: Array, weights: Array) -> Array:
    """Draw the shares of the rows in the population: gamma variables of shape w, normalized."""
    shape = jnp.where(weights > 0, weights, 1)
    drawn = jnp.where(weights > 0, jax.random.gamma(key, shape, dtype=weights.dtype), 0)
    return drawn / drawn.sum()


def _summary(draws: Array, level: Scalar) -> Effect:
    tails = jnp.stack([1 - jnp.asarray(level, draws.dtype), 1 + jnp.asarray(level, draws.dtype)])
    lower, upper = jnp.quantile(draws, tails / 2)
    return Effect(draws.mean(), draws.std(ddof=1), lower, upper)
