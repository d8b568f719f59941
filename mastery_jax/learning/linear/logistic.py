"""Logistic regression with two or more classes and quadratic or absolute penalties, by Newton.

    minimize  Σ_i w_i (−log p(label_i | x_i)) / Σ_i w_i  +  l2/2 |W|²  +  l1 |W|₁

(b is not penalized). With z = W x + b, two classes have one output, p = (1 − sigmoid(z),
sigmoid(z)); K > 2 classes have K outputs, p = softmax(z), and biases that sum to 0. scikit-learn's
``C`` and ``l1_ratio`` r are ``l2 = (1 − r) / (C Σw)`` and ``l1 = r / (C Σw)``.

Without l1 the features are turned to their principal axes, in which the search is a Newton step's
system by conjugate gradients, or by Cholesky where it is small; with l1 every Newton step is a
LASSO.

Source: Bishop (2006), *Pattern Recognition and Machine Learning*, eq. 4.90-4.97 (two classes) and
4.104-4.110 (more); Nocedal & Wright (2006), *Numerical Optimization*, algorithm 7.1; Lee, Sun &
Saunders (2014), *SIAM J. Optim.* 24(3), algorithm 1 (with l1).
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from mastery_jax.core.check import Scalar, checked
from mastery_jax.core.status import Status
from mastery_jax.learning.linear import log_loss, rows, softmax_lasso, softmax_newton
from mastery_jax.numerics.activations import log_softmax

__all__ = [
    "Info",
    "State",
    "decision_function",
    "fit",
    "predict",
    "predict_log_proba",
    "predict_proba",
]

ROUNDING = 16
"""Units of rounding that a sum of features which is constant may vary by."""


class State(NamedTuple):
    """A fitted logistic regression; two classes have one output, the log-odds of the second."""

    weights: Float[Array, "outputs d"]  # nats per unit of the feature
    bias: Float[Array, " outputs"]  # nats


class Info(NamedTuple):
    """How the fit ended."""

    objective: Float[Array, ""]  # at the State returned, nats per sample
    excess: Float[Array, ""]  # estimated, over the minimum, before the last step; nats per sample
    num_steps: Int[Array, ""]
    is_done: Bool[Array, ""]  # status is CONVERGED
    status: Int[Array, ""]  # core.status.Status


@partial(jax.jit, static_argnames=("num_classes", "max_steps"))
@checked
def fit(
    X: Float[Array, "n d"],
    labels: Int[Array, " n"],
    *,
    num_classes: int,
    weights: Float[Array, " n"] | None = None,
    l2: Scalar = 1e-3,
    l1: Scalar | None = None,
    atol: Scalar = 1e-8,
    max_steps: int = 100,
) -> tuple[State, Info]:
    """Minimize by some 10 Newton steps. O(n d K) a product of some 10 a step; O(n (d K)²) with l1.

    The principal axes cost O(n d² + d³) once; with d > n they are left out. Differentiable in both
    modes with respect to ``X``, ``weights``, ``l2`` and ``l1``, by the implicit function theorem
    (with l1 where no weight is about to leave 0).

    Args:
        X: One row per sample, raw or standardized; it is centered here.
        labels: Codes 0 … num_classes − 1. Any other code makes the objective NaN.
        num_classes: K ≥ 2. Static.
        weights: Of the rows, ≥ 0, one where None. A row of weight 0 has no say, and its label is
            not read; its features must be finite.
        l2: Penalty per sample, ≥ 0, in squared units of the features. At 0, and without l1, there
            is a minimum only if classes overlap; where features depend on others there are many,
            and with n ≥ d it is the one of the shortest weights. Traced: sweep it with ``vmap``.
        l1: Penalty per sample, > 0, in units of the features; it makes weights exactly 0. It comes
            beside l2: say ``l2=0.0`` for l1 alone. Traced; None costs nothing. Its Newton steps
            hold a matrix of (d K)² numbers. Sweep it with ``lax.map`` on a CPU.
        atol: Stop one step after half the squared Newton decrement, which estimates how far the
            objective is above its minimum, is this small; nats per sample. Where the penalty
            l2/2 |W|² is below 1e-4, it is the same share of that: with 1e-8, W is then within 1 %
            of its length before the last step. Rounding of the objective is always small enough.
            Float32 reaches 1e-8 except for separable classes with l2 below some 1e-11 of the
            largest variance.
        max_steps: Newton steps at most. Static.

    Returns:
        The model, and ``Info``. A class of three or more that no row has is best predicted nowhere:
        its bias is −∞, its weights and its probability 0, and the others are fitted without it.
        CONVERGED; OUT_OF_STEPS; NOT_FINITE for a NaN in the data or a label that is no code;
        BAD_INPUT, with NaN, for weights that are negative, infinite or all 0 and penalties that
        are negative (l1: not positive), and with a model on its way to infinity for rows of one
        class alone.

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
        l2 = jnp.asarray(l2, X.dtype)
        shares, total = rows.shares(X, weights)
        is_allowed, is_seen = (total > 0) & (l2 >= 0), shares > 0
        is_code = (labels >= 0) & (labels < num_classes) | ~is_seen
        targets = jax.nn.one_hot(labels + outputs - num_classes, outputs, dtype=X.dtype, axis=0)
        is_present = None
        if outputs > 1:
            is_present = ((targets > 0) & is_seen[None, :]).any(axis=1) | ~is_allowed
        A, spread, center, turn_back = _coordinates(
            X, weights if weights is None else shares, is_turned=l1 is None
        )
        problem = log_loss.Problem(
            A=A,
            targets=jnp.where(is_code[None, :], targets, jnp.nan),
            shares=jnp.where(is_allowed, shares, jnp.nan),
            penalty=jnp.append(jnp.full(X.shape[1], l2), 0),
            spread=spread,
            is_present=is_present,
        )
        hyper = {"atol": atol, "max_steps": max_steps}
        if l1 is None:
            U, excess, is_close, num_steps = softmax_newton.search(problem, **hyper)
        else:
            l1 = jnp.asarray(l1, X.dtype)
            is_allowed = is_allowed & (l1 > 0)
            U, excess, is_close, num_steps = softmax_lasso.search(
                problem, jnp.where(l1 > 0, l1, jnp.nan), **hyper
            )
            U = jnp.where(is_allowed & jnp.isfinite(A).all(), U, jnp.nan)
        W = turn_back(U[:, :-1])
        objective = log_loss.objective(U, log_loss.scores(U, A), problem)
        objective = objective if l1 is None else objective + l1 * jnp.abs(W).sum()
        bias = _bias(U[:, -1] - W @ center, is_present)
    first = jnp.where(is_seen, labels, num_classes).min()
    has_two = (is_seen & (labels != first)).any()
    status = jnp.where(is_close, Status.CONVERGED, Status.OUT_OF_STEPS)
    status = jnp.where(jnp.isfinite(objective), status, Status.NOT_FINITE)
    status = jnp.where(is_allowed & has_two, status, Status.BAD_INPUT).astype(jnp.int32)
    is_done = status == Status.CONVERGED
    return State(W, bias), Info(objective, excess, num_steps, is_done, status)


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
    logits = _logits(state, X)
    if len(state.bias) == 1:
        logits = jnp.append(jnp.zeros_like(logits), logits, axis=1)
    return log_softmax(logits, axis=1)


@jax.jit
@checked
def decision_function(state: State, X: Float[Array, "n d"]) -> Float[Array, "n *columns"]:
    """Return the scores W x + b in nats: one number a row for two classes, else one per class.

    O(n d K).
    """
    logits = _logits(state, X)
    return logits[:, 0] if logits.shape[1] == 1 else logits


def _logits(state: State, X: Array) -> Array:
    with jax.default_matmul_precision("highest"):
        return X @ state.weights.T + state.bias[None, :]


def _bias(bias: Array, is_present: Array | None) -> Array:
    """Return biases that sum to 0, save those of classes that are absent."""
    if is_present is None:
        return bias
    shift = jnp.where(is_present, bias, 0).sum() / is_present.sum().astype(bias.dtype)
    return jnp.where(is_present, bias - shift, -jnp.inf)


def _coordinates(
    X: Array, shares: Array | None, *, is_turned: bool
) -> tuple[Array, Array, Array, Callable[[Array], Array]]:
    """Return centered features in rows, then ones; mean squares; the center; and a way back.

    They are turned so that they are uncorrelated: a quadratic penalty is blind to a rotation, an
    absolute one is not. With d > n the axes would cost more than they save. A mean square that is
    no more than what rounding leaves of a sum that is 0 is 0.
    """
    n, d = X.shape
    center = X.mean(axis=0) if shares is None else (shares[:, None] * X).sum(axis=0)
    Z = X - center[None, :]
    # Every rotation gives the same model, so that this one needs no derivative.
    fixed, middle = jax.lax.stop_gradient((Z, center))

    def mean_square(rows: Array) -> Array:
        return (rows**2).mean(axis=1) if shares is None else (shares[None, :] * rows * rows).sum(1)

    if d > n or not is_turned:
        turned, turn_back, spread = Z.T, lambda weights: weights, mean_square(fixed.T)
        size = d * spread + middle**2
    else:
        gram = fixed.T @ fixed / n if shares is None else (shares[:, None] * fixed).T @ fixed
        e, axes = jnp.linalg.eigh(gram)
        turned, turn_back = axes.T @ Z.T, lambda weights: weights @ axes.T
        spread = mean_square(jax.lax.stop_gradient(turned))
        # An axis of the null space leans on the next by so much that the spreads grow by a ratio.
        is_seen = e > 8 * d * jnp.finfo(Z.dtype).eps * e[-1:]
        ratio = e[-1:] / jnp.where(is_seen, e, e[-1:]).min(initial=jnp.inf)
        size = ratio * ((d * jnp.diagonal(gram) + middle**2) @ axes**2)
    is_rounding = spread <= (ROUNDING * jnp.finfo(Z.dtype).eps) ** 2 * size
    spread = jnp.append(jnp.where(is_rounding, 0, spread), 1)
    A = jnp.concatenate([turned, jnp.ones((1, n), Z.dtype)])
    return A, spread, center, turn_back
