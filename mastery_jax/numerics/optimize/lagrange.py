"""Lagrange multipliers: minimize under equations, by Newton's method on the stationary point.

    minimize f(x)  with c(x) = 0:       L = f + λ·c,      A = ∂c/∂x
    H p + Aᵀ λ' = −∇f,    A p = −c            H = ∂²L/∂x²
    merit:  L(x, λ') + ρ |c|² / 2,  which falls along p once ρ is large enough

The singular vectors of A split p: one part meets the linearized constraints, the other moves within
them, where H is made positive by taking its eigenvalues at their absolute values, so that a saddle
or a maximum is left. λ_k is the rate at which the least f falls when c_k is required to be +ε
rather than 0:  ∂f*/∂ε = −λ_k.

Source: Nocedal & Wright (2006), *Numerical Optimization*, eq. 18.6 (the system), 16.18-16.19 (null
space), 17.36 (merit); Gill & Murray (1974), Math. Program. 7 (absolute eigenvalues).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int

from mastery_jax.core import loop
from mastery_jax.core.check import Scalar, checked
from mastery_jax.core.status import Status
from mastery_jax.numerics.optimize import ending, implicit, objective, report

__all__ = ["State", "minimize"]

C1 = 1e-4
MAX_TRIES = 40  # halvings of one step


class State(NamedTuple):
    """A point, and what its constraints cost."""

    x: Float[Array, " n"]
    multipliers: Float[Array, " k"]  # λ, unit of f per unit of c


class _Point(NamedTuple):
    x: Float[Array, " n"]
    value: Float[Array, ""]
    gradient: Float[Array, " n"]
    constraint: Float[Array, " k"]  # c


class _State(NamedTuple):
    point: _Point
    multipliers: Float[Array, " k"]  # λ'
    step: Float[Array, " n"]  # p
    slope: Float[Array, ""]  # of the merit along p
    penalty: Float[Array, ""]  # ρ
    steepest: Float[Array, ""]  # the largest slope of c so far: what its units are
    t: Float[Array, ""]  # of p, to try next
    num_steps: Int[Array, ""]
    num_evals: Int[Array, ""]
    status: Int[Array, ""]


class _Step(NamedTuple):
    step: Float[Array, " n"]
    multipliers: Float[Array, " k"]  # with which the step is one of Newton's
    residual: Float[Array, ""]
    has_full_rank: Array
    is_stuck: Array  # c cannot be lowered from here, to first order
    steepest: Float[Array, ""]


@partial(jax.jit, static_argnames=("max_steps",))
@checked
def minimize(
    fn: Partial,
    constraints: Partial,
    x: Float[Array, " n"],
    *,
    gtol: Scalar = 1e-6,
    max_steps: int = 100,
) -> tuple[State, report.Info]:
    """Minimize under equality constraints. O(n³) a step, and n gradients.

    Differentiable in both modes with respect to the data in ``fn`` and ``constraints``, by the
    implicit function theorem; the start has derivative zero.

    Args:
        fn: ``Partial(f, *data)``: ``f(*data, x)`` is the objective. Code static, data traced.
        constraints: ``Partial(c, *data)``: k ≤ n numbers that are to be 0.
        x: The start; it need not meet the constraints.
        gtol: Converged when no entry of ∂L/∂x nor of c is larger.
        max_steps: Steps at most. Static.

    Returns:
        The point with its multipliers, and Info, in which ``gradient_norm`` is the largest entry
        of ∂L/∂x: CONVERGED; OUT_OF_STEPS; INFEASIBLE where |c| is
        stationary and not 0; SINGULAR where
        the constraints are met but their gradients depend on one another, so that multipliers are
        not unique (the shortest are returned); STALLED where no shorter step lowers the merit;
        NOT_FINITE for a start without finite values and derivatives. A start that is stationary is
        returned, be it a maximum.

    Raises:
        ValueError: ``max_steps`` < 1; ``fn`` does not return one number, or ``constraints`` no
            vector of at most n.

    Example:
        >>> def cost(x):
        ...     return x[0] + x[1]
        >>> def circle(x):
        ...     return (x**2).sum(keepdims=True) - 2
        >>> state, info = minimize(Partial(cost), Partial(circle), jnp.array([0.5, 1.0]))
        >>> state.x.round(4), state.multipliers.round(4)
        (Array([-1., -1.], dtype=float32), Array([0.5], dtype=float32))
    """
    where = "lagrange.minimize"
    objective.require_at_least(where, 1, max_steps=max_steps)
    objective.require_number(where, fn, x)
    size = objective.require_vector(where, constraints, x)
    if size > len(x):
        raise ValueError(f"{where}: {size} constraints are more than the {len(x)} variables")
    search, still = implicit.stop(((fn, constraints), x))
    (tol,) = objective.numbers(x, gtol)
    state, _, _ = loop.until(
        partial(_step, given=search, gtol=tol, limit=max_steps),
        _start(still, size),
        max_steps=MAX_TRIES * (max_steps + 1),
    )
    both = jnp.append(state.point.x, state.multipliers)
    found = implicit.attach(Partial(_stationarity, fn, constraints, still), both)
    solution = State(found[: len(x)], found[len(x) :])
    return solution, ending.describe(
        fn,
        solution.x,
        value=state.point.value,
        gradient_norm=jnp.abs(_stationarity(search[0], search[1], still, both)[: len(x)]).max(),
        num_steps=state.num_steps,
        num_evals=state.num_evals,
        status=state.status,
    )


def _start(x: Array, size: int) -> _State:
    zero, count = jnp.zeros_like(x[0]), jnp.zeros((), jnp.int32)
    multipliers = jnp.zeros(size, x.dtype)
    return _State(
        point=_Point(x, zero, jnp.zeros_like(x), multipliers),
        multipliers=multipliers,
        step=jnp.zeros_like(x),
        slope=zero,
        penalty=zero,
        steepest=zero,
        t=zero,
        num_steps=count - 1,
        num_evals=count,
        status=count,
    )


def _step(
    state: _State, *, given: tuple[Partial, Partial], gtol: Array, limit: int
) -> tuple[_State, ending.Verdict]:
    """Evaluate the point that is next, judge it, and find the step from it."""
    fn, constraints = given
    x, is_first = state.point.x + state.t * state.step, state.num_evals == 0
    value, gradient = jax.value_and_grad(fn)(x)
    jacobian, constraint = objective.linearize(constraints, x)
    trial = _Point(x, value, gradient, constraint)
    every = jnp.append(jnp.append(gradient, constraint), jacobian.ravel())
    is_finite = jnp.isfinite(value) & jnp.isfinite(every).all()
    before = _merit(state.point, state.multipliers, state.penalty)
    noise = 10 * jnp.finfo(x.dtype).eps * jnp.maximum(jnp.abs(before), jnp.abs(value))
    enough = before + C1 * state.t * state.slope + noise
    is_in = is_first | (is_finite & (_merit(trial, state.multipliers, state.penalty) <= enough))
    new = _newton(trial, jacobian, given, gtol, state.steepest)
    penalty, slope = _penalty(trial, new, state.penalty)
    next_t = jnp.where(is_in, 1, state.t / 2)
    num_steps = state.num_steps + is_in.astype(jnp.int32)
    is_met = new.residual <= gtol
    is_short = next_t < 0.5 ** (MAX_TRIES - 1)
    far = jnp.abs(constraint).max() > gtol
    status, verdict = ending.decide(
        state.status,
        (
            (is_in & (num_steps >= limit), Status.OUT_OF_STEPS),
            (is_short, Status.STALLED),
            (is_in & far & new.is_stuck, Status.INFEASIBLE),
            (is_in & is_met, jnp.where(new.has_full_rank, Status.CONVERGED, Status.SINGULAR)),
            (is_first & ~is_finite, Status.NOT_FINITE),
        ),
    )
    there = _State(
        point=trial,
        multipliers=new.multipliers,
        step=new.step,
        slope=slope,
        penalty=penalty,
        steepest=new.steepest,
        t=next_t,
        num_steps=num_steps,
        num_evals=state.num_evals + 1,
        status=status,
    )
    here = state._replace(t=next_t, num_evals=state.num_evals + 1, status=status)
    return jax.tree.map(partial(jnp.where, is_in), there, here), verdict


def _merit(point: _Point, multipliers: Array, penalty: Array) -> Array:
    c = point.constraint
    return point.value + jnp.sum(multipliers * c) + penalty / 2 * jnp.sum(c * c)


def _penalty(point: _Point, new: _Step, penalty: Array) -> tuple[Array, Array]:
    """Return a ρ, no smaller than before, and the slope of its merit, which is below zero."""
    c = point.constraint
    square = jnp.sum(c * c)
    slope = jnp.sum(point.gradient * new.step) - jnp.sum(new.multipliers * c)
    wanted = jnp.where(square > 0, 2 * slope / jnp.where(square > 0, square, 1), 0)
    penalty = jnp.maximum(penalty, wanted)
    return penalty, slope - penalty * square


def _newton(
    point: _Point, A: Array, given: tuple[Partial, Partial], gtol: Array, steepest: Array
) -> _Step:
    """Find the step from a point, in the basis of the right singular vectors of A."""
    fn, constraints = given
    size, dim = A.shape
    finite = jnp.where(jnp.isfinite(A), A, 0)
    rounding = jnp.finfo(A.dtype).eps
    with jax.default_matmul_precision("highest"):
        U, singular, Vt = jnp.linalg.svd(finite, full_matrices=True)
        has = singular > dim * rounding * singular[0]
        reciprocal = jnp.where(has, 1 / jnp.where(has, singular, 1), 0)
        is_normal = jnp.append(has, jnp.zeros(dim - size, bool))
        pad = jnp.zeros(dim - size, A.dtype)
        # The multipliers that fit best here define H.
        fitted = U @ (reciprocal * -(Vt @ point.gradient)[:size])
        H = jax.hessian(lambda x: fn(x) + jnp.sum(fitted * constraints(x)))(point.x)
        H = Vt @ jnp.where(jnp.isfinite(H), H, 0) @ Vt.T
        normal = jnp.append(-reciprocal * (point.constraint @ U), pad)
        along = Vt @ point.gradient + H @ normal
        tangent = _within(H, jnp.where(is_normal, 0, -along), ~is_normal)
        p = normal + tangent
        total = Vt @ point.gradient + H @ p
        new = U @ (reciprocal * -total[:size])
        residual = jnp.abs(point.gradient + fitted @ finite).max()
        uphill = jnp.abs(point.constraint @ finite).max()
    off = jnp.abs(point.constraint).max()
    steepest = jnp.maximum(steepest, singular[0])
    is_stuck = uphill <= jnp.cbrt(rounding) * off * steepest
    is_near = jnp.maximum(residual, off) <= gtol
    new = jnp.where(is_near, fitted, new)
    return _Step(p @ Vt, new, jnp.maximum(residual, off), has.all(), is_stuck, steepest)


def _within(H: Array, target: Array, is_free: Array) -> Array:
    """Solve for the free coordinates, with the eigenvalues of their H at absolute values."""
    both = is_free[:, None] & is_free[None, :]
    eigenvalues, vectors = jnp.linalg.eigh(jnp.where(both, H, jnp.eye(len(H), dtype=H.dtype)))
    size = jnp.abs(eigenvalues)
    floor = jnp.sqrt(jnp.finfo(H.dtype).eps) * jnp.maximum(size.max(), 1)
    return jnp.where(is_free, vectors @ ((target @ vectors) / jnp.maximum(size, floor)), 0)


def _stationarity(fn: Partial, constraints: Partial, start: Array, both: Array) -> Array:
    """Return ∂L/∂x and c, of x (as long as the start) and λ in one vector: zero at a solution."""
    x, multipliers = both[: len(start)], both[len(start) :]
    c, pull = jax.vjp(constraints, x)
    return jnp.append(jax.grad(fn)(x) + pull(multipliers)[0], c)
