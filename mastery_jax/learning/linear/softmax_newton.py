"""The minimum of the log loss with a quadratic penalty, by Newton's method.

    H s = −∇f,        U ← U + t s,        t = 1, ½, ¼ …

Conjugate gradients solve for s, which need only products H V: five or so, in place of one for every
row of H. With A along principal axes, A Aᵀ is diagonal, so that H with every sample's weight
p(1 − p) replaced by its class's mean is diagonal too, and preconditions H. Where the mean is 0 the
data do not determine U, which stays 0 there.

The step before the last is one whose decrement −∇f·s / 2 is small: with λ = atol min(1, 10⁴ l2/2
|W|²), since f is l2-convex, that W is off by at most a hundredth of its length for the default
atol, before a last step that squares such an error. An s that is unfinished has a decrement that
is too small; that of an s that would be the last is therefore computed with care.

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

SMALL = 1e-4
"""Nats of a penalty below which ``atol`` shrinks with it."""
CONDITION = 1e4
"""Of the Hessian preconditioned along principal axes, as far as conjugate gradients allow for."""
MAX_PRODUCTS = 5000
"""In one step; a model that needs more is better replaced by the next one."""


class _Verdict(NamedTuple):
    is_done: Bool[Array, ""]
    excess: Float[Array, ""] | None = None
    is_close: Bool[Array, ""] | None = None


def search(problem: Problem, *, atol: Scalar, max_steps: int) -> tuple[Array, Array, Array, Array]:
    """Find the root of the gradient, differentiable as an implicit function.

    Returns:
        The root; the excess of the objective before the last step, and whether it is small enough;
        and the number of steps.
    """
    zeros = jnp.zeros((len(problem.targets), len(problem.penalty)), problem.A.dtype)

    def gradient(U: Array) -> Array:
        P = log_loss.link(log_loss.scores(U, problem.A), problem.is_present)[1]
        return log_loss.gradient(U, P, problem)

    def newton(_: Any, U: Array) -> tuple[Array, Any]:
        U, verdict, num_steps = loop.until(
            _step, U, max_steps=max_steps, problem=problem, atol=atol
        )
        # What is no float has no tangent here.
        return U, (verdict.excess, verdict.is_close.astype(U.dtype), num_steps.astype(U.dtype))

    def tangent(hessian: Callable[[Array], Array], target: Array) -> Array:
        # The largest weight that p (1 − p) can take stands in for the weights of the solution.
        diagonal = _diagonal(jnp.full_like(zeros[:, 0], 0.25), problem)
        rtol = float(jnp.finfo(zeros.dtype).eps)

        def solve(product: Callable[[Array], Array], target: Array) -> Array:
            return _conjugate_gradients(product, target, problem, diagonal, rtol=rtol)[0]

        return jax.lax.custom_linear_solve(hessian, target, solve, symmetric=True)

    U, aux = jax.lax.custom_root(gradient, zeros, newton, tangent, has_aux=True)
    excess, is_close, num_steps = aux
    return U, excess, is_close > 0, num_steps.astype(jnp.int32)


def _step(U: Array, *, problem: Problem, atol: Scalar) -> tuple[Array, _Verdict]:
    logits = log_loss.scores(U, problem.A)
    normalizer, P = log_loss.link(logits, problem.is_present)
    losses = normalizer - (problem.targets * logits).sum(axis=0)
    penalty = (problem.penalty[None, :] * U**2).sum() / 2
    here = (problem.shares * losses).sum() + penalty
    atol = jnp.asarray(atol, U.dtype)
    enough = jnp.minimum(atol, jnp.maximum(atol * penalty / SMALL, jnp.finfo(U.dtype).eps * here))
    gradient = log_loss.gradient(U, P, problem)
    diagonal = _diagonal((P * (1 - P) * problem.shares[None, :]).sum(axis=1), problem)
    length = jnp.sqrt((gradient**2 / diagonal).sum())
    rtol = jnp.minimum(0.1, jnp.sqrt(length))
    product = partial(log_loss.hessian_product, P=P, problem=problem)
    direction, is_finished = _conjugate_gradients(
        product, -gradient, problem, diagonal, rtol=rtol, enough=enough
    )
    slope = (gradient * direction).sum()
    excess = jnp.abs(slope) / 2

    def objective(t: Array, toward: Array) -> Array:
        return log_loss.objective(U + t * direction, logits + t * toward, problem)

    t = backtrack(objective, log_loss.scores(direction, problem.A), here, slope)
    is_close = (excess <= enough) & is_finished
    return U + t * direction, _Verdict(is_close | jnp.isnan(excess), excess, is_close)


def backtrack(
    objective: Callable[[Array, Array], Array], toward: Array, here: Array, slope: Array
) -> Array:
    """Halve from 1 until the objective falls enough, as far as its own rounding lets one see.

    Args:
        objective: Of the step and of how the scores move in a whole step.
        toward: How they do.
        here: The objective of no step.
        slope: Of the objective, at most 0; with a kink, what it would fall without curvature.
    """
    noise = 8 * jnp.finfo(slope.dtype).eps * here

    def halve(t: Array) -> tuple[Array, _Verdict]:
        is_done = objective(t, toward) <= here + 1e-4 * t * slope + noise
        return jnp.where(is_done, t, t / 2), _Verdict(is_done)

    return loop.until(halve, jnp.ones_like(slope), max_steps=30)[0]


def _unshift(r: Array, is_present: Array | None) -> Array:
    """Take out the shift that all outputs share: softmax is blind to it; H has no say there."""
    if len(r) == 1:
        return r
    if is_present is None:
        return r - r.mean(axis=0)[None, :]
    r = jnp.where(is_present[:, None], r, 0)
    mean = r.sum(axis=0) / is_present.sum().astype(r.dtype)
    return jnp.where(is_present[:, None], r - mean[None, :], 0)


def _conjugate_gradients(
    product: Callable[[Array], Array],
    target: Array,
    problem: Problem,
    diagonal: Array,
    *,
    rtol: Scalar,
    enough: Scalar = jnp.inf,
) -> tuple[Array, Array]:
    """Solve ``product(x) = target`` until the residual has shrunk to ``rtol`` of the target.

    Go on where half of target·x is no more than ``enough``, until what is left can hardly add to
    it, and say whether so much was reached.
    """
    condition = _condition(diagonal, problem)

    def is_finished(length: Array) -> Array:
        return condition * length <= enough

    def step(carry: tuple[Array, ...]) -> tuple[tuple[Array, ...], _Verdict]:
        x, r, p, length, gain = carry
        Hp = product(p)
        curvature = (p * Hp).sum()
        a = _ratio(length, curvature)
        x, r, gain = x + a * p, r - a * Hp, gain + a * length
        z = _unshift(r / diagonal, problem.is_present)
        new_length = (r * z).sum()
        is_last = (gain / 2 <= enough) & ~is_finished(new_length)
        is_done = ~((new_length > rough) | is_last) | ~(curvature > 0)
        return (x, r, z + _ratio(new_length, length) * p, new_length, gain), _Verdict(is_done)

    r = _unshift(target, problem.is_present)
    z = _unshift(r / diagonal, problem.is_present)
    length = (r * z).sum()
    rough = rtol**2 * length
    start = (jnp.zeros_like(z), r, z, length, jnp.zeros_like(length))
    (x, _, _, length, _), _, _ = loop.until(step, start, max_steps=MAX_PRODUCTS)
    return x, is_finished(length)


def _diagonal(weight: Array, problem: Problem) -> Array:
    """Return the diagonal of the Hessian where every sample has its output's weight.

    It is infinite where it is 0: nothing moves there.
    """
    diagonal = weight[:, None] * problem.spread[None, :] + problem.penalty[None, :]
    return jnp.where(diagonal == 0, jnp.inf, diagonal)


def _condition(diagonal: Array, problem: Problem) -> Array:
    """Return what bounds xᵀ H⁻¹ x over xᵀ D⁻¹ x, for l2 > 0 and weights: H ≥ l2.

    Along principal axes that is far too much, and without them what features of all scales need.
    """
    num_rows, num_columns = problem.A.shape
    most = CONDITION if num_rows <= num_columns + 1 else CONDITION**3
    largest = jnp.where(diagonal < jnp.inf, diagonal, 0).max()
    return jnp.minimum(largest / problem.penalty[0], most)


def _ratio(a: Array, b: Array) -> Array:
    return jnp.where(b > 0, a / jnp.where(b > 0, b, 1), 0)
