"""A convex quadratic function between linear bounds, by ADMM and a last exact step (as OSQP does).

    minimize  ½ xᵀP x + q·x     subject to  l ≤ A x ≤ u

    (P + σI + AᵀRA) x̃ = σx − q + Aᵀ(R z − y),    R = diag(ρ_i)
    z ← clip(A x̃ + y/ρ, l, u),    y ← y + R (A x̃ − z)         over-relaxed by 1.6

An equality is l_i = u_i, a box is A = I, and a bound may be infinite. y are the multipliers:
P x + q + Aᵀy = 0 with y_i ≥ 0 at an upper bound, ≤ 0 at a lower one, 0 between. Rows and columns
are first scaled alike; ρ follows the residuals at every refactorization. The last step ("polish")
solves the equations of the bounds that are met, to the rounding of the dtype. Steps that grow in a
direction prove that no point meets the bounds, or that the function falls for ever:

    infeasible   Aᵀv = 0 and Σ u_i max(v_i, 0) + l_i min(v_i, 0) < 0
    unbounded    P v = 0, q·v < 0, and A v points into the bounds

Source: Stellato et al. (2020), *OSQP: an operator splitting solver for quadratic programs*,
Mathematical Programming Computation 12, algorithm 1, sections 3.4 (certificates), 4 (polish), 5.1
(scaling) and 5.2 (ρ); the derivative: Amos & Kolter (2017), *OptNet*, eq. 6.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve
from jaxtyping import Array, Bool, Float, Int

from mastery_jax.core import loop
from mastery_jax.core.check import Scalar, checked
from mastery_jax.core.status import Status
from mastery_jax.numerics.optimize import kkt, objective

__all__ = ["Info", "State", "solve"]

RELAXATION, SIGMA = 1.6, 1e-6
STIFF = 1e3
"""How much stiffer an equality is held than an inequality."""
BETWEEN = 25
"""Steps from one look at the residuals, and one factorization, to the next."""


class State(NamedTuple):
    """A solution."""

    x: Float[Array, " n"]
    multipliers: Float[Array, " m"]  # y, unit of the objective per unit of the bound


class Info(NamedTuple):
    """How the search ended."""

    objective: Float[Array, ""]
    primal_residual: Float[Array, ""]  # largest violation of a bound
    dual_residual: Float[Array, ""]  # largest entry of P x + q + Aᵀy
    certificate: Float[Array, " m"]  # v if INFEASIBLE, else 0; largest entry 1
    ray: Float[Array, " n"]  # v if UNBOUNDED, else 0; largest entry 1
    num_steps: Int[Array, ""]
    status: Int[Array, ""]  # core.status.Status
    is_done: Bool[Array, ""]  # status is CONVERGED


class _Iterate(NamedTuple):
    x: Array
    z: Array
    y: Array
    dx: Array  # last change
    dy: Array
    rho: Array


class _Verdict(NamedTuple):
    is_done: Bool[Array, ""]
    status: Int[Array, ""]


@partial(jax.jit, static_argnames=("max_steps",))
@checked
def solve(
    P: Float[Array, "n n"],
    q: Float[Array, " n"],
    A: Float[Array, "m n"],
    lower: Float[Array, " m"],
    upper: Float[Array, " m"],
    *,
    atol: Scalar = 1e-5,
    rtol: Scalar = 1e-5,
    max_steps: int = 4000,
) -> tuple[State, Info]:
    """Minimize. O(n³ + m n²) every 25 steps, O(n² + m n) a step, O((n + m)³) at the end.

    Differentiable in both modes with respect to the data where the bounds that are met stay the
    same ("active set") and determine x.

    Args:
        P: Positive semidefinite; of a matrix that is not symmetric, its symmetric part.
        q: Slope at 0.
        A: One row per pair of bounds.
        lower: l; -inf where there is none.
        upper: u; inf where there is none, l_i where the row is an equality.
        atol: Residuals at which the iteration stops before its last, exact step.
        rtol: The same, as a share of what the residuals are differences of. Traced, both.
        max_steps: Steps at most; a multiple of 25 is taken. Static.

    Returns:
        The solution, and how it ended: CONVERGED, OUT_OF_STEPS, INFEASIBLE or UNBOUNDED with a
        proof, NOT_FINITE, or BAD_INPUT where a lower bound is above its upper one or ``P`` is not
        positive semidefinite. Unless it converged, x and the multipliers are those of the last
        step.

    Raises:
        ValueError: ``max_steps`` < 1.

    Example:
        >>> state, info = solve(  # the point of x₀ + x₁ = 1, x ≥ 0 that is nearest to (2, 0)
        ...     jnp.eye(2),
        ...     jnp.array([-2.0, 0.0]),
        ...     jnp.array([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]]),
        ...     jnp.array([1.0, 0.0, 0.0]),
        ...     jnp.array([1.0, jnp.inf, jnp.inf]),
        ... )
        >>> jnp.abs(state.x).round(4), state.multipliers.round(4)
        (Array([1., 0.], dtype=float32), Array([ 1.,  0., -1.], dtype=float32))
    """
    objective.require_at_least("quadratic_program.solve", 1, max_steps=max_steps)
    given = kkt.Problem((P + P.T) / 2, q, A, lower, upper)
    with jax.default_matmul_precision("highest"):
        fixed = jax.lax.stop_gradient(given)
        tolerances = tuple(jnp.asarray(t, P.dtype) for t in jax.lax.stop_gradient((atol, rtol)))
        found, verdict, num_steps, scaled, scaling = _iterate(fixed, tolerances, max_steps)
        x, y = kkt.polish(scaled, found.x, found.z, found.y)
        rows = kkt.active(scaled, x, scaled.A @ x, y)
        x, _, y, dx, dy, _ = kkt.unscale(found._replace(x=x, y=y), scaling)
        x, y = kkt.differentiable(given, x, y, rows)
        primal, dual = kkt.residuals(given, x, y)
        value = (x * (given.P @ x)).sum() / 2 + (q * x).sum()
    status = jnp.where(jnp.isfinite(primal + dual), verdict.status, Status.NOT_FINITE)
    status = jnp.where(kkt.is_convex(fixed) & (lower <= upper).all(), status, Status.BAD_INPUT)
    status = status.astype(jnp.int32)
    info = Info(
        objective=value,
        primal_residual=jax.lax.stop_gradient(primal),
        dual_residual=jax.lax.stop_gradient(dual),
        certificate=_direction(dy, status == Status.INFEASIBLE),
        ray=_direction(dx, status == Status.UNBOUNDED),
        num_steps=BETWEEN * num_steps.astype(jnp.int32),
        status=status,
        is_done=status == Status.CONVERGED,
    )
    return State(x=x, multipliers=y), info


def _iterate(problem: kkt.Problem, tolerances: Any, max_steps: int) -> tuple[Any, ...]:
    scaled, scaling = kkt.scale(problem)
    n, m = len(problem.q), len(problem.lower)
    nought_x, nought_y = jnp.zeros(n, problem.q.dtype), jnp.zeros(m, problem.q.dtype)
    start = _Iterate(
        nought_x, nought_y, nought_y, nought_x, nought_y, jnp.asarray(0.1, problem.q.dtype)
    )
    found = loop.until(
        _epoch,
        start,
        max_steps=-(-max_steps // BETWEEN),
        problem=problem,
        scaled=scaled,
        scaling=scaling,
        tolerances=tolerances,
    )
    return *found, scaled, scaling


def _epoch(
    state: _Iterate, *, problem: kkt.Problem, scaled: kkt.Problem, scaling: Any, tolerances: Any
) -> tuple[_Iterate, _Verdict]:
    """Factorize, take the steps that share the factor, and look at where they led."""
    P, q, A, lower, upper = scaled
    is_free = jnp.isinf(lower) & jnp.isinf(upper)
    stiffness = jnp.where(lower == upper, STIFF, jnp.where(is_free, 1 / STIFF, 1.0))
    rho = state.rho * stiffness.astype(q.dtype)
    eye = jnp.eye(len(q), dtype=q.dtype)
    factor = jnp.linalg.cholesky(P + SIGMA * eye + (A.T * rho[None, :]) @ A)
    # As a matrix it costs no triangular solve in each of the steps; the polish restores its digits.
    inverse = cho_solve((factor, True), eye)

    def step(it: _Iterate) -> tuple[_Iterate, None]:
        x_new = inverse @ (SIGMA * it.x - q + A.T @ (rho * it.z - it.y))
        reached = RELAXATION * (A @ x_new) + (1 - RELAXATION) * it.z
        x = RELAXATION * x_new + (1 - RELAXATION) * it.x
        z = jnp.clip(reached + it.y / rho, lower, upper)
        y = it.y + rho * (reached - z)
        return _Iterate(x, z, y, x - it.x, y - it.y, it.rho), None

    state, _ = loop.scan(step, state, num_steps=BETWEEN)
    status, balance = kkt.judge(problem, scaled, scaling, state, tolerances)
    rho = jnp.clip(state.rho * balance, 1e-6, 1e6)
    is_far = (balance > 5) | (balance < 0.2)
    return state._replace(rho=jnp.where(is_far, rho, state.rho)), _Verdict(
        status != Status.RUNNING, jnp.where(status == Status.RUNNING, Status.OUT_OF_STEPS, status)
    )


def _direction(change: Array, is_one: Array) -> Array:
    length = jnp.abs(change).max(initial=0)
    return jnp.where(is_one, change / jnp.where(length > 0, length, 1), 0)
