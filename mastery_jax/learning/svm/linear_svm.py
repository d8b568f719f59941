"""A linear support vector machine, in the primal, for two or more classes.

    minimize  Σ_i w_i max(0, 1 − y_i (w·x_i + b))² / Σ_i w_i  +  l2/2 |w|²      (b is not penalized)

with y = ±1; of K > 2 classes each is told from all others, and the largest w·x + b is predicted.
The objective is piecewise quadratic. With A the rows that violate their margin (and a column of
ones), T their weights and S the penalty of w alone, a step solves

    (2 Aᵀ T A + l2 S) u = 2 Aᵀ T y

which is the minimum if its u has the same violators; otherwise the way to it is halved until the
objective falls enough. Some ten steps find the violators, and then the minimum is exact.

Source: Keerthi & DeCoste (2005), *JMLR* 6, algorithm of section 2 (with halving for their exact
line search); Mangasarian (2002), *Optimization Methods and Software* 17 (finite termination).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve
from jaxtyping import Array, Bool, Float, Int

from mastery_jax.core import loop
from mastery_jax.core.check import Scalar, checked
from mastery_jax.core.status import Status

__all__ = ["Info", "State", "decision_function", "fit", "predict"]


class State(NamedTuple):
    """A fitted model; two classes have one output, positive for the second."""

    weights: Float[Array, "outputs d"]  # per unit of the feature
    bias: Float[Array, " outputs"]


class Info(NamedTuple):
    """How the fits of the outputs ended."""

    objective: Float[Array, " outputs"]  # per row
    decrement: Float[Array, " outputs"]  # half of −slope · step: what the last step could gain
    num_steps: Int[Array, " outputs"]
    is_done: Bool[Array, ""]  # decrement ≤ atol, of all outputs
    status: Int[Array, ""]  # core.status.Status, of the worst output


class _Verdict(NamedTuple):
    is_done: Array
    decrement: Array


class _Problem(NamedTuple):
    A: Array  # centered features and a column of ones
    sides: Array  # ±1
    share: Array  # weights, sum 1
    penalty: Array  # l2, and 0 for b


@partial(jax.jit, static_argnames=("num_classes", "max_steps"))
@checked
def fit(
    X: Float[Array, "n d"],
    labels: Int[Array, " n"],
    *,
    num_classes: int,
    weights: Float[Array, " n"] | None = None,
    l2: Scalar = 1e-3,
    state: State | None = None,
    atol: Scalar = 1e-10,
    max_steps: int = 100,
) -> tuple[State, Info]:
    """Minimize by some 10 Newton steps. O(n d² + d³) a step and output.

    scikit-learn's LinearSVC has ``C`` = 1 / (l2 Σ_i w_i), and penalizes b too, as if it were the
    weight of a column of ``intercept_scaling``: with a large one both agree.

    Args:
        X: One row per sample, raw or standardized; it is centered here.
        labels: Codes 0 … num_classes − 1.
        num_classes: K ≥ 2. Static.
        weights: ≥ 0, one where None. A row of weight 0 is as if it were absent.
        l2: Penalty per sample, > 0, in squared units of the features. Traced: sweep it with
            ``vmap``.
        state: To begin with, 0 where None: of a larger l2, or of a fit that was stopped.
        atol: Stop when half the squared Newton decrement is this small, per row. In float32 it
            is not below the rounding of the objective.
        max_steps: Newton steps at most. Static.

    Returns:
        The model, and Info: CONVERGED; OUT_OF_STEPS; BAD_INPUT, with NaN, for l2 ≤ 0, weights that
        are negative or all 0, a label that is no code, or fewer than two classes with weight;
        NOT_FINITE for a row with weight that is not.

    Raises:
        ValueError: fewer than two classes.

    Example:
        >>> X, labels = jnp.array([[0.0], [1.0], [2.0], [3.0]]), jnp.array([0, 0, 1, 1])
        >>> state, info = fit(X, labels, num_classes=2, l2=1e-4)
        >>> decision_function(state, X).round(2)
        Array([-3., -1.,  1.,  3.], dtype=float32)
    """
    if num_classes < 2:
        raise ValueError(f"linear_svm.fit: num_classes is {num_classes}, not at least 2")
    weights = jnp.ones_like(X[:, 0]) if weights is None else weights.astype(X.dtype)
    codes = jnp.arange(num_classes, dtype=labels.dtype)
    is_of = labels[None, :] == codes[:, None]
    is_seen = weights > 0
    is_bad = (~is_of.any(axis=0) & is_seen).any() | ~(weights >= 0).all()
    is_bad = is_bad | ((is_of & is_seen[None, :]).any(axis=1).sum() < 2)
    is_bad = is_bad | ~(jnp.asarray(l2, X.dtype) > 0)
    share = jnp.where(is_bad, jnp.nan, weights / weights.sum())
    X = jnp.where(is_seen[:, None], X, 0)
    with jax.default_matmul_precision("highest"):
        center = share @ X
        A = jnp.append(X - center[None, :], jnp.ones_like(X[:, :1]), axis=1)
        penalty = jnp.append(jnp.full(X.shape[1], l2, X.dtype), 0)

        outputs = is_of[1:] if num_classes == 2 else is_of
        if state is None:
            state = State(
                jnp.zeros((len(outputs), X.shape[1]), X.dtype), jnp.zeros(len(outputs), X.dtype)
            )
        bias = state.bias + state.weights @ center
        starts = jnp.append(state.weights, bias[:, None], axis=1)

        def one(start: Array, sides: Array) -> tuple[Array, ...]:
            problem = _Problem(A, sides, share, penalty)
            u, verdict, num_steps = loop.until(
                _step, start, max_steps=max_steps, problem=problem, atol=atol
            )
            return u, _objective(u, problem), verdict.decrement, num_steps.astype(jnp.int32)

        u, objective, decrement, num_steps = jax.vmap(one)(
            starts, jnp.where(outputs, 1, -1).astype(X.dtype)
        )
        state = State(weights=u[:, :-1], bias=u[:, -1] - u[:, :-1] @ center)
    is_done = decrement <= _enough(atol, objective)
    status = jnp.where(is_done.all(), Status.CONVERGED, Status.OUT_OF_STEPS)
    status = jnp.where(jnp.isfinite(objective).all(), status, Status.NOT_FINITE)
    status = jnp.where(is_bad, Status.BAD_INPUT, status).astype(jnp.int32)
    return state, Info(objective, decrement, num_steps, is_done.all(), status)


@jax.jit
@checked
def decision_function(state: State, X: Float[Array, "m d"]) -> Float[Array, "m *columns"]:
    """Return w·x + b: one number a row for two classes, else one column per class. O(m d K)."""
    with jax.default_matmul_precision("highest"):
        sides = X @ state.weights.T + state.bias[None, :]
    return sides[:, 0] if sides.shape[1] == 1 else sides


@jax.jit
@checked
def predict(state: State, X: Float[Array, "m d"]) -> Int[Array, " m"]:
    """Return the code of the class of the largest w·x + b of every row. O(m d K)."""
    sides = decision_function(state, X)
    code = sides > 0 if sides.ndim == 1 else sides.argmax(axis=1)
    return code.astype(jnp.int32)


def _step(u: Array, *, problem: _Problem, atol: Scalar) -> tuple[Array, _Verdict]:
    A, sides, share, penalty = problem
    short = 1 - sides * (A @ u)
    active = jnp.where(short > 0, 2 * share, 0)
    slope = penalty * u - A.T @ (active * sides * short)
    hessian = A.T @ (active[:, None] * A) + jnp.diag(penalty)
    # Where no row violates its margin, nothing says where b should be: it stays.
    is_flat = hessian[-1, -1] <= 0
    hessian = hessian.at[-1, -1].add(jnp.where(is_flat, 1, 0))
    direction = -solve(hessian, slope, assume_a="pos")
    here, way = _objective(u, problem), slope @ direction
    noise = 8 * jnp.finfo(u.dtype).eps * here

    def halve(t: Array) -> tuple[Array, _Verdict]:
        there = _objective(u + t * direction, problem)
        is_done = there <= here + 1e-4 * t * way + noise
        return jnp.where(is_done, t, t / 2), _Verdict(is_done, t)

    t = loop.until(halve, jnp.ones_like(here), max_steps=30)[0]
    decrement = jnp.abs(way) / 2
    is_done = (decrement <= _enough(atol, here)) | jnp.isnan(decrement)
    return u + t * direction, _Verdict(is_done, decrement)


def _objective(u: Array, problem: _Problem) -> Array:
    A, sides, share, penalty = problem
    short = jnp.maximum(1 - sides * (A @ u), 0)
    return jnp.where(share == 0, 0, share * short**2).sum() + (penalty * u**2).sum() / 2


def _enough(atol: Scalar, objective: Array) -> Array:
    return jnp.maximum(
        jnp.asarray(atol, objective.dtype), jnp.finfo(objective.dtype).eps * objective
    )
