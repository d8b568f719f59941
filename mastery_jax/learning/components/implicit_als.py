"""Factors of what users did, where there is no rating: alternating least squares with confidence.

    minimize  Σ_{u,i} (1 + α r_ui) (h_ui − x_u·y_i)² + l2 (Σ_u |x_u|² + Σ_i |y_i|²)
    h_ui = 1 where r_ui > 0, else 0

r says how much u did with i: times bought, minutes watched. It is no rating but how sure one is
that u likes i; all other pairs of the table count too, as a weak no. With Y fixed the best x_u is

    (YᵀY + l2 I + Σ_{i of u} α r_ui y_i y_iᵀ) x_u = Σ_{i of u} (1 + α r_ui) y_i

so that a step costs what the known pairs cost, not the table. The objective never rises.

Source: Hu, Koren & Volinsky (2008), *Collaborative filtering for implicit feedback datasets*, ICDM,
eqs. 3 to 5.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from mastery_jax.core.check import Scalar, checked
from mastery_jax.learning.components import alternation, normal_equations, rating_table
from mastery_jax.learning.components.alternation import Info
from mastery_jax.learning.components.rating_table import Entries, Recommendation, rows_of

__all__ = ["Info", "State", "StepInfo", "fit", "init", "predict", "recommend", "step"]


class State(NamedTuple):
    """The factors."""

    user_factors: Float[Array, "users k"]  # x
    item_factors: Float[Array, "items k"]  # y


class StepInfo(NamedTuple):
    """What a step reached."""

    objective: Float[Array, ""]  # summed over the whole table, no unit


class _Half(NamedTuple):
    """The problems of all users, or of all items."""

    side: normal_equations.Side
    surplus: Float[Array, " n"]  # α r, in the order of the side
    pull: Float[Array, " n"]  # α r, and what is the entry's of the 1 of its pair


class _Problem(NamedTuple):
    known: Entries
    users: _Half
    items: _Half
    l2: Float[Array, ""]


@partial(jax.jit, static_argnames=("num_users", "num_items", "num_factors"))
@checked
def init(
    key: Key[Array, ""],
    users: Int[Array, " n"],
    items: Int[Array, " n"],
    amounts: Float[Array, " n"],
    *,
    num_users: int,
    num_items: int,
    num_factors: int,
    weights: Float[Array, " n"] | None = None,
    init_scale: Scalar = 0.1,
) -> State:
    """Draw normal factors of deviation ``init_scale``. O(n + (users + items) k).

    Arguments and errors are those of :func:`fit`. The factors are NaN for weights or codes that
    make no sense.
    """
    known = rating_table.entries(
        "implicit_als.init", users, items, amounts, weights,
        num_users=num_users, num_items=num_items, num_factors=num_factors,
    )  # fmt: skip
    sizes = (num_users, num_items, num_factors)
    return _draw(key, known, sizes, jnp.asarray(init_scale, amounts.dtype))


@jax.jit
@checked
def step(
    state: State,
    users: Int[Array, " n"],
    items: Int[Array, " n"],
    amounts: Float[Array, " n"],
    *,
    weights: Float[Array, " n"] | None = None,
    alpha: Scalar,
    l2: Scalar,
) -> tuple[State, StepInfo]:
    """Solve for all users, and then for all items. O(n (k² + log n) + (users + items) k³).

    Args:
        state: From :func:`init`, or the step before.
        users: Codes of users.
        items: Codes of items.
        amounts: r of the pairs.
        weights: Of the amounts, ≥ 0, one where None.
        alpha: α, ≥ 0. Traced.
        l2: > 0. Traced.

    Returns:
        The state after the step, and what it reached; NaN for what makes no sense.

    Raises:
        ValueError: shapes disagree.
    """
    num_users, num_items = len(state.user_factors), len(state.item_factors)
    known = rating_table.entries(
        "implicit_als.step", users, items, amounts, weights,
        num_users=num_users, num_items=num_items,
    )  # fmt: skip
    problem = _pose(known, num_users, num_items, alpha, l2)
    state = State(*rating_table.spoil(state, problem.known.is_sound))
    moved, objective = _turn(state, problem)
    return moved, StepInfo(objective)


@partial(jax.jit, static_argnames=("num_users", "num_items", "num_factors", "max_steps"))
@checked
def fit(
    key: Key[Array, ""],
    users: Int[Array, " n"],
    items: Int[Array, " n"],
    amounts: Float[Array, " n"],
    *,
    num_users: int,
    num_items: int,
    num_factors: int,
    weights: Float[Array, " n"] | None = None,
    alpha: Scalar = 40.0,
    l2: Scalar = 0.1,
    init_scale: Scalar = 0.1,
    rtol: Scalar = 1e-4,
    max_steps: int = 100,
) -> tuple[State, Info]:
    """Take turns until the objective falls no more. O(n k² + (users + items) k³) a step.

    Forward-differentiable, through the steps. Amounts of a pair that is there more than once are
    added. ``implicit``'s ``factors``, ``regularization`` and ``iterations`` are ``num_factors``,
    ``l2`` and ``max_steps``; its matrix times its ``alpha`` is the whole confidence, here
    1 + ``alpha`` r.

    Args:
        key: Draws the factors to start with.
        users: Codes from 0 to ``num_users`` − 1.
        items: Codes from 0 to ``num_items`` − 1.
        amounts: r, ≥ 0, in any unit; of weight 0 they are not read.
        num_users: Of all users, seen or not. Static.
        num_items: Of all items, seen or not. Static.
        num_factors: k, at least 1. Static.
        weights: Factors of the amounts, ≥ 0, one where None: whole numbers count an amount as
            often.
        alpha: α, ≥ 0, per unit of the amounts: confidence is 1 + α r. Traced: sweep it with
            ``vmap``.
        l2: λ of Hu et al., > 0: of the sum over the table, not of a mean. Traced.
        init_scale: Standard deviation of the factors to start with. Traced.
        rtol: ≥ 0: stop after a step that lowers the objective by at most this part. Traced.
        max_steps: Steps at most. Static.

    Returns:
        The state, and Info: CONVERGED; OUT_OF_STEPS; NOT_FINITE; BAD_INPUT, with NaN, for amounts
        that are negative or NaN, an ``l2`` that is not positive, a negative ``alpha``, weights
        that are negative or all 0, a negative or NaN ``rtol``, and codes outside the table.

    Raises:
        ValueError: a size is less than 1, there is no amount, or shapes disagree.

    Example:
        >>> users, items = jnp.array([0, 0, 1, 1, 2]), jnp.array([0, 1, 0, 1, 2])
        >>> size = {"num_users": 4, "num_items": 3, "num_factors": 2}
        >>> state, info = fit(jax.random.key(0), users, items, jnp.ones(5), **size)
        >>> jnp.abs(predict(state, jnp.array([0, 0, 3]), jnp.array([0, 2, 0]))).round(1)
        Array([1., 0., 0.], dtype=float32)
    """
    known = rating_table.entries(
        "implicit_als.fit", users, items, amounts, weights,
        num_users=num_users, num_items=num_items, num_factors=num_factors,
    )  # fmt: skip
    rtol = jnp.asarray(rtol, amounts.dtype)
    known = known._replace(is_sound=known.is_sound & (rtol >= 0))
    problem = _pose(known, num_users, num_items, alpha, l2)
    sizes = (num_users, num_items, num_factors)
    start = _draw(key, problem.known, sizes, jnp.asarray(init_scale, amounts.dtype))
    return alternation.descend(
        partial(_turn, problem=problem),
        start,
        is_sound=problem.known.is_sound,
        rtol=rtol,
        max_steps=max_steps,
    )


@jax.jit
@checked
def predict(state: State, users: Int[Array, " m"], items: Int[Array, " m"]) -> Float[Array, " m"]:
    """Return the preference x·y of every pair, about 1 for a yes and 0 for a no. O(m k).

    It is 0 for a user or an item that nothing is known of, and NaN for a code outside the table.
    """
    return rating_table.products(
        rows_of(state.user_factors, users), rows_of(state.item_factors, items)
    )


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
    """Return the k items of the highest preference for every user. O(m items k + n).

    Arguments, returns and errors are those of ``als.recommend``; scores are preferences.
    """
    with jax.default_matmul_precision("highest"):
        scores = rows_of(state.user_factors, users) @ state.item_factors.T
    return rating_table.best(
        "implicit_als.recommend",
        scores,
        users,
        known_users,
        known_items,
        k=k,
        num_users=len(state.user_factors),
    )


def _draw(key: Array, known: Entries, sizes: tuple[int, int, int], scale: Array) -> State:
    num_users, num_items, num_factors = sizes
    keys = jax.random.split(key)
    drawn = (
        scale * jax.random.normal(own, (size, num_factors), scale.dtype)
        for own, size in zip(keys, (num_users, num_items), strict=True)
    )
    return State(*rating_table.spoil(State(*drawn), known.is_sound))


def _pose(known: Entries, num_users: int, num_items: int, alpha: Scalar, l2: Scalar) -> _Problem:
    alpha, l2 = (jnp.asarray(value, known.ratings.dtype) for value in (alpha, l2))
    is_sound = known.is_sound & (known.ratings >= 0).all() & (alpha >= 0) & (l2 > 0)
    amounts = known.weights * known.ratings
    by_user = normal_equations.arrange(known.users, known.items, num_groups=num_users)
    by_item = normal_equations.arrange(known.items, known.users, num_groups=num_items)
    own = rating_table.parts(known, amounts, by_user.order)

    def half(side: normal_equations.Side) -> _Half:
        surplus = alpha * amounts
        return _Half(side, surplus[side.order], (surplus + own)[side.order])

    return _Problem(known._replace(is_sound=is_sound), half(by_user), half(by_item), l2)


def _turn(state: State, problem: _Problem) -> tuple[State, Array]:
    x = _solve(problem.users, state.item_factors, problem.l2)
    y = _solve(problem.items, x, problem.l2)
    moved = State(x, y)
    return moved, _objective(moved, problem)


def _solve(half: _Half, table: Array, l2: Array) -> Array:
    with jax.default_matmul_precision("highest"):
        base = table.T @ table
    ridge = jnp.broadcast_to(l2, half.side.ends.shape)
    return normal_equations.solutions(
        half.side, table, half.surplus, half.pull, base=base, ridge=ridge
    )


def _objective(state: State, problem: _Problem) -> Array:
    """Return the sum over the table: as if nothing were known, and mended where pairs are."""
    x, y = state
    half = problem.users
    with jax.default_matmul_precision("highest"):
        squares = ((x.T @ x) * (y.T @ y)).sum()
    order = half.side.order
    s = rating_table.products(x[problem.known.users[order]], y[half.side.others])
    own = half.pull - half.surplus
    mended = (half.surplus * (1 - s) ** 2 + own * (1 - 2 * s)).sum()
    return squares + mended + problem.l2 * ((x**2).sum() + (y**2).sum())
