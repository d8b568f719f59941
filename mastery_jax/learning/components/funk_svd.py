"""Factors and biases of ratings by stochastic gradient descent, one rating after the other.

    e = r − μ − b_u − c_i − p_u·q_i
    b_u ← b_u + η (e − l2 b_u),        p_u ← p_u + η (e q_i − l2 p_u)
    c_i ← c_i + η (e − l2 c_i),        q_i ← q_i + η (e p_u − l2 q_i)

at once, from the values before; a weight multiplies η. It descends the objective of
``biased_factors``, which ``als`` minimizes by exact halves. All factors are trained together, as
Koren et al. do; Funk trained one after the other. With ``batch_size`` ratings at a time their moves
are added: on an accelerator that is what makes it fast, and where a user or an item is often in a
batch it acts as a larger η.

Source: Funk (2006), *Netflix update: try this at home*; Koren, Bell & Volinsky (2009), *Computer*
42(8), section "Stochastic gradient descent".
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from mastery_jax.core import loop
from mastery_jax.core.check import Scalar, checked
from mastery_jax.core.status import Status
from mastery_jax.learning.components import biased_factors, rating_table
from mastery_jax.learning.components.biased_factors import State
from mastery_jax.learning.components.rating_table import Entries, Recommendation

__all__ = ["Info", "State", "StepInfo", "fit", "predict", "recommend", "step"]


class StepInfo(NamedTuple):
    """What a pass over the ratings met."""

    mean_square: Float[Array, ""]  # of the errors e, each before its move


class Info(NamedTuple):
    """How the descent ended."""

    objective: Float[Array, ""]  # at the end, squared unit of the ratings
    mean_squares: Float[Array, " steps"]  # of every pass: of the errors e, each before its move
    num_steps: Int[Array, ""]
    is_done: Bool[Array, ""]  # status is CONVERGED
    status: Int[Array, ""]  # core.status.Status


@partial(jax.jit, static_argnames=("shuffle", "batch_size"))
@checked
def step(
    key: Key[Array, ""],
    state: State,
    users: Int[Array, " n"],
    items: Int[Array, " n"],
    ratings: Float[Array, " n"],
    *,
    weights: Float[Array, " n"] | None = None,
    l2: Scalar,
    learning_rate: Scalar,
    shuffle: bool = True,
    batch_size: int = 1,
) -> tuple[State, StepInfo]:
    """Pass over all ratings once. O(n k).

    Args:
        key: Draws the order; not used without ``shuffle``.
        state: From ``biased_factors.init``, or the pass before.
        users: Codes of users.
        items: Codes of items.
        ratings: Of the pairs.
        weights: Of the ratings, ≥ 0, one where None.
        l2: Penalty per rating, ≥ 0. Traced.
        learning_rate: η, > 0. Traced.
        shuffle: Draw the order; else it is that of the ratings. Static.
        batch_size: Ratings at a time, at least 1. Static.

    Returns:
        The state after the pass, and what it met; NaN for what makes no sense.

    Raises:
        ValueError: ``batch_size`` is less than 1, or shapes disagree.
    """
    sizes = {"num_users": len(state.user_biases), "num_items": len(state.item_biases)}
    known = rating_table.entries("funk_svd.step", users, items, ratings, weights, **sizes)
    _check("step", batch_size)
    rate, l2 = (jnp.asarray(value, ratings.dtype) for value in (learning_rate, l2))
    known = known._replace(is_sound=known.is_sound & _is_sound(rate, l2))
    state = State(*rating_table.spoil(state, known.is_sound))
    pass_over = partial(
        _pass,
        known=known,
        num_users=sizes["num_users"],
        rate=rate,
        l2=l2,
        shuffle=shuffle,
        batch_size=batch_size,
    )
    table, mean_square = pass_over(_join(state), key)
    return _split(table, state), StepInfo(mean_square)


@partial(
    jax.jit,
    static_argnames=(
        *("num_users", "num_items", "num_factors"),
        *("shuffle", "batch_size", "num_steps"),
    ),
)
@checked
def fit(
    key: Key[Array, ""],
    users: Int[Array, " n"],
    items: Int[Array, " n"],
    ratings: Float[Array, " n"],
    *,
    num_users: int,
    num_items: int,
    num_factors: int,
    weights: Float[Array, " n"] | None = None,
    l2: Scalar = 0.02,
    learning_rate: Scalar = 0.005,
    init_scale: Scalar = 0.1,
    shuffle: bool = True,
    batch_size: int = 1,
    num_steps: int = 20,
    rtol: Scalar = 1e-2,
) -> tuple[State, Info]:
    """Pass over the ratings ``num_steps`` times. O(n k) a step.

    ``surprise.SVD``'s ``n_factors``, ``n_epochs``, ``lr_all`` and ``reg_all`` are ``num_factors``,
    ``num_steps``, ``learning_rate`` and ``l2``. Differentiable in both modes, through the passes.

    Args:
        key: Draws the factors to start with, and the orders.
        users: Codes from 0 to ``num_users`` − 1.
        items: Codes from 0 to ``num_items`` − 1.
        ratings: Of the pairs; of weight 0 they are not read.
        num_users: Of all users, rated or not. Static.
        num_items: Of all items, rated or not. Static.
        num_factors: k, at least 1. Static.
        weights: Of the ratings, ≥ 0, one where None: as a factor of η, so that one of 2 is nearly
            the rating twice. One of 0 is no rating.
        l2: Penalty per rating, ≥ 0, in the unit of the ratings. Traced: sweep it with ``vmap``.
        learning_rate: η, > 0, per unit of the ratings. Traced.
        init_scale: Standard deviation of the factors to start with. Traced.
        shuffle: Draw the order of every pass anew; else it is that of the ratings. Static.
        batch_size: Ratings at a time; 1 is one after the other. Static.
        num_steps: Passes. Static.
        rtol: Of the last two mean squares, to call it done. Traced.

    Returns:
        The state, and Info: CONVERGED, OUT_OF_STEPS; DIVERGED where the objective is higher than
        at the start; NOT_FINITE for ratings that are not finite; BAD_INPUT, with NaN, for an
        ``l2`` or ``learning_rate`` out of range, weights that are negative or all 0, and codes
        outside the table.

    Raises:
        ValueError: a size is less than 1, there is no rating, or shapes disagree.

    Example:
        >>> users, items = jnp.array([0, 0, 1, 1]), jnp.array([0, 1, 0, 1])
        >>> ratings = jnp.array([5.0, 1.0, 1.0, 5.0])
        >>> size = {"num_users": 3, "num_items": 2, "num_factors": 1}
        >>> given = {"learning_rate": 0.1, "num_steps": 100, "l2": 0.01}
        >>> state, _ = fit(jax.random.key(0), users, items, ratings, **size, **given)
        >>> predict(state, jnp.array([0, 1, 2]), jnp.array([0, 0, 0])).round(1)
        Array([5., 1., 3.], dtype=float32)
    """
    sizes = {"num_users": num_users, "num_items": num_items, "num_factors": num_factors}
    known = rating_table.entries("funk_svd.fit", users, items, ratings, weights, **sizes)
    _check("fit", batch_size, num_steps)
    rate, l2 = (jnp.asarray(value, ratings.dtype) for value in (learning_rate, l2))
    known = known._replace(is_sound=known.is_sound & _is_sound(rate, l2))
    start_key, order_key = jax.random.split(key)
    scale = jnp.asarray(init_scale, ratings.dtype)
    start = biased_factors.draw(start_key, known, scale=scale, **sizes)
    pass_over = partial(
        _pass,
        known=known,
        num_users=num_users,
        rate=rate,
        l2=l2,
        shuffle=shuffle,
        batch_size=batch_size,
    )
    keys = jax.random.split(order_key, num_steps)
    table, mean_squares = loop.scan(pass_over, _join(start), keys)
    state = _split(table, start)
    before, _ = biased_factors.losses(start, known, l2)
    objective, _ = biased_factors.losses(state, known, l2)
    last, but_one = mean_squares[-1], mean_squares[-2:][0]
    is_still = (num_steps > 1) & (jnp.abs(last - but_one) <= jnp.asarray(rtol, last.dtype) * last)
    status = jnp.where(is_still, Status.CONVERGED, Status.OUT_OF_STEPS)
    status = jnp.where(objective <= before, status, Status.DIVERGED)
    status = jnp.where(jnp.isfinite(before), status, Status.NOT_FINITE)
    status = jnp.where(known.is_sound, status, Status.BAD_INPUT).astype(jnp.int32)
    steps = jnp.full((), num_steps, jnp.int32)
    return state, Info(objective, mean_squares, steps, status == Status.CONVERGED, status)


@jax.jit
@checked
def predict(state: State, users: Int[Array, " m"], items: Int[Array, " m"]) -> Float[Array, " m"]:
    """Return the expected rating of every pair, as ``als.predict`` does. O(m k)."""
    return biased_factors.scores(state, users, items)


@partial(jax.jit, static_argnames=("k",))
@checked
def recommend(
    state: State,
    users: Int[Array, " m"],
    *,
    k: int,
    known_users: Int[Array, " n"] | None = None,
    known_items: Int[Array, " n"] | None = None,
) -> Recommendation:
    """Return the k items that every user is expected to rate highest. O(m items k + n).

    Arguments, returns and errors are those of ``als.recommend``.
    """
    scores = biased_factors.table_of(state, users)
    size = len(state.user_biases)
    return rating_table.best(
        "funk_svd.recommend", scores, users, known_users, known_items, k=k, num_users=size
    )


def _check(verb: str, batch_size: int, num_steps: int = 1) -> None:
    for name, value in {"batch_size": batch_size, "num_steps": num_steps}.items():
        if value < 1:
            raise ValueError(f"funk_svd.{verb}: {name} is {value}, not at least 1")


def _is_sound(rate: Array, l2: Array) -> Array:
    return (rate > 0) & (rate < jnp.inf) & (l2 >= 0) & (l2 < jnp.inf)


def _join(state: State) -> tuple[Array, Array]:
    """Return all factors as one table, users first, with the biases as last column; and the mean.

    Two tables, each moved by what is read in the other, XLA copies at every rating.
    """
    users = jnp.append(state.user_factors, state.user_biases[:, None], axis=1)
    items = jnp.append(state.item_factors, state.item_biases[:, None], axis=1)
    return jnp.concatenate([users, items]), state.mean


def _split(table: tuple[Array, Array], like: State) -> State:
    rows, mean = table
    users, items = rows[: len(like.user_biases)], rows[len(like.user_biases) :]
    return State(mean, users[:, -1], items[:, -1], users[:, :-1], items[:, :-1])


def _pass(
    joined: tuple[Array, Array],
    key: Array,
    *,
    known: Entries,
    num_users: int,
    rate: Array,
    l2: Array,
    shuffle: bool,
    batch_size: int,
) -> tuple[tuple[Array, Array], Array]:
    """Move the table by every batch of ratings; return it, and the mean square met."""
    table, mean = joined
    pairs = jnp.stack([known.users, known.items + num_users], axis=1)
    values = (pairs, known.ratings - mean, known.weights)
    if shuffle:
        at = jnp.arange(len(pairs), dtype=jnp.int32)
        _, order = jax.lax.sort((jax.random.bits(key, at.shape), at), num_keys=1)
        values = tuple(value[order] for value in values)
    short = -len(pairs) % batch_size  # filled up with ratings of weight 0
    batches = tuple(
        jnp.pad(value, ((0, short), *[(0, 0)] * (value.ndim - 1))).reshape(
            -1, batch_size, *value.shape[1:]
        )
        for value in values
    )
    is_bias = (jnp.arange(table.shape[1], dtype=jnp.int32) == table.shape[1] - 1)[None, None]

    def move(table: Array, batch: tuple[Array, ...]) -> tuple[Array, Array]:
        at, targets, weights = batch
        rows = table.at[at].get(mode="promise_in_bounds")  # of the user and of the item
        others = jnp.where(is_bias, 1, rows[:, ::-1])
        errors = targets - (rows[:, 0] * others[:, 0]).sum(axis=1) - rows[:, 1, -1]
        slopes = errors[:, None, None] * others - l2 * rows
        moved = table.at[at].add((rate * weights)[:, None, None] * slopes, mode="promise_in_bounds")
        return moved, (weights * errors**2).sum()

    table, squares = loop.scan(move, table, batches)
    return (table, mean), squares.sum() / known.total
