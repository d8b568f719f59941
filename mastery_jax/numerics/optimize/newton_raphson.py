"""Newton-Raphson: a root of n equations in n unknowns, with damped steps.

    J(x) p = −F(x),      x' = x + t p,      |F(x')|² ≤ (1 − 2 c₁ t) |F(x)|²

t is 1, and is halved until |F| falls; with it the method keeps its quadratic convergence near a
root, and far from one cannot run away. It can stop where |F| is least but not zero: STALLED.

Source: Dennis & Schnabel (1996), *Numerical Methods for Unconstrained Optimization and Nonlinear
Equations*, algorithms 5.1.1 and 6.5.1; Nocedal & Wright (2006), *Numerical Optimization*, eq.
11.36.
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
from mastery_jax.numerics.linalg.scale import equilibrate
from mastery_jax.numerics.optimize import ending, implicit, objective, report

__all__ = ["solve"]

C1 = 1e-4


class _State(NamedTuple):
    x: Float[Array, " n"]
    residual: Float[Array, " n"]  # F(x)
    step: Float[Array, " n"]  # p
    t: Float[Array, ""]  # of it, to try next
    num_steps: Int[Array, ""]
    num_evals: Int[Array, ""]
    status: Int[Array, ""]


@partial(jax.jit, static_argnames=("max_steps",))
@checked
def solve(
    fn: Partial,
    x: Float[Array, " n"],
    *,
    rtol: Scalar = 0.0,
    atol: Scalar = 1e-6,
    max_steps: int = 100,
) -> tuple[Float[Array, " n"], report.Info]:
    """Find a root. O(n³) a step, and n tangents of the equations.

    Differentiable in both modes with respect to the data in ``fn``, by the implicit function
    theorem; the start has derivative zero.

    Args:
        fn: ``Partial(F, *data)``: ``F(*data, x)`` are n equations. Code static, data traced.
        x: The start.
        rtol: Converged when no equation is off by more than this part of the worst at the start,
        atol: or by more than this. Unit of F.
        max_steps: Evaluations after the first, whether their steps are taken or not. Static.

    Returns:
        The point where the equations are best met, and Info, in which ``value`` is |F|² / 2 and
        ``gradient_norm`` the largest |F_i|: CONVERGED; OUT_OF_STEPS; SINGULAR where J has no
        inverse in the dtype; STALLED where no shorter step lowers |F|; DIVERGED where a step that
        is longer than the dtype can add to x did not lower it; NOT_FINITE for a start without
        finite F and J.

    Raises:
        ValueError: ``max_steps`` < 1; ``fn`` does not return n numbers of the dtype of ``x``.

    Example:
        >>> def circle_and_line(radius, x):
        ...     return jnp.stack([x[0] ** 2 + x[1] ** 2 - radius**2, x[0] - x[1]])
        >>> x, info = solve(Partial(circle_and_line, jnp.array(2.0)), jnp.array([1.0, 0.5]))
        >>> x.round(4), bool(info.is_done)
        (Array([1.4142, 1.4142], dtype=float32), True)
    """
    objective.require_at_least("newton_raphson.solve", 1, max_steps=max_steps)
    objective.require_vector("newton_raphson.solve", fn, x, len(x))
    search, still = implicit.stop((fn, x))
    relative, absolute = objective.numbers(x, rtol, atol)
    tol = jnp.maximum(absolute, relative * jnp.abs(search(still)).max())
    count, zeros = jnp.zeros((), jnp.int32), jnp.zeros_like(still)
    start = _State(still, zeros, zeros, jnp.zeros_like(tol), count - 1, count, count)
    state, _, _ = loop.until(
        partial(_step, fn=search, tol=tol, limit=max_steps), start, max_steps=max_steps + 1
    )
    found = implicit.attach(fn, state.x)
    return found, ending.describe(
        Partial(objective.half_square, fn),
        found,
        value=jnp.sum(state.residual**2) / 2,
        gradient_norm=jnp.abs(state.residual).max(),
        num_steps=state.num_steps,
        num_evals=state.num_evals,
        status=state.status,
    )


def _step(state: _State, *, fn: Partial, tol: Array, limit: int) -> tuple[_State, ending.Verdict]:
    trial, is_first = state.x + state.t * state.step, state.num_evals == 0
    jacobian, residual = objective.linearize(fn, trial)
    is_finite = jnp.isfinite(residual).all() & jnp.isfinite(jacobian).all()
    enough = (1 - 2 * C1 * state.t) * jnp.sum(state.residual**2)
    is_in = is_first | (is_finite & (jnp.sum(residual**2) <= enough))
    step, is_singular = _solve(jacobian, -residual)
    moved = jnp.abs(state.t * state.step).max()
    is_far = moved * jnp.finfo(step.dtype).eps > jnp.maximum(jnp.abs(state.x).max(), 1)
    next_t = jnp.where(is_in, 1, state.t / 2)
    num_steps, num_evals = state.num_steps + is_in.astype(jnp.int32), state.num_evals + 1
    status, verdict = ending.decide(
        state.status,
        (
            (num_evals > limit, Status.OUT_OF_STEPS),
            (next_t < jnp.finfo(step.dtype).eps, Status.STALLED),
            (~is_in & is_far, Status.DIVERGED),
            (is_in & is_singular, Status.SINGULAR),
            (is_in & (jnp.abs(residual).max() <= tol), Status.CONVERGED),
            (is_first & ~is_finite, Status.NOT_FINITE),
        ),
    )
    there = _State(
        x=trial,
        residual=residual,
        step=step,
        t=next_t,
        num_steps=num_steps,
        num_evals=num_evals,
        status=status,
    )
    here = state._replace(t=next_t, num_evals=num_evals, status=status)
    return jax.tree.map(partial(jnp.where, is_in), there, here), verdict


def _solve(matrix: Array, target: Array) -> tuple[Array, Array]:
    """Solve by LU factors; say whether their diagonal shows a matrix without inverse.

    Units of equations and variables are taken out first: they are no reason to call it that.
    """
    scaled, rows, columns = equilibrate(matrix)
    factors = jax.scipy.linalg.lu_factor(scaled)
    pivots = jnp.abs(jnp.diagonal(factors[0]))
    rounding = len(target) * jnp.finfo(target.dtype).eps * pivots.max()
    with jax.default_matmul_precision("highest"):
        step = jax.scipy.linalg.lu_solve(factors, target / rows[:, 0]) / columns[0]
    return step, ~(pivots.min() > rounding)
