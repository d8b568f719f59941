"""DBSCAN: clusters are where rows lie densely; a row that is near no such place is noise.

    N(i) = {j : |x_i − x_j| ≤ radius},  i among them
    i is a core row          if Σ_{j ∈ N(i)} w_j ≥ min_samples
    cores are of one cluster if a chain of cores joins them, each in the neighborhood of the last
    a row that is no core    belongs to the first cluster that has a core row in N(i), or is noise

Clusters are numbered in the order of their first core row. The chains are found by passing the
least row number along: every row takes the least label in its neighborhood, its label's row takes
it too, and labels are followed to their end; that joins m rows in a line in some log m rounds.
Distances are formed anew in every round, some rows against all, so that memory grows with n alone.

Source: Ester, Kriegel, Sander & Xu (1996), *A density-based algorithm for discovering clusters*,
KDD, definitions 1-6; Zhang, Azad & Hu (2020), *FastSV: a distributed-memory connected component
algorithm with fast convergence*, SIAM PP, section 4.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from mastery_jax.core import loop
from mastery_jax.core.check import Scalar, checked
from mastery_jax.core.status import Status
from mastery_jax.numerics.linalg.scale import power_of_two

__all__ = ["MOST_KEPT", "Info", "State", "fit"]

MOST_KEPT = 8192
"""The most rows whose neighborhoods are kept, a byte a pair; beyond, rounds form them anew."""

Over = Callable[[Callable[[Array], Array]], Array]


class State(NamedTuple):
    """The memberships of the rows."""

    labels: Int[Array, " n"]  # cluster, from 0; −1 is noise
    is_core: Bool[Array, " n"]


class Info(NamedTuple):
    """How the search ended."""

    num_clusters: Int[Array, ""]
    num_noise: Int[Array, ""]  # rows labelled −1
    num_steps: Int[Array, ""]  # rounds of passing labels on
    is_done: Bool[Array, ""]
    status: Int[Array, ""]  # core.status.Status


class _Verdict(NamedTuple):
    is_done: Bool[Array, ""]


@partial(jax.jit, static_argnames=("max_steps", "block_size"))
@checked
def fit(
    X: Float[Array, "n d"],
    *,
    radius: Scalar = 0.5,
    min_samples: Scalar = 5.0,
    weights: Float[Array, " n"] | None = None,
    max_steps: int = 100,
    block_size: int = 64,
) -> tuple[State, Info]:
    """Label every row. O(n² d) a round, and one round more; O(n · block_size) memory.

    Nothing is drawn: the same rows in the same order have the same labels. scikit-learn's ``eps``
    and ``sample_weight`` are ``radius`` and ``weights``.

    Args:
        X: One row per sample. Distances compare features as they are: standardize them.
        radius: Of a neighborhood, > 0, in the unit of the features; its edge is part of it. Traced.
        min_samples: Least weight in the neighborhood of a core row, itself included; ≥ 0. Traced.
        weights: Of the rows, one where None. A row of weight 0 is labelled, but counts for no
            other; negative ones, as in scikit-learn, would hinder a core, and are refused.
        max_steps: Rounds at most. Static.
        block_size: Rows that are compared with all others at a time. Static.

    Returns:
        Labels and core rows, and Info: CONVERGED, OUT_OF_STEPS; BAD_INPUT, with every row noise,
        for a radius that is not positive, ``min_samples`` that is negative and weights that are;
        NOT_FINITE, likewise, for NaN in the data, and a row that is farther from 0 than any number
        of radii.

    Raises:
        ValueError: no rows, fewer than one row in a block, or shapes that disagree.

    Example:
        >>> X = jnp.array([[0.0], [0.3], [0.6], [5.0], [5.3], [9.0]])
        >>> fit(X, radius=0.4, min_samples=2)[0].labels
        Array([ 0,  0,  0,  1,  1, -1], dtype=int32)
    """
    n = len(X)
    if not n or block_size < 1:
        raise ValueError(f"dbscan.fit: {n} rows in blocks of {block_size}, not at least 1 in 1")
    weights = jnp.ones_like(X[:, 0]) if weights is None else weights
    radius = jnp.asarray(radius, X.dtype)
    min_samples = jnp.asarray(min_samples, X.dtype)
    is_bad = ~(radius > 0) | ~(min_samples >= 0) | (weights < 0).any() | jnp.isnan(weights).any()
    # Near 1 the square of a radius is a number, and so are those that are compared with it.
    unit = power_of_two(radius)
    X, reach = X / unit, radius / unit
    is_finite = jnp.isfinite(X).all()
    over = _neighbors(X, reach, block_size)
    weight = over(lambda near: jnp.where(near, weights[:, None], 0).sum(axis=0))
    is_core = (weight >= min_samples) & ~is_bad & is_finite

    # A row's label is a core row of its cluster, or n where there is none.
    own = jnp.arange(n, dtype=jnp.int32)
    labels, _, num_steps = loop.until(
        _pass_on, jnp.where(is_core, own, n), max_steps=max_steps, over=over
    )
    joined = _least(labels, over)
    is_root = labels == own
    number = jnp.append(jnp.cumsum(is_root.astype(jnp.int32)) - 1, -1)
    # Not yet joined, two cores of one cluster have two numbers; the status says so.
    state = State(labels=number[jnp.where(is_core, labels, joined)], is_core=is_core)
    is_done = ((joined == labels) | ~is_core).all()
    status = jnp.where(is_done, Status.CONVERGED, Status.OUT_OF_STEPS)
    status = jnp.where(is_finite, status, Status.NOT_FINITE)
    status = jnp.where(is_bad, Status.BAD_INPUT, status).astype(jnp.int32)
    info = Info(
        num_clusters=is_root.sum(dtype=jnp.int32),
        num_noise=(state.labels < 0).sum(dtype=jnp.int32),
        num_steps=jnp.asarray(num_steps, jnp.int32),
        is_done=status == Status.CONVERGED,
        status=status,
    )
    return state, info


def _neighbors(X: Array, radius: Array, block_size: int) -> Over:
    """Return what applies a function to who is near, (n, block), for every block of rows.

    Who is near is symmetric: a sum or a minimum over the first axis runs along memory.
    """
    n = len(X)
    blocks = jnp.pad(X, ((0, -n % block_size), (0, 0))).reshape(-1, block_size, X.shape[1])
    near = partial(_near, X.T, radius)
    kept = jax.lax.map(near, blocks) if n <= MOST_KEPT else None

    def over(reduce: Callable[[Array], Array]) -> Array:
        if kept is not None:
            return jax.lax.map(reduce, kept).reshape(-1)[:n]
        return jax.lax.map(lambda block: reduce(near(block)), blocks).reshape(-1)[:n]

    return over


def _near(columns: Array, radius: Array, block: Array) -> Array:
    """Say which of some rows (m, d) are near which of all, whose columns are given, as (n, m)."""

    def add(total: Array, feature: tuple[Array, Array]) -> tuple[Array, None]:
        one, other = feature
        return total + (one[:, None] - other[None, :]) ** 2, None

    zeros = jnp.zeros((columns.shape[1], len(block)), block.dtype)
    return loop.scan(add, zeros, (columns, block.T))[0] <= radius**2


def _least(labels: Array, over: Over) -> Array:
    """Return the least label in the neighborhood of every row; n is that of rows without one."""
    return over(lambda near: jnp.where(near, labels[:, None], len(labels)).min(axis=0))


def _pass_on(labels: Array, *, over: Over) -> tuple[Array, _Verdict]:
    n = len(labels)
    is_core = labels < n
    least = jnp.where(is_core, _least(labels, over), n)
    hooked = jnp.minimum(labels, least).at[labels].min(least, mode="drop")
    for _ in range(3):
        hooked = jnp.append(hooked, n)[hooked]
    return hooked, _Verdict((hooked == labels).all())
