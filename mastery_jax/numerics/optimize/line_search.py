"""Line searches: how far to go along a direction in which a function falls.

    φ(t) = f(x + t d)
    Armijo:          φ(t) ≤ φ(0) + c₁ t φ'(0)
    strong Wolfe:    Armijo, and |φ'(t)| ≤ c₂ |φ'(0)|

Both are bounded, and take a value or slope that is not finite for one that is too far.

Source: Armijo (1966), Pacific J. Math. 16(1); Nocedal & Wright (2006), *Numerical Optimization*,
algorithms 3.1, 3.5 and 3.6; eq. 3.7.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int

from mastery_jax.core import loop
from mastery_jax.core.check import Scalar, checked
from mastery_jax.core.status import Status
from mastery_jax.numerics.optimize import bracket, ending, implicit, objective

__all__ = ["Info", "backtracking", "strong_wolfe"]


class Info(NamedTuple):
    """The end of one line search."""

    value: Float[Array, ""]  # φ(t), or φ(0) if no step was good enough
    slope: Float[Array, ""]  # φ'(t), of backtracking φ'(0); unit of f per unit of t
    num_evals: Int[Array, ""]  # of φ, with or without its slope
    status: Int[Array, ""]  # core.status.Status
    is_done: Bool[Array, ""]  # status is CONVERGED


class _State(NamedTuple):
    t: Float[Array, ""]  # to try next; once accepted, the step size
    first: bracket.Bracket  # at t = 0
    bracket: bracket.Bracket
    num_evals: Int[Array, ""]
    status: Int[Array, ""]


@partial(jax.jit, static_argnames=("max_evals",))
@checked
def backtracking(
    fn: Partial,
    x: Float[Array, " n"],
    direction: Float[Array, " n"],
    *,
    step_size: Scalar = 1.0,
    shrink: Scalar = 0.5,
    c1: Scalar = 1e-4,
    max_evals: int = 30,
) -> tuple[Float[Array, ""], Info]:
    """Shrink a step size until the function falls enough. O(1) values, and one slope.

    The step size has no derivative: it is what the search came by.

    Args:
        fn: ``Partial(f, *data)``: ``f(*data, x)`` is one number. Code static, data traced.
        x: Where the direction starts.
        direction: d, along which f falls.
        step_size: The first to try, > 0.
        shrink: What each step size is of the one before, in (0, 1).
        c1: The part of the fall that the slope promises, in (0, 1), that is enough.
        max_evals: Evaluations of f at most, with the one at x. Static.

    Returns:
        t, and Info: CONVERGED; or t = 0 and OUT_OF_STEPS, NOT_FINITE for a start without finite
        value and slope, or BAD_INPUT for a direction that does not go down or an option out of
        its domain.

    Raises:
        ValueError: ``max_evals`` < 2; ``fn`` does not return one number of the dtype of ``x``.

    Example:
        >>> def bowl(x):
        ...     return (x**2).sum()
        >>> t, info = backtracking(Partial(bowl), jnp.array([1.0]), jnp.array([-8.0]))
        >>> t, info.value, info.num_evals  # 1, 1/2 and 1/4 go too far
        (Array(0.125, dtype=float32), Array(0., dtype=float32), Array(5, dtype=int32))
    """
    objective.require_at_least("line_search.backtracking", 2, max_evals=max_evals)
    objective.require_number("line_search.backtracking", fn, x)
    given = implicit.stop((fn, x, direction))
    first_t, part, c = objective.numbers(x, step_size, shrink, c1)
    is_right = (first_t > 0) & (part > 0) & (part < 1) & (c > 0) & (c < 1)
    start = _start(given, first_t, is_right)

    def step(state: _State) -> tuple[_State, ending.Verdict]:
        fn, x, direction = given
        value = fn(x + state.t * direction)
        enough = state.first.low_value + c * state.t * state.first.low_slope
        is_good = jnp.isfinite(value) & (value <= enough)
        found = state.bracket._replace(low_value=value)
        return _next(state, is_good, found, state.t * part, max_evals)

    return _run(step, start, max_evals)


@partial(jax.jit, static_argnames=("max_evals",))
@checked
def strong_wolfe(
    fn: Partial,
    x: Float[Array, " n"],
    direction: Float[Array, " n"],
    *,
    step_size: Scalar = 1.0,
    c1: Scalar = 1e-4,
    c2: Scalar = 0.9,
    max_evals: int = 30,
) -> tuple[Float[Array, ""], Info]:
    """Find a step size that falls enough and levels out. O(1) values with their slopes.

    The step size has no derivative: it is what the search came by.

    Args:
        fn: ``Partial(f, *data)``: ``f(*data, x)`` is one number. Code static, data traced.
        x: Where the direction starts.
        direction: d, along which f falls.
        step_size: The first to try, > 0.
        c1: The part of the fall that the slope promises that is enough; 0 < c₁ < c₂.
        c2: The part of the slope that may remain, < 1.
        max_evals: Evaluations of f and its slope at most, with the one at x. Static.

    Returns:
        t, and Info: CONVERGED; or t = 0 and OUT_OF_STEPS (as for a function without lower bound),
        NOT_FINITE for a start without finite value and slope, or BAD_INPUT for a direction that
        does not go down or an option out of its domain.

    Raises:
        ValueError: ``max_evals`` < 2; ``fn`` does not return one number of the dtype of ``x``.

    Example:
        >>> def bowl(x):
        ...     return (x**2).sum()
        >>> t, info = strong_wolfe(Partial(bowl), jnp.array([1.0]), jnp.array([-8.0]))
        >>> t.round(4), info.num_evals
        (Array(0.125, dtype=float32), Array(3, dtype=int32))
    """
    objective.require_at_least("line_search.strong_wolfe", 2, max_evals=max_evals)
    objective.require_number("line_search.strong_wolfe", fn, x)
    given = implicit.stop((fn, x, direction))
    first_t, fall, left = objective.numbers(x, step_size, c1, c2)
    is_right = (first_t > 0) & (fall > 0) & (fall < left) & (left < 1)
    start = _start(given, first_t, is_right)

    def step(state: _State) -> tuple[_State, ending.Verdict]:
        first, t = state.first, state.t
        value, slope = _along(given, t)
        is_finite = jnp.isfinite(value) & jnp.isfinite(slope)
        is_low = is_finite & bracket.falls_enough(value, slope, first, t * first.low_slope, fall)
        is_good = is_low & (jnp.abs(slope) <= left * jnp.abs(first.low_slope))
        height = jnp.where(is_finite, value, jnp.inf)
        narrowed = bracket.narrow(state.bracket, t, height, slope, is_low)
        next_t = bracket.propose(narrowed, state.bracket, state.num_evals - 1)
        here = state.bracket._replace(low_value=value, low_slope=slope)
        found = jax.tree.map(partial(jnp.where, is_good), here, narrowed)
        return _next(state, is_good, found, next_t, max_evals)

    return _run(step, start, max_evals)


def _along(given: tuple[Partial, Array, Array], t: Array) -> tuple[Array, Array]:
    """Return φ(t) and φ'(t), by one tangent."""
    fn, x, direction = given
    return jax.jvp(fn, (x + t * direction,), (direction,))


def _start(given: tuple[Partial, Array, Array], t: Array, is_right: Array) -> _State:
    value, slope = _along(given, jnp.zeros_like(t))
    first = bracket.start(value, slope)
    status = jnp.where(is_right & (slope < 0), Status.RUNNING, Status.BAD_INPUT)
    is_finite = jnp.isfinite(value) & jnp.isfinite(slope)
    status = jnp.where(is_finite, status, Status.NOT_FINITE).astype(jnp.int32)
    return _State(t, first, first, jnp.ones((), jnp.int32), status)


def _next(
    state: _State, is_good: Array, found: bracket.Bracket, next_t: Array, max_evals: int
) -> tuple[_State, ending.Verdict]:
    num_evals = state.num_evals + 1
    endings = ((num_evals >= max_evals, Status.OUT_OF_STEPS), (is_good, Status.CONVERGED))
    status, verdict = ending.decide(state.status, endings)
    t = jnp.where(is_good, state.t, next_t)
    return _State(t, state.first, found, num_evals, status), verdict


def _run(step: loop.Step, start: _State, max_evals: int) -> tuple[Array, Info]:
    tried, _, _ = loop.until(step, start, max_steps=max_evals)
    is_bad = start.status != Status.RUNNING
    status = jnp.where(is_bad, start.status, tried.status)
    is_done = status == Status.CONVERGED
    return jnp.where(is_done, tried.t, 0), Info(
        value=jnp.where(is_done, tried.bracket.low_value, start.first.low_value),
        slope=jnp.where(is_done, tried.bracket.low_slope, start.first.low_slope),
        num_evals=jnp.where(is_bad, 1, tried.num_evals),
        status=status,
        is_done=is_done,
    )
