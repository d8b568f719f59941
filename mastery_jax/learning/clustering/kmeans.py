"""k-means: the centers to which the rows have the least summed squared distance.

    minimize  J(c) = Σ_i w_i min_j |x_i − c_j|²

One step of Lloyd's gives every row to its nearest center (the first of several) and moves every
center to the weighted mean of its rows. J falls until nothing moves. A center without rows moves
to the row that is farthest from its own center, one center in a step; it stays where it is only if
no row is away from its center, which is so when there are fewer distinct rows than centers. At the
end the mean of the rows about every center is added to it: it holds what sums of rows have rounded.

The start is greedy k-means++, in ``seeding``.

Source: Lloyd (1982), *IEEE Transactions on Information Theory* 28(2), method I.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from mastery_jax.core import loop
from mastery_jax.core.check import Scalar, checked
from mastery_jax.core.status import Status
from mastery_jax.learning.clustering import lloyd, seeding
from mastery_jax.learning.clustering.centering import center
from mastery_jax.numerics.linalg.scale import power_of_two

__all__ = ["Info", "State", "StepInfo", "fit", "init", "predict", "step", "transform"]


class State(NamedTuple):
    """The centers."""

    centers: Float[Array, "k d"]  # unit of the features


class StepInfo(NamedTuple):
    """What one step did."""

    shift: Float[Array, ""]  # Σ_j |new c_j − c_j|², squared unit of the features
    is_done: Bool[Array, ""]  # shift ≤ the tolerance or the rounding of the centers, or NaN


class Info(NamedTuple):
    """How the fit ended; of the restart that is returned, but for ``inertias``."""

    inertia: Float[Array, ""]  # J, squared unit of the features
    inertias: Float[Array, " restarts"]  # of every restart
    sizes: Float[Array, " k"]  # weight of the rows of every cluster; 0 of an empty one
    num_steps: Int[Array, ""]
    is_done: Bool[Array, ""]  # the last step moved the centers by no more than the tolerance
    status: Int[Array, ""]  # core.status.Status


@partial(jax.jit, static_argnames=("num_clusters", "num_restarts", "max_steps"))
@checked
def fit(
    key: Key[Array, ""],
    X: Float[Array, "n d"],
    *,
    num_clusters: int,
    weights: Float[Array, " n"] | None = None,
    num_restarts: int = 10,
    rtol: Scalar = 0.0,
    max_steps: int = 300,
) -> tuple[State, Info]:
    """Run Lloyd's method from several starts and return the best end. O(n d k) a step and restart.

    The restarts run one after the other, each until it is done. scikit-learn's ``n_clusters``,
    ``n_init``, ``tol`` and ``sample_weight`` are ``num_clusters``, ``num_restarts``, ``rtol`` and
    ``weights``.

    Args:
        key: Draws the starts.
        X: One row per sample. Distances compare features as they are: standardize them.
        num_clusters: k, at least 1 and at most n. Static.
        weights: ≥ 0, one where None; a row of weight 0 is not read.
        num_restarts: Starts, at least 1. Static.
        rtol: Stop after a step whose shift is at most this part of the mean variance of the
            features; 0 stops when nothing moves. ≥ 0. Traced.
        max_steps: Steps at most, in each restart. Static.

    Returns:
        The centers of the least inertia, and Info: CONVERGED, OUT_OF_STEPS; BAD_INPUT, with NaN,
        for weights that are negative or all 0 and a negative ``rtol``; NOT_FINITE for NaN in the
        data, and, with good centers, where the inertia is larger than any number. ``sizes`` tells
        which clusters are empty: fewer distinct rows than clusters are no fault.

    Raises:
        ValueError: more clusters than rows, fewer than one cluster or restart, or shapes that
            disagree.

    Example:
        >>> X = jnp.array([[0.0], [1.0], [9.0], [10.0]])
        >>> state, info = fit(jax.random.key(0), X, num_clusters=2)
        >>> jnp.sort(state.centers[:, 0]), info.inertia
        (Array([0.5, 9.5], dtype=float32), Array(1., dtype=float32))
    """
    _check("fit", X, num_clusters)
    if num_restarts < 1:
        raise ValueError(f"kmeans.fit: num_restarts is {num_restarts}, not at least 1")
    rtol = jnp.asarray(rtol, X.dtype)
    weights, is_bad = _weights(X, weights, ~(rtol >= 0))
    with jax.default_matmul_precision("highest"):
        rows, origin, unit = center(X, weights)
        Z = rows / unit
        atol = rtol * (weights / weights.sum() @ Z**2).mean()
        problem = lloyd.pose(Z, weights)

        def restart(key: Array) -> tuple[Array, StepInfo, Array, Array, Array]:
            start = seeding.draw(key, problem.columns[:-1], weights, num_clusters)
            centers, info, num_steps = loop.until(
                _step, start, max_steps=max_steps, problem=problem, atol=atol
            )
            centers = lloyd.refine(centers, lloyd.labels_of(centers, problem.columns), problem)
            labels = lloyd.labels_of(centers, problem.columns)
            inertia = weights @ ((Z - centers[labels]) ** 2).sum(axis=1)
            return centers, info, num_steps, labels, inertia

        ends = jax.lax.map(restart, jax.random.split(key, num_restarts))
    inertias = ends[4]
    best = jnp.argmin(jnp.where(jnp.isnan(inertias), jnp.inf, inertias))
    centers, info, num_steps, labels, inertia = jax.tree.map(lambda leaf: leaf[best], ends)
    sizes = jnp.zeros(num_clusters, X.dtype).at[labels].add(weights)
    state = State(jnp.where(jnp.isfinite(inertia), centers * unit + origin[None, :], jnp.nan))
    inertia, inertias = (x * unit * unit for x in (inertia, inertias))
    is_finite = jnp.isfinite(inertia)
    is_done = info.is_done & is_finite
    status = _status(is_done, is_finite, is_bad)
    num_steps = jnp.asarray(num_steps, jnp.int32)
    return state, Info(inertia, inertias, sizes, num_steps, is_done, status)


@partial(jax.jit, static_argnames=("num_clusters",))
@checked
def init(
    key: Key[Array, ""],
    X: Float[Array, "n d"],
    *,
    num_clusters: int,
    weights: Float[Array, " n"] | None = None,
) -> State:
    """Draw centers among the rows by greedy k-means++. O(n d k log k).

    Args:
        key: Draws the rows.
        X: One row per sample.
        num_clusters: k, at least 1 and at most n. Static.
        weights: ≥ 0, one where None; a row of weight 0 is neither drawn nor read.

    Returns:
        The centers, all rows of ``X``; NaN for weights that are negative or all 0. A row is drawn
        twice only if there are fewer distinct rows than centers.

    Raises:
        ValueError: more clusters than rows, or fewer than one.
    """
    _check("init", X, num_clusters)
    weights, _ = _weights(X, weights)
    with jax.default_matmul_precision("highest"):
        rows, origin, unit = center(X, weights)
        centers = seeding.draw(key, (rows / unit).T, weights, num_clusters)
        return State(centers=centers * unit + origin[None, :])


@jax.jit
@checked
def step(
    state: State, X: Float[Array, "n d"], *, weights: Float[Array, " n"] | None = None
) -> tuple[State, StepInfo]:
    """Move every center to the mean of its rows, an empty one to a far row. O(n d k).

    Args:
        state: The centers, drawn by ``init`` or one's own.
        X: One row per sample.
        weights: ≥ 0, one where None; a row of weight 0 is not read.

    Returns:
        The new centers, and how far they moved; NaN for weights that are negative or all 0.
    """
    weights, _ = _weights(X, weights)
    with jax.default_matmul_precision("highest"):
        rows, origin, unit = center(X, weights)
        centers = state.centers - origin[None, :]
        unit = power_of_two(jnp.maximum(unit, jnp.abs(centers).max()))
        centers, problem = centers / unit, lloyd.pose(rows / unit, weights)
        scores = lloyd.scores_of(centers, problem.columns)
        labels = scores.argmin(axis=0).astype(jnp.int32)
        moved = lloyd.refine(lloyd.move(centers, scores, labels, problem), labels, problem)
        info = _verdict(moved, centers, jnp.zeros((), X.dtype))
        info = info._replace(shift=info.shift * unit * unit)
        return State(centers=moved * unit + origin[None, :]), info


@jax.jit
@checked
def predict(state: State, X: Float[Array, "n d"]) -> Int[Array, " n"]:
    """Return the nearest center of every row, the first of several. O(n d k).

    It is −1 for a row that is not finite, and for all if a center is not.
    """
    origin = state.centers.mean(axis=0)
    centers = state.centers - origin[None, :]
    unit = power_of_two(jnp.abs(centers).max())
    Z = (X - origin[None, :]) / unit
    columns = jnp.append(Z.T, jnp.ones_like(Z[:, :1].T), axis=0)
    with jax.default_matmul_precision("highest"):
        scores = lloyd.scores_of(centers / unit, columns)
    is_known = jnp.isfinite(scores.min(axis=0))
    return jnp.where(is_known, scores.argmin(axis=0), -1).astype(jnp.int32)


@jax.jit
@checked
def transform(state: State, X: Float[Array, "n d"]) -> Float[Array, "n k"]:
    """Return the distance from every row to every center. O(n d k)."""

    def distance(center: Array) -> Array:
        off = X - center[None, :]
        unit = power_of_two(jnp.abs(off).max(axis=1))
        squares = ((off / unit[:, None]) ** 2).sum(axis=1)
        is_there = squares == 0
        return jnp.where(is_there, 0, jnp.sqrt(jnp.where(is_there, 1, squares))) * unit

    return jax.lax.map(distance, state.centers).T


def _check(verb: str, X: Array, num_clusters: int) -> None:
    if not 1 <= num_clusters <= len(X):
        raise ValueError(
            f"kmeans.{verb}: num_clusters is {num_clusters}, not from 1 to the {len(X)} rows of X"
        )


def _weights(X: Array, weights: Array | None, is_bad: Array | bool = False) -> tuple[Array, Array]:
    """Return the weights, NaN if what was given makes no sense, and whether it makes none."""
    weights = jnp.ones_like(X[:, 0]) if weights is None else weights
    is_bad |= (weights < 0).any() | ~(weights.sum() > 0)
    return jnp.where(is_bad, jnp.nan, weights), is_bad


def _status(is_done: Array, is_finite: Array, is_bad: Array) -> Array:
    status = jnp.where(is_done, Status.CONVERGED, Status.OUT_OF_STEPS)
    status = jnp.where(is_finite, status, Status.NOT_FINITE)
    return jnp.where(is_bad, Status.BAD_INPUT, status).astype(jnp.int32)


def _step(centers: Array, *, problem: lloyd.Problem, atol: Array) -> tuple[Array, StepInfo]:
    scores = lloyd.scores_of(centers, problem.columns)
    moved = lloyd.move(centers, scores, scores.argmin(axis=0).astype(jnp.int32), problem)
    return moved, _verdict(moved, centers, atol)


def _verdict(moved: Array, centers: Array, atol: Array) -> StepInfo:
    shift = ((moved - centers) ** 2).sum()
    # A program may divide the same sums in two ways: this much is no move.
    rounding = (4 * jnp.finfo(moved.dtype).eps) ** 2 * (moved**2).sum()
    return StepInfo(shift, ~(shift > jnp.maximum(atol, rounding)))
