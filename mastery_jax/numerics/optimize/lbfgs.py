"""L-BFGS: minimize with a few remembered steps in place of the Hessian; bounds if wanted.

    d = −H ∇f(x),    H from the last m pairs  s = x' − x,  y = ∇f(x') − ∇f(x)  (two-loop recursion)
    x' = clip(x + t d, l, u),    t: a step size that meets the Wolfe conditions along this path

Variables that sit on a bound with the gradient pushing outward are held; H acts on the others, with
the pairs cut down to them (Bertsekas' two-metric projection). One evaluation of f and ∇f is one
turn of the one loop, whether it tries a step size or starts the next direction: under ``vmap`` no
lane waits for another's line search, and a lane that is done is left as it is.

Source: Nocedal & Wright (2006), *Numerical Optimization*, algorithms 7.4 and 7.5; Lewis & Overton
(2013), Math. Program. 141, section 3 (weak Wolfe, right for the kinks that bounds make); Bertsekas
(1982), SIAM J. Control Optim. 20(2), eq. 32-38.
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
from mastery_jax.numerics.optimize import box, bracket, ending, implicit, objective, report

__all__ = ["minimize"]

MAX_TRIES = 30  # of one line search; 25 halvings are beyond what float32 can tell apart
C1, C2 = 1e-4, 0.9


class _State(NamedTuple):
    x: Float[Array, " n"]
    value: Float[Array, ""]
    gradient: Float[Array, " n"]
    direction: Float[Array, " n"]
    t: Float[Array, ""]  # the step size to try next
    first: bracket.Bracket  # of this line search, at t = 0
    bracket: bracket.Bracket
    S: Float[Array, "m n"]  # steps, oldest first; 0 where there is none
    Y: Float[Array, "m n"]  # changes of the gradient
    num_tries: Int[Array, ""]  # in this line search
    num_steps: Int[Array, ""]
    num_evals: Int[Array, ""]
    status: Int[Array, ""]


class _Trial(NamedTuple):
    x: Float[Array, " n"]
    value: Float[Array, ""]
    gradient: Float[Array, " n"]
    is_accepted: Bool[Array, ""]
    bracket: bracket.Bracket  # if it is not


@partial(jax.jit, static_argnames=("max_steps", "memory"))
@checked
def minimize(
    fn: Partial,
    x: Float[Array, " n"],
    *,
    lower: Float[Array, " n"] | None = None,
    upper: Float[Array, " n"] | None = None,
    gtol: Scalar = 1e-5,
    ftol: Scalar = 0.0,
    max_steps: int = 100,
    memory: int = 10,
) -> tuple[Float[Array, " n"], report.Info]:
    """Minimize a smooth function, in a box if bounds are given. O(m n) a step, and f with ∇f.

    Differentiable in both modes with respect to the data in ``fn`` and to the bounds, by the
    implicit function theorem; the start has derivative zero. Many problems at once on a CPU:
    ``jax.lax.map`` lets each stop when it is done; under ``vmap`` all cost what the slowest does.

    Args:
        fn: ``Partial(f, *data)``: ``f(*data, x)`` is the objective. Code static, data traced.
        x: The start. If it is out of bounds, the search begins at the nearest point within.
        lower: Lower bounds, −∞ where there is none. ``None``: no variable has one.
        upper: Upper bounds.
        gtol: Converged when no entry of the gradient is larger; with bounds, of
            x − clip(x − ∇f, l, u). Unit of f per unit of x.
        ftol: Converged also when a step lowers f by no more than this part of max(|f|, 1).
        max_steps: Steps at most, each of one evaluation or a few. Static.
        memory: m, pairs remembered. Static.

    Returns:
        The best point, and Info: CONVERGED; OUT_OF_STEPS; STALLED where the gradient is no longer
        good enough to find a lower point; NOT_FINITE for a start (or every point near the best
        one) without finite value and gradient; UNBOUNDED for a value of −∞; BAD_INPUT for bounds
        that cross.

    Raises:
        ValueError: ``max_steps`` < 1; ``fn`` does not return one number of the dtype of ``x``;
            ``memory`` < 1.

    Example:
        >>> def bowl(center, x):
        ...     return ((x - center) ** 2).sum()
        >>> fn = Partial(bowl, jnp.array([1.0, -2.0]))
        >>> minimize(fn, jnp.zeros(2), lower=jnp.array([-1.0, -1.0]))[0]
        Array([ 1., -1.], dtype=float32)
    """
    if memory < 1:
        raise ValueError(f"lbfgs.minimize: memory is {memory}, not at least 1")
    objective.require_at_least("lbfgs.minimize", 1, max_steps=max_steps)
    objective.require_number("lbfgs.minimize", fn, x)
    bounds = box.make(lower, upper, x)
    search, still = implicit.stop((fn, bounds))
    tols = objective.numbers(x, gtol, ftol)
    state, _, _ = loop.until(
        partial(_step, fn=search, bounds=still, tols=tols, limit=max_steps),
        _start(implicit.stop(x), still, memory),
        max_steps=MAX_TRIES * (max_steps + 1),
    )
    found = implicit.attach(Partial(box.stationarity, fn, bounds), state.x)
    return found, ending.describe(
        fn,
        found,
        value=state.value,
        gradient_norm=jnp.abs(box.projected(state.x, state.gradient, still)).max(),
        num_steps=state.num_steps,
        num_evals=state.num_evals,
        status=state.status,
    )


def _start(x: Array, bounds: box.Bounds | None, memory: int) -> _State:
    """Return a state whose first trial is the start itself, so that f is compiled once."""
    zero, count = jnp.zeros_like(x[0]), jnp.zeros((), jnp.int32)
    first = bracket.start(zero, zero)
    bad = jnp.array(False) if bounds is None else (bounds.lower > bounds.upper).any()
    pairs = jnp.zeros((memory, len(x)), x.dtype)
    return _State(
        x=box.clip(x, bounds),
        value=zero,
        gradient=jnp.zeros_like(x),
        direction=jnp.zeros_like(x),
        t=zero,
        first=first,
        bracket=first,
        S=pairs,
        Y=pairs,
        num_tries=count,
        num_steps=count - 1,
        num_evals=count,
        status=jnp.where(bad, Status.BAD_INPUT, Status.RUNNING).astype(jnp.int32),
    )


def _step(
    state: _State, *, fn: Partial, bounds: box.Bounds | None, tols: list[Array], limit: int
) -> tuple[_State, ending.Verdict]:
    trial, (gtol, ftol) = _try(state, fn, bounds), tols
    is_in, is_first = trial.is_accepted, state.num_evals == 0
    x, value, gradient = (
        jnp.where(is_in, new, old) for new, old in zip(trial[:3], state[:3], strict=True)
    )
    is_still = (trial.x == state.x).all()
    is_lost = ~is_in & (is_still | (state.num_tries + 1 >= MAX_TRIES))
    S, Y = _remember(state, trial)
    S, Y = jnp.where(is_lost, 0, S), jnp.where(is_lost, 0, Y)
    direction, slope, t = _direction(x, gradient, S, Y, bounds)
    again, first = is_in | is_lost, bracket.start(value, slope)
    num_tries = jnp.where(again, 0, state.num_tries + 1)
    next_t = bracket.propose(trial.bracket, state.bracket, num_tries)
    # The last try of a search is the best step that fell enough, if there is one.
    is_last = (num_tries == MAX_TRIES - 1) & (trial.bracket.low > 0)
    next_t = jnp.where(is_last, trial.bracket.low, next_t)

    num_steps = state.num_steps + is_in.astype(jnp.int32)
    small = ftol * jnp.maximum(jnp.maximum(jnp.abs(value), jnp.abs(state.value)), 1)
    is_flat = (ftol > 0) & ~is_first & (state.value - value <= small)
    is_small = jnp.abs(box.projected(x, gradient, bounds)).max() <= gtol
    is_stuck = is_lost & (jnp.abs(state.S[-2:][0]).max() == 0)  # it was lost a step ago, too
    is_finite = jnp.isfinite(trial.value) & jnp.isfinite(trial.gradient).all()
    endings = (
        (is_in & (num_steps >= limit), Status.OUT_OF_STEPS),
        (is_stuck, jnp.where(is_finite, Status.STALLED, Status.NOT_FINITE)),
        (is_in & (is_small | is_flat), Status.CONVERGED),
        (is_first & ~is_finite, Status.NOT_FINITE),
        (trial.value == -jnp.inf, Status.UNBOUNDED),
    )
    status, verdict = ending.decide(state.status, endings)
    state = _State(
        x=x,
        value=value,
        gradient=gradient,
        direction=jnp.where(again, direction, state.direction),
        t=jnp.where(again, t, next_t),
        first=_pick(again, first, state.first),
        bracket=_pick(again, first, trial.bracket),
        S=S,
        Y=Y,
        num_tries=num_tries,
        num_steps=num_steps,
        num_evals=state.num_evals + 1,
        status=status,
    )
    return state, verdict


def _try(state: _State, fn: Partial, bounds: box.Bounds | None) -> _Trial:
    """Evaluate the point that is next, and say whether it is good enough to go on from."""
    goal = state.x + state.t * state.direction
    x = box.clip(goal, bounds)
    value, gradient = jax.value_and_grad(fn)(x)
    slope = jnp.sum(gradient * jnp.where(goal == x, state.direction, 0))
    expected = jnp.sum(state.gradient * (x - state.x))
    is_finite = jnp.isfinite(value) & jnp.isfinite(gradient).all()
    is_moved = (x != state.x).any()
    is_low = is_finite & is_moved & bracket.falls_enough(value, slope, state.first, expected, C1)
    is_last = state.num_tries == MAX_TRIES - 1
    is_good = is_low & ((slope >= C2 * state.first.low_slope) | is_last)
    is_free = (state.num_evals == 0) | (value == -jnp.inf)
    value_in_bracket = jnp.where(is_finite, value, jnp.inf)
    narrowed = bracket.narrow(state.bracket, state.t, value_in_bracket, slope, is_low)
    return _Trial(x, value, gradient, is_good | is_free, narrowed)


def _remember(state: _State, trial: _Trial) -> tuple[Array, Array]:
    """Return the pairs with the newest one, if its curvature can be told from rounding."""
    s, y = trial.x - state.x, trial.gradient - state.gradient
    sy, yy = jnp.sum(s * y), jnp.sum(y * y)
    is_kept = trial.is_accepted & (state.num_evals > 0)
    is_kept &= sy > jnp.finfo(s.dtype).eps * yy

    def push(old: Array, new: Array) -> Array:
        return jnp.where(is_kept, jnp.concatenate([old[1:], new[None, :]]), old)

    return push(state.S, s), push(state.Y, y)


def _direction(
    x: Array, gradient: Array, S: Array, Y: Array, bounds: box.Bounds | None
) -> tuple[Array, Array, Array]:
    """Return the direction, the slope along it, and the step size to try first."""
    is_held, to_bound = box.held(x, gradient, bounds)
    free = jnp.where(is_held, 0, gradient)
    direction, has_pairs = _two_loop(free, jnp.where(is_held, 0, S), jnp.where(is_held, 0, Y))
    slope = jnp.sum(direction * free)
    is_downhill = slope < 0  # false for NaN
    direction = jnp.where(is_held, to_bound, jnp.where(is_downhill, direction, -free))
    slope = jnp.sum(direction * gradient)
    length = jnp.sqrt(jnp.sum(free * free))
    short = jnp.minimum(1, 1 / jnp.where(length > 0, length, 1))
    return direction, slope, jnp.where(has_pairs & is_downhill, 1, short)


def _two_loop(gradient: Array, S: Array, Y: Array) -> tuple[Array, Array]:
    """Return −H ∇f, and whether there is a pair for H to come from.

    The loops stay rolled: written out, ten pairs take four times as long to compile, and to run.
    """
    sy, yy = jnp.sum(S * Y, axis=1), jnp.sum(Y * Y, axis=1)
    is_pair = sy > jnp.finfo(S.dtype).eps * yy
    rho = jnp.where(is_pair, 1 / jnp.where(is_pair, sy, 1), 0)

    def at(i: Array) -> list[Array]:  # read in place: the pairs of many lanes are not turned over
        return [jax.lax.dynamic_index_in_dim(leaf, i, keepdims=False) for leaf in (S, Y, rho)]

    def backward(q: Array, i: Array) -> tuple[Array, Array]:
        s, y, rho = at(i)
        alpha = rho * jnp.sum(s * q)
        return q - alpha * y, alpha

    def forward(r: Array, given: tuple[Array, Array]) -> tuple[Array, None]:
        i, alpha = given
        s, y, rho = at(i)
        return r + (alpha - rho * jnp.sum(y * r)) * s, None

    places = jnp.arange(len(S))
    q, alphas = loop.scan(backward, gradient, places[::-1])
    newest = jnp.argmax(jnp.where(is_pair, places, -1))
    scale = jnp.where(is_pair.any(), (sy / jnp.where(is_pair, yy, 1))[newest], 1)
    r, _ = loop.scan(forward, scale * q, (places, alphas[::-1]))
    return -r, is_pair.any()


def _pick(where: Array, new: bracket.Bracket, old: bracket.Bracket) -> bracket.Bracket:
    return jax.tree.map(partial(jnp.where, where), new, old)
