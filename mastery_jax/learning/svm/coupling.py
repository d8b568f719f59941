"""Probabilities of classes from the decisions of pairs.

    P(i | i or j, x) = r_ij = 1 / (1 + exp(A f(x) + B))

    minimize over p:  Σ_i Σ_j (r_ji p_i − r_ij p_j)²,      Σ_i p_i = 1

The minimum has Q p = λ (1 … 1)ᵀ with Q_ii = Σ_j r_ji², Q_ij = −r_ji r_ij, so that p is the
solution of Q p = (1 … 1)ᵀ over its sum; Q is made regular by Q + 1 1ᵀ, which moves no solution.

Source: Platt (1999), in *Advances in Large Margin Classifiers*, eq. 4; Lin, Lin & Weng (2007),
*Machine Learning* 68, eq. 4 (targets); Wu, Lin & Weng (2004), *JMLR* 5, eq. 15-18.
"""

import jax.numpy as jnp
from jaxtyping import Array

from mastery_jax.probability import glm

__all__ = ["count", "couple", "link"]

LEAST = 1e-7  # of a pair's probability, as in libsvm: at 0 the classes would come apart


def count(num_pairs: int) -> int:
    """Return the number of classes that have so many pairs. O(1)."""
    return round((1 + (1 + 8 * num_pairs) ** 0.5) / 2)


def link(sides: Array, targets: Array, weights: Array) -> tuple[Array, Array]:
    """Return A and B for decisions whose side is known, and how their fit ended. O(n).

    A side is 1 or −1, or 0 for a row that has no say.

    The targets of probability are drawn in by one row a side, so that separated rows do not make
    A infinite.
    """
    weights = weights.astype(sides.dtype) * jnp.abs(targets)
    of_one, of_other = (jnp.where(targets == side, weights, 0).sum() for side in (1, -1))
    aim = jnp.where(targets > 0, (of_one + 1) / (of_one + 2), 1 / (of_other + 2))
    # A row without a say may have no decision, and its aim is not read.
    sides = jnp.where(weights > 0, sides, 0)
    fitted, info = glm.fit(sides[:, None], aim, family="logit", weights=weights)
    return -jnp.stack([fitted.coefs[0], fitted.bias]), info.status


def couple(pairs: Array) -> Array:
    """Return the probabilities of all classes from those of pairs, row by row. O(m K³)."""
    num_classes = count(pairs.shape[1])
    if num_classes == 2:
        return jnp.concatenate([pairs, 1 - pairs], axis=1)
    one, other = jnp.triu_indices(num_classes, 1)
    pairs = jnp.clip(pairs, LEAST, 1 - LEAST)
    r = jnp.zeros((len(pairs), num_classes, num_classes), pairs.dtype)
    r = r.at[:, one, other].set(pairs).at[:, other, one].set(1 - pairs)
    against = r.swapaxes(1, 2)  # [m, i, j] is r_ji
    diagonal = (against**2).sum(axis=2)[:, :, None] * jnp.eye(num_classes, dtype=r.dtype)[None]
    Q = diagonal - against * r + 1
    p = jnp.linalg.solve(Q, jnp.ones((*Q.shape[:2], 1), r.dtype))[:, :, 0]
    return p / p.sum(axis=1)[:, None]
