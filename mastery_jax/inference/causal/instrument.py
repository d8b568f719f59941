"""Two-stage least squares: the effect of a treatment that is moved by an instrument.

    D̃, ỹ, Z̃: treatment, outcome and instruments, less their projections on (1, X)
    D̂ = Z̃ (Z̃ᵀZ̃)⁻¹ Z̃ᵀD̃         θ = D̂·ỹ / D̂·D̃         u = ỹ − θ D̃
    classical   se² = (Σ u² / (n − k)) / |D̂|²             hc0, hc1, hc2   se² = Σ a u² D̂² / |D̂|⁴
    F = (|D̂|² / q) / (|D̃ − D̂|² / (n − k + 1 − q))

with q instruments, k = 1 + the rank of (1, X), and a = 1, n/(n − k), 1/(1 − leverage). Where the
treatment is its own instrument this is ordinary least squares, and with no column in X the
difference of means; hc2 then is Neyman's standard error of an experiment.

Source: Basmann (1957), *Econometrica* 25(1); Angrist & Imbens (1995), *J. Am. Stat. Assoc.* 90
(what is estimated); Staiger & Stock (1997), *Econometrica* 65(3) (F below 10 is weak); MacKinnon &
White (1985), *J. Econometrics* 29 (hc1, hc2).
"""

from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from mastery_jax.core.check import Scalar, checked
from mastery_jax.core.status import Status
from mastery_jax.inference.causal import effect
from mastery_jax.inference.causal.effect import Effect

__all__ = ["Error", "Info", "estimate", "regress"]

Error = Literal["classical", "hc0", "hc1", "hc2"]


class Info(NamedTuple):
    """How strong the instruments are."""

    status: Int[Array, ""]
    first_stage: Float[Array, " q"]  # treatment per unit of each instrument
    first_stage_F: Float[
        Array, ""
    ]  # of all instruments, classical; inf where they are the treatment itself
    is_weak: Bool[Array, ""]  # F < 10: estimate and interval are not to be trusted
    num_used: Int[Array, ""]  # rows with weight


@partial(jax.jit, static_argnames=("error",))
@checked
def estimate(
    X: Float[Array, "n d"],
    treatment: effect.Dose,
    y: Float[Array, " n"],
    instruments: Float[Array, "n q"],
    *,
    error: Error = "hc1",
    weights: Float[Array, " n"] | None = None,
    level: Scalar = 0.95,
) -> tuple[Effect, Info]:
    """Estimate the effect of one unit of treatment. O(n (d + q)²).

    Args:
        X: Covariates of both stages; the intercept is added here.
        treatment: Any number.
        y: Outcome.
        instruments: What moves the treatment, and y through it alone; at least one.
        error: Which standard error. Static.
        weights: Of the rows, ≥ 0; one where None.
        level: Of the interval.

    Returns:
        The effect, and Info: SINGULAR, with NaN, where the instruments do not move the treatment
        at all once X is held, or are collinear; BAD_INPUT where there are fewer rows than
        coefficients or a weight is negative.

    Raises:
        ValueError: shapes disagree, there is no instrument, or ``error`` is none of those.

    Example:
        >>> Z = jnp.array([0.0, 0.0, 1.0, 1.0, 2.0, 2.0])
        >>> noise = jnp.array([1.0, -1.0, 1.0, -1.0, 1.0, -1.0])
        >>> found, info = estimate(jnp.zeros((6, 0)), Z + noise, 3 * Z + 5 * noise, Z[:, None])
        >>> round(float(found.estimate), 3), bool(info.is_weak)
        (3.0, True)
    """
    effect.insist("instrument.estimate", "error", error, Error)
    q, treatment = instruments.shape[1], treatment.astype(y.dtype)
    if not q:
        raise ValueError("instrument.estimate: instruments has no columns")
    weights = jnp.ones_like(y) if weights is None else weights
    root = jnp.sqrt(jnp.where(weights > 0, weights, 0))
    count = (weights > 0).sum().astype(y.dtype)
    with jax.default_matmul_precision("highest"):
        columns = jnp.concatenate([treatment[:, None], y[:, None], instruments], axis=1)
        # What a row without weight says is not read.
        X, columns = (jnp.where(root[:, None] > 0, each, 0) for each in (X, columns))
        Q = _basis(X, root)
        k = jnp.round((Q**2).sum()) + 1  # coefficients: what is collinear has none of its own
        columns = (columns - (weights @ columns / weights.sum())[None, :]) * root[:, None]
        D, Y, *_ = columns.T - (columns.T @ Q) @ Q.T
        Z = columns[:, 2:] - Q @ (Q.T @ columns[:, 2:])
        U, R, is_lost = _factor(Z, columns[:, 2:])
        fitted = U @ (U.T @ D)
        first_stage = jax.scipy.linalg.solve_triangular(R, U.T @ D)
        strength = (fitted**2).sum()
        theta = (fitted * Y).sum() / strength
        residual = Y - theta * D
        rounding = 64 * len(R) * jnp.finfo(y.dtype).eps
        slack, floor = ((D - fitted) ** 2).sum(), rounding**2 * (D**2).sum()
        ratio = strength / jnp.where(slack > floor, slack, 1) * (count - k + 1 - q) / q
        F = jnp.where(slack > floor, ratio, jnp.inf)
        leverage = (Q**2).sum(axis=1) + fitted**2 / strength
        std_error = _error(error, residual, fitted, leverage, (count, count - k))
    is_lost |= strength <= floor
    is_bad = (weights < 0).any() | ~(count > k - 1 + q)
    status = jnp.where(is_lost, Status.SINGULAR, Status.CONVERGED)
    status = jnp.where(jnp.isfinite(theta) | is_lost, status, Status.NOT_FINITE)
    status = jnp.where(is_bad, Status.BAD_INPUT, status).astype(jnp.int32)
    theta = jnp.where(is_lost | is_bad, jnp.nan, theta)
    info = Info(status, first_stage, F, ~(F >= 10), count.astype(jnp.int32))
    return effect.from_error(theta, std_error, level=level), info


@partial(jax.jit, static_argnames=("error",))
@checked
def regress(
    X: Float[Array, "n d"],
    treatment: effect.Dose,
    y: Float[Array, " n"],
    *,
    error: Error = "hc2",
    weights: Float[Array, " n"] | None = None,
    level: Scalar = 0.95,
) -> tuple[Effect, Info]:
    """Return the coefficient of the treatment in ordinary least squares. O(n d²).

    Args:
        X: Covariates; with no columns, the difference of means of a treatment of 0 and 1.
        treatment: Any number.
        y: Outcome.
        error: Which standard error. Static.
        weights: Of the rows, ≥ 0; one where None.
        level: Of the interval.

    Returns:
        As :func:`estimate`, of which this is the case where the treatment is its own instrument.

    Raises:
        ValueError: shapes disagree, or ``error`` is none of those.

    Example:
        >>> treatment = jnp.array([0.0, 0.0, 1.0, 1.0])
        >>> found, _ = regress(jnp.zeros((4, 0)), treatment, jnp.array([1.0, 3.0, 4.0, 6.0]))
        >>> round(float(found.estimate), 3), round(float(found.std_error), 3)
        (3.0, 1.414)
    """
    effect.insist("instrument.regress", "error", error, Error)
    treatment = treatment.astype(y.dtype)
    return estimate(X, treatment, y, treatment[:, None], error=error, weights=weights, level=level)


def _basis(X: Array, root: Array) -> Array:
    """Return orthonormal columns that span (1, X) times ``root``, and zeros for lost rank."""
    weights = root**2 / (root**2).sum()
    Z = X - (weights @ X)[None, :]
    deviation = jnp.sqrt(weights @ Z**2)
    Z = Z / jnp.where(deviation > 0, deviation, 1)[None, :]
    A = jnp.append(jnp.ones_like(root)[:, None], Z, axis=1) * jnp.sqrt(weights)[:, None]
    Q, R = jnp.linalg.qr(A)
    kept = jnp.abs(jnp.diagonal(R)) > 16 * len(R) * jnp.finfo(X.dtype).eps
    return jnp.where(kept[None, :], Q, 0)


def _factor(Z: Array, raw: Array) -> tuple[Array, Array, Array]:
    """Return a QR of instruments, and whether one of them is lost to X or to the others."""
    U, R = jnp.linalg.qr(Z)
    floor = 16 * len(R) * jnp.finfo(Z.dtype).eps * jnp.sqrt((raw**2).sum(axis=0))
    return U, R, (jnp.abs(jnp.diagonal(R)) <= floor).any()


def _error(
    error: Error, residual: Array, fitted: Array, leverage: Array, counts: tuple[Array, Array]
) -> Array:
    count, freedom = counts
    strength = (fitted**2).sum()
    if error == "classical":
        return jnp.sqrt((residual**2).sum() / freedom / strength)
    terms = residual**2 * fitted**2
    if error == "hc1":
        terms = terms * count / freedom
    if error == "hc2":
        room = 1 - leverage
        terms = jnp.where(room > 0, terms / jnp.where(room > 0, room, 1), 0)
    return jnp.sqrt(terms.sum()) / strength
