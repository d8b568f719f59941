"""Coordinate ascent: linear regression whose three factors are updated in turn, in closed form.

    y ~ N(X w, 1/τ),   w ~ N(0, I/α),   τ ~ Gamma(a₀, b₀),   α ~ Gamma(c₀, d₀)
    q(w) q(τ) q(α) = N(w; m, S) Gamma(τ; a, b) Gamma(α; c, d)

    S = (Eα I + Eτ XᵀX)⁻¹,   m = Eτ S Xᵀy
    b = b₀ + E|y − X w|² / 2,   d = d₀ + E|w|² / 2,   a = a₀ + n/2,   c = c₀ + p/2

No update lowers the bound on the evidence. One singular value decomposition of X serves all rounds.

Source: Bishop (2006), *Pattern Recognition and Machine Learning*, sections 10.1.3 and 10.3;
Drugowitsch (2013), arXiv:1310.5438, section 2 (noise unknown).
"""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import digamma, gammaln
from jaxtyping import Array, Bool, Float, Int

from mastery_jax.core import loop
from mastery_jax.core.check import Scalar, checked
from mastery_jax.core.status import Status

__all__ = ["Gamma", "Info", "State", "fit", "predict"]

VAGUE = 1e-3
"""Half of the rows that a prior is worth, unless another one is given."""


class Gamma(NamedTuple):
    """A gamma distribution."""

    shape: Float[Array, ""]
    rate: Float[Array, ""]


class State(NamedTuple):
    """The three factors."""

    mean: Float[Array, " p"]  # m, unit of y per unit of x
    cov: Float[Array, "p p"]  # S
    noise: Gamma  # of τ, 1 / squared unit of y
    prior: Gamma  # of α


class Info(NamedTuple):
    """How the rounds ended."""

    elbo: Float[Array, ""]  # nats, a lower bound on log p(y | X)
    num_steps: Int[Array, ""]
    status: Int[Array, ""]  # core.status.Status
    is_done: Bool[Array, ""]  # status is CONVERGED


class _Rows(NamedTuple):
    singular: Array  # of X
    along: Array  # Uᵀ y
    off: Array  # squared length of y beyond the columns of X
    num_rows: int
    num_columns: int


class _Round(NamedTuple):
    noise: Gamma
    prior: Gamma
    mean: Array  # Vᵀ m
    elbo: Array


class _Verdict(NamedTuple):
    status: Array
    is_done: Array


@partial(jax.jit, static_argnames=("max_steps",))
@checked
def fit(
    X: Float[Array, "n p"],
    y: Float[Array, " n"],
    *,
    noise: tuple[Scalar, Scalar] | None = None,
    prior: tuple[Scalar, Scalar] | None = None,
    rtol: Scalar | None = None,
    max_steps: int = 500,
) -> tuple[State, Info]:
    """Update the factors until the bound stands still. O(n p²) once, and O(p) a round.

    Args:
        X: One row per observation; a column of ones where there is an intercept, which the prior
            then shrinks too. One α serves all columns: bring them into units that are alike.
        y: What was seen.
        noise: a₀ and b₀, > 0: shape, and rate in squared units of y; where None 0.001 and as much
            of the mean square of y.
        prior: c₀ and d₀, > 0: shape, and rate in squared units of w; where None 0.001 and as much
            of |y|²/|X|².
        rtol: Ends when a round raises the bound by no more than this part of max(|ELBO|, 1); if not
            given eps^¾.
        max_steps: Rounds at most, at least 1. Static.

    Returns:
        The factors, and Info: CONVERGED; OUT_OF_STEPS; NOT_FINITE where something given is not;
        BAD_INPUT where a shape or rate is not positive.

    Raises:
        ValueError: shapes disagree, or ``max_steps`` < 1.

    Example:
        >>> X = jnp.linspace(-1, 1, 50)[:, None]
        >>> state, info = fit(X, 2 * X[:, 0])
        >>> state.mean.round(2), bool(info.is_done)
        (Array([2.], dtype=float32), True)
    """
    if max_steps < 1:
        raise ValueError(f"coordinate_ascent.fit: max_steps is {max_steps}, not at least 1")
    dtype = X.dtype
    limit = jnp.asarray(jnp.finfo(dtype).eps ** 0.75 if rtol is None else rtol, dtype)
    with jax.default_matmul_precision("highest"):
        U, singular, Vt = jnp.linalg.svd(X, full_matrices=False)
        along = U.T @ y
        off = ((y - U @ along) ** 2).sum()
    rows = _Rows(singular, along, off, *X.shape)
    # Where nothing is known: y is noise alone, and weights are what would make the whole of it.
    squares = (y * y).sum()
    sizes = (_over(squares, jnp.asarray(len(y), dtype)), _over(squares, (X * X).sum()))
    noise_start, prior_start = (
        Gamma(*(jnp.asarray(number, dtype) for number in pair or (VAGUE, VAGUE * size)))
        for pair, size in zip((noise, prior), sizes, strict=True)
    )
    start = _Round(
        noise=Gamma(noise_start.shape + len(y) / 2, noise_start.rate + squares / 2),
        prior=Gamma(
            prior_start.shape + X.shape[1] / 2, prior_start.rate + X.shape[1] / 2 * sizes[1]
        ),
        mean=jnp.zeros_like(along),
        elbo=jnp.asarray(-jnp.inf, dtype),
    )
    step = partial(_step, rows=rows, noise=noise_start, prior=prior_start, rtol=limit)
    end, verdict, num_steps = loop.until(step, start, max_steps=max_steps)
    status = jnp.where(verdict.is_done, verdict.status, Status.OUT_OF_STEPS)
    is_bad = (jnp.stack([*noise_start, *prior_start]) <= 0).any()
    status = jnp.where(is_bad, Status.BAD_INPUT, status).astype(jnp.int32)
    variances = 1 / (_mean(end.prior) + _mean(end.noise) * singular**2)
    with jax.default_matmul_precision("highest"):
        beyond = jnp.eye(X.shape[1], dtype=dtype) - Vt.T @ Vt
        cov = (Vt.T * variances[None, :]) @ Vt + beyond / _mean(end.prior)
        state = State(Vt.T @ end.mean, cov, end.noise, end.prior)
    counted = jnp.asarray(num_steps, jnp.int32)
    return state, Info(end.elbo, counted, status, status == Status.CONVERGED)


@jax.jit
@checked
def predict(state: State, X: Float[Array, "n p"]) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """Return mean and variance of new observations, the noise in it. O(n p²).

    Args:
        state: What ``fit`` returned.
        X: One row each.

    Returns:
        The mean, and the variance of Student's t with 2a degrees of freedom; infinite for a ≤ 1.
    """
    shape, rate = state.noise
    with jax.default_matmul_precision("highest"):
        spread = ((X @ state.cov) * X).sum(axis=1)
        mean = X @ state.mean
    return mean, jnp.where(shape > 1, rate / (shape - 1), jnp.inf) + spread


def _over(a: Array, b: Array) -> Array:
    """Return a / b, or 1 where one of them is 0: a unit is needed, and there is none."""
    has_unit = (a != 0) & (b != 0)
    return jnp.where(has_unit, a, 1) / jnp.where(has_unit, b, 1)


def _mean(gamma: Gamma) -> Array:
    return gamma.shape / gamma.rate


def _step(
    state: _Round, *, rows: _Rows, noise: Gamma, prior: Gamma, rtol: Array
) -> tuple[_Round, _Verdict]:
    """Update q(w), q(τ) and q(α), and the bound, in the basis of the singular vectors."""
    tau, alpha = _mean(state.noise), _mean(state.prior)
    s = rows.singular
    num_free = rows.num_columns - len(s)  # directions that no row has
    variances = 1 / (alpha + tau * s**2)
    mean = tau * variances * s * rows.along
    misfit = rows.off + ((rows.along - s * mean) ** 2).sum() + (s**2 * variances).sum()
    size = (mean**2).sum() + variances.sum() + num_free / alpha
    log_det = jnp.log(variances).sum() - num_free * jnp.log(alpha)
    new_noise = Gamma(noise.shape + rows.num_rows / 2, noise.rate + misfit / 2)
    new_prior = Gamma(prior.shape + rows.num_columns / 2, prior.rate + size / 2)
    fitted = rows.num_rows / 2 * (_mean_log(new_noise) - math.log(2 * math.pi))
    fitted -= _mean(new_noise) * misfit / 2
    shrunk = rows.num_columns / 2 * (_mean_log(new_prior) + 1)
    shrunk += log_det / 2 - _mean(new_prior) * size / 2
    elbo = fitted + shrunk - _divergence(new_noise, noise) - _divergence(new_prior, prior)
    gain = elbo - state.elbo
    is_small = gain <= rtol * jnp.maximum(jnp.abs(elbo), 1)
    is_lost = ~jnp.isfinite(elbo)
    status = jnp.where(is_small, Status.CONVERGED, Status.RUNNING)
    status = jnp.where(is_lost, Status.NOT_FINITE, status)
    return _Round(new_noise, new_prior, mean, elbo), _Verdict(status, status != Status.RUNNING)


def _mean_log(gamma: Gamma) -> Array:
    return digamma(gamma.shape) - jnp.log(gamma.rate)


def _divergence(q: Gamma, p: Gamma) -> Array:
    """Return KL(q ‖ p), nats."""
    return (
        (q.shape - p.shape) * digamma(q.shape)
        - gammaln(q.shape)
        + gammaln(p.shape)
        + p.shape * (jnp.log(q.rate) - jnp.log(p.rate))
        + q.shape * (p.rate / q.rate - 1)
    )
