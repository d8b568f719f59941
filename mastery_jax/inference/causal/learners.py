"""Effects that differ between units: learners of E[y(1) − y(0) | x] made of ordinary learners.

    single (S)   μ(x, T) on all rows                          τ = μ(x, 1) − μ(x, 0)
    two    (T)   μ_t(x) on arm t                              τ = μ₁ − μ₀
    cross  (X)   τ₁ on y − μ₀(x) of the treated,
                 τ₀ on μ₁(x) − y of the others                τ = e τ₀ + (1 − e) τ₁
    robust (DR)  τ on ψ of ``doubly_robust``, cross-fitted    τ = E[ψ | x]

The first three are plug-ins: their averages inherit the bias of their learners, and have no valid
standard error of their own. ``robust`` also gives the average of ψ, with one. For intervals of
single units take ``bootstrap`` over the whole learner; they cover the learner's own target, so
they are no wider for a bias of its form.

Source: Künzel et al. (2019), *PNAS* 116(10), eq. 2, 3 and 9-11 (S, T, X); Kennedy (2023),
*Electron. J. Stat.* 17(2), algorithm 1 (DR).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mastery_jax.core.check import Scalar, checked
from mastery_jax.core.status import Status
from mastery_jax.inference.causal import doubly_robust, effect, nuisance, propensity
from mastery_jax.inference.causal.effect import Effect
from mastery_jax.inference.causal.nuisance import Learner

__all__ = ["Info", "cross", "robust", "single", "two"]


class Info(NamedTuple):
    """How the fits went."""

    status: Int[Array, ""]  # the worst of all fits; BAD_INPUT with NaN where an arm is empty
    average: Effect | None  # over the rows given; of ``robust`` alone


@jax.jit
@checked
def single(
    X: Float[Array, "n d"],
    treatment: effect.Treatment,
    y: Float[Array, " n"],
    at: Float[Array, "m d"],
    *,
    outcome: Learner | None = None,
    weights: Float[Array, " n"] | None = None,
) -> tuple[Float[Array, " m"], Info]:
    """Fit one model of (X, T, T X), and return effects at ``at``. One fit.

    Args:
        X: Covariates that were fixed before the treatment.
        treatment: 0 or 1; it is given to the learner with its products with X, without which a
            linear learner has one effect for all.
        y: Outcome.
        at: Where effects are wanted.
        outcome: Learner of y; least squares where None.
        weights: Of the rows, ≥ 0; one where None.

    Returns:
        The effects, and Info.

    Raises:
        ValueError: shapes disagree.

    Example:
        >>> X = jnp.array([[0.0], [1.0], [2.0], [0.0], [1.0], [2.0]])
        >>> treatment = jnp.array([0, 0, 0, 1, 1, 1])
        >>> y = jnp.where(treatment == 1, 3 * X[:, 0], 0)
        >>> single(X, treatment, y, X[:3])[0].round(2).tolist() == [0.0, 3.0, 6.0]
        True
    """
    given = effect.arms(treatment, weights, y)
    learner = nuisance.linear() if outcome is None else outcome

    def columns(X: Array, T: Array) -> Array:
        return jnp.concatenate([X, T[:, None], T[:, None] * X], axis=1)

    state = learner.fit(columns(X, given.treated), y, given.weights)
    ones = jnp.ones_like(at[:, 0])
    treated, control = (learner.predict(state, columns(at, T)) for T in (ones, 0 * ones))
    return _answer(treated - control, nuisance.status_of(state), given.is_bad)


@jax.jit
@checked
def two(
    X: Float[Array, "n d"],
    treatment: effect.Treatment,
    y: Float[Array, " n"],
    at: Float[Array, "m d"],
    *,
    outcome: Learner | None = None,
    weights: Float[Array, " n"] | None = None,
) -> tuple[Float[Array, " m"], Info]:
    """Fit one model for each arm, and return effects at ``at``. Two fits.

    Args:
        X: Covariates that were fixed before the treatment.
        treatment: 0 or 1, or booleans.
        y: Outcome.
        at: Where effects are wanted.
        outcome: Learner of y in each arm; least squares where None.
        weights: Of the rows, ≥ 0; one where None.

    Returns:
        The effects, and Info.

    Raises:
        ValueError: shapes disagree.
    """
    given = effect.arms(treatment, weights, y)
    learner = nuisance.linear() if outcome is None else outcome
    control, treated = _arms(learner, X, y, given)
    status = jnp.maximum(nuisance.status_of(control), nuisance.status_of(treated))
    difference = learner.predict(treated, at) - learner.predict(control, at)
    return _answer(difference, status, given.is_bad)


@jax.jit
@checked
def cross(
    X: Float[Array, "n d"],
    treatment: effect.Treatment,
    y: Float[Array, " n"],
    at: Float[Array, "m d"],
    *,
    outcome: Learner | None = None,
    final: Learner | None = None,
    scores: Learner | None = None,
    weights: Float[Array, " n"] | None = None,
) -> tuple[Float[Array, " m"], Info]:
    """Fit effects in each arm against the other arm's model, for arms of unequal size. Five fits.

    Args:
        X: Covariates that were fixed before the treatment.
        treatment: 0 or 1, or booleans.
        y: Outcome.
        at: Where effects are wanted.
        outcome: Learner of y in each arm; least squares where None.
        final: Learner of the effects; least squares where None.
        scores: Learner of the probability of treatment, which weighs the two; logistic regression
            where None.
        weights: Of the rows, ≥ 0; one where None.

    Returns:
        The effects, and Info.

    Raises:
        ValueError: shapes disagree.
    """
    given = effect.arms(treatment, weights, y)
    learner = nuisance.linear() if outcome is None else outcome
    last = nuisance.linear() if final is None else final
    weigher = nuisance.logit() if scores is None else scores
    control, treated = _arms(learner, X, y, given)
    of_treated = last.fit(X, y - learner.predict(control, X), given.weights * given.treated)
    of_control = last.fit(X, learner.predict(treated, X) - y, given.weights * (1 - given.treated))
    weigh = weigher.fit(X, given.treated, given.weights)
    e = weigher.predict(weigh, at)
    effects = e * last.predict(of_control, at) + (1 - e) * last.predict(of_treated, at)
    states = (control, treated, of_treated, of_control, weigh)
    status = jnp.stack([nuisance.status_of(state) for state in states]).max()
    return _answer(effects, status, given.is_bad)


@partial(jax.jit, static_argnames=("num_folds",))
@checked
def robust(
    X: Float[Array, "n d"],
    treatment: effect.Treatment,
    y: Float[Array, " n"],
    at: Float[Array, "m d"],
    *,
    outcome: Learner | None = None,
    final: Learner | None = None,
    scores: propensity.Source = None,
    folds: Int[Array, " n"] | None = None,
    num_folds: int = 5,
    clip: Scalar = 0.0,
    weights: Float[Array, " n"] | None = None,
    level: Scalar = 0.95,
) -> tuple[Float[Array, " m"], Info]:
    """Regress the cross-fitted ψ on X. Three fits for each fold, and one.

    Args:
        X: Covariates that were fixed before the treatment.
        treatment: 0 or 1, or booleans.
        y: Outcome.
        at: Where effects are wanted.
        outcome: Learner of y in each arm; least squares where None.
        final: Learner of ψ; least squares where None, which gives the best linear approximation
            of the effects whatever their form.
        scores: A learner of the probability of treatment, or known probabilities in (0, 1);
            logistic regression where None.
        folds: Fold of every row in 0 … num_folds − 1; dealt in the order of the rows where None.
        num_folds: At least 2. Static.
        clip: Scores are moved into [clip, 1 − clip].
        weights: Of the rows, ≥ 0; one where None.
        level: Of the interval of the average.

    Returns:
        The effects, and Info with the average of ψ: that of ``doubly_robust.estimate``.

    Raises:
        ValueError: shapes disagree, or there are fewer than 2 folds.
    """
    if num_folds < 2:
        raise ValueError(f"learners.robust: num_folds is {num_folds}, not at least 2")
    given = effect.arms(treatment, weights, y)
    learner = nuisance.linear() if outcome is None else outcome
    last = nuisance.linear() if final is None else final
    folds = nuisance.deal(treatment, num_folds) if folds is None else folds
    raw, first = propensity.scores(scores, X, treatment, given.weights, folds, num_folds)
    e, _, _ = propensity.restrict(raw, given.weights, clip=clip, trim=0.0)
    mu, second = doubly_robust.means(learner, X, given.treated, y, given.weights, folds, num_folds)
    psi = doubly_robust.pseudo_outcomes(given.treated, y, e, mu)
    psi = jnp.where(given.weights > 0, psi, 0)
    state = last.fit(X, psi, given.weights)
    total = given.weights.sum()
    mean = (given.weights * psi).sum() / total
    std_error = jnp.sqrt((given.weights**2 * (psi - mean) ** 2).sum()) / total
    average = effect.from_error(jnp.where(given.is_bad, jnp.nan, mean), std_error, level=level)
    status = jnp.maximum(jnp.maximum(first, second), nuisance.status_of(state))
    effects, info = _answer(last.predict(state, at), status, given.is_bad)
    return effects, info._replace(average=average)


def _arms(learner: Learner, X: Array, y: Array, given: effect.Arms) -> tuple:
    arms = (1 - given.treated, given.treated)
    return tuple(learner.fit(X, y, given.weights * arm) for arm in arms)


def _answer(effects: Array, status: Array, is_bad: Array) -> tuple[Array, Info]:
    is_lost = ~jnp.isfinite(effects).all()
    status = jnp.where(is_lost, jnp.maximum(status, Status.NOT_FINITE), status)
    status = jnp.where(is_bad, Status.BAD_INPUT, status).astype(jnp.int32)
    return jnp.where(is_bad, jnp.nan, effects), Info(status, None)
