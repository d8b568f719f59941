"""Matching: compare each row with its nearest neighbors in the other arm, with replacement.

    ŷ_i(other arm) = 1/M Σ_{j ∈ J(i)} (y_j + μ̂(x_i) − μ̂(x_j))          K_j = #{i : j ∈ J(i)}
    ate: V = 1/N  Σ_i (ŷ_i(1) − ŷ_i(0) − θ)² + 1/N  Σ_i (K²/M² + (2M − 1)/M · K/M) σ²_i
    att: V = 1/N₁ Σ_{T=1} (y_i − ŷ_i(0) − θ)² + 1/N₁ Σ_{T=0} K (K − 1)/M² · σ²_i

with se² = V/N (V/N₁), and σ²_i from the nearest rows of i's own arm. The terms in μ̂, a learner
fitted to each arm, take away the bias of inexact matches. For matches on the propensity score
give it as the one column of X; that it was estimated is not in the error then. The bootstrap is
not valid for this estimator.

Source: Abadie & Imbens (2006), *Econometrica* 74(1), theorem 7 and eq. 14; (2011), *J. Bus. Econ.
Stat.* 29(1), eq. 5 (bias correction); (2008), *Econometrica* 76(6) (failure of the bootstrap).
"""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mastery_jax.core.check import Scalar, checked
from mastery_jax.core.status import Status
from mastery_jax.inference.causal import effect, nuisance
from mastery_jax.inference.causal.effect import Effect, Info
from mastery_jax.inference.causal.nuisance import Learner
from mastery_jax.probability import reweighting

__all__ = ["estimate", "neighbors"]

Metric = Literal["variance", "mahalanobis"]


@partial(jax.jit, static_argnames=("target", "num_neighbors", "metric", "is_corrected"))
@checked
def estimate(
    X: Float[Array, "n d"],
    treatment: effect.Treatment,
    y: Float[Array, " n"],
    *,
    target: effect.Target = "ate",
    num_neighbors: int = 1,
    metric: Metric = "variance",
    is_corrected: bool = True,
    outcome: Learner | None = None,
    weights: Float[Array, " n"] | None = None,
    level: Scalar = 0.95,
) -> tuple[Effect, Info]:
    """Match each row with its neighbors in the other arm. O(n² d) time, O(n) memory.

    Args:
        X: Covariates that were fixed before the treatment, or their propensity score.
        treatment: 0 or 1, or booleans.
        y: Outcome.
        target: Everybody, or the treated. Static.
        num_neighbors: M, at least 1. Of equally near rows the first are taken. Static.
        metric: Divide each covariate by its standard deviation, or use all their covariances.
            Static.
        is_corrected: Correct the bias of inexact matches by ``outcome``. Static.
        outcome: Learner of y in each arm; least squares where None.
        weights: 1, or 0 for a row that is left out; all 1 where None.
        level: Of the interval.

    Returns:
        The effect, and Info: ``ess`` counts how often each row is used, ``influence`` is each
        row's part of the estimate. BAD_INPUT, with NaN, where an arm has fewer than M + 1 rows, the
        treatment is not 0 and 1 alone or a weight is neither 0 nor 1; NOT_FINITE, with NaN, where
        X or y of a row with weight is not; the worst status of the outcome's fits where it is used.

    Raises:
        ValueError: shapes disagree, ``num_neighbors`` is less than 1, or ``target`` or ``metric``
            is none of those.

    Example:
        >>> X = jnp.array([[0.0], [1.0], [2.0], [0.1], [1.1], [2.1]])
        >>> treatment = jnp.array([0, 0, 0, 1, 1, 1])
        >>> found, _ = estimate(X, treatment, X[:, 0] + jnp.where(treatment == 1, 2.0, 0.0))
        >>> round(float(found.estimate), 3)
        2.0
    """
    effect.insist("matching.estimate", "target", target, effect.Target)
    effect.insist("matching.estimate", "metric", metric, Metric)
    if num_neighbors < 1:
        raise ValueError(f"matching.estimate: num_neighbors is {num_neighbors}, not at least 1")
    M = num_neighbors
    treated, weights, is_bad = effect.arms(treatment, weights, y)
    counts = jnp.stack([((1 - treated) * weights).sum(), (treated * weights).sum()])
    is_bad |= (counts < M + 1).any() | (weights * (1 - weights) != 0).any()
    is_seen = weights > 0
    X, y = jnp.where(is_seen[:, None], X, 0), jnp.where(is_seen, y, 0)
    is_finite = jnp.isfinite(X).all() & jnp.isfinite(y).all()  # else no row is near another
    with jax.default_matmul_precision("highest"):
        points = _spread(X, weights, metric)
        other, own = neighbors(points, treated, weights, M)
    imputed, status = y[other], jnp.asarray(Status.CONVERGED, jnp.int32)
    if is_corrected:
        learner = nuisance.linear() if outcome is None else outcome
        fits = [learner.fit(X, y, weights * arm) for arm in (1 - treated, treated)]
        status = jnp.maximum(*(nuisance.status_of(fit) for fit in fits))
        control, treatment_mean = (learner.predict(fit, X) for fit in fits)
        mu = jnp.where(treated > 0, control, treatment_mean)  # of the other arm
        there = jnp.where(treated[other] > 0, treatment_mean[other], control[other])
        imputed = imputed + mu[:, None] - there
    difference = jnp.where(treated > 0, 1, -1) * (y - imputed.mean(axis=1))
    asked = weights * treated if target == "att" else weights
    used = jnp.zeros_like(y).at[other].add(jnp.broadcast_to(asked[:, None] / M, other.shape))
    theta = (asked * difference).sum() / asked.sum()
    # The mean of M neighbors has variance σ²/M: M/(M + 1) of the squared difference estimates σ².
    variance = M / (M + 1) * (y - y[own].mean(axis=1)) ** 2
    spread = used**2 + (2 * M - 1) / M * used if target == "ate" else used**2 - used / M
    V = (asked * (difference - theta) ** 2 + weights * spread * variance).sum() / asked.sum()
    theta = jnp.where(is_bad | ~is_finite, jnp.nan, theta)
    found = effect.from_error(theta, jnp.sqrt(V / asked.sum()), level=level)
    num_used, ess = effect.sizes(asked + weights * used, treated)
    status = jnp.where(jnp.isfinite(theta), status, jnp.maximum(status, Status.NOT_FINITE))
    status = jnp.where(is_bad, Status.BAD_INPUT, status).astype(jnp.int32)
    influence = weights.sum() / asked.sum() * asked * (difference - theta)
    return found, Info(status, num_used, ess, influence, None)


def neighbors(points: Array, treated: Array, weights: Array, count: int) -> tuple[Array, Array]:
    """Return the nearest rows with weight of every row: in the other arm, and in its own.

    A row is not its own neighbor. One row after another, so that no table of distances is kept.
    """
    rows = jnp.arange(len(treated))
    far = jnp.where(weights > 0, 0, jnp.inf)

    def nearest(distance: Array) -> Array:
        # Few minima are found faster than an order of all.
        found = []
        for _ in range(count):
            found.append(jnp.argmin(distance))
            distance = jnp.where(rows == found[-1], jnp.inf, distance)
        return jnp.stack(found)

    def one(index: Array) -> tuple[Array, Array]:
        distance = far + ((points - points[index][None, :]) ** 2).sum(axis=1)
        is_other = treated != treated[index]
        is_own = ~is_other & (rows != index)
        other, own = (jnp.where(each, distance, jnp.inf) for each in (is_other, is_own))
        return nearest(other), nearest(own)

    return jax.lax.map(one, rows)


def _spread(X: Array, weights: Array, metric: Metric) -> Array:
    """Return coordinates in which the distance is Euclidean."""
    share = weights / weights.sum()
    Z = X - (share @ X)[None, :]
    if metric == "variance":
        deviation = jnp.sqrt(share @ Z**2)
        return Z / jnp.where(deviation > 0, deviation, 1)[None, :]
    frame = reweighting.coordinates(X)
    rows = (X - frame.center[None, :]) @ frame.L
    rows = jnp.where(frame.is_seen[None, :], rows, 0)
    cov = (rows * share[:, None]).T @ (rows - (share @ rows)[None, :])
    cov = cov + jnp.diag(jnp.where(frame.is_seen, 0, 1).astype(X.dtype))
    factor = jnp.linalg.cholesky(cov)
    return jax.scipy.linalg.solve_triangular(factor, rows.T, lower=True).T
