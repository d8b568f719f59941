"""Factors and biases of ratings by alternating least squares.

    x_u ← argmin  Σ_{e of u} s_e [ (t_e − z_e·x_u)² + l2 |x_u|² ]
    x_u = (p_u, b_u),   z_e = (q_i, 1),   t_e = r_e − μ − c_i

A step solves that for every user with the items fixed, and then for every item with the users
fixed. Each half is the exact minimum, so the objective of ``biased_factors`` never rises. The
penalty counts once for each rating, as in Zhou et al., whose model has no biases.

Source: Zhou, Wilkinson, Schreiber & Pan (2008), *Large-scale parallel collaborative filtering for
the Netflix Prize*, AAIM, section 3.1; biases: Koren, Bell & Volinsky (2009), *Computer* 42(8),
eqs. 4 and 5.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from mastery_jax.core.check import Scalar, checked
from mastery_jax.learning.components import (
    alternation,
    biased_factors,
    normal_equations,
    rating_table,
)
from mastery_jax.learning.components.alternation import Info
from mastery_jax.learning.components.biased_factors import State
from mastery_jax.learning.components.rating_table import Entries, Recommendation

__all__ = ["Info", "State", "StepInfo", "fit", "predict", "recommend", "step"]


class StepInfo(NamedTuple):
    """What a step reached."""

    objective: Float[Array, ""]  # squared unit of the ratings
    mean_square: Float[Array, ""]  # of the errors, without a penalty


class _Half(NamedTuple):
    """The problems of all users, or of all items."""

    side: normal_equations.Side
    weights: Float[Array, " n"]  # in the order of the side
    ratings: Float[Array, " n"]  # in the order of the side
    totals: Float[Array, " groups"]  # of the weights


class _Problem(NamedTuple):
    known: Entries
    users: _Half
    items: _Half
    l2: Float[Array, ""]


@jax.jit
@checked
def step(
    state: State,
    users: Int[Array, " n"],
    items: Int[Array, " n"],
    ratings: Float[Array, " n"],
    *,
    weights: Float[Array, " n"] | None = None,
    l2: Scalar,
) -> tuple[State, StepInfo]:
    """Solve for all users, and then for all items. O(n (k² + log n) + (users + items) k³).

    Args:
        state: From ``biased_factors.init``, or the step before.
        users: Codes of users.
        items: Codes of items.
        ratings: Of the pairs.
        weights: Of the ratings, ≥ 0, one where None.
        l2: Penalty per rating, > 0. Traced.

    Returns:
        The state after the step, and what it reached; NaN for what makes no sense.

    Raises:
        ValueError: shapes disagree.
    """
    sizes = {"num_users": len(state.user_biases), "num_items": len(state.item_biases)}
    known = rating_table.entries("als.step", users, items, ratings, weights, **sizes)
    problem = _pose(known, sizes["num_users"], sizes["num_items"], l2)
    return _step(State(*rating_table.spoil(state, problem.known.is_sound)), problem)


@partial(jax.jit, static_argnames=("num_users", "num_items", "num_factors", "max_steps"))
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
    l2: Scalar = 0.05,
    init_scale: Scalar = 0.1,
    rtol: Scalar = 1e-4,
    max_steps: int = 100,
) -> tuple[State, Info]:
    """Take turns until the objective falls no more. O(n k² + (users + items) k³) a step.

    Forward-differentiable, through the steps. Where a user has rated an item more than once, every
    rating counts.

    Args:
        key: Draws the factors to start with.
        users: Codes from 0 to ``num_users`` − 1.
        items: Codes from 0 to ``num_items`` − 1.
        ratings: Of the pairs, in any unit; of weight 0 they are not read.
        num_users: Of all users, rated or not. Static.
        num_items: Of all items, rated or not. Static.
        num_factors: k, at least 1. Static.
        weights: Of the ratings, ≥ 0, one where None: whole numbers count a rating as often.
        l2: λ of Zhou et al., > 0: penalty per rating, in the unit of the ratings. Traced: sweep it
            with ``vmap``.
        init_scale: Standard deviation of the factors to start with. Traced.
        rtol: ≥ 0: stop after a step that lowers the objective by at most this part. Traced.
        max_steps: Steps at most. Static.

    Returns:
        The state, and Info: CONVERGED; OUT_OF_STEPS; NOT_FINITE for ratings that are not finite,
        and for an ``l2`` that rounding drowns (in float32 under some 1e-5, where users have fewer
        ratings than factors); BAD_INPUT, with NaN, for an ``l2`` that is not positive, weights that
        are negative or all 0, a negative or NaN ``rtol``, and codes outside the table.

    Raises:
        ValueError: a size is less than 1, there is no rating, or shapes disagree.

    Example:
        >>> users, items = jnp.array([0, 0, 1, 1]), jnp.array([0, 1, 0, 1])
        >>> ratings = jnp.array([5.0, 1.0, 1.0, 5.0])
        >>> size = {"num_users": 3, "num_items": 2, "num_factors": 1}
        >>> state, info = fit(jax.random.key(0), users, items, ratings, **size, l2=0.01)
        >>> predict(state, jnp.array([0, 1, 2]), jnp.array([0, 0, 0])).round(1)
        Array([5., 1., 3.], dtype=float32)
    """
    sizes = {"num_users": num_users, "num_items": num_items, "num_factors": num_factors}
    known = rating_table.entries("als.fit", users, items, ratings, weights, **sizes)
    rtol = jnp.asarray(rtol, ratings.dtype)
    known = known._replace(is_sound=known.is_sound & (rtol >= 0))
    problem = _pose(known, num_users, num_items, l2)
    scale = jnp.asarray(init_scale, ratings.dtype)
    start = biased_factors.draw(key, problem.known, scale=scale, **sizes)

    def turn(state: State) -> tuple[State, Array]:
        moved, reached = _step(state, problem)
        return moved, reached.objective

    return alternation.descend(
        turn, start, is_sound=problem.known.is_sound, rtol=rtol, max_steps=max_steps
    )


@jax.jit
@checked
def predict(state: State, users: Int[Array, " m"], items: Int[Array, " m"]) -> Float[Array, " m"]:
    """Return the expected rating of every pair, in the unit of the ratings. O(m k).

    A user or an item without a rating adds nothing to the mean and the other's bias. A code outside
    the table gives NaN.
    """
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

    All scores of these users are there at once: ask for many in blocks.

    Args:
        state: A fitted model.
        users: Codes.
        k: Items for each, at most as many as there are. Static.
        known_users: Users of pairs to leave out, in any order.
        known_items: Items of these pairs.

    Returns:
        Items, the best first, and their expected ratings; item −1 and score −inf where no item is
        left, item −1 and NaN for a user who is not in the table.

    Raises:
        ValueError: k is out of range, or one half of the pairs is missing.

    Example:
        >>> ones = jnp.ones((2, 1))
        >>> state = State(jnp.array(3.0), jnp.zeros(2), jnp.array([0.5, -1.0]), 0 * ones, 0 * ones)
        >>> recommend(state, jnp.array([0]), k=1).items
        Array([[0]], dtype=int32)
        >>> seen = {"known_users": jnp.array([0]), "known_items": jnp.array([0])}
        >>> recommend(state, jnp.array([0]), k=1, **seen).items
        Array([[1]], dtype=int32)
    """
    return rating_table.best(
        "als.recommend",
        biased_factors.table_of(state, users),
        users,
        known_users,
        known_items,
        k=k,
        num_users=len(state.user_biases),
    )


def _pose(known: Entries, num_users: int, num_items: int, l2: Scalar) -> _Problem:
    l2 = jnp.asarray(l2, known.ratings.dtype)
    is_sound = known.is_sound & (l2 > 0) & (l2 < jnp.inf)
    known = known._replace(is_sound=is_sound, total=jnp.where(is_sound, known.total, jnp.nan))
    by_user = _half(known, known.users, known.items, num_users)
    by_item = _half(known, known.items, known.users, num_items)
    return _Problem(known, by_user, by_item, l2)


def _half(known: Entries, groups: Array, others: Array, num_groups: int) -> _Half:
    side = normal_equations.arrange(groups, others, num_groups=num_groups)
    totals = jnp.zeros(num_groups, known.ratings.dtype).at[groups].add(known.weights)
    return _Half(side, known.weights[side.order], known.ratings[side.order], totals)


def _step(state: State, problem: _Problem) -> tuple[State, StepInfo]:
    p, b = _solve(problem.users, state.item_factors, state.item_biases, state.mean, problem.l2)
    q, c = _solve(problem.items, p, b, state.mean, problem.l2)
    moved = State(state.mean, b, c, p, q)
    return moved, StepInfo(*biased_factors.losses(moved, problem.known, problem.l2))


def _solve(
    half: _Half, factors: Array, biases: Array, mean: Array, l2: Array
) -> tuple[Array, Array]:
    """Return the best factors and biases of one side, those of the other being fixed."""
    targets = half.ratings - mean - biases[half.side.others]
    found = normal_equations.solutions(
        half.side,
        jnp.append(factors, jnp.ones_like(biases)[:, None], axis=1),
        half.weights,
        half.weights * targets,
        ridge=jnp.where(half.totals == 0, 1, l2 * half.totals),
    )
    return found[:, :-1], found[:, -1]
