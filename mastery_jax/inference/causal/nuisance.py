"""Models that are only needed on the way to an effect: any pair of fit and predict; cross-fitting.

    μ̂(x_i) = predict(fit(rows outside the fold of i), x_i)

A learner is a pair of Partials, so that a penalty, a kernel or a learning rate in it is traced.
Folds are made by weights of 0, so that all fits have one shape and run as one ``vmap``. A state
with a field ``status`` (``core.status.Status``) tells how its fit ended: estimators report the
worst.

Source: Schick (1986), *Ann. Stat.* 14(3) (cross-fitting); Chernozhukov et al. (2018),
*Econometrics J.* 21(1), definition 3.1.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int, Key

from mastery_jax.core.check import Scalar, checked
from mastery_jax.core.status import Status
from mastery_jax.inference.causal import effect
from mastery_jax.probability import glm

__all__ = [
    "Fitted",
    "Learner",
    "by_fold",
    "deal",
    "linear",
    "logit",
    "poisson",
    "probit",
    "split",
    "status_of",
]


class Learner(NamedTuple):
    """How to fit a model of one number, and how to use it."""

    fit: Partial  # (X, y, weights) -> state
    predict: Partial  # (state, X) -> mean of y, one a row


class Fitted(NamedTuple):
    """A generalized linear model, and how its fit ended."""

    model: glm.State
    status: Int[Array, ""]


def linear(*, penalty: Scalar = 0.0) -> Learner:
    """Return least squares, or ridge regression: ``probability.glm`` of family normal."""
    return _of("normal", penalty)


def logit(*, penalty: Scalar = 0.0) -> Learner:
    """Return logistic regression."""
    return _of("logit", penalty)


def probit(*, penalty: Scalar = 0.0) -> Learner:
    """Return probit regression."""
    return _of("probit", penalty)


def poisson(*, penalty: Scalar = 0.0) -> Learner:
    """Return Poisson regression, for counts and for positive outcomes."""
    return _of("poisson", penalty)


@partial(jax.jit, static_argnames=("num_folds",))
@checked
def split(
    key: Key[Array, ""], treatment: effect.Treatment, *, num_folds: int = 5
) -> Int[Array, " n"]:
    """Deal the rows of each arm into folds of equal size, in random order. O(n log n).

    Args:
        key: Consumed.
        treatment: 0 or 1, or booleans.
        num_folds: At least 2. Static.

    Returns:
        The fold of every row, 0 … num_folds − 1.

    Raises:
        ValueError: fewer than 2 folds.

    Example:
        >>> folds = split(jax.random.key(0), jnp.array([0, 0, 0, 0, 1, 1]), num_folds=2)
        >>> jnp.bincount(folds[:4]).tolist(), jnp.bincount(folds[4:]).tolist()
        ([2, 2], [1, 1])
    """
    if num_folds < 2:
        raise ValueError(f"nuisance.split: num_folds is {num_folds}, not at least 2")
    order = jax.random.permutation(key, len(treatment))
    folds = deal(treatment[order], num_folds)
    return jnp.zeros_like(folds).at[order].set(folds)


def deal(treatment: Array, num_folds: int) -> Array:
    """Deal the rows of each arm into folds in the order in which they stand."""
    is_treated = effect.codes(treatment) == 1
    rank = jnp.where(is_treated, jnp.cumsum(is_treated), jnp.cumsum(~is_treated)) - 1
    return (rank % num_folds).astype(jnp.int32)


def by_fold(
    learner: Learner, X: Array, y: Array, weights: Array, folds: Array, num_folds: int
) -> tuple[Array, Array]:
    """Predict every row by a model that has not seen its fold; one fold: by one that saw all.

    Returns:
        The predictions, and the worst status of the fits: BAD_INPUT, with NaN for its prediction,
        where a row is in none of the folds.
    """

    def fit_and_predict(weights: Array) -> tuple[Array, Array]:
        state = learner.fit(X, y, weights)
        return learner.predict(state, X), status_of(state)

    if num_folds == 1:
        return fit_and_predict(weights)
    is_out = folds[None, :] == jnp.arange(num_folds, dtype=folds.dtype)[:, None]
    each, statuses = jax.vmap(fit_and_predict)(jnp.where(is_out, 0, weights[None, :]))
    is_dealt = is_out.any(axis=0)
    found = jnp.where(is_dealt, jnp.where(is_out, each, 0).sum(axis=0), jnp.nan)
    return found, jnp.where(is_dealt.all(), statuses.max(), Status.BAD_INPUT).astype(jnp.int32)


def status_of(state: Any) -> Array:
    """Return the status that a state tells of its fit, CONVERGED where it tells none."""
    return jnp.asarray(getattr(state, "status", Status.CONVERGED), jnp.int32)


def _of(family: glm.Family, penalty: Scalar) -> Learner:
    return Learner(fit=Partial(_FIT[family], penalty), predict=Partial(_PREDICT[family]))


def _fit(
    family: glm.Family,
    penalty: Scalar,
    X: Float[Array, "n d"],
    y: Float[Array, " n"],
    weights: Float[Array, " n"],
) -> Fitted:
    model, info = glm.fit(X, y, family=family, weights=weights, penalty=penalty)
    return Fitted(model, info.status)


def _predict(family: glm.Family, state: Fitted, X: Array) -> Array:
    return glm.predict(state.model, X, family=family)


_FAMILIES: tuple[glm.Family, ...] = ("normal", "logit", "probit", "poisson")
# One object a family: a Partial of another one would be traced again.
_FIT = {family: partial(_fit, family) for family in _FAMILIES}
_PREDICT = {family: partial(_predict, family) for family in _FAMILIES}
