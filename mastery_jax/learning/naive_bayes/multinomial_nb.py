"""Naive Bayes with counts, such as those of words in a text.

    log p(x | k) = Σ_j x_j log θ_kj + const,      θ_kj = (T_kj + α) / Σ_l (T_kl + α)

with T_k the sum of the rows of class k. The constant does not depend on k.

Source: McCallum & Nigam (1998), *AAAI workshop on learning for text categorization*, eq. 5 and 6;
Manning, Raghavan & Schütze (2008), *Introduction to Information Retrieval*, section 13.2.
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

    counts: Float[Array, " classes"]  # weight of the rows of each class
    totals: Float[Array, "classes d"]  # T
    alpha: Float[Array, ""]  # α, counts


@partial(jax.jit, static_argnames=("num_classes",))
@checked
def fit(
    X: Float[Array, "n d"],
    labels: Int[Array, " n"],
    *,
    num_classes: int,
    weights: Float[Array, " n"] | None = None,
    alpha: Scalar = 1.0,
) -> State:
    """Sum up rows by class. O(n d K).

    Args:
        X: Counts ≥ 0, one row per sample; they need not be whole.
        labels: Codes 0 … num_classes − 1.
        num_classes: K ≥ 2. Static.
        weights: ≥ 0, one where None. A row of weight 0 is not read.
        alpha: > 0, counts that are added to every feature of every class. Traced: sweep it with
            ``vmap``.

    Returns:
        The sums; NaN for weights or counts that are negative, a label that is no code, or α ≤ 0.
        A class without weight is never predicted.

    Raises:
        ValueError: fewer than two classes.

    Example:
        >>> X, labels = jnp.array([[3.0, 0.0], [2.0, 1.0], [0.0, 4.0]]), jnp.array([0, 0, 1])
        >>> predict(fit(X, labels, num_classes=2), jnp.array([[2.0, 0.0], [1.0, 3.0]]))
        Array([0, 1], dtype=int32)
    """
    weights = jnp.ones_like(X[:, 0]) if weights is None else weights
    alpha = jnp.asarray(alpha, X.dtype)
    counts, totals = _sums("multinomial_nb.fit", X, labels, weights, num_classes)
    return State(counts, totals, jnp.where(alpha > 0, alpha, jnp.nan))


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
    counts, totals = _sums("multinomial_nb.update", X, labels, weights, len(state.counts))
    return state._replace(counts=state.counts + counts, totals=state.totals + totals)


@jax.jit
@checked
def predict_log_proba(state: State, X: Float[Array, "n d"]) -> Float[Array, "n classes"]:
    """Return the logarithm of every class's probability for every row, in nats. O(n d K)."""
    totals = state.totals + state.alpha
    rates = jnp.log(totals) - jnp.log(totals.sum(axis=1))[:, None]
    with jax.default_matmul_precision("highest"):
        return by_class.posterior(X @ rates.T, state.counts)


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
    where: str, X: Array, labels: Array, weights: Array, num_classes: int
) -> tuple[Array, Array]:
    of_class = by_class.indicator(where, labels, weights, num_classes)
    X = by_class.read(X, weights)
    with jax.default_matmul_precision("highest"):
        totals = of_class @ X
    return of_class.sum(axis=1), jnp.where((X >= 0).all(), totals, jnp.nan)
