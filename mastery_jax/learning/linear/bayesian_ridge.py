"""Bayesian ridge regression: the penalty and the noise that make the data most likely.

    y | w ~ N(X w + b, 1/α),    w ~ N(0, 1/λ),    α, λ ~ Gamma(shape, rate)
    Σ = (α ZᵀSZ + λ I)⁻¹,    w = α Σ ZᵀSv,    γ = Σ_j α e_j / (λ + α e_j)
    λ ← (γ + 2 shape) / (|w|² + 2 rate),    α ← (N − γ + 2 shape) / (vᵀSv residual + 2 rate)

with centered Z and v, weights S of the rows, N = Σ s, and the eigenvalues e of ZᵀSZ. γ counts the
directions of w that the data determine. A fixed point of the updates is a stationary point of

    log evidence = ½ (d log λ + N log α − α |v − Zw|²_S − λ |w|² + log det Σ − N log 2π)
                   + shape log(α λ) − rate (α + λ)

scikit-learn's ``alpha_`` and ``lambda_`` are α and λ; its four hyperparameters are the shape and
the rate here, which it has as 1e-6 too.

Source: MacKay (1992), *Neural Computation* 4(3), eq. 2.8 and section 4 (updates); Tipping (2001),
*J. Machine Learning Research* 1, appendix A (hyperpriors); Bishop (2006), *Pattern Recognition and
Machine Learning*, eq. 3.59 (prediction).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int

from mastery_jax.core import loop
from mastery_jax.core.check import Scalar, checked
from mastery_jax.core.status import Status
from mastery_jax.learning.linear import rows
from mastery_jax.numerics.optimize import implicit, lasso

__all__ = ["Info", "State", "fit", "predict", "predict_std"]


class State(NamedTuple):
    """A fitted model, and how sure it is."""

    weights: Float[Array, " d"]  # mean of w, unit of y per unit of the feature
    bias: Float[Array, ""]  # unit of y
    cov: Float[Array, "d d"]  # Σ, of the weights
    center: Float[Array, " d"]  # mean of the features, where a prediction is surest
    noise_precision: Float[Array, ""]  # α, per squared unit of y
    weight_precision: Float[Array, ""]  # λ, per squared unit of the weights


class Info(NamedTuple):
    """How the fit ended."""

    log_evidence: Float[Array, ""]  # with the logarithm of the hyperpriors, to a constant; nats
    num_known: Float[Array, ""]  # γ, in [0, d]
    num_steps: Int[Array, ""]
    is_done: Bool[Array, ""]  # status is CONVERGED
    status: Int[Array, ""]  # core.status.Status


class _Spectrum(NamedTuple):
    e: Float[Array, " d"]  # of ZᵀSZ
    c: Float[Array, " d"]  # ZᵀSv along the eigenvectors
    square: Float[Array, ""]  # vᵀSv
    total: Float[Array, ""]  # N
    shape: Float[Array, ""]
    rate: Float[Array, ""]


class _Verdict(NamedTuple):
    is_done: Bool[Array, ""]


@partial(jax.jit, static_argnames=("max_steps",))
@checked
def fit(
    X: Float[Array, "n d"],
    y: Float[Array, " n"],
    *,
    weights: Float[Array, " n"] | None = None,
    prior_shape: Scalar = 1e-6,
    prior_rate: Scalar = 1e-6,
    rtol: Scalar = 1e-5,
    max_steps: int = 1000,
) -> tuple[State, Info]:
    """Update both precisions until they stay. O(n d² + d³), and O(d) a step.

    Differentiable in both modes with respect to the data, the weights and the hyperpriors, by the
    implicit function theorem at a fixed point.

    Args:
        X: One row per sample, raw or standardized; it is centered here. λ is one number: features
            should be of one size.
        y: One target per sample.
        weights: Counts of the rows, ≥ 0, one where None: α and γ feel their sum. A row of weight 0
            has no say, and its y is not read; its features must be finite.
        prior_shape: Of α and of λ, ≥ 0. Traced.
        prior_rate: Of α and of λ, ≥ 0, in the units of 1/α and 1/λ. Traced.
        rtol: Stop when no precision moves by more than this share of itself.
        max_steps: Updates at most. Static.

    Returns:
        The model, and Info: CONVERGED; OUT_OF_STEPS, as where y is explained exactly, or not at
        all, so that a precision grows without end; NOT_FINITE; BAD_INPUT, with NaN, for weights
        that are negative, infinite or all 0 and hyperpriors that are negative.

    Raises:
        ValueError: ``X``, ``y`` and ``weights`` disagree on the number of samples.

    Example:
        >>> X, y = jnp.arange(8.0)[:, None], jnp.array([0.1, 0.9, 2.1, 2.9, 4.1, 4.9, 6.1, 6.9])
        >>> state, info = fit(X, y)
        >>> abs(float(state.weights[0]) - 0.99) < 0.01, bool(info.is_done)
        (True, True)
    """
    share, total = rows.shares(X, weights)
    shape, rate = (jnp.asarray(number, X.dtype) for number in (prior_shape, prior_rate))
    moments = lasso.moments(X, rows.seen(y, share), share)
    is_allowed = (total > 0) & (shape >= 0) & (rate >= 0)
    spectrum = _spectrum(moments, total, shape, rate)
    variance = jnp.where(moments.square == 0, 1, moments.square)
    start = jnp.log(jnp.stack([1 / variance, jnp.ones_like(total)]))
    fixed, tolerance = implicit.stop((spectrum, jnp.asarray(rtol, X.dtype)))
    found, verdict, num_steps = loop.until(
        partial(_step, spectrum=fixed, rtol=tolerance), implicit.stop(start), max_steps=max_steps
    )
    logs = implicit.attach(Partial(_imbalance, moments, total, shape, rate), found)
    logs = jnp.where(is_allowed, logs, jnp.nan)
    alpha, lam = jnp.exp(logs[0]), jnp.exp(logs[1])
    with jax.default_matmul_precision("highest"):
        identity = jnp.eye(X.shape[1], dtype=X.dtype)
        matrix = alpha * total * moments.gram + lam * identity
        cov = solve(matrix, identity, assume_a="pos")
        w = alpha * total * solve(matrix, moments.cross, assume_a="pos")
        bias = moments.y_mean - moments.x_mean @ w
    evidence, known = _evidence(logs, moments, matrix, w, (total, shape, rate))
    status = jnp.where(verdict.is_done, Status.CONVERGED, Status.OUT_OF_STEPS)
    is_finite = jnp.isfinite(w).all() & jnp.isfinite(evidence)
    status = jnp.where(is_finite, status, Status.NOT_FINITE)
    status = jnp.where(is_allowed, status, Status.BAD_INPUT).astype(jnp.int32)
    state = State(w, bias, cov, moments.x_mean, alpha, lam)
    num_steps = num_steps.astype(jnp.int32)
    return state, Info(evidence, known, num_steps, status == Status.CONVERGED, status)


@jax.jit
@checked
def predict(state: State, X: Float[Array, "n d"]) -> Float[Array, " n"]:
    """Return the expected target of every row, in the unit of y. O(n d)."""
    with jax.default_matmul_precision("highest"):
        return X @ state.weights + state.bias


@jax.jit
@checked
def predict_std(state: State, X: Float[Array, "n d"]) -> Float[Array, " n"]:
    """Return the standard deviation of the target of every row, noise included. O(n d²).

    The bias and the precisions count as known, as in scikit-learn's ``predict(return_std=True)``.
    """
    with jax.default_matmul_precision("highest"):
        Z = X - state.center[None, :]
        return jnp.sqrt(1 / state.noise_precision + ((Z @ state.cov) * Z).sum(axis=1))


def _spectrum(moments: lasso.Moments, total: Array, shape: Array, rate: Array) -> _Spectrum:
    moments = implicit.stop(moments)
    with jax.default_matmul_precision("highest"):
        e, V = jnp.linalg.eigh(total * moments.gram)
        c = total * moments.cross @ V
    return _Spectrum(jnp.maximum(e, 0), c, total * moments.square, total, shape, rate)


def _step(logs: Array, *, spectrum: _Spectrum, rtol: Array) -> tuple[Array, _Verdict]:
    e, c, square, total, shape, rate = spectrum
    alpha, lam = jnp.exp(logs[0]), jnp.exp(logs[1])
    precision = lam + alpha * e
    w = alpha * c / precision
    known = (alpha * e / precision).sum()
    error = jnp.maximum(square - 2 * (c * w).sum() + (e * w**2).sum(), 0)
    moved = jnp.log(
        jnp.stack(
            [
                (total - known + 2 * shape) / (error + 2 * rate),
                (known + 2 * shape) / ((w**2).sum() + 2 * rate),
            ]
        )
    )
    change = jnp.abs(moved - logs).max()
    return moved, _Verdict((change <= rtol) | jnp.isnan(change))


def _imbalance(
    moments: lasso.Moments, total: Array, shape: Array, rate: Array, logs: Array
) -> Array:
    """Return what an update would change, without eigenvectors, whose derivative may not exist."""
    alpha, lam = jnp.exp(logs[0]), jnp.exp(logs[1])
    identity = jnp.eye(len(moments.cross), dtype=logs.dtype)
    matrix = alpha * total * moments.gram + lam * identity
    w = alpha * total * solve(matrix, moments.cross, assume_a="pos")
    known = len(w) - lam * jnp.trace(solve(matrix, identity, assume_a="pos"))
    error = total * _mean_square(w, moments)
    noise = jnp.log(total - known + 2 * shape) - jnp.log(error + 2 * rate)
    return jnp.stack([noise, jnp.log(known + 2 * shape) - jnp.log((w**2).sum() + 2 * rate)]) - logs


def _mean_square(w: Array, moments: lasso.Moments) -> Array:
    return moments.square - 2 * moments.cross @ w + w @ moments.gram @ w


def _evidence(
    logs: Array,
    moments: lasso.Moments,
    matrix: Array,
    w: Array,
    given: tuple[Array, Array, Array],
) -> tuple[Array, Array]:
    total, shape, rate = given
    alpha, lam = jnp.exp(logs[0]), jnp.exp(logs[1])
    factor = jnp.linalg.cholesky(matrix)
    log_det = 2 * jnp.log(jnp.diagonal(factor)).sum()
    error = total * _mean_square(w, moments)
    fit = len(w) * logs[1] + total * (logs[0] - jnp.log(2 * jnp.pi))
    fit = (fit - alpha * error - lam * (w**2).sum() - log_det) / 2
    identity = jnp.eye(len(w), dtype=w.dtype)
    known = len(w) - lam * jnp.trace(solve(matrix, identity, assume_a="pos"))
    return fit + shape * logs.sum() - rate * (alpha + lam), known
