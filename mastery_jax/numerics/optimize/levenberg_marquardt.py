"""Levenberg-Marquardt: least squares of nonlinear residuals, in a scaled trust region.

    minimize  |r(x)|² / 2:      minimize |r + J p|  with |D p| ≤ Δ,      D_j = largest |J_j| so far
    p = −(JᵀJ + λ D²)⁻¹ Jᵀ r,   from the singular values of J D⁻¹: JᵀJ is never formed
    ratio = (|r|² − |r(x + p)|²) / (|r|² − |r + J p|²)

D makes the method blind to the units of the parameters, which in published problems differ by a
factor of 1e9. At the minimum the parameters have the covariance s² (JᵀJ)⁻¹, s² = |r|² / (m − n).

Source: Moré (1978), *The Levenberg-Marquardt algorithm: implementation and theory*, algorithm 7.1
and sections 4-6; covariance: Seber & Wild (2003), *Nonlinear Regression*, eq. 2.16.
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
from mastery_jax.numerics.linalg.scale import power_of_two
from mastery_jax.numerics.optimize import ending, implicit, objective, report, trust_region

__all__ = ["covariance", "minimize"]

POOR, GOOD = 0.25, 0.75  # ratios at which the region changes
LEAST = 1e-4  # and below which the step is not taken


class _State(NamedTuple):
    x: Float[Array, " n"]
    residual: Float[Array, " m"]
    jacobian: Float[Array, "m n"]
    scale: Float[Array, " n"]  # D
    step: Float[Array, " n"]  # p, to try next
    promised: Float[Array, ""]  # fall of |r|² by the model
    radius: Float[Array, ""]  # Δ
    unit: Float[Array, ""]  # a power of two near the first r: squares of r/unit are all finite
    num_steps: Int[Array, ""]
    num_evals: Int[Array, ""]
    status: Int[Array, ""]


@partial(jax.jit, static_argnames=("max_steps",))
@checked
def minimize(
    residuals: Partial,
    x: Float[Array, " n"],
    *,
    factor: Scalar = 1.0,
    ftol: Scalar | None = None,
    xtol: Scalar | None = None,
    gtol: Scalar | None = None,
    max_steps: int = 200,
) -> tuple[Float[Array, " n"], report.Info]:
    """Fit by least squares. O(m n²) a step, and n tangents of the residuals.

    Differentiable in both modes with respect to the data in ``residuals``, by the implicit
    function theorem; the start has derivative zero.

    Args:
        residuals: ``Partial(r, *data)``: ``r(*data, x)`` are m ≥ n residuals. Code static, data
            traced.
        x: The start.
        factor: The first Δ is this times |D x|; a longer first step may land where r is flat.
        ftol: Converged when a good step lowers |r|², and was to lower it, by this part at most.
        xtol: Converged when Δ is at most this part of |D x|.
        gtol: Converged when no column of J makes an angle with r whose cosine is larger. ``None``,
            for each of the three: 4 units in the last place, and what remains is rounding.
        max_steps: Evaluations after the first, whether their steps are taken or not. Static.

    Returns:
        The best point, and Info, in which ``value`` is |r|² / 2: CONVERGED; OUT_OF_STEPS; STALLED
        where Δ has shrunk to the rounding of x; NOT_FINITE for a start without finite residuals
        and derivatives; BAD_INPUT for a factor that is not positive.

    Raises:
        ValueError: ``max_steps`` < 1; ``residuals`` does not return a vector, or fewer residuals
            than parameters.

    Example:
        >>> def decay(t, y, x):
        ...     return x[0] * jnp.exp(-x[1] * t) - y
        >>> t = jnp.array([0.0, 1.0, 2.0, 3.0])
        >>> x, info = minimize(Partial(decay, t, 2 * jnp.exp(-0.5 * t)), jnp.array([1.0, 1.0]))
        >>> x.round(3), bool(info.is_done)
        (Array([2. , 0.5], dtype=float32), True)
    """
    objective.require_at_least("levenberg_marquardt.minimize", 1, max_steps=max_steps)
    num_residuals = objective.require_vector("levenberg_marquardt.minimize", residuals, x)
    if num_residuals < len(x):
        raise ValueError(
            f"levenberg_marquardt.minimize: {num_residuals} residuals are fewer than the {len(x)} "
            "parameters"
        )
    rounding = 4 * float(jnp.finfo(x.dtype).eps)
    tols = (rounding if tol is None else tol for tol in (ftol, xtol, gtol))
    far, *tols = objective.numbers(x, factor, *tols)
    search, still = implicit.stop((residuals, x))
    count, zeros = jnp.zeros((), jnp.int32), jnp.zeros_like(x)
    start = _State(
        x=still,
        residual=jnp.zeros(num_residuals, x.dtype),
        jacobian=jnp.zeros((num_residuals, len(x)), x.dtype),
        scale=zeros,
        step=zeros,
        promised=jnp.zeros_like(far),
        radius=far,
        unit=jnp.ones_like(far),
        num_steps=count - 1,
        num_evals=count,
        status=jnp.where(far > 0, Status.RUNNING, Status.BAD_INPUT).astype(jnp.int32),
    )
    state, _, _ = loop.until(
        partial(_step, fn=search, tols=tols, limit=max_steps), start, max_steps=max_steps + 1
    )
    cost = Partial(objective.half_square, residuals)
    found = implicit.attach(Partial(objective.gradient, cost), state.x)
    slope = jnp.sum(state.jacobian * state.residual[:, None], axis=0)
    return found, ending.describe(
        cost,
        found,
        value=state.unit * (state.unit * jnp.sum(state.residual**2)) / 2,
        gradient_norm=state.unit * (state.unit * jnp.abs(slope).max()),
        num_steps=state.num_steps,
        num_evals=state.num_evals,
        status=state.status,
    )


@jax.jit
@checked
def covariance(residuals: Partial, x: Float[Array, " n"]) -> Float[Array, "n n"]:
    """Return the covariance of fitted parameters, for residuals of one unknown scale. O(m n²).

    Args:
        residuals: As given to :func:`minimize`, with m > n.
        x: The fit. The roots of the diagonal are its standard errors.

    Returns:
        s² (JᵀJ)⁻¹; infinite or NaN where J has lost rank.

    Raises:
        ValueError: ``residuals`` does not return a vector of more than n.
    """
    size = objective.require_vector("levenberg_marquardt.covariance", residuals, x)
    if size <= len(x):
        raise ValueError(
            f"levenberg_marquardt.covariance: {size} residuals leave nothing to estimate their "
            f"scale by, beside {len(x)} parameters"
        )
    jacobian, residual = objective.linearize(residuals, x)
    unit = power_of_two(jnp.abs(residual).max())
    jacobian, residual = jacobian / unit, residual / unit
    scale = _norms(jacobian)
    with jax.default_matmul_precision("highest"):
        factor = jnp.linalg.qr(jacobian / scale[None, :], mode="r")
        identity = jnp.eye(len(x), dtype=x.dtype)
        half = jax.scipy.linalg.solve_triangular(factor, identity) / scale[:, None]
        return jnp.sum(residual**2) / (size - len(x)) * (half @ half.T)


def _step(
    state: _State, *, fn: Partial, tols: list[Array], limit: int
) -> tuple[_State, ending.Verdict]:
    """Evaluate the point that is next, judge it, and choose the one after it."""
    trial, is_first = state.x + state.step, state.num_evals == 0
    jacobian, residual = objective.linearize(fn, trial)
    is_finite = jnp.isfinite(residual).all() & jnp.isfinite(jacobian).all()
    unit = jnp.where(is_first, power_of_two(jnp.abs(residual).max()), state.unit)
    residual, jacobian = residual / unit, jacobian / unit
    square = _nonzero(jnp.sum(state.residual**2))
    fall = jnp.where(is_finite, 1 - jnp.sum(residual**2) / square, -1)
    promised = state.promised / square
    ratio = jnp.where(promised > 0, fall / _nonzero(promised), 0)
    is_in = is_first | (is_finite & (ratio >= LEAST))
    new, old = (trial, residual, jacobian), state[:3]
    x, residual, jacobian = (jnp.where(is_in, a, b) for a, b in zip(new, old, strict=True))
    norms = _norms(jacobian)
    scale = jnp.maximum(state.scale, jnp.where(jnp.isfinite(norms), norms, 0))
    size = _norms(scale * x)
    at_first = state.radius * jnp.where(size > 0, size, 1)
    radius = jnp.where(is_first, at_first, _radius(state, scale, ratio, is_finite))
    step, promised_next = _model(residual, jacobian, scale, radius)
    slopes = jnp.abs(jnp.sum(jacobian * residual[:, None], axis=0))
    cosine = (slopes / (norms * _nonzero(_norms(residual)))).max()
    ftol, xtol, gtol = tols
    is_flat = (jnp.abs(fall) <= ftol) & (promised <= ftol) & (ratio <= 2) & ~is_first
    num_evals, num_steps = state.num_evals + 1, state.num_steps + is_in.astype(jnp.int32)
    has_moved = num_steps > 0
    status, verdict = ending.decide(
        state.status,
        (
            (num_evals > limit, Status.OUT_OF_STEPS),
            (radius <= jnp.maximum(xtol, jnp.finfo(x.dtype).eps) * size, Status.STALLED),
            # A region that shrank without a step taken has found nothing.
            (is_flat | (has_moved & (radius <= xtol * size)) | (cosine <= gtol), Status.CONVERGED),
            (is_first & ~is_finite, Status.NOT_FINITE),
        ),
    )
    state = _State(
        x=x,
        residual=residual,
        jacobian=jacobian,
        scale=scale,
        step=step,
        promised=promised_next,
        radius=radius,
        unit=unit,
        num_steps=num_steps,
        num_evals=num_evals,
        status=status,
    )
    return state, verdict


def _radius(state: _State, scale: Array, ratio: Array, is_finite: Array) -> Array:
    """Return the radius after a step, by how much of what was promised it brought.

    It is in units that may have grown: else a step would seem too short for what x is now.
    """
    before, length = _norms(state.scale * state.step), _norms(scale * state.step)
    wide = state.radius * jnp.where(before > 0, length / _nonzero(before), 1)
    radius = jnp.where(ratio <= POOR, jnp.where(is_finite, 0.25, 0.1) * length, wide)
    return jnp.where(ratio >= GOOD, jnp.maximum(wide, 2 * length), radius)


def _model(residual: Array, jacobian: Array, scale: Array, radius: Array) -> tuple[Array, Array]:
    """Return the step that is best in the region, and the fall of |r|² that it promises."""
    scaled = jnp.where(jnp.isfinite(jacobian), jacobian, 0) / scale[None, :]
    with jax.default_matmul_precision("highest"):
        U, singular, Vt = jnp.linalg.svd(scaled, full_matrices=False)
        along = singular * (residual @ U)
        # What is zero but for rounding has no say; with λ > 0 it would have none anyway.
        seen = singular > jnp.finfo(scale.dtype).eps * singular[0]
        z, multiplier = trust_region.solve(
            jnp.where(seen, singular**2, singular[0] ** 2), jnp.where(seen, along, 0), radius
        )
        step = (z @ Vt) / scale
    return step, jnp.sum((singular * z) ** 2) + 2 * multiplier * jnp.sum(z**2)


def _norms(matrix: Array) -> Array:
    """Return the length of every column, 1 for a column of zeros; or the length of a vector."""
    size = power_of_two(jnp.abs(matrix).max(axis=0))
    length = size * jnp.sqrt(jnp.sum((matrix / jnp.expand_dims(size, 0)) ** 2, axis=0))
    return _nonzero(length) if matrix.ndim == 2 else length


def _nonzero(x: Array) -> Array:
    return jnp.where(x == 0, 1, x)
