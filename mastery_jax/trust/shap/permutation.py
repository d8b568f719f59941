"""Permutation SHAP: features are made known one by one, in random order and then backwards.

    φ_j ≈ mean over orders of  v(those before j, and j) − v(those before j)

An order and its reverse are one draw: the two cancel what pairs of features do together, so that
the values are exact for models without interactions of more than two. Every walk goes from nothing
known to all, so that the sum holds exactly, whatever the number of orders.

Source: Castro, Gómez & Tejada (2009), *Computers & Operations Research* 36, 1726, section 3;
Mitchell, Cooper, Frank & Holmes (2022), *Sampling permutations for Shapley value estimation*, JMLR
23(43), section 3.3 (antithetic pairs).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key

from mastery_jax.core.check import checked
from mastery_jax.trust.shap import coalitions, explanation
from mastery_jax.trust.shap.explanation import Explanation

__all__ = ["Info", "explain"]


class Info(NamedTuple):
    """How good the attributions are."""

    gap: Float[Array, " n"]  # |f(x) − expected − Σ φ|; unit of f
    std_error: Float[Array, "n d outputs"]  # of φ, over the pairs of walks; NaN of a single pair


@partial(jax.jit, static_argnames=("num_pairs",))
@checked
def explain(
    key: Key[Array, ""],
    X: Float[Array, "n d"],
    background: Float[Array, "rows d"],
    *,
    model: Partial,
    num_pairs: int = 10,
    weights: Float[Array, " rows"] | None = None,
) -> tuple[Explanation, Info]:
    """Walk from nothing known to everything. O(n pairs d rows), of the model.

    Args:
        key: Draws the orders, the same for all rows.
        X: The rows to explain.
        background: What unknown features are taken from, jointly.
        model: A ``Partial`` from (n, d) to (n,) or (n, outputs).
        num_pairs: Orders, each walked in both directions; at least 1. Static.
        weights: Of the background, ≥ 0; one where None. Only their ratios count.

    Returns:
        The attributions, in the unit of the model, with their errors; NaN where the background
        has no weight or a negative one, or the model answers with NaN.

    Raises:
        ValueError: shapes disagree, ``num_pairs`` is less than 1, or the background has no rows.

    Example:
        >>> model = Partial(lambda X: X[:, 0] * X[:, 1])
        >>> X, background = jnp.array([[2.0, 3.0]]), jnp.zeros((1, 2))
        >>> found, info = explain(jax.random.key(0), X, background, model=model, num_pairs=1)
        >>> found.values[0, :, 0].tolist()
        [3.0, 3.0]
    """
    if num_pairs < 1:
        raise ValueError(f"permutation.explain: num_pairs is {num_pairs}, not at least 1")
    d = X.shape[1]
    share = coalitions.shares("permutation.explain", background, weights)
    order_key = jax.random.split(key, num_pairs)
    one_way = jax.vmap(lambda key: jax.random.permutation(key, d))(order_key)
    rank = jnp.argsort(one_way, axis=1)  # when a feature becomes known
    rank = jnp.concatenate([rank, d - 1 - rank])  # (walks, d)
    known = rank[:, None, :] < jnp.arange(d + 1, dtype=rank.dtype)[None, :, None]

    def one(x: Array) -> tuple[Array, Array, Array, Array]:
        found = coalitions.worth(model, x, known.reshape(-1, d), background, share)
        found = found.reshape(2, num_pairs, d + 1, -1)
        steps = jnp.diff(found, axis=2)
        when = rank.reshape(2, num_pairs, d, 1)
        gained = jnp.take_along_axis(steps, when, axis=2).mean(axis=0)
        error = gained.std(axis=0, ddof=1) / jnp.sqrt(jnp.asarray(num_pairs, x.dtype))
        return gained.mean(axis=0), error, found[0, 0, 0], found[0, 0, -1]

    values, error, nothing, whole = jax.lax.map(one, X)
    explained, info = explanation.close(values, nothing[0], whole)
    return explained, Info(gap=info.gap, std_error=error)
