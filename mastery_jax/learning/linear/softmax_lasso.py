"""The minimum of the log loss with an absolute penalty, by Newton's method with a proximal step.

    minimize  F(U) = f(U) + l1 |W|₁,        U = (W, b),  f smooth with H = ∇²f, g = ∇f

    V = argmin  ½ VᵀHV − (HU − g)ᵀV + l1 |W_V|₁,        U ← U + t (V − U),    t = 1, ½, ¼ …

The model is that of a LASSO: the biases are eliminated (B = H_bb, c = HU − g)

    G = H_ww − H_wb B⁻¹ H_bw,    d = c_w − H_wb B⁻¹ c_b,    b = B⁻¹ (c_b − H_bw w)

coordinate descent on G and d finds which weights are 0 and the signs σ of the rest, and those are
then solved for: H_AA V_A = c_A − l1 σ_A. The same system, with −∂g for c, gives the derivative.

Source: Lee, Sun & Saunders (2014), *SIAM J. Optim.* 24(3), algorithm 1 (proximal Newton), eq. 2.11
(the step); Yuan, Ho & Lin (2012), *J. Machine Learning Research* 13, section 2 (for this loss).
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve, solve
from jaxtyping import Array, Bool, Float

from mastery_jax.core import loop
from mastery_jax.core.check import Scalar
from mastery_jax.learning.linear import log_loss, softmax_newton
from mastery_jax.learning.linear.log_loss import Problem
from mastery_jax.numerics.optimize import coordinate_descent, lasso

__all__ = ["search"]

MAX_CHANGES = 100_000
"""Of one weight, in one step."""


class _Verdict(NamedTuple):
    is_done: Bool[Array, ""]
    excess: Float[Array, ""]  # over the minimum, by the model


def search(
    problem: Problem, l1: Array, *, atol: Scalar, max_steps: int
) -> tuple[Array, Array, Array, Array]:
    """Descend from weights of 0. O(n (outputs m)²) a step.

    Returns:
        The minimum, differentiable where no weight is about to leave 0; the excess of the objective
        before the last step, and whether it is small enough; and the number of steps.
    """
    fixed = jax.lax.stop_gradient((problem, l1))
    zeros = jnp.zeros((len(problem.targets), len(problem.penalty)), problem.A.dtype)
    step = partial(_step, problem=fixed[0], l1=fixed[1], atol=jax.lax.stop_gradient(atol))
    U, verdict, num_steps = loop.until(step, zeros, max_steps=max_steps)
    is_close = verdict.excess <= jnp.asarray(atol, U.dtype)
    U = _differentiable(U, problem, l1)
    return U, verdict.excess, is_close, num_steps.astype(jnp.int32)


def _step(U: Array, *, problem: Problem, l1: Array, atol: Scalar) -> tuple[Array, _Verdict]:
    logits = log_loss.scores(U, problem.A)
    normalizer, P = log_loss.link(logits, problem.is_present)
    gradient = log_loss.gradient(U, P, problem)
    H = log_loss.hessian(P, problem)
    losses = normalizer - (problem.targets * logits).sum(axis=0)
    odds = jnp.where(problem.shares == 0, 0, problem.shares * jnp.expm1(losses)).sum()
    here = (problem.shares * losses).sum() + (problem.penalty[None, :] * U**2).sum() / 2
    # Odds are what working residuals square to; those of a row without weight may be infinite.
    V = _minimize_model(U, gradient, H, odds, problem, l1, atol)
    direction = V - U
    drop = (gradient * direction).sum() + l1 * (_norm(V) - _norm(U))
    flat = direction.reshape(-1)
    excess = jnp.abs(drop + flat @ H @ flat / 2)

    def objective(t: Array, toward: Array) -> Array:
        there = U + t * direction
        return log_loss.objective(there, logits + t * toward, problem) + l1 * _norm(there)

    here = here + l1 * _norm(U)
    t = softmax_newton.backtrack(objective, log_loss.scores(direction, problem.A), here, drop)
    is_done = (excess <= jnp.asarray(atol, U.dtype)) | jnp.isnan(excess)
    return U + t * direction, _Verdict(is_done, excess)


def _minimize_model(
    U: Array,
    gradient: Array,
    H: Array,
    odds: Array,
    problem: Problem,
    l1: Array,
    atol: Scalar,
) -> Array:
    """Return V: by coordinate descent, and exactly where that has found the signs."""
    u, g, is_weight = U.reshape(-1), gradient.reshape(-1), _is_weight(U)
    c = H @ u - g
    square = u @ (c - g) + (problem.penalty[None, :] * U**2).sum() + odds
    weights, biases = jnp.flatnonzero(is_weight, size=U.size - len(U)), _bias_places(U)
    factor = (jnp.linalg.cholesky(H[biases][:, biases]), True)
    across = H[weights][:, biases]
    inner = cho_solve(factor, c[biases])
    moments = lasso.Moments(
        total=jnp.ones_like(odds),
        x_mean=jnp.zeros_like(c[weights]),
        y_mean=jnp.zeros_like(odds),
        gram=H[weights][:, weights] - across @ cho_solve(factor, across.T),
        cross=c[weights] - across @ inner,
        square=square - c[biases] @ inner,
    )
    enough = jnp.asarray(atol, U.dtype) / 8 / moments.square
    found, _ = coordinate_descent.descend(
        moments, (l1, jnp.zeros_like(l1)), rtol=enough, max_steps=MAX_CHANGES
    )
    w = found.weights
    b = inner - cho_solve(factor, across.T @ w)
    rough = jnp.zeros_like(u).at[weights].set(w).at[biases].set(b)

    signs = jnp.where(is_weight, jnp.sign(rough), 0)
    is_active = ~is_weight | (rough != 0)
    exact = _solve(H, c - l1 * signs, is_active)
    slope = jnp.abs(c - H @ exact)
    slack = 1 + 64 * jnp.finfo(c.dtype).eps
    is_right = (exact * signs >= 0).all() & (is_active | (slope <= l1 * slack)).all()
    return jnp.where(is_right, exact, rough).reshape(U.shape)


def _solve(H: Array, target: Array, is_active: Array) -> Array:
    """Solve among the active entries; the others are 0."""
    both = is_active[:, None] & is_active[None, :]
    matrix = jnp.where(both, H, jnp.eye(len(H), dtype=H.dtype))
    return solve(matrix, jnp.where(is_active, target, 0), assume_a="pos")


@jax.custom_jvp
def _differentiable(U: Array, problem: Problem, l1: Array) -> Array:
    return U


@_differentiable.defjvp
def _derivative(primals: Any, tangents: Any) -> tuple[Array, Array]:
    U, problem, _ = primals
    _, moved, l1_dot = tangents

    def probs(problem: Problem) -> Array:
        return log_loss.link(log_loss.scores(U, problem.A), problem.is_present)[1]

    def gradient(problem: Problem) -> Array:
        return log_loss.gradient(U, probs(problem), problem)

    _, change = jax.jvp(gradient, (problem,), (moved,))
    is_weight, u = _is_weight(U), U.reshape(-1)
    H = log_loss.hessian(probs(problem), problem)
    target = -change.reshape(-1) - l1_dot * jnp.where(is_weight, jnp.sign(u), 0)
    return U, _solve(H, target, ~is_weight | (u != 0)).reshape(U.shape)


def _is_weight(U: Array) -> Array:
    """Say of the entries of a flat U which are weights; the others are biases."""
    return jnp.ones(U.shape, bool).at[:, -1].set(False).reshape(-1)


def _bias_places(U: Array) -> Array:
    outputs, m = U.shape
    return (jnp.arange(outputs) + 1) * m - 1


def _norm(U: Array) -> Array:
    return jnp.abs(U[:, :-1]).sum()
