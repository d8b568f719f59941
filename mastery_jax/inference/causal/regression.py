"""Outcome regression: predict everybody's outcome under each treatment, and average.

    ate = Σ w (μ₁(x) − μ₀(x)) / Σ w          att: the same over the treated
    μ_t = the learner, fitted to the rows of arm t

The standard error counts that μ₀ and μ₁ were estimated, by differentiating their fits: the
learner must be differentiable in its weights, as ``probability.glm`` is. For any other one use
``bootstrap``, or ``doubly_robust`` with folds.

Source: Robins (1986), *Math. Modelling* 7 (the g-formula); Wooldridge (2010), *Econometric Analysis
of Cross Section and Panel Data*, section 21.3.2; Neyman (1923), tr. *Stat. Sci.* 5(4) (difference).
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mastery_jax.core.check import Scalar, checked
from mastery_jax.inference.causal import effect, nuisance
from mastery_jax.inference.causal.effect import Effect, Info
from mastery_jax.inference.causal.nuisance import Learner

__all__ = ["estimate"]


@partial(jax.jit, static_argnames=("target",))
@checked
def estimate(
    X: Float[Array, "n d"],
    treatment: effect.Treatment,
    y: Float[Array, " n"],
    *,
    target: effect.Target = "ate",
    outcome: Learner | None = None,
    weights: Float[Array, " n"] | None = None,
    level: Scalar = 0.95,
) -> tuple[Effect, Info]:
    """Average the difference of two regressions. The cost is that of two fits, and O(n).

    With X of no columns it is the difference of means.

    Args:
        X: Covariates that were fixed before the treatment.
        treatment: 0 or 1, or booleans.
        y: Outcome.
        target: Everybody, or the treated. Static.
        outcome: Learner of y in each arm; least squares where None.
        weights: Of the rows, ≥ 0; one where None.
        level: Of the interval.

    Returns:
        The effect, and Info: the worst status of the two fits, SINGULAR where covariates are
        constant or collinear in an arm and outcomes there are extrapolated by convention alone;
        BAD_INPUT, with NaN, where an arm is empty or the treatment is not 0 and 1 alone.

    Raises:
        ValueError: shapes disagree, or ``target`` is none of those.

    Example:
        >>> X = jnp.array([[0.0], [1.0], [2.0], [1.0], [2.0], [3.0]])
        >>> treatment = jnp.array([0, 0, 0, 1, 1, 1])
        >>> found, _ = estimate(X, treatment, X[:, 0] + jnp.where(treatment == 1, 2.0, 0.0))
        >>> round(float(found.estimate), 3)
        2.0
    """
    effect.insist("regression.estimate", "target", target, effect.Target)
    given = effect.arms(treatment, weights, y)
    learner = nuisance.linear() if outcome is None else outcome

    def theta(weights: Array) -> tuple[Array, Any]:
        states = [learner.fit(X, y, weights * arm) for arm in (1 - given.treated, given.treated)]
        control, treated = (learner.predict(state, X) for state in states)
        final = weights * given.treated if target == "att" else weights
        status = jnp.maximum(*(nuisance.status_of(state) for state in states))
        difference = jnp.where(final > 0, treated - control, 0)
        return (final * difference).sum() / final.sum(), (status, None, weights)

    return effect.from_weights(theta, given, level=level)
