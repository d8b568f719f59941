"""Partitions of the same rows, beside one another or beside the distances of the rows.

With shares P_kl of the rows that are in cluster k of the one and l of the other, margins a and b,
and S(p) = (n Σ p² − 1) / (n − 1), the probability that two rows fall into one cell,

    adjusted Rand = (S(P) − S(a) S(b)) / ((S(a) + S(b)) / 2 − S(a) S(b))
    normalized mutual information = Σ P log(P / a bᵀ) / ((H(a) + H(b)) / 2)

    silhouette_i = (far − near) / max(far, near)

with near the mean distance of row i to the others of its cluster and far that to the rows of the
nearest other cluster. Weights are counts: a row of weight 2 is two rows.

Source: Hubert & Arabie (1985), *Journal of Classification* 2, eq. 5; Vinh, Epps & Bailey (2010),
*JMLR* 11, table 2; Rousseeuw (1987), *J. Computational and Applied Mathematics* 20, eq. 2.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from mastery_jax.core import loop
from mastery_jax.core.check import checked
from mastery_jax.probability import information
from mastery_jax.probability.metrics import codes, rows

__all__ = ["adjusted_rand", "normalized_mutual_information", "silhouette", "silhouette_of_rows"]

Weights = Float[Array, " n"] | None
CELLS = 1 << 22  # distances that are held at once


@partial(jax.jit, static_argnames=("num_clusters", "num_classes"))
@checked
def adjusted_rand(
    clusters: Int[Array, " n"],
    labels: Int[Array, " n"],
    *,
    num_clusters: int,
    num_classes: int,
    weights: Weights = None,
) -> Float[Array, ""]:
    """Return how far two partitions agree beyond chance: 1 if equal, 0 on average by chance.

    O(n + K L).

    Args:
        clusters: Codes 0 … num_clusters − 1 of the one.
        labels: Codes 0 … num_classes − 1 of the other.
        num_clusters: K. Static.
        num_classes: L. Static.
        weights: Counts of rows, one where None.

    Returns:
        At most 1, and 1 exactly where the partitions are the same, whatever the codes; NaN for a
        code that is none.

    Example:
        >>> clusters, labels = jnp.array([0, 0, 1, 1]), jnp.array([1, 1, 0, 2])
        >>> adjusted_rand(clusters, labels, num_clusters=2, num_classes=3).round(4)
        Array(0.5714, dtype=float32)
    """
    table, total = _shares(clusters, labels, num_clusters, num_classes, weights)

    def pairs(p: Array) -> Array:
        return (total * (p**2).sum() - 1) / jnp.where(total == 1, 1, total - 1)

    both, one, other = pairs(table), pairs(table.sum(axis=1)), pairs(table.sum(axis=0))
    is_same = ((table > 0).sum(axis=0) <= 1).all() & ((table > 0).sum(axis=1) <= 1).all()
    is_same = is_same & ~jnp.isnan(total)
    most = (one + other) / 2 - one * other
    index = (both - one * other) / jnp.where(is_same, 1, most)
    return jnp.where(is_same, 1, index)


@partial(jax.jit, static_argnames=("num_clusters", "num_classes"))
@checked
def normalized_mutual_information(
    clusters: Int[Array, " n"],
    labels: Int[Array, " n"],
    *,
    num_clusters: int,
    num_classes: int,
    weights: Weights = None,
) -> Float[Array, ""]:
    """Return the nats that two partitions share, over the mean of their entropies. O(n + K L).

    Args: as for ``adjusted_rand``.

    Returns:
        In [0, 1]; 1 where both are of one cluster; NaN for a code that is none.

    Example:
        >>> clusters, labels = jnp.array([0, 0, 1, 1]), jnp.array([1, 1, 0, 2])
        >>> normalized_mutual_information(clusters, labels, num_clusters=2, num_classes=3)
        Array(0.8, dtype=float32)
    """
    table, _ = _shares(clusters, labels, num_clusters, num_classes, weights)
    joint = table / table.sum()
    most = sum(information.entropy(joint.sum(axis=axis)) for axis in (0, 1)) / 2
    shared = jnp.maximum(information.mutual_information(joint), 0)
    return jnp.where(most == 0, 1, shared / jnp.where(most == 0, 1, most))


@partial(jax.jit, static_argnames=("num_clusters",))
@checked
def silhouette(
    X: Float[Array, "n d"],
    labels: Int[Array, " n"],
    *,
    num_clusters: int,
    weights: Weights = None,
) -> Float[Array, ""]:
    """Return the mean of ``silhouette_of_rows``, in [−1, 1]. O(n² (d + K)).

    Args: as for ``silhouette_of_rows``.

    Example:
        >>> X = jnp.array([[0.0], [1.0], [5.0], [6.0]])
        >>> silhouette(X, jnp.array([0, 0, 1, 1]), num_clusters=2).round(4)
        Array(0.798, dtype=float32)
    """
    values = silhouette_of_rows(X, labels, num_clusters=num_clusters, weights=weights)
    return rows.mean(values, rows.weigh(weights, len(X), X.dtype))


@partial(jax.jit, static_argnames=("num_clusters",))
@checked
def silhouette_of_rows(
    X: Float[Array, "n d"],
    labels: Int[Array, " n"],
    *,
    num_clusters: int,
    weights: Weights = None,
) -> Float[Array, " n"]:
    """Return how much nearer every row is to its own cluster than to the next. O(n² (d + K)).

    Distances are Euclidean, and held for some rows at a time. One that rounding leaves no digit
    of is 0: in float32 a thousandth of what the two rows are away from the mean of all.

    Args:
        X: One row per sample.
        labels: Codes 0 … num_clusters − 1.
        num_clusters: K ≥ 2. Static.
        weights: Counts of rows, one where None.

    Returns:
        In [−1, 1]; 0 for the only row of a cluster; NaN where only one cluster has rows, for a
        code that is none, and for a row that is not finite.

    Raises:
        ValueError: fewer than two clusters.

    Example:
        >>> X = jnp.array([[0.0], [1.0], [5.0]])
        >>> silhouette_of_rows(X, jnp.array([0, 0, 1]), num_clusters=2)
        Array([0.8 , 0.75, 0.  ], dtype=float32)
    """
    if num_clusters < 2:
        raise ValueError(
            f"clustering.silhouette_of_rows: num_clusters is {num_clusters}, not at least 2"
        )
    weights = rows.weigh(weights, len(X), X.dtype)
    (labels,) = codes.widened(labels)
    is_bad = (labels < 0) | (labels >= num_clusters)
    weights = jnp.where((is_bad & (weights != 0)).any(), jnp.nan, weights)
    known = jnp.arange(num_clusters, dtype=labels.dtype)
    members = jnp.where(labels[:, None] == known[None, :], weights[:, None], 0)
    X = jnp.where((weights == 0)[:, None], 0, X)
    X = X - (X * weights[:, None]).sum(axis=0)[None, :] / weights.sum()
    size = max(1, min(len(X), CELLS // len(X)))
    num_blocks = -(-len(X) // size)
    starts = jnp.minimum(jnp.arange(num_blocks) * size, len(X) - size)
    with jax.default_matmul_precision("highest"):
        of_block = partial(_of_block, X=X, labels=labels, members=members, size=size)
        _, blocks = loop.scan(lambda _, start: (None, of_block(start)), None, starts)
    index = (starts[:, None] + jnp.arange(size)[None, :]).ravel()
    return jnp.zeros_like(weights).at[index].set(blocks.ravel())


def _of_block(start: Array, *, X: Array, labels: Array, members: Array, size: int) -> Array:
    """Return the silhouettes of ``size`` rows."""
    block = jax.lax.dynamic_slice_in_dim(X, start, size)
    sizes = (block**2).sum(axis=1)[:, None] + (X**2).sum(axis=1)[None, :]
    squared = sizes - 2 * block @ X.T
    is_near = squared <= 4 * jnp.finfo(X.dtype).eps * sizes  # what rounding leaves of equal rows
    distance = jnp.where(is_near, 0, jnp.sqrt(jnp.where(is_near, 1, squared)))
    amount = members.sum(axis=0)
    own = jax.lax.dynamic_slice_in_dim(labels, start, size)[:, None]
    is_own = own == jnp.arange(len(amount), dtype=labels.dtype)[None, :]
    others = jnp.where(
        is_own, amount[None, :] - 1, amount[None, :]
    )  # a row is not one of the others
    mean = distance @ members / jnp.where(others > 0, others, 1)
    near = jnp.where(is_own, mean, 0).sum(axis=1)
    is_far = ~is_own & (amount > 0)[None, :]
    far = jnp.where(is_far, mean, jnp.inf).min(axis=1)
    is_single = jnp.where(is_own, others, 0).sum(axis=1) <= 0
    most = jnp.maximum(near, far)
    value = (far - near) / jnp.where(most > 0, most, 1)
    value = jnp.where(is_single, 0, value)
    is_judged = is_far.any(axis=1) & jnp.isfinite(amount).all()
    return jnp.where(is_judged, value, jnp.nan)


def _shares(
    one: Array, other: Array, num_one: int, num_other: int, weights: Array | None
) -> tuple[Array, Array]:
    """Return the shares of all pairs of codes, and the number of rows; NaN for what is no code."""
    counts = codes.table(rows.weigh(weights, len(one)), one, other, num_one, num_other)
    total = counts.sum()
    return counts / total, total
