"""Newton's method in a trust region: minimize with exact second derivatives.

    minimize  ∇f·p + p·H p / 2  with |p| ≤ Δ
    ratio = (f(x) − f(x + p)) / (the fall that the model promises)

The model is minimized exactly in the eigenbasis of H, so that negative curvature is gone down, and
left at a saddle point too, where the gradient is zero. Δ halves or quarters where the model is
poor and doubles where it is good and in the way.

Source: Nocedal & Wright (2006), *Numerical Optimization*, algorithm 4.1 and section 4.3; Conn,
Gould & Toint (2000), *Trust-Region Methods*, algorithm 6.1.1 and section 17.4.2 (rounding in the
ratio).
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
from mastery_jax.numerics.optimize import ending, implicit, objective, report, trust_region

__all__ = ["minimize"]

POOR, GOOD = 0.25, 0.75  # ratios at which the region changes
LEAST = 1e-4  # and below which the step is not taken


class _State(NamedTuple):
    x: Float[Array, " n"]
    value: Float[Array, ""]
    gradient: Float[Array, " n"]
    hessian: Float[Array, "n n"]
    step: Float[Array, " n"]  # to try next
    promised: Float[Array, ""]  # fall of the value by the model
    radius: Float[Array, ""]
    num_steps: Int[Array, ""]
    num_evals: Int[Array, ""]
    status: Int[Array, ""]


@partial(jax.jit, static_argnames=("max_steps",))
@checked
def minimize(
    fn: Partial,
    x: Float[Array, " n"],
    *,
    radius: Scalar = 1.0,
    gtol: Scalar = 1e-5,
    max_steps: int = 100,
) -> tuple[Float[Array, " n"], report.Info]:
    """Minimize a twice differentiable function. O(n³) a step, and n gradients.

    Differentiable in both modes with respect to the data in ``fn``, by the implicit function
    theorem; the start has derivative zero.

    Args:
        fn: ``Partial(f, *data)``: ``f(*data, x)`` is the objective. Code static, data traced.
        x: The start.
        radius: Δ at first, > 0; unit of x.
        gtol: Converged when no entry of the gradient is larger and no curvature is negative beyond
            rounding. Unit of f per unit of x.
        max_steps: Evaluations after the first, whether their steps are taken or not. Static.

    Returns:
        The best point, and Info: CONVERGED; OUT_OF_STEPS; STALLED when the region has shrunk to
        the rounding of x; NOT_FINITE for a start without finite value and derivatives; UNBOUNDED
        for a value of −∞; BAD_INPUT for a radius that is not positive.

    Raises:
        ValueError: ``max_steps`` < 1; ``fn`` does not return one number of the dtype of ``x``.

    Example:
        >>> def saddle(x):
        ...     return x[0] ** 2 - x[1] ** 2 + x[1] ** 4 / 2
        >>> x, info = minimize(Partial(saddle), jnp.zeros(2))  # the gradient is zero here
        >>> jnp.abs(x).round(3), bool(info.is_done)
        (Array([0., 1.], dtype=float32), True)
    """
    objective.require_at_least("newton.minimize", 1, max_steps=max_steps)
    objective.require_number("newton.minimize", fn, x)
    search = implicit.stop(fn)
    first_radius, tol = objective.numbers(x, radius, gtol)
    count, zeros = jnp.zeros((), jnp.int32), jnp.zeros_like(x)
    start = _State(
        x=implicit.stop(x),
        value=jnp.zeros_like(tol),
        gradient=zeros,
        hessian=jnp.zeros((len(x), len(x)), x.dtype),
        step=zeros,
        promised=jnp.zeros_like(tol),
        radius=first_radius,
        num_steps=count - 1,
        num_evals=count,
        status=jnp.where(first_radius > 0, Status.RUNNING, Status.BAD_INPUT).astype(jnp.int32),
    )
    state, _, _ = loop.until(
        partial(_step, fn=search, gtol=tol, limit=max_steps), start, max_steps=max_steps + 1
    )
    found = implicit.attach(Partial(objective.gradient, fn), state.x)
    return found, ending.describe(
        fn,
        found,
        value=state.value,
        gradient_norm=jnp.abs(state.gradient).max(),
        num_steps=state.num_steps,
        num_evals=state.num_evals,
        status=state.status,
    )


def _step(state: _State, *, fn: Partial, gtol: Array, limit: int) -> tuple[_State, ending.Verdict]:
    """Evaluate the point that is next, judge it, and choose the one after it."""
    trial, is_first = state.x + state.step, state.num_evals == 0
    (value, gradient), hessian = jax.value_and_grad(fn)(trial), jax.hessian(fn)(trial)
    is_finite = jnp.isfinite(value) & jnp.isfinite(gradient).all() & jnp.isfinite(hessian).all()
    # Near a minimum the fall drowns in rounding: what both differences share is added to each.
    noise = 10 * jnp.finfo(value.dtype).eps * jnp.maximum(jnp.abs(value), jnp.abs(state.value))
    ratio = (state.value - value + noise) / (state.promised + noise)
    ratio = jnp.where(is_finite, ratio, -jnp.inf)
    is_in = (is_finite & (ratio >= LEAST)) | is_first
    new = (trial, value, gradient, hessian)
    x, value_in, gradient, hessian = (
        jnp.where(is_in, a, b) for a, b in zip(new, state[:4], strict=True)
    )
    length = jnp.sqrt(jnp.sum(state.step**2))
    radius = jnp.where(ratio < POOR, length / 4, state.radius)
    radius = jnp.where((ratio > GOOD) & (length > 0.99 * state.radius), 2 * state.radius, radius)
    radius = jnp.where(is_first, state.radius, radius)
    with jax.default_matmul_precision("highest"):
        eigenvalues, vectors = jnp.linalg.eigh(jnp.where(jnp.isfinite(hessian), hessian, 0))
        along = gradient @ vectors
        z, _ = trust_region.solve(eigenvalues, along, radius)
        step = vectors @ z
    promised = -jnp.sum(along * z + eigenvalues * z * z / 2)
    rounding = jnp.sqrt(jnp.finfo(x.dtype).eps) * jnp.abs(eigenvalues).max()
    is_least = (jnp.abs(gradient).max() <= gtol) & (eigenvalues.min() >= -rounding)
    is_tiny = radius <= jnp.finfo(x.dtype).eps * jnp.maximum(jnp.abs(x).max(), 1e-30)
    num_evals = state.num_evals + 1
    status, verdict = ending.decide(
        state.status,
        (
            (num_evals > limit, Status.OUT_OF_STEPS),
            (~is_in & is_tiny, Status.STALLED),
            (is_in & is_least, Status.CONVERGED),
            (is_first & ~is_finite, Status.NOT_FINITE),
            (value == -jnp.inf, Status.UNBOUNDED),
        ),
    )
    num_steps = state.num_steps + is_in.astype(jnp.int32)
    state = _State(
        x, value_in, gradient, hessian, step, promised, radius, num_steps, num_evals, status
    )
    return state, verdict
