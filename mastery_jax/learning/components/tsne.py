"""t-SNE: a map on which rows that are near each other stay so.

    minimize  KL(P ‖ Q) = Σ_ij P_ij log(P_ij / Q_ij)
              Q_ij = w_ij / Z,   w_ij = 1 / (1 + |y_i − y_j|²),   Z = Σ_{i≠j} w_ij
    gradient  ∂KL/∂y_i = 4 Σ_j (P_ij − Q_ij) w_ij (y_i − y_j)

P is as in ``affinities``, of a given perplexity over the nearest rows. The start is the leading
principal components, scaled to a deviation of 1e-4. Steps have momentum, .5 while P is
exaggerated and .8 after, and a gain for every coordinate, that grows by .2 while it keeps its way
and shrinks to .8 of itself when it turns.

New rows are put where KL(p_i ‖ q_i), of their own probabilities over the fitted rows, is least,
each by itself and without moving those.

Source: van der Maaten & Hinton (2008), *Journal of Machine Learning Research* 9, eq. 5 and section
3.4; Kobak & Berens (2019), *Nature Communications* 10, 5416 (start, rate); Poličar, Stražar & Zupan
(2023), *Machine Learning* 112 (new rows).
"""

from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from mastery_jax.core import loop
from mastery_jax.core.check import Scalar, checked
from mastery_jax.core.status import Status
from mastery_jax.learning.components import (
    affinities,
    exact_repulsion,
    interpolated_repulsion,
    pca,
)
from mastery_jax.numerics.linalg.scale import power_of_two

__all__ = ["MOST_EXACT", "Info", "Repulsion", "State", "fit", "transform"]

Repulsion = Literal["exact", "interpolated"]

MOST_EXACT = 4000
"""The most rows whose repulsion is exact if nothing is said: about there a grid is as quick."""

MOST_ERROR = 1e-2  # of a perplexity: one that is reached is off by rounding, some 1e-5 in float32


class State(NamedTuple):
    """A fitted map."""

    embedding: Float[Array, "n k"]  # of the fitted rows; no unit
    rows: Float[Array, "n d"]  # that were fitted, unit of the features


class Info(NamedTuple):
    """How the fit went."""

    divergence: Float[Array, ""]  # KL(P ‖ Q) at the end, nats
    divergences: Float[Array, " records"]  # after every ``record_every`` steps
    gradient_norm: Float[Array, ""]  # of ∂KL/∂Y, in the last step
    perplexity_error: Float[Array, ""]  # largest |reached − wanted| / wanted of the rows
    num_steps: Int[Array, ""]
    is_done: Bool[Array, ""]  # the last divergences agree to ``rtol``, and perplexity is reached
    status: Int[Array, ""]  # core.status.Status


class _Walk(NamedTuple):
    Y: Float[Array, "k n"]
    velocity: Float[Array, "k n"]
    gains: Float[Array, "k n"]


@partial(
    jax.jit,
    static_argnames=(
        *("num_components", "num_neighbors", "repulsion"),
        *("exaggeration_steps", "num_steps", "record_every"),
    ),
)
@checked
def fit(
    X: Float[Array, "n d"],
    *,
    num_components: int = 2,
    perplexity: Scalar = 30.0,
    num_neighbors: int | None = None,
    repulsion: Repulsion | None = None,
    learning_rate: Scalar | None = None,
    exaggeration: Scalar = 12.0,
    exaggeration_steps: int = 250,
    num_steps: int = 750,
    record_every: int = 50,
    rtol: Scalar = 1e-2,
) -> tuple[State, Info]:
    """Lay the rows out. O(n² d) once; O(n² + n k) a step, interpolated O(n k + s² log s).

    k are the near rows, s the nodes along a side of the grid. Nothing is drawn. scikit-learn's
    ``learning_rate`` and ``max_iter`` are ``learning_rate``, by default n / 48 and at least 50,
    and ``num_steps``.

    Args:
        X: One row per sample. Distances compare features as they are: standardize them.
        num_components: Of the map, at least 1 and at most min(n, d). Static.
        perplexity: Effective number of near rows, from 1 to ``num_neighbors``. Traced, so that it
            cannot decide their number: for one over 30, give three times of it as well.
        num_neighbors: Near rows of each, at most n − 1; 90 (three times the default perplexity)
            or n − 1 where None. Static.
        repulsion: ``exact``, or ``interpolated`` for maps of two components; where None, exact up
            to ``MOST_EXACT`` rows. Static.
        learning_rate: Step length, > 0; n / 12, at least 12.5, where None. Traced.
        exaggeration: Factor of P, > 0, during the first ``exaggeration_steps``. Traced.
        exaggeration_steps: Static.
        num_steps: All steps, a multiple of ``record_every``. Static.
        record_every: Steps between two divergences. Static.
        rtol: Of the last two divergences, to call it done. Traced.

    Returns:
        The map, and Info: CONVERGED, OUT_OF_STEPS; STALLED for a row without the perplexity, to
        1 %, since it has at least as many duplicates, which ``perplexity_error`` tells; BAD_INPUT,
        with NaN, for a perplexity, a rate or a factor out of range; NOT_FINITE for NaN in the data.

    Raises:
        ValueError: a static option is out of range, or shapes disagree.

    Example:
        >>> X = jnp.concatenate([jnp.eye(8), 5 + jnp.eye(8)])
        >>> state, info = fit(X, perplexity=4.0)
        >>> state.embedding.shape, bool(info.divergence < 0.5)
        ((16, 2), True)
    """
    n = len(X)
    if num_neighbors is None:
        num_neighbors = min(90, n - 1)
    if repulsion is None:
        repulsion = "exact" if n <= MOST_EXACT or num_components != 2 else "interpolated"
    _check(X, num_components, num_neighbors, repulsion)
    if num_steps < 1 or record_every < 1 or num_steps % record_every:
        raise ValueError(
            f"tsne.fit: num_steps is {num_steps}, not a multiple of record_every, {record_every}"
        )
    perplexity = jnp.asarray(perplexity, X.dtype)
    rate = max(n / 12, 12.5) if learning_rate is None else learning_rate
    rate, exaggeration = (jnp.asarray(a, X.dtype) for a in (rate, exaggeration))
    is_bad = ~((perplexity >= 1) & (perplexity <= num_neighbors))
    is_bad |= ~((rate > 0) & (exaggeration > 0))
    start, edges, error = _start(X, num_components, num_neighbors, perplexity)
    start = jnp.where(is_bad, jnp.nan, start)
    step = partial(
        _step,
        edges=edges,
        repulsion=repulsion,
        rate=rate,
        exaggeration=exaggeration,
        exaggeration_steps=exaggeration_steps,
    )

    def record(walk: _Walk, times: Array) -> tuple[_Walk, tuple[Array, Array]]:
        walk, norms = loop.scan(step, walk, times)
        _, total = _repel(walk.Y, repulsion)
        return walk, (affinities.cost(walk.Y, edges) + jnp.log(total), norms[-1])

    times = jnp.arange(num_steps, dtype=jnp.int32).reshape(-1, record_every)
    walk = _Walk(start, jnp.zeros_like(start), jnp.ones_like(start))
    walk, (divergences, norms) = loop.scan(record, walk, times)
    last = divergences[-1]
    is_still = jnp.abs(last - divergences[-2:][0]) <= jnp.asarray(rtol, X.dtype) * last
    is_reached = error <= MOST_ERROR
    is_done = is_still & is_reached & (len(divergences) > 1)
    status = jnp.where(is_done, Status.CONVERGED, Status.OUT_OF_STEPS)
    status = jnp.where(is_reached, status, Status.STALLED)
    status = jnp.where(jnp.isfinite(last), status, Status.NOT_FINITE)
    status = jnp.where(is_bad, Status.BAD_INPUT, status).astype(jnp.int32)
    steps = jnp.full((), num_steps, jnp.int32)
    info = Info(last, divergences, norms[-1], error, steps, is_done, status)
    return State(embedding=walk.Y.T, rows=X), info


@partial(jax.jit, static_argnames=("num_neighbors", "num_steps"))
@checked
def transform(
    state: State,
    X: Float[Array, "m d"],
    *,
    perplexity: Scalar = 5.0,
    num_neighbors: int | None = None,
    learning_rate: Scalar = 0.5,
    num_steps: int = 100,
) -> Float[Array, "m k"]:
    """Put new rows on the map. O(n m d) once and O(n m) a step.

    Every row is placed by itself: what else is asked for does not move it. It starts at the mean
    of its near rows by their probabilities.

    Args:
        state: A fitted map.
        X: One row per sample, in the same units as the fitted ones.
        perplexity: Effective number of near rows; few, so that the start is in one place. Traced.
        num_neighbors: Near rows of each; 15 or n where None. Static.
        learning_rate: Step length, in units of the map. Traced.
        num_steps: Static.

    Returns:
        The positions; NaN for NaN in the row, for one some 1e18 times as far as any fitted, in
        float32, and for a perplexity that is not from 1 to ``num_neighbors``.

    Raises:
        ValueError: more near rows than fitted ones.
    """
    n = len(state.rows)
    num_neighbors = min(15, n) if num_neighbors is None else num_neighbors
    if not 1 <= num_neighbors <= n:
        raise ValueError(
            f"tsne.transform: num_neighbors is {num_neighbors}, not from 1 to the {n} fitted rows"
        )
    unit = power_of_two(jnp.abs(state.rows).max())
    rows = state.rows / unit
    origin = rows.mean(axis=0)[None, :]
    near = affinities.nearest(X / unit - origin, rows - origin, num_neighbors, is_same=False)
    p, _ = affinities.perplexed(near.squares, perplexity=perplexity)
    perplexity = jnp.asarray(perplexity, X.dtype)
    p = jnp.where((perplexity >= 1) & (perplexity <= num_neighbors), p, jnp.nan)
    p = jnp.where(jnp.isfinite(X).all(axis=1)[None, :], p, jnp.nan)
    fixed = state.embedding.T
    around = fixed[:, near.rows]
    rate = jnp.asarray(learning_rate, X.dtype)

    def pull(Y: Array) -> tuple[Array, None]:
        differences = Y[:, None, :] - around
        w = 1 / (1 + (differences**2).sum(axis=0))
        attraction = ((p * w)[None] * differences).sum(axis=1)
        forces, sums = exact_repulsion.repulsion(Y, fixed)
        return Y - rate * (attraction - forces / sums[None, :]), None

    return loop.scan(pull, (p[None] * around).sum(axis=1), num_steps=num_steps)[0].T


def _check(X: Array, num_components: int, num_neighbors: int, repulsion: Repulsion) -> None:
    n = len(X)
    if not 1 <= num_components <= min(X.shape):
        raise ValueError(
            f"tsne.fit: num_components is {num_components}, not from 1 to {min(X.shape)}, the "
            "smaller side of X"
        )
    if not 1 <= num_neighbors <= n - 1:
        raise ValueError(
            f"tsne.fit: num_neighbors is {num_neighbors}, not from 1 to {n - 1}, the other rows"
        )
    if repulsion == "interpolated" and num_components != 2:
        raise ValueError(
            f"tsne.fit: repulsion is interpolated with num_components {num_components}, not 2"
        )


def _start(
    X: Array, num_components: int, num_neighbors: int, perplexity: Array
) -> tuple[Array, affinities.Edges, Array]:
    """Return the map to start with, (c, n), affinities, and the largest error of perplexity."""
    scaled = X / power_of_two(jnp.abs(X).max())  # neither has a unit
    Z = scaled - scaled.mean(axis=0)[None, :]
    near = affinities.nearest(Z, Z, num_neighbors, is_same=True)
    p, errors = affinities.perplexed(near.squares, perplexity=perplexity)
    start = pca.transform(pca.fit(Z, num_components=num_components, solver="eigh"), Z).T
    deviation = start[0].std()
    start = start * 1e-4 / jnp.where(deviation > 0, deviation, 1)
    return start, affinities.edges(near, p), errors.max()


def _step(
    walk: _Walk,
    time: Array,
    *,
    edges: affinities.Edges,
    repulsion: Repulsion,
    rate: Array,
    exaggeration: Array,
    exaggeration_steps: int,
) -> tuple[_Walk, Array]:
    Y, velocity, gains = walk
    is_early = time < exaggeration_steps
    forces, total = _repel(Y, repulsion)
    pull = jnp.where(is_early, exaggeration, 1) * affinities.attraction(Y, edges)
    slope = 4 * (pull - forces / total)
    is_turned = jnp.sign(slope) == jnp.sign(velocity)
    gains = jnp.maximum(jnp.where(is_turned, 0.8 * gains, gains + 0.2), 0.01)
    velocity = jnp.where(is_early, 0.5, 0.8) * velocity - rate * gains * slope
    moved = Y + velocity
    moved = moved - moved.mean(axis=1)[:, None]
    return _Walk(moved, velocity, gains), jnp.sqrt((slope**2).sum())


def _repel(Y: Array, repulsion: Repulsion) -> tuple[Array, Array]:
    engine = exact_repulsion if repulsion == "exact" else interpolated_repulsion
    forces, sums = engine.repulsion(Y)
    return forces, sums.sum()
