"""Bayesian ridge regression: the penalty and the noise that make the data most likely.

    y | w ~ N(X w + b, 1/α),    w ~ N(0, 1/λ),    α, λ ~ Gamma(shape, rate)
    Σ = (α ZᵀSZ + λ I)⁻¹,    w = α Σ ZᵀSv,    γ = Σ_j α e_j / (λ + α e_j)
    λ ← (γ + 2 shape) / (|w|² + 2 rate),    α ← (N − γ + 2 shape) / (vᵀSv residual + 2 rate)

with centered Z and v, weights S of the rows, N = Σ s, and the eigenvalues e of ZᵀSZ, of which those
below d rounding units of the largest are 0. γ counts the directions of w that the data determine,
and all inverses come from the one spectrum. A fixed point of the updates is a stationary point of

    log evidence = ½ (d log λ + N log α − α |v − Zw|²_S − λ |w|² + log det Σ − N log 2π)
                   + shape log(α λ) − rate (α + λ)

scikit-learn's ``alpha_`` and ``lambda_`` are α and λ; its four hyperparameters are the shape and
the rate here, which it has as 1e-6 too.

Source: MacKay (1992), *Neural Computation* 4(3), eq. 2.8 and section 4 (updates); Tipping (2001),
*J. Machine Learning Research* 1, appendix A (hyperpriors); Bishop (2006), *Pattern Recognition and
Machine Learning*, eq. 3.59 (prediction).
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
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


class _Data(NamedTuple):
    Z: Float[Array, "n d"]
    v: Float[Array, " n"]
    gram: Float[Array, "d d"]  # ZᵀSZ
    cross: Float[Array, " d"]  # ZᵀSv
    counts: Float[Array, " n"]  # the diagonal of S
    total: Float[Array, ""]  # N
    shape: Float[Array, ""]
    rate: Float[Array, ""]


class _Spectrum(NamedTuple):
    e: Float[Array, " d"]  # of ZᵀSZ
    V: Float[Array, "d d"]  # its eigenvectors
    c: Float[Array, " d"]  # ZᵀSv along them, 0 where e is
    outside: Float[Array, ""]  # |v|² in S, less what the eigenvectors can explain


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
    data = _Data(
        Z=X - moments.x_mean[None, :],
        v=rows.seen(y, share) - moments.y_mean,
        gram=total * moments.gram,
        cross=total * moments.cross,
        counts=total * share,
        total=total,
        shape=shape,
        rate=rate,
    )
    fixed, variance, tolerance = implicit.stop((data, moments.square, jnp.asarray(rtol, X.dtype)))
    spectrum = _spectrum(fixed)
    start = jnp.log(jnp.stack([1 / jnp.where(variance == 0, 1, variance), jnp.ones_like(total)]))
    found, verdict, num_steps = loop.until(
        partial(_step, data=fixed, spectrum=spectrum, rtol=tolerance),
        implicit.stop(start),
        max_steps=max_steps,
    )
    logs = implicit.attach(Partial(_imbalance, spectrum, data), found)
    logs = jnp.where(is_allowed, logs, jnp.nan)
    alpha, lam = jnp.exp(logs[0]), jnp.exp(logs[1])
    w, cov, _, known = _posterior(logs, data, spectrum)
    with jax.default_matmul_precision("highest"):
        bias = moments.y_mean - moments.x_mean @ w
    evidence = _evidence(logs, data, spectrum)
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


def _spectrum(data: _Data) -> _Spectrum:
    with jax.default_matmul_precision("highest"):
        e, V = jnp.linalg.eigh(data.gram)
        is_seen = e > len(e) * jnp.finfo(e.dtype).eps * e[-1:]
        e = jnp.where(is_seen, e, 0)
        c = jnp.where(is_seen, data.cross @ V, 0)
        # From the rows: as a difference of squares it would be nothing but rounding where it is 0.
        residual = data.v - data.Z @ (V @ (c / jnp.where(is_seen, e, 1)))
        return _Spectrum(e, V, c, (data.counts * residual**2).sum())


def _step(logs: Array, *, data: _Data, spectrum: _Spectrum, rtol: Array) -> tuple[Array, _Verdict]:
    e, _, c, outside = spectrum
    alpha, lam = jnp.exp(logs[0]), jnp.exp(logs[1])
    precision = lam + alpha * e
    w = alpha * c / precision
    known = (alpha * e / precision).sum()
    left = jnp.where(e > 0, c * lam / precision, 0)  # of c
    error = outside + (left**2 / jnp.where(e > 0, e, 1)).sum()
    moved = _update(known, error, (w**2).sum(), data)
    change = jnp.abs(moved - logs).max()
    return moved, _Verdict((change <= rtol) | jnp.isnan(change))


def _update(known: Array, error: Array, square: Array, data: _Data) -> Array:
    """Return log α and log λ after an update."""
    more, rate = 2 * data.shape, 2 * data.rate
    free = jnp.log(data.total - known + more) - jnp.log(error + rate)
    return jnp.stack([free, jnp.log(known + more) - jnp.log(square + rate)])


def _imbalance(spectrum: _Spectrum, data: _Data, logs: Array) -> Array:
    """Return what an update would change, without eigenvectors, whose derivative may not exist."""
    w, _, error, known = _posterior(logs, data, spectrum)
    return _update(known, error, (w**2).sum(), data) - logs


def _posterior(logs: Array, data: _Data, spectrum: _Spectrum) -> tuple[Array, Array, Array, Array]:
    """Return w, Σ, the sum of squares that w leaves, and γ; the spectrum has no derivative."""
    alpha, lam = jnp.exp(logs[0]), jnp.exp(logs[1])
    cov = _solve(data, spectrum, logs, jnp.eye(len(data.cross), dtype=logs.dtype))
    with jax.default_matmul_precision("highest"):
        # The product Σ ZᵀSv has rounding in it where e is 0, and Σ is large.
        w = spectrum.V @ (alpha * spectrum.c / (lam + alpha * spectrum.e))
        w = implicit.evaluate(Partial(_mean, data, spectrum), logs, w)
        error = (data.counts * (data.v - data.Z @ w) ** 2).sum()
    return w, cov, error, len(w) - lam * jnp.trace(cov)


def _mean(data: _Data, spectrum: _Spectrum, logs: Array) -> Array:
    return _solve(data, spectrum, logs, jnp.exp(logs[0]) * data.cross[:, None])[:, 0]


def _solve(data: _Data, spectrum: _Spectrum, logs: Array, target: Array) -> Array:
    """Return Σ times columns."""
    matrix, precision = _precision(data, spectrum, logs)

    def solve(_: Any, target: Array) -> Array:
        return spectrum.V @ ((spectrum.V.T @ target) / precision[:, None])

    with jax.default_matmul_precision("highest"):
        return jax.lax.custom_linear_solve(matrix.__matmul__, target, solve, symmetric=True)


def _precision(data: _Data, spectrum: _Spectrum, logs: Array) -> tuple[Array, Array]:
    """Return Σ⁻¹, and its eigenvalues, which have no derivative."""
    alpha, lam = jnp.exp(logs[0]), jnp.exp(logs[1])
    matrix = alpha * data.gram + lam * jnp.eye(len(data.gram), dtype=logs.dtype)
    return matrix, jax.lax.stop_gradient(lam + alpha * spectrum.e)


def _log_det(data: _Data, spectrum: _Spectrum, logs: Array) -> Array:
    """Return log det Σ⁻¹, whose derivative is that of tr(Σ Σ⁻¹) with Σ held."""
    matrix, precision = _precision(data, spectrum, logs)
    cov = _solve(data, spectrum, logs, jnp.eye(len(matrix), dtype=matrix.dtype))
    slope = jnp.vdot(jax.lax.stop_gradient(cov), matrix)
    return jnp.log(precision).sum() + slope - jax.lax.stop_gradient(slope)


def _evidence(logs: Array, data: _Data, spectrum: _Spectrum) -> Array:
    alpha, lam = jnp.exp(logs[0]), jnp.exp(logs[1])
    w, _, error, _ = _posterior(logs, data, spectrum)
    fit = len(w) * logs[1] + data.total * (logs[0] - jnp.log(2 * jnp.pi))
    fit = (fit - alpha * error - lam * (w**2).sum() - _log_det(data, spectrum, logs)) / 2
    return fit + data.shape * logs.sum() - data.rate * (alpha + lam)
