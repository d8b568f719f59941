"""The conditions that end a quadratic program: scaled, judged, solved exactly, and differentiated.

    P x + q + Aᵀy = 0,    l ≤ A x ≤ u,    y_i ≥ 0 at u_i, ≤ 0 at l_i, 0 between

Rows that are at a bound ("active") turn the conditions into linear equations

    [ P    A_Bᵀ ] [x  ]   [−q ]
    [ A_B   0   ] [y_B] = [b_B]

which are solved here without changing shape: a row that is not active has y_i = 0 as its equation.

Source: Karush (1939), Kuhn & Tucker (1951); Stellato et al. (2020), *OSQP*, sections 3.3-3.4
(stopping, certificates), 4 (polish) and algorithm 2 (scaling); Amos & Kolter (2017), *OptNet*, eq.
6.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mastery_jax.core import loop
from mastery_jax.core.status import Status

__all__ = [
    "Problem",
    "active",
    "differentiable",
    "is_convex",
    "judge",
    "polish",
    "residuals",
    "scale",
    "unscale",
]


class Problem(NamedTuple):
    """A quadratic program."""

    P: Float[Array, "n n"]
    q: Float[Array, " n"]
    A: Float[Array, "m n"]
    lower: Float[Array, " m"]
    upper: Float[Array, " m"]


def is_convex(problem: Problem) -> Array:
    """Say whether P is positive semidefinite, up to rounding. O(n³)."""
    P = problem.P
    size = jnp.abs(P).max()
    slack = 10 * len(P) * jnp.finfo(P.dtype).eps * jnp.where(size > 0, size, 1)
    return ~jnp.isnan(jnp.linalg.cholesky(P + slack * jnp.eye(len(P), dtype=P.dtype))).any()


def scale(problem: Problem) -> tuple[Problem, tuple[Array, Array, Array]]:
    """Make the rows of [P Aᵀ; A 0] alike in size, and the objective about 1. O(n² + m n).

    Returns:
        The scaled problem, and the factors of x, of the rows of A, and of the objective.
    """

    def step(carry: tuple[Any, ...]) -> tuple[tuple[Any, ...], None]:
        P, A, d, e = carry
        columns = jnp.maximum(jnp.abs(P).max(axis=0), jnp.abs(A).max(axis=0, initial=0))
        by_x, by_row = _root(columns), _root(jnp.abs(A).max(axis=1))
        P = P * by_x[:, None] * by_x[None, :]
        A = A * by_row[:, None] * by_x[None, :]
        return (P, A, d * by_x, e * by_row), None

    P, q, A, lower, upper = problem
    (P, A, d, e), _ = loop.scan(step, (P, A, jnp.ones_like(q), jnp.ones_like(lower)), num_steps=10)
    size = jnp.maximum(jnp.abs(P).max(axis=0).mean(), jnp.abs(d * q).max())
    cost = 1 / jnp.where(size > 0, size, 1)
    return Problem(cost * P, cost * d * q, A, e * lower, e * upper), (d, e, cost)


def unscale(state: Any, scaling: tuple[Array, Array, Array]) -> Any:
    """Return an iterate (x, z, y, dx, dy, ...) in the units of the problem as it was given."""
    d, e, cost = scaling
    return state._replace(
        x=d * state.x,
        z=state.z / e,
        y=e * state.y / cost,
        dx=d * state.dx,
        dy=e * state.dy / cost,
    )


def residuals(problem: Problem, x: Array, y: Array) -> tuple[Array, Array]:
    """Return the largest violation of a bound, and the largest entry of P x + q + Aᵀy."""
    P, q, A, lower, upper = problem
    reached = A @ x
    primal = jnp.maximum(lower - reached, reached - upper).max(initial=0)
    return primal, _largest(P @ x + q + A.T @ y)


def judge(
    problem: Problem, scaled: Problem, scaling: Any, state: Any, tolerances: Any
) -> tuple[Array, Array]:
    """Return an iterate's status, and the factor that would balance its residuals. O(n² + m n).

    Residuals are in the units of the problem. Proofs are judged where it is scaled, since there
    every row and column is about 1: a small number in large units is no proof of anything.
    """
    P, q, A, _, _ = problem
    it = unscale(state, scaling)
    atol, rtol = tolerances
    reached, curve, pull = A @ it.x, P @ it.x, A.T @ it.y
    primal, dual = _largest(reached - it.z), _largest(curve + q + pull)
    primal_size = jnp.maximum(_largest(reached), _largest(it.z))
    dual_size = jnp.maximum(jnp.maximum(_largest(curve), _largest(pull)), _largest(q))
    is_solved = (primal <= atol + rtol * primal_size) & (dual <= atol + rtol * dual_size)

    status = jnp.where(_is_unbounded(scaled, state.dx, rtol), Status.UNBOUNDED, Status.RUNNING)
    status = jnp.where(_is_infeasible(scaled, state.dy, rtol), Status.INFEASIBLE, status)
    status = jnp.where(is_solved, Status.CONVERGED, status)
    status = jnp.where(jnp.isfinite(primal + dual), status, Status.NOT_FINITE)
    tiny = jnp.finfo(primal.dtype).tiny
    ratio = (primal / (primal_size + tiny) + tiny) / (dual / (dual_size + tiny) + tiny)
    return status, jnp.sqrt(ratio)


def _is_infeasible(scaled: Problem, v: Array, rtol: Array) -> Array:
    """Say whether Aᵀv = 0 and the bounds along v contradict each other."""
    small = rtol * _largest(v)
    support = _times(scaled.upper, jnp.maximum(v, 0)) + _times(scaled.lower, jnp.minimum(v, 0))
    contradicts = support.sum() <= -rtol * jnp.abs(support).sum()
    return (_largest(scaled.A.T @ v) <= small) & contradicts & (support.sum() < 0)


def _is_unbounded(scaled: Problem, v: Array, rtol: Array) -> Array:
    """Say whether P v = 0, q falls along v, and v points into the bounds."""
    P, q, A, lower, upper = scaled
    small, along = rtol * _largest(v), A @ v
    stays = (jnp.isinf(upper) | (along <= small)) & (jnp.isinf(lower) | (along >= -small))
    is_flat = _largest(P @ v) <= small * _largest(P)
    fall = (q * v).sum()
    return stays.all() & is_flat & (fall <= -small * _largest(q)) & (fall < 0)


def active(problem: Problem, x: Array, z: Array, y: Array) -> tuple[Array, Array]:
    """Return which rows are at their lower, and which at their upper bound."""
    at_lower = (z - problem.lower < -y) | (problem.lower == problem.upper)
    return at_lower, (problem.upper - z < y) & ~at_lower


def polish(problem: Problem, x: Array, z: Array, y: Array) -> tuple[Array, Array]:
    """Solve for the active rows of an iterate, three times; keep what is better. O((n + m)³).

    The problem is the scaled one: else what is better would depend on units.
    """
    P, q, A, lower, upper = problem

    def step(carry: tuple[Array, Array, Array]) -> tuple[tuple[Array, Array, Array], None]:
        x, z, y = carry
        at_lower, at_upper = active(problem, x, z, y)
        is_active = at_lower | at_upper
        bound = jnp.where(at_lower, lower, jnp.where(at_upper, upper, 0))
        new_x, new_y = _solve(P, A, is_active, -q, bound)
        wrong = jnp.where(lower == upper, 0, jnp.where(at_lower, new_y, -new_y)).max(initial=0)
        new = jnp.maximum(jnp.maximum(*residuals(problem, new_x, new_y)), wrong)
        is_better = new <= jnp.maximum(*residuals(problem, x, y))
        new_z = jnp.where(is_active, bound, A @ new_x)
        return jax.tree.map(
            lambda a, b: jnp.where(is_better, a, b), (new_x, new_z, new_y), (x, z, y)
        ), None

    (x, _, y), _ = loop.scan(step, (x, z, y), num_steps=3)
    return x, y


@jax.custom_jvp
def differentiable(
    problem: Problem, x: Array, y: Array, rows: tuple[Array, Array]
) -> tuple[Array, Array]:
    """Return a solution, with the derivative of one whose active rows stay the same. O(1)."""
    return x, y


@differentiable.defjvp
def _derivative(primals: Any, tangents: Any) -> tuple[Any, Any]:
    problem, x, y, (at_lower, at_upper) = primals
    dP, dq, dA, dlower, dupper = tangents[0]
    bound = jnp.where(at_lower, dlower, jnp.where(at_upper, dupper, 0))
    is_active = at_lower | at_upper
    slope = -(dP @ x + dq + dA.T @ y)
    moved = _solve(problem.P, problem.A, is_active, slope, jnp.where(is_active, bound - dA @ x, 0))
    return (x, y), moved


def _solve(P: Array, A: Array, is_active: Array, slope: Array, bound: Array) -> tuple[Array, Array]:
    """Solve the equations of the active rows; dependent ones share their multiplier."""
    n, m = len(P), len(A)
    rows = jnp.where(is_active[:, None], A, 0)
    idle = jnp.diag(jnp.where(is_active, 0, 1).astype(P.dtype))
    matrix = jnp.block([[P, rows.T], [rows, -idle]])
    sizes = jax.lax.stop_gradient(_balance(matrix))
    matrix = matrix * sizes[:, None] * sizes[None, :]
    signs = jnp.append(jnp.ones(n, P.dtype), -jnp.ones(m, P.dtype))
    shift = jnp.sqrt(jnp.finfo(P.dtype).eps) * signs
    factor = jax.scipy.linalg.lu_factor(matrix + jnp.diag(shift))
    target = sizes * jnp.append(slope, jnp.where(is_active, bound, 0))

    def refine(v: Array) -> tuple[Array, None]:
        return v + jax.scipy.linalg.lu_solve(factor, target - matrix @ v), None

    v, _ = loop.scan(refine, jnp.zeros_like(target), num_steps=6)
    v = sizes * v
    return v[:n], v[n:]


def _balance(matrix: Array) -> Array:
    """Return factors that make the rows and columns of a symmetric matrix about 1 in size."""

    def step(sizes: Array) -> tuple[Array, None]:
        return sizes * _root(jnp.abs(matrix * sizes[:, None] * sizes[None, :]).max(axis=0)), None

    return loop.scan(step, jnp.ones(len(matrix), matrix.dtype), num_steps=10)[0]


def _root(sizes: Array) -> Array:
    return 1 / jnp.sqrt(jnp.where(sizes > 0, sizes, 1))


def _times(bound: Array, amount: Array) -> Array:
    return jnp.where(amount == 0, 0, bound * jnp.where(amount == 0, 1, amount))


def _largest(v: Array) -> Array:
    return jnp.abs(v).max(initial=0)
