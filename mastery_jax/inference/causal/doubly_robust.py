"""Outcome regression and weighting together: right if either of the two models is.

    ate: ψ = μ₁ − μ₀ + T (y − μ₁)/e − (1 − T)(y − μ₀)/(1 − e)                  θ = Σ w ψ / Σ w
    att: ψ = T (y − μ₀) − (1 − T)(y − μ₀) e/(1 − e)                           θ = Σ w ψ / Σ w T

``estimate`` (AIPW) predicts every row by models that have not seen its fold. An error in either
model then moves θ by its product with the error in the other, and the standard error is that of
ψ alone. With one fold, every model sees every row; then what their fits add is counted.
``weighted_regression`` (IPWRA) fits μ_t with the weights of ``weighting`` and averages μ₁ − μ₀.

Source: Robins, Rotnitzky & Zhao (1994), *J. Am. Stat. Assoc.* 89, section 3; Chernozhukov et al.
(2018), *Econometrics J.* 21(1), eq. 5.3 and 5.4; Wooldridge (2007), *J. Econometrics*
141(2) (IPWRA).
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mastery_jax.core.check import Scalar, checked
from mastery_jax.inference.causal import effect, nuisance, propensity, weighting
from mastery_jax.inference.causal.effect import Effect, Info
from mastery_jax.inference.causal.nuisance import Learner

__all__ = ["estimate", "means", "pseudo_outcomes", "weighted_regression"]


@partial(jax.jit, static_argnames=("target", "num_folds"))
@checked
def estimate(
    X: Float[Array, "n d"],
    treatment: effect.Treatment,
    y: Float[Array, " n"],
    *,
    Z: Float[Array, "n k"] | None = None,
    target: effect.Target = "ate",
    outcome: Learner | None = None,
    scores: propensity.Source = None,
    folds: Int[Array, " n"] | None = None,
    num_folds: int = 5,
    clip: Scalar = 0.0,
    trim: Scalar = 0.0,
    weights: Float[Array, " n"] | None = None,
    level: Scalar = 0.95,
) -> tuple[Effect, Info]:
    """Estimate by augmented inverse probability weighting. Three fits for each fold, and O(n).

    Args:
        X: Covariates that were fixed before the treatment.
        treatment: 0 or 1, or booleans.
        y: Outcome.
        Z: Covariates of the scores, where they are other ones than X.
        target: Everybody, or the treated. Static.
        outcome: Learner of y in each arm; least squares where None.
        scores: A learner of the probability of treatment, or known probabilities in (0, 1);
            logistic regression where None.
        folds: Fold of every row in 0 … num_folds − 1, as of ``nuisance.split``; where None, the
            rows of each arm are dealt in the order in which they stand.
        num_folds: 1: no cross-fitting; learners must then be differentiable in the weights. Static.
        clip: Scores are moved into [clip, 1 − clip], and counted in ``info.overlap``.
        trim: Rows whose score is outside [trim, 1 − trim] are left out, and counted. With one fold
            the outcome is fitted to the rows that are left.
        weights: Of the rows, ≥ 0; one where None.
        level: Of the interval.

    Returns:
        The effect, and Info: the worst status of the fits; BAD_INPUT, with NaN, where an arm is
        empty or all in one fold, a row is in none of the folds, the treatment is not 0 and 1 alone,
        or known scores are not in (0, 1).

    Raises:
        ValueError: shapes disagree, there is less than one fold, or ``target`` is none of those.

    Example:
        >>> x = jnp.linspace(-1.0, 1.0, 40)
        >>> treatment = (jnp.arange(40) % 3 == 0).astype(jnp.int32)
        >>> found, info = estimate(x[:, None], treatment, x + jnp.where(treatment == 1, 2.0, 0.0))
        >>> round(float(found.estimate), 3), bool(info.overlap.is_overlap)
        (2.0, True)
    """
    effect.insist("doubly_robust.estimate", "target", target, effect.Target)
    given = effect.arms(treatment, weights, y)
    y = jnp.where(given.weights > 0, y, 0)  # what a row without weight says is not read
    folds = nuisance.deal(treatment, num_folds) if folds is None else folds
    learner = nuisance.linear() if outcome is None else outcome
    Z = X if Z is None else Z

    def theta(weights: Array) -> tuple[Array, Any]:
        seen = weights if num_folds == 1 else jax.lax.stop_gradient(weights)
        raw, status = propensity.scores(scores, Z, treatment, seen, folds, num_folds)
        e, kept, overlap = propensity.restrict(raw, weights, clip=clip, trim=trim)
        seen = kept if num_folds == 1 else seen
        mu, fitted = means(learner, X, given.treated, y, seen, folds, num_folds)
        if target == "ate":
            psi, count = pseudo_outcomes(given.treated, y, e, mu), kept
        else:
            count = kept * given.treated
            odds = e / jnp.where(given.treated > 0, 1, 1 - e)
            psi = jnp.where(given.treated > 0, 1, -odds) * (y - mu[0])
        value = jnp.where(kept > 0, kept * psi, 0).sum() / count.sum()
        return value, (jnp.maximum(status, fitted), overlap, kept)

    return effect.from_weights(theta, given, level=level)


@partial(jax.jit, static_argnames=("target",))
@checked
def weighted_regression(
    X: Float[Array, "n d"],
    treatment: effect.Treatment,
    y: Float[Array, " n"],
    *,
    Z: Float[Array, "n k"] | None = None,
    target: effect.Target = "ate",
    outcome: Learner | None = None,
    scores: propensity.Source = None,
    clip: Scalar = 0.0,
    weights: Float[Array, " n"] | None = None,
    level: Scalar = 0.95,
) -> tuple[Effect, Info]:
    """Estimate by regressions with inverse probability weights. Three fits, and O(n).

    Right if either model is, for outcome learners with an intercept and a canonical link (linear,
    logit, poisson). Learners must be differentiable in the weights.

    Args:
        X: Covariates that were fixed before the treatment.
        treatment: 0 or 1, or booleans.
        y: Outcome.
        Z: Covariates of the scores, where they are other ones than X.
        target: Everybody, or the treated. Static.
        outcome: Learner of y in each arm; least squares where None.
        scores: As in :func:`estimate`.
        clip: Scores are moved into [clip, 1 − clip], and counted in ``info.overlap``.
        weights: Of the rows, ≥ 0; one where None.
        level: Of the interval.

    Returns:
        The effect, and Info, as :func:`estimate` does.

    Raises:
        ValueError: shapes disagree, or ``target`` is none of those.

    Example:
        >>> x = jnp.linspace(-1.0, 1.0, 40)
        >>> treatment = (jnp.arange(40) % 3 == 0).astype(jnp.int32)
        >>> y = x + jnp.where(treatment == 1, 2.0, 0.0)
        >>> found, _ = weighted_regression(x[:, None], treatment, y)
        >>> round(float(found.estimate), 3)
        2.0
    """
    effect.insist("doubly_robust.weighted_regression", "target", target, effect.Target)
    given = effect.arms(treatment, weights, y)
    learner = nuisance.linear() if outcome is None else outcome
    Z = X if Z is None else Z

    def theta(weights: Array) -> tuple[Array, Any]:
        raw, status = propensity.scores(scores, Z, treatment, weights)
        e, kept, overlap = propensity.restrict(raw, weights, clip=clip, trim=0.0)
        ratios = kept * weighting.ratios(given.treated, e, target)
        mu, fitted = means(learner, X, given.treated, y, ratios, jnp.zeros_like(treatment), 1)
        final = weights * given.treated if target == "att" else weights
        value = (final * (mu[1] - mu[0])).sum() / final.sum()
        return value, (jnp.maximum(status, fitted), overlap, ratios)

    return effect.from_weights(theta, given, level=level)


def means(
    learner: Learner,
    X: Array,
    treated: Array,
    y: Array,
    weights: Array,
    folds: Array,
    num_folds: int,
) -> tuple[tuple[Array, Array], Array]:
    """Predict every row's outcome under control and under treatment; and the worst status."""
    found = [
        nuisance.by_fold(learner, X, y, weights * arm, folds, num_folds)
        for arm in (1 - treated, treated)
    ]
    (control, first), (treatment, second) = found
    return (control, treatment), jnp.maximum(first, second)


def pseudo_outcomes(treated: Array, y: Array, e: Array, mu: tuple[Array, Array]) -> Array:
    """Return ψ of ``ate``: an unbiased, noisy measurement of every row's own effect."""
    control, treatment = mu
    chosen = jnp.where(treated > 0, e, 1 - e)
    residual = y - jnp.where(treated > 0, treatment, control)
    return treatment - control + jnp.where(treated > 0, 1, -1) * residual / chosen
