"""The vote of the nearest rows.

    p(k | x) = Σ_i w_i D_i^−power [label_i = k] / Σ_i w_i D_i^−power        over the k nearest rows

A power of 0 counts them alike, 1 by the inverse of the distance D; rows at distance 0 then vote
alone. Of classes with as many votes the first is predicted.

Source: Cover & Hart (1967), *IEEE Trans. Information Theory* 13(1); Dudani (1976), *IEEE Trans.
Systems, Man & Cybernetics* 6(4) (the weight of distance).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mastery_jax.core.check import Scalar, checked
from mastery_jax.learning.neighbors import search

__all__ = ["State", "fit", "kneighbors", "predict", "predict_proba", "vote"]


class State(NamedTuple):
    """The rows, and how they vote."""

    rows: Float[Array, "n d"]
    labels: Int[Array, " n"]
    weights: Float[Array, " n"]
    counts: Float[Array, " classes"]  # weight of the rows of each class
    ranks: Int[Array, " k"]  # 0 … k − 1: its length says how many vote
    power: Float[Array, ""]
    metric: search.Metric


@partial(jax.jit, static_argnames=("num_classes", "num_neighbors", "metric"))
@checked
def fit(
    X: Float[Array, "n d"],
    labels: Int[Array, " n"],
    *,
    num_classes: int,
    weights: Float[Array, " n"] | None = None,
    num_neighbors: int = 5,
    power: Scalar = 0.0,
    metric: search.Name = "euclidean",
) -> State:
    """Keep the rows. O(n).

    Args:
        X: One row per sample, standardized as a rule.
        labels: Codes 0 … num_classes − 1.
        num_classes: K ≥ 2. Static.
        weights: ≥ 0, one where None: factors of the votes. A row of weight 0 is as if it were
            absent; one of weight 2 votes twice, and is still one of the k neighbors.
        num_neighbors: k, 1 … n. Static.
        power: ≥ 0; scikit-learn's ``weights`` are 0 (``uniform``) and 1 (``distance``). Traced.
        metric: ``euclidean``, ``manhattan`` or ``cosine``. Static.

    Returns:
        The State; its weights are NaN, and so are all probabilities, for weights that are negative
        or all 0, a label that is no code, or a row with weight that is not finite.

    Raises:
        ValueError: fewer than two classes, no neighbor or more than rows, or no such metric.

    Example:
        >>> X, labels = jnp.array([[0.0], [1.0], [4.0], [6.0]]), jnp.array([0, 0, 1, 1])
        >>> predict(fit(X, labels, num_classes=2, num_neighbors=3), jnp.array([[1.5], [3.5]]))
        Array([0, 1], dtype=int32)
    """
    if num_classes < 2:
        raise ValueError(f"knn_classifier.fit: num_classes is {num_classes}, not at least 2")
    if not 1 <= num_neighbors <= len(X):
        raise ValueError(f"knn_classifier.fit: num_neighbors is {num_neighbors}, not 1 to {len(X)}")
    weights = jnp.ones_like(X[:, 0]) if weights is None else weights
    codes = jnp.arange(num_classes, dtype=labels.dtype)
    is_of = labels[None, :] == codes[:, None]
    is_bad = ~(weights >= 0).all() | (weights == 0).all()
    is_bad = is_bad | ((~is_of.any(axis=0) | ~jnp.isfinite(X).all(axis=1)) & (weights != 0)).any()
    weights = jnp.where(is_bad, jnp.nan, weights)
    return State(
        rows=X,
        labels=labels,
        weights=weights,
        counts=jnp.where(is_of, weights[None, :], 0).sum(axis=1),
        ranks=jnp.arange(num_neighbors, dtype=jnp.int32),
        power=jnp.asarray(power, X.dtype),
        metric=search.make(metric),
    )


@partial(jax.jit, static_argnames=("k",))
@checked
def kneighbors(state: State, X: Float[Array, "m d"], *, k: int) -> search.Found:
    """Return the k nearest rows of every query; of equally far ones the first. O(m n d).

    Raises:
        ValueError: k is less than 1, or more than there are rows.
    """
    return search.nearest(state.rows, state.weights, X, k=k, metric=state.metric)


@jax.jit
@checked
def predict_proba(state: State, X: Float[Array, "m d"]) -> Float[Array, "m classes"]:
    """Return every class's share of the votes for every row. O(m n d)."""
    found = kneighbors(state, X, k=len(state.ranks))
    votes = vote(found.distances, state.weights[found.indices], state.power)
    codes = jnp.arange(len(state.counts), dtype=state.labels.dtype)
    is_of = state.labels[found.indices][:, :, None] == codes[None, None, :]
    shares = jnp.where(is_of, votes[:, :, None], 0).sum(axis=1)
    return shares / votes.sum(axis=1)[:, None]


@jax.jit
@checked
def predict(state: State, X: Float[Array, "m d"]) -> Int[Array, " m"]:
    """Return the code of the class with most votes for every row, the first of equal ones."""
    return predict_proba(state, X).argmax(axis=1).astype(jnp.int32)


def vote(distances: Array, weights: Array, power: Array) -> Array:
    """Return w D^−power of every neighbor; where some are at distance 0, those alone. O(m k)."""
    is_here = (distances == 0) & (weights != 0)
    is_alone = is_here.any(axis=1)[:, None] & (power != 0)
    inverse = jnp.where(distances > 0, distances, 1) ** -power
    inverse = jnp.where(is_alone, is_here.astype(distances.dtype), inverse)
    inverse = jnp.where(jnp.isinf(distances), 0, inverse)
    return weights * jnp.where(jnp.isnan(distances), jnp.nan, inverse)
