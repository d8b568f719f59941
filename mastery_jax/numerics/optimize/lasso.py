"""The elastic net as a problem: what its solvers need of the data, and how good an answer is.

    minimize  ½ Σ s_i (y_i − b − x_i·w)² / Σ s_i  +  α r |w|₁  +  ½ α (1 − r) |w|²

which is scikit-learn's objective, 1/(2n) |y − Xw|² + α |w|₁ for r = 1 (LASSO) and equal weights s.
Of the data only moments count: G = ZᵀSZ/Σs, c = ZᵀSv/Σs, and vᵀSv/Σs of centered Z and v. With g =
c − Gw − α(1 − r)w and k = min(1, αr / max|g|), the dual point that k scales gives

    gap = ½ (1 + k²) R² + αr |w|₁ − k (vᵀSv/Σs − c·w) + ½ α (1 − r) (1 + k²) |w|²  ≥  excess ≥ 0

where R² is the mean squared residual. Where the weights that are not 0 stay the same and keep their
signs σ, (G_AA + α(1 − r)I) w_A = c_A − αr σ_A, and that gives the derivative.

Source: Tibshirani (1996), *JRSS B* 58, eq. 2; Zou & Hastie (2005), *JRSS B* 67, eq. 3; Friedman,
Hastie & Tibshirani (2010), *J. Statistical Software* 33(1), section 2.2 (moments), 2.5 (penalties);
Boyd & Vandenberghe (2004), *Convex Optimization*, section 5.7.1 (dual); Chan, Golub & LeVeque
(1983), *The American Statistician* 37, eq. 2.1 (moments of merged parts).
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve
from jaxtyping import Array, Bool, Float, Int

from mastery_jax.core.check import Scalar, checked
from mastery_jax.core.status import Status

__all__ = [
    "Info",
    "Moments",
    "State",
    "conclude",
    "differentiable",
    "duality_gap",
    "gap_of",
    "merge",
    "moments",
    "penalties",
    "split",
    "symmetric",
]


class Moments(NamedTuple):
    """All that the problem knows of the data; features in units u, targets in v."""

    total: Float[Array, ""]  # Σ s, unit of the sample weights
    x_mean: Float[Array, " d"]  # u
    y_mean: Float[Array, ""]  # v
    gram: Float[Array, "d d"]  # G, u²
    cross: Float[Array, " d"]  # c, uv
    square: Float[Array, ""]  # v²


class State(NamedTuple):
    """A fitted linear model."""

    weights: Float[Array, " d"]  # v/u
    bias: Float[Array, ""]  # v


class Info(NamedTuple):
    """How a fit ended."""

    objective: Float[Array, ""]  # v²
    gap: Float[Array, ""]  # the objective is at most this far above its minimum; v²
    num_steps: Int[Array, ""]
    status: Int[Array, ""]  # core.status.Status
    is_done: Bool[Array, ""]  # status is CONVERGED


@jax.jit
@checked
def moments(
    X: Float[Array, "n d"], y: Float[Array, " n"], sample_weights: Float[Array, " n"]
) -> Moments:
    """Reduce data to their moments. O(n d²).

    Args:
        X: One row per sample.
        y: One target per sample.
        sample_weights: At least 0, not all 0; a mask of ones and zeros leaves samples out.

    Returns:
        The moments; NaN where a weight is negative or all are 0.
    """
    total = jnp.where((sample_weights >= 0).all(), sample_weights.sum(), jnp.nan)
    share = sample_weights / total
    with jax.default_matmul_precision("highest"):
        x_mean, y_mean = share @ X, share @ y
        Z, v = X - x_mean[None, :], y - y_mean
        scaled = Z * share[:, None]
        return Moments(total, x_mean, y_mean, scaled.T @ Z, scaled.T @ v, (share * v**2).sum())


@jax.jit
@checked
def merge(parts: Any, take: Float[Array, " parts"]) -> Moments:
    """Return the moments of several parts of the data together. O(parts d²).

    Args:
        parts: Moments with a leading axis.
        take: How much each part counts: 1, or 0 to leave it out.
    """
    weights = take * parts.total
    total = weights.sum()
    share = weights / total

    def mean(leaf: Array) -> Array:
        return jnp.tensordot(share, leaf, 1)

    with jax.default_matmul_precision("highest"):
        x_mean, y_mean = mean(parts.x_mean), mean(parts.y_mean)
        x_shift, y_shift = parts.x_mean - x_mean[None, :], parts.y_mean - y_mean
        scaled = x_shift * share[:, None]
        return Moments(
            total=total,
            x_mean=x_mean,
            y_mean=y_mean,
            gram=mean(parts.gram) + scaled.T @ x_shift,
            cross=mean(parts.cross) + scaled.T @ y_shift,
            square=mean(parts.square) + (share * y_shift**2).sum(),
        )


@partial(jax.jit, static_argnames=("num",))
@checked
def penalties(
    moments: Moments, *, num: int = 100, ratio: Scalar = 1e-3, l1_ratio: Scalar = 1.0
) -> Float[Array, " num"]:
    """Return the penalties that LassoCV tries: from the least that leaves no weight, down. O(d).

    Args:
        moments: Of all the data.
        num: How many. Static.
        ratio: The last by the first, in (0, 1). Traced.
        l1_ratio: r in (0, 1]. Traced.
    """
    first = jnp.abs(moments.cross).max() / jnp.asarray(l1_ratio, moments.cross.dtype)
    powers = jnp.linspace(0, 1, num, dtype=first.dtype)
    return first * jnp.asarray(ratio, first.dtype) ** powers


@jax.jit
@checked
def duality_gap(
    weights: Float[Array, " d"], moments: Moments, *, alpha: Scalar, l1_ratio: Scalar = 1.0
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Return the objective, and how far at most it is above its minimum. O(d²).

    Args:
        weights: w.
        moments: Of the data.
        alpha: α > 0. Traced.
        l1_ratio: r in (0, 1]. Traced.
    """
    return _gap(weights, moments, split(alpha, l1_ratio, moments))


def _gap(weights: Array, moments: Moments, penalty: tuple[Array, Array]) -> tuple[Array, Array]:
    moments = symmetric(moments)
    with jax.default_matmul_precision("highest"):
        product = moments.gram @ weights
    return gap_of(
        moments.square,
        (moments.cross * weights).sum(),
        (weights * product).sum(),
        jnp.abs(weights).sum(),
        (weights**2).sum(),
        jnp.abs(moments.cross - product - penalty[1] * weights).max(),
        penalty,
    )


def symmetric(moments: Moments) -> Moments:
    """Return moments whose Gram matrix is symmetric; of any other only that part counts."""
    return moments._replace(gram=(moments.gram + moments.gram.T) / 2)


def split(alpha: Any, l1_ratio: Any, moments: Moments) -> tuple[Array, Array]:
    """Return α r and α (1 − r) in the dtype of the data."""
    alpha, ratio = (jnp.asarray(number, moments.gram.dtype) for number in (alpha, l1_ratio))
    return alpha * ratio, alpha * (1 - ratio)


def gap_of(
    square: Any, cross: Any, quadratic: Any, l1_norm: Any, l2_norm: Any, slope: Any, penalty: Any
) -> tuple[Array, Array]:
    """Return objective and gap from six numbers of the weights. O(1).

    Args:
        square: Of the moments.
        cross: c·w.
        quadratic: wᵀGw.
        l1_norm: |w|₁.
        l2_norm: |w|².
        slope: max|g|.
        penalty: α r and α (1 − r).
    """
    l1, l2 = penalty
    residual = square - 2 * cross + quadratic
    k = jnp.where(slope > l1, l1 / jnp.where(slope > l1, slope, 1), 1)
    objective = residual / 2 + l1 * l1_norm + l2 * l2_norm / 2
    gap = (1 + k**2) * (residual + l2 * l2_norm) / 2 + l1 * l1_norm - k * (square - cross)
    return objective, jnp.maximum(gap, 0)


def conclude(
    weights: Array,
    moments: Moments,
    penalty: tuple[Array, Array],
    rtol: Any,
    num_steps: Array,
    max_steps: int,
) -> tuple[State, Info]:
    """Return the model, differentiable, and how far it is from the best.

    Args:
        weights: w, from a search that no derivative passes.
        moments: Of the data.
        penalty: α r and α (1 − r), of which either may be small beside the other.
        rtol: Share of the mean square of the targets that the gap may be.
        num_steps: Of the search.
        max_steps: How many there might have been.
    """
    weights = differentiable(weights, moments, *penalty)
    objective, gap = _gap(weights, moments, penalty)
    is_close = gap <= jnp.asarray(rtol, gap.dtype) * moments.square
    status = jnp.where(num_steps < max_steps, Status.STALLED, Status.OUT_OF_STEPS)
    status = jnp.where(is_close, Status.CONVERGED, status)
    status = jnp.where(jnp.isfinite(gap), status, Status.NOT_FINITE)
    is_allowed = (penalty[0] > 0) & (penalty[1] >= 0) & (moments.total > 0)
    status = jnp.where(is_allowed, status, Status.BAD_INPUT).astype(jnp.int32)
    state = State(weights=weights, bias=moments.y_mean - (moments.x_mean * weights).sum())
    gap = jax.lax.stop_gradient(gap)
    return state, Info(objective, gap, num_steps, status, status == Status.CONVERGED)


@jax.custom_jvp
def differentiable(weights: Array, moments: Moments, l1: Array, l2: Array) -> Array:
    """Return the weights of a minimum, with its derivative. O(1), and O(d³) for the derivative."""
    return weights


@differentiable.defjvp
def _derivative(primals: Any, tangents: Any) -> tuple[Array, Array]:
    weights, moments, _, l2 = primals
    _, moved, l1_dot, l2_dot = tangents
    is_active = weights != 0
    both = is_active[:, None] & is_active[None, :]
    eye = jnp.eye(len(weights), dtype=weights.dtype)
    matrix = jnp.where(both, moments.gram + l2 * eye, eye)
    change = moved.cross - moved.gram @ weights - l1_dot * jnp.sign(weights) - l2_dot * weights
    return weights, solve(matrix, jnp.where(is_active, change, 0), assume_a="pos")
