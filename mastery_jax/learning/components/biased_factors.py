"""The model of ratings that ``funk_svd`` and ``als`` fit: a mean, biases, and products of factors.

    ŷ_ui = μ + b_u + c_i + p_u·q_i
    minimize  Σ_e s_e [ ½ (r_e − ŷ_e)² + l2/2 (|p_u|² + b_u² + |q_i|² + c_i²) ]

over known entries e = (u, i) with shares s of their weights; μ is the mean of the ratings, and
stays. In the penalty, that of Zhou et al., |p_u|² counts as often as u has ratings. Whoever has
none has factors and a bias of 0.

Source: Koren, Bell & Volinsky (2009), *Computer* 42(8), eqs. 4 and 5; Zhou, Wilkinson, Schreiber &
Pan (2008), *AAIM*, eq. 4 (penalty by the number of ratings).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from mastery_jax.core.check import Scalar, checked
from mastery_jax.learning.components import rating_table
from mastery_jax.learning.components.rating_table import Entries, products, rows_of

__all__ = ["State", "draw", "init", "losses", "scores", "table_of"]


class State(NamedTuple):
    """What is known of users and items."""

    mean: Float[Array, ""]  # μ, unit of the ratings
    user_biases: Float[Array, " users"]  # b, unit of the ratings
    item_biases: Float[Array, " items"]  # c, unit of the ratings
    user_factors: Float[Array, "users k"]  # p; only products p·q have a unit, that of the ratings
    item_factors: Float[Array, "items k"]  # q


@partial(jax.jit, static_argnames=("num_users", "num_items", "num_factors"))
@checked
def init(
    key: Key[Array, ""],
    users: Int[Array, " n"],
    items: Int[Array, " n"],
    ratings: Float[Array, " n"],
    *,
    num_users: int,
    num_items: int,
    num_factors: int,
    weights: Float[Array, " n"] | None = None,
    init_scale: Scalar = 0.1,
) -> State:
    """Draw normal factors, with biases of 0 about the mean rating. O(n + (users + items) k).

    Args:
        key: Draws the factors.
        users: Codes from 0 to ``num_users`` − 1.
        items: Codes from 0 to ``num_items`` − 1.
        ratings: Of the pairs.
        num_users: Static.
        num_items: Static.
        num_factors: k, at least 1. Static.
        weights: Of the ratings, ≥ 0, one where None.
        init_scale: Standard deviation of the factors. Traced.

    Returns:
        A start for ``als`` and ``funk_svd``; NaN for weights or codes that make no sense.

    Raises:
        ValueError: a size is less than 1, or there is no rating.

    Example:
        >>> codes = jnp.array([0, 1])
        >>> size = {"num_users": 2, "num_items": 3, "num_factors": 4}
        >>> state = init(jax.random.key(0), codes, codes, jnp.array([1.0, 4.0]), **size)
        >>> state.mean, state.user_biases, state.item_factors.shape
        (Array(2.5, dtype=float32), Array([0., 0.], dtype=float32), (3, 4))
    """
    sizes = {"num_users": num_users, "num_items": num_items, "num_factors": num_factors}
    known = rating_table.entries("biased_factors.init", users, items, ratings, weights, **sizes)
    return draw(key, known, scale=jnp.asarray(init_scale, ratings.dtype), **sizes)


def draw(
    key: Array, known: Entries, *, num_users: int, num_items: int, num_factors: int, scale: Array
) -> State:
    """Draw a start, with factors of 0 for whoever has no rating. O(n + (users + items) k)."""
    dtype = known.ratings.dtype

    def factors(key: Array, codes: Array, size: int) -> Array:
        weights = jnp.zeros(size, dtype).at[codes].add(known.weights)
        drawn = scale * jax.random.normal(key, (size, num_factors), dtype)
        return jnp.where(weights[:, None] == 0, 0, drawn)

    user_key, item_key = jax.random.split(key)
    state = State(
        mean=(known.weights * known.ratings).sum() / known.total,
        user_biases=jnp.zeros(num_users, dtype),
        item_biases=jnp.zeros(num_items, dtype),
        user_factors=factors(user_key, known.users, num_users),
        item_factors=factors(item_key, known.items, num_items),
    )
    return State(*rating_table.spoil(state, known.is_sound))


def scores(state: State, users: Array, items: Array) -> Array:
    """Return ŷ of pairs, NaN for a code outside the table. O(n k)."""
    biases = rows_of(state.user_biases, users) + rows_of(state.item_biases, items)
    inner = products(rows_of(state.user_factors, users), rows_of(state.item_factors, items))
    return state.mean + biases + inner


def table_of(state: State, users: Array) -> Array:
    """Return ŷ of some users and all items, NaN for a code outside the table. O(m items k)."""
    with jax.default_matmul_precision("highest"):
        inner = rows_of(state.user_factors, users) @ state.item_factors.T
    biases = rows_of(state.user_biases, users)[:, None] + state.item_biases[None, :]
    return state.mean + biases + inner


def losses(state: State, known: Entries, l2: Array) -> tuple[Array, Array]:
    """Return the objective, and the mean squared error without any penalty. O(n k)."""
    share = known.weights / known.total
    errors = known.ratings - scores(state, known.users, known.items)
    mean_square = (share * errors**2).sum()
    user_sizes = (state.user_factors**2).sum(axis=1) + state.user_biases**2
    item_sizes = (state.item_factors**2).sum(axis=1) + state.item_biases**2
    sizes = (share * (user_sizes[known.users] + item_sizes[known.items])).sum()
    return (mean_square + l2 * sizes) / 2, mean_square
