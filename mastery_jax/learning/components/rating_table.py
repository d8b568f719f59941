"""What the methods for a table of ratings share: checks, scores, the best items for a user.

    ŷ_ui = base_ui + p_u·q_i

A table of users and items is given by its known entries, one code of each and a rating. A code
outside the table scores NaN; nothing is recommended for it.

Source: Koren, Bell & Volinsky (2009), *Computer* 42(8), eq. 1; for what is recommended, Cremonesi,
Koren & Turrin (2010), *RecSys*, section 2 (the items of the highest scores among those not rated).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from mastery_jax.probability.metrics.codes import widened

__all__ = ["Entries", "Recommendation", "best", "entries", "parts", "products", "rows_of", "spoil"]


class Entries(NamedTuple):
    """The known entries of a table, in which an entry of weight 0 has rating 0."""

    users: Int[Array, " n"]  # in the table, whatever was given
    items: Int[Array, " n"]
    ratings: Float[Array, " n"]
    weights: Float[Array, " n"]
    total: Float[Array, ""]  # of the weights; NaN if they or the codes make no sense
    is_sound: Bool[Array, ""]


class Recommendation(NamedTuple):
    """The best items of every user, the best first."""

    items: Int[Array, "m k"]  # codes; −1 where no item is left
    scores: Float[
        Array, "m k"
    ]  # −inf where no item is left, NaN for a user who is not in the table


def entries(
    where: str,
    users: Array,
    items: Array,
    ratings: Array,
    weights: Array | None,
    **sizes: int,
) -> Entries:
    """Return the entries of a table, checked as far as shapes and sizes go. O(n).

    Args:
        where: The function that was called, for the messages.
        users: Codes from 0 to ``num_users`` − 1.
        items: Codes from 0 to ``num_items`` − 1.
        ratings: Not read where the weight is 0.
        weights: ≥ 0, one where None.
        sizes: ``num_users`` and ``num_items``, and ``num_factors`` if it is known there.

    Raises:
        ValueError: a size is less than 1, or there is no rating at all.
    """
    for name, size in {"the number of ratings": len(ratings), **sizes}.items():
        if size < 1:
            raise ValueError(f"{where}: {name} is {size}, not at least 1")
    users, items = widened(users, items)
    weights = jnp.ones_like(ratings) if weights is None else weights.astype(ratings.dtype)
    total = weights.sum()
    is_known = _is_code(users, sizes["num_users"]) & _is_code(items, sizes["num_items"])
    is_sound = (is_known | (weights == 0)).all()
    is_sound &= (weights >= 0).all() & (total > 0) & (total < jnp.inf)
    return Entries(
        users=users.astype(jnp.int32).clip(0, sizes["num_users"] - 1),
        items=items.astype(jnp.int32).clip(0, sizes["num_items"] - 1),
        ratings=jnp.where(weights == 0, 0, ratings),
        weights=weights,
        total=jnp.where(is_sound, total, jnp.nan),
        is_sound=is_sound,
    )


def rows_of(table: Array, codes: Array) -> Array:
    """Return the rows that have the codes, NaN for a code outside the table. O(n k)."""
    (codes,) = widened(codes)
    found = table.at[codes].get(mode="clip", wrap_negative_indices=False)
    is_known = _is_code(codes, len(table)).reshape(-1, *[1] * (table.ndim - 1))
    return jnp.where(is_known, found, jnp.nan)


def products(users: Array, items: Array) -> Array:
    """Return p·q for rows of factors, without rounding to less than their dtype. O(n k)."""
    return (users * items).sum(axis=1)


def parts(known: Entries, amounts: Array, order: Array) -> Array:
    """Return what part of the amount of its pair every entry has; 0 where the pair has none. O(n).

    ``order`` has entries of one pair next to each other.
    """
    users, items = known.users[order], known.items[order]
    is_new = (jnp.diff(users, prepend=-1) != 0) | (jnp.diff(items, prepend=-1) != 0)
    pairs = jnp.cumsum(is_new, dtype=jnp.int32) - 1
    totals = jnp.zeros_like(amounts).at[pairs].add(amounts[order])[pairs]
    parts = jnp.where(totals > 0, amounts[order] / jnp.where(totals > 0, totals, 1), 0)
    return jnp.zeros_like(amounts).at[order].set(parts)


def best(
    where: str,
    scores: Array,
    users: Array,
    known_users: Array | None,
    known_items: Array | None,
    *,
    k: int,
    num_users: int,
) -> Recommendation:
    """Return the k highest scores of every row that are not known. O(m items + n).

    Raises:
        ValueError: k is out of range, or one half of what is known is missing.
    """
    num_items = scores.shape[1]
    if not 1 <= k <= num_items:
        raise ValueError(f"{where}: k is {k}, not from 1 to the {num_items} items")
    if (known_users is None) != (known_items is None):
        missing = "known_users" if known_users is None else "known_items"
        raise ValueError(f"{where}: {missing} is None, not given as the other half is")
    if known_users is not None and known_items is not None:
        users, known_users, known_items = widened(users, known_users, known_items)
        # Whoever is asked for twice has one row of the mask.
        asked = jnp.arange(len(users), dtype=jnp.int32)
        row_of = jnp.full(num_users, -1, jnp.int32)
        row_of = row_of.at[users].max(asked, mode="drop", wrap_negative_indices=False)
        rows = jnp.where(
            _is_code(known_users, num_users), row_of[known_users.clip(0, num_users - 1)], -1
        )
        is_known = jnp.zeros(scores.shape, bool)
        is_known = is_known.at[rows, known_items].set(
            True, mode="drop", wrap_negative_indices=False
        )
        own = row_of[users.clip(0, num_users - 1)]
        scores = jnp.where(is_known[own] & ~jnp.isnan(scores), -jnp.inf, scores)
    highest, found = jax.lax.top_k(scores, k)
    is_left = highest > -jnp.inf  # nor is it NaN
    return Recommendation(jnp.where(is_left, found, -1).astype(jnp.int32), highest)


def spoil(state: tuple, is_sound: Array) -> tuple:
    """Return the state, NaN throughout where the data had no meaning."""
    return jax.tree.map(lambda leaf: jnp.where(is_sound, leaf, jnp.nan), state)


def _is_code(codes: Array, size: int) -> Array:
    return (codes >= 0) & (codes < size)
