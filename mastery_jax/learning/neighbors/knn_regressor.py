"""The mean of the nearest rows.

    f(x) = Σ_i w_i D_i^−power y_i / Σ_i w_i D_i^−power        over the k nearest rows

A power of 0 counts them alike, 1 by the inverse of the distance D; rows at distance 0 then have
all the say.

Source: Stone (1977), *Annals of Statistics* 5(4), section 3; Shepard (1968), *ACM National
Conference* (the weight of distance).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mastery_jax.core.check import Scalar, checked
from mastery_jax.learning.neighbors import knn_classifier, search

__all__ = ["State", "fit", "kneighbors", "predict"]


class State(NamedTuple):
    """The rows, and what say they have."""

    rows: Float[Array, "n d"]
    y: Float[Array, " n"]
    weights: Float[Array, " n"]
    ranks: Int[Array, " k"]  # 0 … k − 1: its length says how many are averaged
    power: Float[Array, ""]
    metric: search.Metric


@partial(jax.jit, static_argnames=("num_neighbors", "metric"))
@checked
def fit(
    X: Float[Array, "n d"],
    y: Float[Array, " n"],
    *,
    weights: Float[Array, " n"] | None = None,
    num_neighbors: int = 5,
    power: Scalar = 0.0,
    metric: search.Name = "euclidean",
) -> State:
    """Keep the rows. O(n).

    Args:
        X: One row per sample, standardized as a rule.
        y: One target per sample.
        weights: ≥ 0, one where None. A row of weight 0 is as if it were absent.
        num_neighbors: k, 1 … n. Static.
        power: ≥ 0; scikit-learn's ``weights`` are 0 (``uniform``) and 1 (``distance``). Traced.
        metric: ``euclidean``, ``manhattan`` or ``cosine``. Static.

    Returns:
        The State; its weights are NaN, and so are all predictions, for weights that are negative
        or all 0, or a row with weight that is not finite.

    Raises:
        ValueError: no neighbor or more than rows, or no such metric.

    Example:
        >>> X, y = jnp.array([[0.0], [1.0], [4.0]]), jnp.array([0.0, 2.0, 8.0])
        >>> predict(fit(X, y, num_neighbors=2), jnp.array([[0.4], [3.0]]))
        Array([1., 5.], dtype=float32)
    """
    if not 1 <= num_neighbors <= len(X):
        raise ValueError(f"knn_regressor.fit: num_neighbors is {num_neighbors}, not 1 to {len(X)}")
    weights = jnp.ones_like(y) if weights is None else weights
    is_finite = jnp.isfinite(X).all(axis=1) & jnp.isfinite(y)
    is_bad = ~(weights >= 0).all() | (weights == 0).all() | (~is_finite & (weights != 0)).any()
    return State(
        rows=X,
        y=y,
        weights=jnp.where(is_bad, jnp.nan, weights),
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
def predict(state: State, X: Float[Array, "m d"]) -> Float[Array, " m"]:
    """Return the mean of the nearest rows of every row, in the unit of y. O(m n d)."""
    found = kneighbors(state, X, k=len(state.ranks))
    says = knn_classifier.vote(found.distances, state.weights[found.indices], state.power)
    y = jnp.where(state.weights == 0, 0, state.y)[found.indices]
    return (says * y).sum(axis=1) / says.sum(axis=1)
