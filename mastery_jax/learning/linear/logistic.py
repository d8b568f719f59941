"""Logistic regression with two or more classes and a quadratic penalty, by Newton's method.

    minimize  −1/n Σ_i log p(label_i | x_i)  +  l2/2 |W|²          (b is not penalized)

With z = W x + b, two classes have one output, p = (1 − sigmoid(z), sigmoid(z)); K > 2 classes have
K outputs, p = softmax(z), and biases that sum to 0. scikit-learn's ``C`` is ``1 / (l2 · n)``.

One Newton step solves H s = −∇f by conjugate gradients, which need only products

    ∇f = (P − Y) A / n + l2 U        H V = (P ∘ (V Aᵀ − Σ_k P_k (V Aᵀ)_k)) A / n + l2 V

with U, V (outputs, m) and probabilities P, targets Y (outputs, n). A holds the centered features
along their principal axes and a column of ones: AᵀA is diagonal, so that H with every sample's
weight p(1 − p) replaced by its class's mean is diagonal too, and preconditions H.

Source: Bishop (2006), *Pattern Recognition and Machine Learning*, eq. 4.90-4.97 (two classes) and
4.104-4.110 (more); Nocedal & Wright (2006), *Numerical Optimization*, algorithms 5.3 (conjugate
gradients) and 7.1 (inexact Newton); Boyd & Vandenberghe (2004), *Convex Optimization*, section
9.5.1 (the decrement).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from mastery_jax.core import loop
from mastery_jax.core.check import Scalar, checked
from mastery_jax.core.status import Status
from mastery_jax.numerics.activations import log_softmax, sigmoid, softmax

__all__ = ["Info", "State", "fit", "predict", "predict_log_proba", "predict_proba"]


class State(NamedTuple):
    """A fitted logistic regression; two classes have one output, the log-odds of the second."""

    weights: Float[Array, "outputs d"]  # nats per unit of the feature
    bias: Float[Array, " outputs"]  # nats


class Info(NamedTuple):
    """How the fit ended."""

    objective: Float[Array, ""]  # at the State returned, nats per sample
    excess: Float[Array, ""]  # estimated, over the minimum, before the last step; nats per sample
    num_steps: Int[Array, ""]
    is_done: Bool[Array, ""]  # excess ≤ atol
    status: Int[Array, ""]  # core.status.Status


class _Problem(NamedTuple):
    A: Float[Array, "n m"]  # centered features along their principal axes, then ones
    targets: Float[Array, "outputs n"]  # 1 at the label
    penalty: Float[Array, " m"]  # l2, and 0 for the bias


class _Verdict(NamedTuple):
    is_done: Bool[Array, ""]
    excess: Float[Array, ""] | None = None


@partial(jax.jit, static_argnames=("num_classes", "max_steps"))
@checked
def fit(
    X: Float[Array, "n d"],
    labels: Int[Array, " n"],
    *,
    num_classes: int,
    l2: Scalar = 1e-3,
    atol: Scalar = 1e-8,
    max_steps: int = 100,
) -> tuple[State, Info]:
    """Minimize by some 10 Newton steps of some 20 products each. O(n d K) a product.

    The principal axes cost O(n d² + d³) once; with d > n they are left out. Differentiable in
    both modes with respect to ``X`` and ``l2``, by the implicit function theorem.

    Args:
        X: One row per sample, raw or standardized; it is centered here.
        labels: Codes 0 … num_classes − 1. Any other code makes the objective NaN.
        num_classes: K ≥ 2. Static.
        l2: Penalty per sample, > 0, in squared units of the features. Traced: sweep it with
            ``vmap``.
        atol: Stop one step after half the squared Newton decrement, which estimates how far the
            objective is above its minimum, is this small; nats per sample. Float32 reaches 1e-8
            except for separable classes with l2 below some 1e-11 of the largest variance.
        max_steps: Newton steps at most. Static.

    Returns:
        The model, and ``Info``: CONVERGED, OUT_OF_STEPS, or NOT_FINITE for a NaN in the data or
        a label that is no code.

    Raises:
        ValueError: fewer than two classes, or shapes that disagree.

    Example:
        >>> X, labels = jnp.array([[0.0], [1.0], [2.0], [3.0]]), jnp.array([0, 1, 0, 1])
        >>> state, info = fit(X, labels, num_classes=2, l2=0.01)
        >>> bool(info.is_done), predict(state, X)
        (True, Array([0, 0, 1, 1], dtype=int32))
    """
    if num_classes < 2:
        raise ValueError(f"logistic.fit: num_classes is {num_classes}, not at least 2")
    outputs = 1 if num_classes == 2 else num_classes
    with jax.default_matmul_precision("highest"):
        center = X.mean(axis=0)
        Z, turn_back = _to_principal_axes(X - center[None, :])
        is_code = (labels >= 0) & (labels < num_classes)
        targets = jax.nn.one_hot(labels + outputs - num_classes, outputs, dtype=X.dtype, axis=0)
        problem = _Problem(
            A=jnp.append(Z, jnp.ones((len(X), 1), X.dtype), axis=1),
            targets=jnp.where(is_code[None, :], targets, jnp.nan),
            penalty=jnp.append(jnp.full(X.shape[1], l2, X.dtype), 0),
        )
        U, excess, num_steps = _minimize(problem, atol, max_steps)
        weights = turn_back(U[:, :-1])
        state = State(weights=weights, bias=U[:, -1] - weights @ center)
        objective = _objective(U, U @ problem.A.T, problem)
    is_done = excess <= jnp.asarray(atol, X.dtype)
    status = jnp.where(is_done, Status.CONVERGED, Status.OUT_OF_STEPS)
    status = jnp.where(jnp.isfinite(objective), status, Status.NOT_FINITE).astype(jnp.int32)
    return state, Info(objective, excess, num_steps, is_done, status)


@jax.jit
@checked
def predict(state: State, X: Float[Array, "n d"]) -> Int[Array, " n"]:
    """Return the code of the likeliest class of every row. O(n d K)."""
    return predict_log_proba(state, X).argmax(axis=1).astype(jnp.int32)


@jax.jit
@checked
def predict_proba(state: State, X: Float[Array, "n d"]) -> Float[Array, "n classes"]:
    """Return every class's probability for every row. O(n d K)."""
    return jnp.exp(predict_log_proba(state, X))


@jax.jit
@checked
def predict_log_proba(state: State, X: Float[Array, "n d"]) -> Float[Array, "n classes"]:
    """Return the logarithm of every class's probability for every row, in nats. O(n d K)."""
    with jax.default_matmul_precision("highest"):
        logits = X @ state.weights.T + state.bias[None, :]
    if len(state.bias) == 1:
        logits = jnp.append(jnp.zeros_like(logits), logits, axis=1)
    return log_softmax(logits, axis=1)


def _to_principal_axes(Z: Array) -> tuple[Array, Callable[[Array], Array]]:
    """Turn centered rows so that their features are uncorrelated; return how to turn weights back.

    The penalty is blind to a rotation. With d > n the axes would cost more than they save.
    """
    if Z.shape[1] > Z.shape[0]:
        return Z, lambda weights: weights
    # Every rotation gives the same model, so that this one needs no derivative.
    _, axes = jnp.linalg.eigh(jax.lax.stop_gradient(Z.T @ Z))
    return Z @ axes, lambda weights: weights @ axes.T


def _minimize(problem: _Problem, atol: Scalar, max_steps: int) -> tuple[Array, Array, Array]:
    """Find the root of the gradient, differentiable as an implicit function.

    Returns:
        The root, the excess of the objective before the last step, and the number of steps.
    """
    zeros = jnp.zeros((len(problem.targets), len(problem.penalty)), problem.A.dtype)

    def gradient(U: Array) -> Array:
        return _gradient(U, _link(U @ problem.A.T)[1], problem)

    def newton(_: Any, U: Array) -> tuple[Array, Any]:
        U, verdict, num_steps = loop.until(
            _newton_step, U, max_steps=max_steps, problem=problem, atol=atol
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


def _newton_step(U: Array, *, problem: _Problem, atol: Scalar) -> tuple[Array, _Verdict]:
    A, penalty = problem.A, problem.penalty[None, :]
    logits = U @ A.T
    _, P = _link(logits)
    gradient = _gradient(U, P, problem)
    diagonal = _diagonal((P * (1 - P)).mean(axis=1), problem)

    def hessian(V: Array) -> Array:
        T = P * (V @ A.T)
        return (T - P * T.sum(axis=0)[None, :]) @ A / len(A) + penalty * V

    length = jnp.sqrt((gradient**2 / diagonal).sum())
    rtol = jnp.minimum(0.1, jnp.sqrt(length))
    direction = _conjugate_gradients(hessian, -gradient, diagonal=diagonal, rtol=rtol)
    slope = (gradient * direction).sum()
    excess = jnp.abs(slope) / 2
    t = _step_size(U, logits, direction, slope, problem)
    is_done = (excess <= jnp.asarray(atol, U.dtype)) | jnp.isnan(excess)
    return U + t * direction, _Verdict(is_done, excess)


def _conjugate_gradients(
    product: Callable[[Array], Array], target: Array, *, diagonal: Array, rtol: Scalar
) -> Array:
    """Solve ``product(x) = target`` until the residual has shrunk to ``rtol`` of the target."""

    def unshift(r: Array) -> Array:
        # Softmax is blind to a shift that all outputs share: the Hessian has no say there.
        return r - r.mean(axis=0)[None, :] if len(r) > 1 else r

    def step(state: tuple[Array, ...]) -> tuple[tuple[Array, ...], _Verdict]:
        x, r, p, length = state
        Hp = product(p)
        curvature = (p * Hp).sum()
        a = _ratio(length, curvature)
        x, r = x + a * p, r - a * Hp
        z = unshift(r / diagonal)
        new_length = (r * z).sum()
        is_done = ~(new_length > enough) | ~(curvature > 0)
        return (x, r, z + _ratio(new_length, length) * p, new_length), _Verdict(is_done)

    r = unshift(target)
    z = unshift(r / diagonal)
    length = (r * z).sum()
    enough = rtol**2 * length
    start = (jnp.zeros_like(z), r, z, length)
    # A model that needs more products than this is better replaced by the next one.
    return loop.until(step, start, max_steps=500)[0][0]


def _step_size(U: Array, logits: Array, direction: Array, slope: Array, problem: _Problem) -> Array:
    """Halve from 1 until the objective falls enough, as far as its own rounding lets one see."""
    toward = direction @ problem.A.T
    here = _objective(U, logits, problem)
    noise = 8 * jnp.finfo(U.dtype).eps * here

    def halve(t: Array) -> tuple[Array, _Verdict]:
        there = _objective(U + t * direction, logits + t * toward, problem)
        is_done = there <= here + 1e-4 * t * slope + noise
        return jnp.where(is_done, t, t / 2), _Verdict(is_done)

    return loop.until(halve, jnp.ones_like(here), max_steps=30)[0]


def _objective(U: Array, logits: Array, problem: _Problem) -> Array:
    losses = _link(logits)[0] - (problem.targets * logits).sum(axis=0)
    return losses.mean() + (problem.penalty[None, :] * U**2).sum() / 2


def _gradient(U: Array, P: Array, problem: _Problem) -> Array:
    A = problem.A
    return (P - problem.targets) @ A / len(A) + problem.penalty[None, :] * U


def _diagonal(weight: Array, problem: _Problem) -> Array:
    """Return the diagonal of the Hessian where every sample has its output's weight."""
    return weight[:, None] * (problem.A**2).mean(axis=0)[None, :] + problem.penalty[None, :]


def _link(logits: Array) -> tuple[Array, Array]:
    """Return the log-normalizer (n) and the probabilities (outputs, n) of logits (outputs, n)."""
    if len(logits) == 1:
        return jax.nn.softplus(logits[0]), sigmoid(logits)
    return jax.nn.logsumexp(logits, axis=0), softmax(logits, axis=0)


def _ratio(a: Array, b: Array) -> Array:
    return jnp.where(b > 0, a / jnp.where(b > 0, b, 1), 0)
