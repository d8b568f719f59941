"""The minimum of the log loss with a quadratic penalty, by Newton's method.

    H s = −∇f,        U ← U + t s,        t = 1, ½, ¼ …

Conjugate gradients solve for s, which need only products H V: five or so, in place of one for every
row of H. With A along principal axes, A Aᵀ is diagonal, so that H with every sample's weight
p(1 − p) replaced by its class's mean is diagonal too, and preconditions H.

Source: Nocedal & Wright (2006), *Numerical Optimization*, algorithms 5.3 (conjugate gradients) and
7.1 (inexact Newton); Boyd & Vandenberghe (2004), *Convex Optimization*, section 9.5.1 (the
decrement).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from mastery_jax.core import loop
from mastery_jax.core.check import Scalar
from mastery_jax.learning.linear import log_loss
from mastery_jax.learning.linear.log_loss import Problem

__all__ = ["backtrack", "search"]


class _Verdict(NamedTuple):
    is_done: Bool[Array, ""]
    excess: Float[Array, ""] | None = None


def search(problem: Problem, *, atol: Scalar, max_steps: int) -> tuple[Array, Array, Array]:
    """Find the root of the gradient, differentiable as an implicit function.

    Returns:
        The root, the excess of the objective before the last step, and the number of steps.
    """
    zeros = jnp.zeros((len(problem.targets), len(problem.penalty)), problem.A.dtype)

    def gradient(U: Array) -> Array:
        return log_loss.gradient(U, log_loss.link(log_loss.scores(U, problem.A))[1], problem)

    def newton(_: Any, U: Array) -> tuple[Array, Any]:
        U, verdict, num_steps = loop.until(
            _step, U, max_steps=max_steps, problem=problem, atol=atol
        )
        return U, (verdict.excess, num_steps.astype(U.dtype))  # integers have no tangent here

    def tangent(hessian: Callable[[Array], Array], target: Array) -> Array:
        # The largest weight that p (1 − p) can take stands in for the weights of the solution.
        diagonal = _diagonal(jnp.full_like(zeros[:, 0], 0.25), problem)
        rtol = float(jnp.finfo(zeros.dtype).eps)
        solve = partial(_conjugate_gradients, diagonal=diagonal, rtol=rtol)
        return jax.lax.custom_linear_solve(hessian, target, solve, symmetric=True)

    U, (excess, num_steps) = jax.lax.custom_root(gradient, zeros, newton, tangent, has_aux=True)
    return U, excess, num_steps.astype(jnp.int32)


def _step(U: Array, *, problem: Problem, atol: Scalar) -> tuple[Array, _Verdict]:
    logits = log_loss.scores(U, problem.A)
    _, P = log_loss.link(logits)
    gradient = log_loss.gradient(U, P, problem)
    diagonal = _diagonal((P * (1 - P) * problem.shares[None, :]).sum(axis=1), problem)
    length = jnp.sqrt((gradient**2 / diagonal).sum())
    rtol = jnp.minimum(0.1, jnp.sqrt(length))
    product = partial(log_loss.hessian_product, P=P, problem=problem)
    direction = _conjugate_gradients(product, -gradient, diagonal=diagonal, rtol=rtol)
    slope = (gradient * direction).sum()
    excess = jnp.abs(slope) / 2

    def objective(t: Array, toward: Array) -> Array:
        return log_loss.objective(U + t * direction, logits + t * toward, problem)

    t = backtrack(objective, log_loss.scores(direction, problem.A), slope)
    is_done = (excess <= jnp.asarray(atol, U.dtype)) | jnp.isnan(excess)
    return U + t * direction, _Verdict(is_done, excess)


def backtrack(objective: Callable[[Array, Array], Array], toward: Array, slope: Array) -> Array:
    """Halve from 1 until the objective falls enough, as far as its own rounding lets one see.

    Args:
        objective: Of the step and of how the scores move in a whole step.
        toward: How they do.
        slope: Of the objective, at most 0; with a kink, what it would fall without curvature.
    """
    here = objective(jnp.zeros_like(slope), toward)
    noise = 8 * jnp.finfo(slope.dtype).eps * here

    def halve(t: Array) -> tuple[Array, _Verdict]:
        is_done = objective(t, toward) <= here + 1e-4 * t * slope + noise
        return jnp.where(is_done, t, t / 2), _Verdict(is_done)

    return loop.until(halve, jnp.ones_like(slope), max_steps=30)[0]


def _unshift(r: Array) -> Array:
    """Take out the shift that all outputs share: softmax is blind to it; H has no say there."""
    return r - r.mean(axis=0)[None, :] if len(r) > 1 else r


def _conjugate_gradients(
    product: Callable[[Array], Array], target: Array, *, diagonal: Array, rtol: Scalar
) -> Array:
    """Solve ``product(x) = target`` until the residual has shrunk to ``rtol`` of the target."""

    def step(carry: tuple[Array, ...]) -> tuple[tuple[Array, ...], _Verdict]:
        x, r, p, length = carry
        Hp = product(p)
        curvature = (p * Hp).sum()
        a = _ratio(length, curvature)
        x, r = x + a * p, r - a * Hp
        z = _unshift(r / diagonal)
        new_length = (r * z).sum()
        is_done = ~(new_length > enough) | ~(curvature > 0)
        return (x, r, z + _ratio(new_length, length) * p, new_length), _Verdict(is_done)

    r = _unshift(target)
    z = _unshift(r / diagonal)
    length = (r * z).sum()
    enough = rtol**2 * length
    start = (jnp.zeros_like(z), r, z, length)
    # A model that needs more products than this is better replaced by the next one.
    return loop.until(step, start, max_steps=500)[0][0]


def _diagonal(weight: Array, problem: Problem) -> Array:
    """Return the diagonal of the Hessian where every sample has its output's weight."""
    spread = (problem.A**2).mean(axis=1)
    return weight[:, None] * spread[None, :] + problem.penalty[None, :]


def _ratio(a: Array, b: Array) -> Array:
    return jnp.where(b > 0, a / jnp.where(b > 0, b, 1), 0)
