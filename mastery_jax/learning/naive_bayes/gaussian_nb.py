"""Naive Bayes with features that are normal within a class.

    log p(x | k) = −½ Σ_j (log 2π v_kj + (x_j − m_kj)² / v_kj)

    v_kj = s_kj² + smoothing · max_j (variance of feature j over all rows)

with weights N_k, means m_k and standard deviations s_k of class k, which can be updated: for two
parts, of which the second has the share f of the weight,

    m ← m + f (m' − m)        s² ← (1 − f) s² + f s'² + f (1 − f) (m' − m)²

A mean is taken once more of what the first one leaves, so that a large one costs no digits of the
deviations; squares are formed in a unit of their size, and kept as roots.

Source: Chan, Golub & LeVeque (1983), *American Statistician* 37(3), section 1 (the corrected
two-pass algorithm) and eq. 2.1 (the update); Hastie, Tibshirani & Friedman (2009), *The Elements of
Statistical Learning*, section 6.6.3.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mastery_jax.core.check import Scalar, checked
from mastery_jax.learning.naive_bayes import by_class
from mastery_jax.numerics.linalg.scale import power_of_two

__all__ = ["State", "fit", "predict", "predict_log_proba", "predict_proba", "update"]


class State(NamedTuple):
    """What rows have told so far."""

    counts: Float[Array, " classes"]  # N: weight of the rows of each class
    means: Float[Array, "classes d"]  # m, unit of the feature; 0 for an absent class
    scales: Float[Array, "classes d"]  # s, likewise
    smoothing: Float[Array, ""]  # share of the largest variance that is added to all


@partial(jax.jit, static_argnames=("num_classes",))
@checked
def fit(
    X: Float[Array, "n d"],
    labels: Int[Array, " n"],
    *,
    num_classes: int,
    weights: Float[Array, " n"] | None = None,
    smoothing: Scalar = 1e-9,
) -> State:
    """Sum up rows by class. O(n d K).

    Args:
        X: One row per sample, raw.
        labels: Codes 0 … num_classes − 1.
        num_classes: K ≥ 2. Static.
        weights: ≥ 0, one where None. A row of weight 0 is not read.
        smoothing: ≥ 0, scikit-learn's ``var_smoothing``; it takes the largest variance without
            weights, and this one with them. Traced: sweep it with ``vmap``.

    Returns:
        The sums; NaN for weights that are negative, a label that is no code, or a row with weight
        that is not finite. A class without weight is never predicted. Where a class has a constant
        feature and nothing is added to its variance, as with rows that are all equal,
        probabilities are NaN.

    Raises:
        ValueError: fewer than two classes.

    Example:
        >>> X, labels = jnp.array([[0.0], [1.0], [4.0], [6.0]]), jnp.array([0, 0, 1, 1])
        >>> predict(fit(X, labels, num_classes=2), jnp.array([[2.0], [3.0]]))
        Array([0, 1], dtype=int32)
    """
    weights = jnp.ones_like(X[:, 0]) if weights is None else weights
    smoothing = jnp.asarray(smoothing, X.dtype)
    smoothing = jnp.where(smoothing >= 0, smoothing, jnp.nan)
    return State(*_sums("gaussian_nb.fit", X, labels, weights, num_classes), smoothing)


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
    more, means, scales = _sums("gaussian_nb.update", X, labels, weights, len(state.counts))
    counts = state.counts + more
    f = (more / jnp.where(counts == 0, 1, counts))[:, None]
    apart = means - state.means
    unit = _unit(apart, state.scales, scales)
    before, then, between = ((x / unit) ** 2 for x in (state.scales, scales, apart))
    return State(
        counts=counts,
        means=state.means + f * apart,
        scales=_root((1 - f) * before + f * then + f * (1 - f) * between) * unit,
        smoothing=state.smoothing,
    )


@jax.jit
@checked
def predict_log_proba(state: State, X: Float[Array, "n d"]) -> Float[Array, "n classes"]:
    """Return the logarithm of every class's probability for every row, in nats. O(n d K)."""
    share = (state.counts / state.counts.sum())[:, None]
    off = state.means - (share * state.means).sum(axis=0)[None, :]
    unit = _unit(off, state.scales)  # densities in any unit have the same shares
    within = (state.scales / unit) ** 2
    total = (share * (within + (off / unit) ** 2)).sum(axis=0)
    variances = within + state.smoothing * total.max()

    def of_class(mean: Array, variance: Array) -> Array:
        distance = (((X - mean[None, :]) / unit) ** 2 / variance[None, :]).sum(axis=1)
        return -(distance + jnp.log(2 * jnp.pi * variance).sum()) / 2

    log_likelihood = jax.vmap(of_class)(state.means, variances).T
    return by_class.posterior(log_likelihood, state.counts)


@jax.jit
@checked
def predict_proba(state: State, X: Float[Array, "n d"]) -> Float[Array, "n classes"]:
    """Return every class's probability for every row. O(n d K)."""
    return jnp.exp(predict_log_proba(state, X))


@jax.jit
@checked
def predict(state: State, X: Float[Array, "n d"]) -> Int[Array, " n"]:
    """Return the code of the likeliest class of every row, −1 where it has none. O(n d K).

    A row has none if its probabilities are NaN: the state is, or the row, or it is too far off.
    """
    return by_class.likeliest(predict_log_proba(state, X))


def _sums(
    where: str, X: Array, labels: Array, weights: Array, num_classes: int
) -> tuple[Array, Array, Array]:
    of_class = by_class.indicator(where, labels, weights, num_classes)
    X = by_class.read(X, weights)
    unit = _unit(X)
    X = X / unit
    counts = of_class.sum(axis=1)
    safe = jnp.where(counts == 0, 1, counts)[:, None]
    labels = labels.astype(jnp.int32).clip(0, num_classes - 1)
    with jax.default_matmul_precision("highest"):
        rough = of_class @ X / safe
        apart = X - rough[labels]
        rest = of_class @ apart / safe
        variances = of_class @ (apart - rest[labels]) ** 2 / safe
        return counts, (rough + rest) * unit, _root(variances) * unit


def _unit(*sizes: Array) -> Array:
    """Return a power of two near the largest number; divided by it, all have a square."""
    return power_of_two(jnp.stack([jnp.abs(x).max(initial=0) for x in sizes]).max())


def _root(squares: Array) -> Array:
    """Return the square root, whose slope is 0 at 0."""
    return jnp.where(squares == 0, 0, jnp.sqrt(jnp.where(squares == 0, 1, squares)))
