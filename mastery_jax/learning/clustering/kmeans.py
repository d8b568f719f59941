"""k-means: the centers to which the rows have the least summed squared distance.

    minimize  J(c) = Σ_i w_i min_j |x_i − c_j|²

One step of Lloyd's gives every row to its nearest center (the first of several) and moves every
center to the weighted mean of its rows. J falls until nothing moves. A center without rows moves
to the row that is farthest from its own center, one center in a step; it stays where it is only if
no row is away from its center, which is so when there are fewer distinct rows than centers.

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
from mastery_jax.learning.clustering import seeding

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
    sizes: Float[Array, " k"]  # weight of the rows of every cluster; 0 if it is empty
    num_steps: Int[Array, ""]
    is_done: Bool[Array, ""]  # the last step moved the centers by no more than the tolerance
    status: Int[Array, ""]  # core.status.Status


class _Problem(NamedTuple):
    rows: Float[Array, "n d1"]  # w x and w: to be summed over a cluster
    columns: Float[Array, "d1 n"]  # x and 1, turned round: to be multiplied with centers
    weights: Float[Array, " n"]


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
        weights: ≥ 0, one where None; a row of weight 0 has no say.
        num_restarts: Starts, at least 1. Static.
        rtol: Stop after a step whose shift is at most this part of the mean variance of the
            features; 0 stops when nothing moves. Traced.
        max_steps: Steps at most, in each restart. Static.

    Returns:
        The centers of the least inertia, and Info: CONVERGED, OUT_OF_STEPS; BAD_INPUT, with NaN,
        for weights that are negative or all 0; NOT_FINITE for NaN in the data. ``sizes`` tells
        which clusters are empty.

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
    weights, is_bad = _weights(X, weights)
    with jax.default_matmul_precision("highest"):
        share = weights / weights.sum()
        origin = share @ X
        Z = X - origin[None, :]
        atol = jnp.asarray(rtol, X.dtype) * (share @ Z**2).mean()
        problem = _pose(Z, weights)

        def restart(key: Array) -> tuple[Array, StepInfo, Array, Array, Array]:
            start = seeding.draw(key, problem.columns[:-1], weights, num_clusters)
            centers, info, num_steps = loop.until(
                _step, start, max_steps=max_steps, problem=problem, atol=atol
            )
            labels = _labels(centers, problem.columns)
            inertia = weights @ ((Z - centers[labels]) ** 2).sum(axis=1)
            return centers, info, num_steps, labels, inertia

        ends = jax.lax.map(restart, jax.random.split(key, num_restarts))
    inertias = ends[4]
    best = jnp.argmin(jnp.where(jnp.isnan(inertias), jnp.inf, inertias))
    centers, info, num_steps, labels, inertia = jax.tree.map(lambda leaf: leaf[best], ends)
    sizes = jnp.zeros(num_clusters, X.dtype).at[labels].add(weights)
    is_finite = jnp.isfinite(inertia)
    is_done = info.is_done & is_finite
    status = _status(is_done, is_finite, is_bad)
    num_steps = jnp.asarray(num_steps, jnp.int32)
    state = State(centers=jnp.where(is_finite, centers + origin[None, :], jnp.nan))
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
        weights: ≥ 0, one where None; a row of weight 0 is never drawn.

    Returns:
        The centers, all rows of ``X``; NaN for weights that are negative or all 0. A row is drawn
        twice only if there are fewer distinct rows than centers.

    Raises:
        ValueError: more clusters than rows, or fewer than one.
    """
    _check("init", X, num_clusters)
    weights, _ = _weights(X, weights)
    with jax.default_matmul_precision("highest"):
        origin = weights @ X / weights.sum()
        centers = seeding.draw(key, (X - origin[None, :]).T, weights, num_clusters)
        return State(centers=centers + origin[None, :])


@jax.jit
@checked
def step(
    state: State, X: Float[Array, "n d"], *, weights: Float[Array, " n"] | None = None
) -> tuple[State, StepInfo]:
    """Move every center to the mean of its rows, an empty one to a far row. O(n d k).

    Args:
        state: The centers, drawn by ``init`` or one's own.
        X: One row per sample.
        weights: ≥ 0, one where None.

    Returns:
        The new centers, and how far they moved; NaN for weights that are negative or all 0.
    """
    weights, _ = _weights(X, weights)
    with jax.default_matmul_precision("highest"):
        origin = weights @ X / weights.sum()
        problem = _pose(X - origin[None, :], weights)
        centers, info = _step(
            state.centers - origin[None, :], problem=problem, atol=jnp.zeros((), X.dtype)
        )
        return State(centers=centers + origin[None, :]), info


@jax.jit
@checked
def predict(state: State, X: Float[Array, "n d"]) -> Int[Array, " n"]:
    """Return the nearest center of every row, the first of several. O(n d k)."""
    origin = state.centers.mean(axis=0)
    Z = X - origin[None, :]
    columns = jnp.append(Z.T, jnp.ones_like(Z[:, :1].T), axis=0)
    with jax.default_matmul_precision("highest"):
        return _labels(state.centers - origin[None, :], columns)


@jax.jit
@checked
def transform(state: State, X: Float[Array, "n d"]) -> Float[Array, "n k"]:
    """Return the distance from every row to every center. O(n d k)."""

    def distance(center: Array) -> Array:
        squares = ((X - center[None, :]) ** 2).sum(axis=1)
        return jnp.where(squares > 0, jnp.sqrt(jnp.where(squares > 0, squares, 1)), 0)

    return jax.lax.map(distance, state.centers).T


def _check(verb: str, X: Array, num_clusters: int) -> None:
    if not 1 <= num_clusters <= len(X):
        raise ValueError(
            f"kmeans.{verb}: num_clusters is {num_clusters}, not from 1 to the {len(X)} rows of X"
        )


def _weights(X: Array, weights: Array | None) -> tuple[Array, Array]:
    """Return the weights, NaN if they make no sense, and whether they make none."""
    if weights is None:
        return jnp.ones_like(X[:, 0]), jnp.zeros((), bool)
    is_bad = (weights < 0).any() | ~(weights.sum() > 0)
    return jnp.where(is_bad, jnp.nan, weights), is_bad


def _status(is_done: Array, is_finite: Array, is_bad: Array) -> Array:
    status = jnp.where(is_done, Status.CONVERGED, Status.OUT_OF_STEPS)
    status = jnp.where(is_finite, status, Status.NOT_FINITE)
    return jnp.where(is_bad, Status.BAD_INPUT, status).astype(jnp.int32)


def _pose(Z: Array, weights: Array) -> _Problem:
    ones = jnp.ones_like(weights)[:, None]
    columns = jnp.append(Z, ones, axis=1)
    return _Problem(weights[:, None] * columns, columns.T, weights)


def _scores(centers: Array, columns: Array) -> Array:
    """Return |c_j|²/2 − c_j·x_i, half a squared distance but for |x_i|²/2, as (k, n)."""
    return jnp.append(-centers, (centers**2).sum(axis=1)[:, None] / 2, axis=1) @ columns


def _labels(centers: Array, columns: Array) -> Array:
    return _scores(centers, columns).argmin(axis=0).astype(jnp.int32)


def _step(centers: Array, *, problem: _Problem, atol: Array) -> tuple[Array, StepInfo]:
    scores = _scores(centers, problem.columns)
    codes = jnp.arange(len(centers), dtype=jnp.int32)
    is_own = codes[:, None] == scores.argmin(axis=0).astype(jnp.int32)[None, :]
    sums = is_own.astype(scores.dtype) @ problem.rows  # of rows and of weights by one product
    total = sums[:, -1:]
    is_empty = total[:, 0] == 0
    moved = jnp.where(total > 0, sums[:, :-1] / jnp.where(total > 0, total, 1), centers)
    moved = jax.lax.cond(
        is_empty.any(), lambda: _settle(moved, is_empty, scores, problem), lambda: moved
    )
    shift = ((moved - centers) ** 2).sum()
    # A program may divide the same sums in two ways: this much is no move.
    rounding = (4 * jnp.finfo(scores.dtype).eps) ** 2 * (moved**2).sum()
    return moved, StepInfo(shift, ~(shift > jnp.maximum(atol, rounding)))


def _settle(centers: Array, is_empty: Array, scores: Array, problem: _Problem) -> Array:
    """Put the first center without rows on the row that is farthest from its center."""
    points = problem.columns[:-1]
    squares = (points**2).sum(axis=0) / 2
    half = jnp.where(problem.weights > 0, scores.min(axis=0) + squares, -jnp.inf)
    farthest = half.argmax()
    # What is nearer than this is rounding of a row that lies on its center.
    rounding = 8 * jnp.finfo(scores.dtype).eps * squares.max()
    is_moved = is_empty & (is_empty.cumsum() == 1) & (half[farthest] > rounding)
    return jnp.where(is_moved[:, None], points[:, farthest][None, :], centers)
