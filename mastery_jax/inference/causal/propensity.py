"""The probability of treatment given the covariates, by any learner.

    e(x) = P(treatment = 1 | x)

Probabilities near 0 or 1 mean that some rows could hardly have been treated otherwise. They are
not changed unless ``clip`` says so, and every row that is changed or left out is counted.

Source: Rosenbaum & Rubin (1983), *Biometrika* 70(1), definition 1.2; Crump et al. (2009),
*Biometrika* 96(1) (trimming).
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mastery_jax.core.check import Scalar, checked
from mastery_jax.core.status import Status
from mastery_jax.inference.causal import effect, nuisance
from mastery_jax.inference.causal.effect import Overlap
from mastery_jax.inference.causal.nuisance import Learner

__all__ = ["MARGIN", "Source", "estimate", "restrict", "scores"]

MARGIN = 0.01
"""Overlap is said to hold where every probability is at least this far from 0 and 1."""

Source = Learner | Float[Array, " n"] | None
"""Where probabilities come from: a learner, known ones, or (None) logistic regression."""


@partial(jax.jit, static_argnames=("num_folds",))
@checked
def estimate(
    X: Float[Array, "n d"],
    treatment: effect.Treatment,
    *,
    learner: Learner | None = None,
    folds: Int[Array, " n"] | None = None,
    num_folds: int = 1,
    clip: Scalar = 0.0,
    weights: Float[Array, " n"] | None = None,
) -> tuple[Float[Array, " n"], tuple[Overlap, Int[Array, ""]]]:
    """Fit the probability of treatment. The cost is that of the learner, for each fold.

    Args:
        X: Covariates that were fixed before the treatment.
        treatment: 0 or 1, or booleans.
        learner: Of the probability; logistic regression where None.
        folds: Fold of every row in 0 … num_folds − 1; dealt in the order of the rows where None.
        num_folds: 1: no cross-fitting. Static.
        clip: Probabilities are moved into [clip, 1 − clip].
        weights: Of the rows, ≥ 0; one where None.

    Returns:
        The probabilities, what is said of their overlap, and the status of the fit: DIVERGED where
        the covariates tell the arms apart entirely, BAD_INPUT with NaN where an arm is empty,
        ``treatment`` is not 0 and 1 alone, or a row is in none of the folds.

    Raises:
        ValueError: shapes disagree, or there is less than one fold.

    Example:
        >>> X, treatment = jnp.array([[0.0], [1.0], [2.0], [3.0]]), jnp.array([0, 1, 0, 1])
        >>> found, (overlap, status) = estimate(X, treatment)
        >>> [round(float(e), 2) for e in found], bool(overlap.is_overlap)
        ([0.2, 0.39, 0.61, 0.8], True)
    """
    given = effect.arms(treatment, weights, X[:, 0])
    raw, status = scores(learner, X, treatment, given.weights, folds, num_folds)
    _, _, overlap = restrict(raw, given.weights, clip=clip, trim=0.0)
    found = _clipped(raw, clip)
    status = jnp.where(given.is_bad, Status.BAD_INPUT, status).astype(jnp.int32)
    return jnp.where(given.is_bad, jnp.nan, found), (overlap, status)


def scores(
    source: Learner | Array | None,
    X: Array,
    treatment: Array,
    weights: Array,
    folds: Array | None = None,
    num_folds: int = 1,
) -> tuple[Array, Array]:
    """Return probabilities from where they come, unrestricted, and the status of their fit.

    Raises:
        ValueError: there is less than one fold.
    """
    if num_folds < 1:
        raise ValueError(f"propensity.scores: num_folds is {num_folds}, not at least 1")
    if source is None or isinstance(source, Learner):
        learner = nuisance.logit() if source is None else source
        folds = nuisance.deal(treatment, num_folds) if folds is None else folds
        treated = (effect.codes(treatment) == 1).astype(X.dtype)
        return nuisance.by_fold(learner, X, treated, weights, folds, num_folds)
    is_probability = ((source > 0) & (source < 1)) | ~(weights > 0)
    status = jnp.where(is_probability.all(), Status.CONVERGED, Status.BAD_INPUT)
    return jnp.where(is_probability, source, jnp.nan), status.astype(jnp.int32)


def restrict(
    scores: Array, weights: Array, *, clip: Scalar, trim: Scalar
) -> tuple[Array, Array, Overlap]:
    """Clip probabilities, leave rows out, and say what that changed.

    Returns:
        The probabilities in [clip, 1 − clip], and 1/2 for a row without weight, whose own may be
        nothing to divide by; the weights, 0 where a probability is outside [trim, 1 − trim]; and
        the overlap of the rows that are left.
    """
    trim = jnp.asarray(trim, scores.dtype)
    is_seen = weights > 0
    is_kept = is_seen & ~((scores < trim) | (scores > 1 - trim))
    clipped = _clipped(scores, clip)
    lowest = jnp.where(is_kept, scores, jnp.inf).min()
    highest = jnp.where(is_kept, scores, -jnp.inf).max()
    overlap = Overlap(
        lowest=lowest,
        highest=highest,
        num_clipped=(is_kept & (clipped != scores)).sum().astype(jnp.int32),
        num_trimmed=(is_seen & ~is_kept).sum().astype(jnp.int32),
        is_overlap=(lowest >= MARGIN) & (highest <= 1 - MARGIN),
    )
    weights = jnp.where(is_kept, weights, 0)
    return jnp.where(is_kept, clipped, 0.5), weights, jax.lax.stop_gradient(overlap)


def _clipped(scores: Array, clip: Scalar) -> Array:
    clip = jnp.asarray(clip, scores.dtype)
    return jnp.clip(scores, clip, 1 - clip)
