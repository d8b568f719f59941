"""Naive Bayes with features that are there or not.

    log p(x | k) = Σ_j log (θ_kj if x_j > threshold else 1 − θ_kj)
    θ_kj = (T_kj + α) / (N_k + 2α),    1 − θ_kj = (A_kj + α) / (N_k + 2α)

with N_k the weight of the rows of class k, T_kj that of those which have feature j and A_kj that of
those which do not: N_k − T_kj would be rounding where hardly any row is without it. Unlike with
counts, what is not there speaks too.

Source: McCallum & Nigam (1998), *AAAI workshop on learning for text categorization*, eq. 2 and 4;
Manning, Raghavan & Schütze (2008), *Introduction to Information Retrieval*, section 13.3.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mastery_jax.core.check import Scalar, checked
from mastery_jax.learning.naive_bayes import by_class

__all__ = ["State", "fit", "predict", "predict_log_proba", "predict_proba", "update"]


class State(NamedTuple):
    """What rows have told so far."""

    counts: Float[Array, " classes"]  # N
    totals: Float[Array, "classes d"]  # T
    absent: Float[Array, "classes d"]  # A
    alpha: Float[Array, ""]  # α, rows
    threshold: Float[Array, ""]  # unit of the features


@partial(jax.jit, static_argnames=("num_classes",))
@checked
def fit(
    X: Float[Array, "n d"],
    labels: Int[Array, " n"],
    *,
    num_classes: int,
    weights: Float[Array, " n"] | None = None,
    alpha: Scalar = 1.0,
    threshold: Scalar = 0.0,
) -> State:
    """Sum up rows by class. O(n d K).

    Args:
        X: One row per sample.
        labels: Codes 0 … num_classes − 1.
        num_classes: K ≥ 2. Static.
        weights: ≥ 0, one where None. A row of weight 0 is not read.
        alpha: > 0, rows with a feature, and as many without, that are added to every class.
            Traced: sweep it with ``vmap``.
        threshold: A feature is there if it is larger; scikit-learn's ``binarize``.

    Returns:
        The sums; NaN for weights that are negative, a label that is no code, a row with weight
        that is NaN, or α ≤ 0. A class without weight is never predicted.

    Raises:
        ValueError: fewer than two classes.

    Example:
        >>> X, labels = jnp.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]), jnp.array([0, 0, 1])
        >>> predict(fit(X, labels, num_classes=2), jnp.array([[1.0, 0.0], [0.0, 1.0]]))
        Array([0, 1], dtype=int32)
    """
    weights = jnp.ones_like(X[:, 0]) if weights is None else weights
    alpha, threshold = jnp.asarray(alpha, X.dtype), jnp.asarray(threshold, X.dtype)
    sums = _sums("bernoulli_nb.fit", X, labels, weights, num_classes, threshold)
    return State(*sums, jnp.where(alpha > 0, alpha, jnp.nan), threshold)


@jax.jit
@checked
def update(
    state: State,
    X: Float[Array, "n d"],
    labels: Int[Array, " n"],
    *,
    weights: Float[Array, " n"] | None = None,
) -> State:
    """Take in more rows: the state is that of a fit of all rows, up to rounding. O(n d K)."""
    weights = jnp.ones_like(X[:, 0]) if weights is None else weights
    counts, totals, absent = _sums(
        "bernoulli_nb.update", X, labels, weights, len(state.counts), state.threshold
    )
    return state._replace(
        counts=state.counts + counts, totals=state.totals + totals, absent=state.absent + absent
    )


@jax.jit
@checked
def predict_log_proba(state: State, X: Float[Array, "n d"]) -> Float[Array, "n classes"]:
    """Return the logarithm of every class's probability for every row, in nats. O(n d K)."""
    N = jnp.log(state.counts + 2 * state.alpha)[:, None]
    there = jnp.log(state.totals + state.alpha) - N
    absent = jnp.log(state.absent + state.alpha) - N
    with jax.default_matmul_precision("highest"):
        spoken = _is_there(X, state.threshold) @ (there - absent).T + absent.sum(axis=1)[None, :]
    return by_class.posterior(spoken, state.counts)


@jax.jit
@checked
def predict_proba(state: State, X: Float[Array, "n d"]) -> Float[Array, "n classes"]:
    """Return every class's probability for every row. O(n d K)."""
    return jnp.exp(predict_log_proba(state, X))


@jax.jit
@checked
def predict(state: State, X: Float[Array, "n d"]) -> Int[Array, " n"]:
    """Return the code of the likeliest class of every row, −1 where it has none. O(n d K).

    A row has none if its probabilities are NaN, because the state is or the row.
    """
    return by_class.likeliest(predict_log_proba(state, X))


def _sums(
    where: str, X: Array, labels: Array, weights: Array, num_classes: int, threshold: Array
) -> tuple[Array, Array, Array]:
    of_class = by_class.indicator(where, labels, weights, num_classes)
    there = _is_there(by_class.read(X, weights), threshold)
    with jax.default_matmul_precision("highest"):
        return of_class.sum(axis=1), of_class @ there, of_class @ (1 - there)


def _is_there(X: Array, threshold: Array) -> Array:
    """Return 1 where a feature is there, 0 where it is not, and NaN where nobody knows."""
    return jnp.where(jnp.isnan(X), jnp.nan, (threshold < X).astype(X.dtype))
