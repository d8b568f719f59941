"""Gauss-Newton: least squares of nonlinear residuals that are nearly linear or nearly zero.

    minimize |r + J p|,      x' = x + t p,      |r(x')|² ≤ |r|² + 2 c₁ t rᵀJ p

by the QR factors of J with its columns scaled to length 1: JᵀJ is never formed. t is 1 and is
halved until |r| falls. Where J is near to losing rank, steps are long and much halved:
``levenberg_marquardt`` is then the better method, and the one to begin with.

Source: Björck (1996), *Numerical Methods for Least Squares Problems*, section 9.2.1 (damped
Gauss-Newton); Nocedal & Wright (2006), *Numerical Optimization*, section 10.3.
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

__all__ = ["minimize"]

C1 = 1e-4


class _State(NamedTuple):
    x: Float[Array, " n"]
    residual: Float[Array, " m"]
    slopes: Float[Array, " n"]  # Jᵀr
    step: Float[Array, " n"]  # p
    t: Float[Array, ""]  # of it, to try next
    num_steps: Int[Array, ""]
    num_evals: Int[Array, ""]
    status: Int[Array, ""]


@partial(jax.jit, static_argnames=("max_steps",))
@checked
def minimize(
    residuals: Partial,
    x: Float[Array, " n"],
    *,
    gtol: Scalar = 1e-5,
    xtol: Scalar | None = None,
    max_steps: int = 100,
) -> tuple[Float[Array, " n"], report.Info]:
    """Fit by least squares. O(m n²) a step, and n tangents of the residuals.

    Differentiable in both modes with respect to the data in ``residuals``, by the implicit
    function theorem; the start has derivative zero.

    Args:
        residuals: ``Partial(r, *data)``: ``r(*data, x)`` are m ≥ n residuals. Code static, data
            traced.
        x: The start.
        gtol: Converged when no entry of Jᵀr is larger. Unit of r² per unit of x.
        xtol: Converged also when no parameter is to move by more than this part of itself.
            ``None``: 4 units in the last place.
        max_steps: Evaluations after the first, whether their steps are taken or not. Static.

    Returns:
        The best point, and Info, in which ``value`` is |r|² / 2: CONVERGED; OUT_OF_STEPS; SINGULAR
        where J has lost rank in the dtype; STALLED where no shorter step lowers |r|; NOT_FINITE
        for a start without finite residuals and derivatives.

    Raises:
        ValueError: ``max_steps`` < 1; ``residuals`` does not return a vector, or fewer residuals
            than parameters.

    Example:
        >>> def circle(points, x):
        ...     return jnp.hypot(points[:, 0] - x[0], points[:, 1] - x[1]) - x[2]
        >>> points = jnp.array([[3.0, 1.0], [1.0, 3.0], [-1.0, 1.0], [1.0, -1.0]])
        >>> x, info = minimize(Partial(circle, points), jnp.array([0.5, 0.0, 1.0]))
        >>> x.round(3), bool(info.is_done)
        (Array([1., 1., 2.], dtype=float32), True)
    """
    objective.require_at_least("gauss_newton.minimize", 1, max_steps=max_steps)
    size = objective.require_vector("gauss_newton.minimize", residuals, x)
    if size < len(x):
        raise ValueError(
            f"gauss_newton.minimize: {size} residuals are fewer than the {len(x)} parameters"
        )
    search, still = implicit.stop((residuals, x))
    tols = objective.numbers(x, gtol, 4 * float(jnp.finfo(x.dtype).eps) if xtol is None else xtol)
    count, zeros = jnp.zeros((), jnp.int32), jnp.zeros_like(still)
    residual = jnp.zeros(size, x.dtype)
    start = _State(still, residual, zeros, zeros, zeros[0], count - 1, count, count)
    state, _, _ = loop.until(
        partial(_step, fn=search, tols=tols, limit=max_steps),
        start,
        max_steps=max_steps + 1,
    )
    cost = Partial(objective.half_square, residuals)
    found = implicit.attach(Partial(objective.gradient, cost), state.x)
    return found, ending.describe(
        cost,
        found,
        value=jnp.sum(state.residual**2) / 2,
        gradient_norm=jnp.abs(state.slopes).max(),
        num_steps=state.num_steps,
        num_evals=state.num_evals,
        status=state.status,
    )


def _step(
    state: _State, *, fn: Partial, tols: list[Array], limit: int
) -> tuple[_State, ending.Verdict]:
    (gtol, xtol), is_first = tols, state.num_evals == 0
    trial = state.x + state.t * state.step
    jacobian, residual = objective.linearize(fn, trial)
    is_finite = jnp.isfinite(residual).all() & jnp.isfinite(jacobian).all()
    slope = jnp.sum(state.slopes * state.step)
    before = jnp.sum(state.residual**2)
    noise = 10 * jnp.finfo(trial.dtype).eps * before
    enough = before + 2 * C1 * state.t * slope + noise
    is_in = is_first | (is_finite & (jnp.sum(residual**2) <= enough))
    slopes = jnp.sum(jacobian * residual[:, None], axis=0)
    step, is_singular = _solve(jacobian, -residual)
    is_short = (jnp.abs(step) <= xtol * jnp.abs(trial)).all()
    next_t = jnp.where(is_in, 1, state.t / 2)
    num_steps, num_evals = state.num_steps + is_in.astype(jnp.int32), state.num_evals + 1
    status, verdict = ending.decide(
        state.status,
        (
            (num_evals > limit, Status.OUT_OF_STEPS),
            (next_t < jnp.finfo(step.dtype).eps, Status.STALLED),
            (is_in & is_singular, Status.SINGULAR),
            (is_in & ((jnp.abs(slopes).max() <= gtol) | is_short), Status.CONVERGED),
            (is_first & ~is_finite, Status.NOT_FINITE),
        ),
    )
    there = _State(
        x=trial,
        residual=residual,
        slopes=slopes,
        step=step,
        t=next_t,
        num_steps=num_steps,
        num_evals=num_evals,
        status=status,
    )
    here = state._replace(t=next_t, num_evals=num_evals, status=status)
    return jax.tree.map(partial(jnp.where, is_in), there, here), verdict


def _solve(jacobian: Array, target: Array) -> tuple[Array, Array]:
    """Solve by QR factors; say whether their singular values show that rank is lost."""
    norms = jnp.sqrt(jnp.sum(jacobian**2, axis=0))
    norms = jnp.where(norms == 0, 1, norms)
    with jax.default_matmul_precision("highest"):
        Q, R = jnp.linalg.qr(jacobian / norms[None, :])
        step = jax.scipy.linalg.solve_triangular(R, target @ Q) / norms
    # Rounding adds up like a random walk over the rows, not in proportion to their number.
    rounding = len(R) * len(target) ** 0.5 * jnp.finfo(target.dtype).eps
    return step, ~(jnp.linalg.svd(R, compute_uv=False).min() > rounding)
