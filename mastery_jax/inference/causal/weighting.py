"""Inverse probability weighting: each arm is reweighted until it looks like the population.

With e(x) the probability of treatment, T the treatment and h the population that is asked about,

    h = 1 (ate: everybody),   e (att: the treated),   e (1 − e) (overlap: who could get either)
    ω = h/e for the treated, h/(1 − e) for the others
    Hajek               Σ ω T y / Σ ω T  −  Σ ω (1 − T) y / Σ ω (1 − T)
    Horvitz-Thompson    Σ ω (2T − 1) y / Σ h

Hajek's does not change when a constant is added to y; Horvitz-Thompson's does, and with weak
overlap the two differ by more than the effect. For att, Σ h is the number of the treated.

Source: Horvitz & Thompson (1952), *J. Am. Stat. Assoc.* 47, eq. 8; Hájek (1971), in *Foundations
of Statistical Inference*, p. 236; Hirano, Imbens & Ridder (2003), *Econometrica* 71(4); Li, Morgan
& Zaslavsky (2018), *J. Am. Stat. Assoc.* 113, table 1 (h).
"""

from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mastery_jax.core.check import Scalar, checked
from mastery_jax.core.status import Status
from mastery_jax.inference.causal import effect, propensity
from mastery_jax.inference.causal.effect import Effect, Info

__all__ = ["Target", "estimate", "ratios", "tilt", "weigh"]

Target = Literal["ate", "att", "overlap"]


@partial(jax.jit, static_argnames=("target", "is_normalized", "is_known"))
@checked
def estimate(
    X: Float[Array, "n d"],
    treatment: effect.Treatment,
    y: Float[Array, " n"],
    *,
    target: Target = "ate",
    is_normalized: bool = True,
    scores: propensity.Source = None,
    is_known: bool = False,
    clip: Scalar = 0.0,
    trim: Scalar = 0.0,
    weights: Float[Array, " n"] | None = None,
    level: Scalar = 0.95,
) -> tuple[Effect, Info]:
    """Compare weighted means. The cost is that of the scores' learner, and O(n).

    Args:
        X: Covariates that were fixed before the treatment.
        treatment: 0 or 1, or booleans.
        y: Outcome.
        target: Who is asked about. Static.
        is_normalized: Hajek's, or else Horvitz-Thompson's. Static.
        scores: A learner of the probability of treatment, or known probabilities in (0, 1);
            logistic regression where None.
        is_known: Leave out of the standard error that scores were estimated, which for ``ate``
            makes it too large rather than too small; for learners that are not differentiable in
            the weights. Static.
        clip: Scores are moved into [clip, 1 − clip], and counted in ``info.overlap``.
        trim: Rows whose score is outside [trim, 1 − trim] are left out, and counted.
        weights: Of the rows, ≥ 0; one where None.
        level: Of the interval.

    Returns:
        The effect, and Info: the status of the scores' fit (DIVERGED where the arms can be told
        apart entirely); BAD_INPUT, with NaN, where an arm is empty, the treatment is not 0 and 1
        alone, known scores are not in (0, 1), or trimming leaves an arm empty.

    Raises:
        ValueError: shapes disagree, or ``target`` is none of those.

    Example:
        >>> X = jnp.array([[0.0], [0.0], [0.0], [1.0], [1.0], [1.0]])
        >>> treatment = jnp.array([0, 0, 1, 0, 1, 1])
        >>> y = jnp.array([1.0, 1.0, 3.0, 5.0, 7.0, 7.0])
        >>> found, info = estimate(X, treatment, y)
        >>> round(float(found.estimate), 2), int(info.num_used)
        (2.0, 6)
    """
    effect.insist("weighting.estimate", "target", target, Target)
    given = effect.arms(treatment, weights, y)
    y = jnp.where(given.weights > 0, y, 0)  # what a row without weight says is not read

    def theta(weights: Array) -> tuple[Array, Any]:
        seen = jax.lax.stop_gradient(weights) if is_known else weights
        raw, status = propensity.scores(scores, X, treatment, seen)
        e, kept, overlap = propensity.restrict(raw, weights, clip=clip, trim=trim)
        final = kept * ratios(given.treated, e, target)
        t, c = given.treated * final, (1 - given.treated) * final
        if is_normalized:
            value = _mean(y, t) - _mean(y, c)
        else:
            count = {"ate": kept, "att": given.treated * kept}.get(target, kept * tilt(e, target))
            value = _total(y, t - c) / count.sum()
        is_empty = ~(t > 0).any() | ~(c > 0).any()
        status = jnp.where(is_empty, Status.BAD_INPUT, status)
        return jnp.where(is_empty, jnp.nan, value), (status, overlap, final)

    return effect.from_weights(theta, given, level=level)


@partial(jax.jit, static_argnames=("target", "is_stabilized"))
@checked
def weigh(
    treatment: effect.Treatment,
    scores: Float[Array, " n"],
    *,
    target: Target = "ate",
    is_stabilized: bool = False,
) -> Float[Array, " n"]:
    """Return the weight ω of every row, for tables of balance and for models of one's own. O(n).

    Args:
        treatment: 0 or 1, or booleans.
        scores: Probability of treatment, in (0, 1).
        target: Who is asked about. Static.
        is_stabilized: Multiply each arm by its share of the rows, which makes weights about 1 on
            average and changes no ratio within an arm. Static.

    Returns:
        The weights; infinite where a score is 0 for a treated row or 1 for another.

    Raises:
        ValueError: shapes disagree, or ``target`` is none of those.

    Example:
        >>> weigh(jnp.array([0, 1]), jnp.array([0.2, 0.2])).round(2).tolist()
        [1.25, 5.0]
    """
    effect.insist("weighting.weigh", "target", target, Target)
    treated = (effect.codes(treatment) == 1).astype(scores.dtype)
    found = ratios(treated, scores, target)
    if not is_stabilized:
        return found
    share = treated.mean()
    return found * jnp.where(treated > 0, share, 1 - share)


def tilt(scores: Array, target: Target) -> Array:
    """Return h of every score: how much a row belongs to those who are asked about."""
    effect.insist("weighting.tilt", "target", target, Target)
    if target == "ate":
        return jnp.ones_like(scores)
    return scores if target == "att" else scores * (1 - scores)


def ratios(treated: Array, e: Array, target: Target) -> Array:
    """Return ω, written so that no factor that cancels is divided by."""
    effect.insist("weighting.ratios", "target", target, Target)
    if target == "ate":
        return 1 / jnp.where(treated > 0, e, 1 - e)
    if target == "overlap":
        return jnp.where(treated > 0, 1 - e, e)
    return jnp.where(treated > 0, 1, e / jnp.where(treated > 0, 1, 1 - e))


def _mean(y: Array, weights: Array) -> Array:
    # Weights of 1e9 in single precision leave few digits of a large y: it is centered first.
    center = jax.lax.stop_gradient(jnp.where(weights > 0, y, 0).mean())
    return center + _total(y - center, weights) / weights.sum()


def _total(y: Array, weights: Array) -> Array:
    return jnp.where(weights != 0, weights * y, 0).sum()
