"""Huber's regression: squares for small residuals, absolute values for large ones, scale included.

    minimize  Σ_i s_i (σ + h(r_i / σ) σ) / Σ_i s_i  +  l2 |w|²,     r_i = y_i − x_i·w − b,  σ > 0
    h(z) = z²  if |z| < ε,    2 ε |z| − ε²  else

b and σ are not penalized. The scale σ is found with the weights, so that ε has no unit; at the
minimum Σ s = Σ_out s ε² + Σ_in s r²/σ². scikit-learn's ``alpha`` is ``l2 · Σ s``.

L-BFGS runs on the logarithm of the objective, in log σ, along principal axes of the features that
have size 1: its slopes are those of the objective in units of σ, whatever that of y is.

Source: Owen (2007), *Contemporary Mathematics* 443, eq. 5 (the joint objective); Huber (1981),
*Robust Statistics*, section 7.7; Nocedal & Wright (2006), *Numerical Optimization*, algorithm 7.5.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int

from mastery_jax.core.check import Scalar, checked
from mastery_jax.core.status import Status
from mastery_jax.learning.linear import rows
from mastery_jax.numerics.optimize import lbfgs
from mastery_jax.probability import reweighting

__all__ = ["Info", "State", "fit", "predict"]


class State(NamedTuple):
    """A fitted Huber regression."""

    weights: Float[Array, " d"]  # unit of y per unit of the feature
    bias: Float[Array, ""]  # unit of y
    scale: Float[Array, ""]  # σ, unit of y


class Info(NamedTuple):
    """How the fit ended."""

    objective: Float[Array, ""]  # unit of y
    gradient_norm: Float[Array, ""]  # largest entry, of the logarithm of the objective
    is_outlier: Bool[Array, " n"]  # |r| > ε σ, of rows with weight
    num_steps: Int[Array, ""]
    is_done: Bool[Array, ""]  # status is CONVERGED
    status: Int[Array, ""]  # core.status.Status


class _Problem(NamedTuple):
    A: Float[Array, "n p"]  # ones, then features along principal axes, of size 1
    y: Float[Array, " n"]  # in standard deviations from its mean
    share: Float[Array, " n"]
    change: Float[Array, "d p"]  # into weights of the features
    threshold: Float[Array, ""]  # ε
    l2: Float[Array, ""]


@partial(jax.jit, static_argnames=("max_steps",))
@checked
def fit(
    X: Float[Array, "n d"],
    y: Float[Array, " n"],
    *,
    weights: Float[Array, " n"] | None = None,
    threshold: Scalar = 1.35,
    l2: Scalar = 0.0,
    gtol: Scalar = 1e-5,
    max_steps: int = 100,
) -> tuple[State, Info]:
    """Minimize by some 10 to 20 steps of O(n d). The principal axes cost O(n d² + d³) once.

    Differentiable in both modes with respect to the data and the hyperparameters, by the implicit
    function theorem, where no residual is about to cross the threshold and no feature depends on
    others.

    Args:
        X: One row per sample, raw or standardized.
        y: One target per sample.
        weights: Of the rows, ≥ 0, one where None. A row of weight 0 has no say, and its y is not
            read; its features must be finite.
        threshold: ε > 1, in units of σ: scikit-learn's ``epsilon``. 1.35 keeps 95 % of the
            efficiency of least squares for normal residuals. Traced.
        l2: Penalty per sample, ≥ 0, unit of y over squared unit of the weights. Traced.
        gtol: Stop when no entry of the gradient of the logarithm of the objective is larger, for
            features of size 1 and weights and bias in standard deviations of y.
        max_steps: Steps at most. Static.

    Returns:
        The model, and Info: CONVERGED; OUT_OF_STEPS, as for an exact fit, whose σ goes to 0 for
        as long as it is let (its weights settle much sooner); STALLED where rounding ends the
        search before ``gtol``; NOT_FINITE for data that are not finite, and BAD_INPUT, both with
        NaN: weights that are negative, infinite or all 0, ε ≤ 1, l2 < 0.

    Raises:
        ValueError: ``X``, ``y`` and ``weights`` disagree on the number of samples.

    Example:
        >>> X = jnp.arange(9.0)[:, None]
        >>> y = X[:, 0] + jnp.array([0.1, -0.1, 0.2, -0.2, 90.0, 0.1, -0.1, 0.2, -0.2])
        >>> state, info = fit(X, y)
        >>> abs(float(state.weights[0]) - 1) < 0.05, bool(info.is_outlier[4])
        (True, True)
    """
    share, total = rows.shares(X, weights)
    y = rows.seen(y, share)
    threshold, l2 = jnp.asarray(threshold, X.dtype), jnp.asarray(l2, X.dtype)
    is_allowed = (total > 0) & (threshold > 1) & (l2 >= 0)
    with jax.default_matmul_precision("highest"):
        center, L, is_seen = reweighting.coordinates(X, share)
        Z = jnp.where(is_seen[None, :], (X - center[None, :]) @ L, 0)
        y_mean = share @ y
        variance = share @ (y - y_mean) ** 2
        unit = jnp.sqrt(jnp.where(variance > 0, variance, 1))
        problem = _Problem(
            A=jnp.append(jnp.ones_like(y)[:, None], Z, axis=1),
            y=(y - y_mean) / unit,
            share=share,
            change=jnp.pad(jnp.where(is_seen[None, :], L, 0), ((0, 0), (1, 0))),
            threshold=threshold,
            l2=l2 * unit,
        )
        fn = Partial(_log_objective, problem)
        start = jnp.zeros(Z.shape[1] + 2, X.dtype)
        u, end = lbfgs.minimize(fn, start, gtol=gtol, max_steps=max_steps)
        # Features that are not finite have no axes, and would pass for features without weight.
        is_finite = jnp.isfinite(X).all() & jnp.isfinite(y).all()
        status = jnp.where(is_finite, end.status, Status.NOT_FINITE)
        status = jnp.where(is_allowed, status, Status.BAD_INPUT).astype(jnp.int32)
        is_lost = (status == Status.BAD_INPUT) | (status == Status.NOT_FINITE)
        u = jnp.where(is_lost, jnp.nan, u)
        w = unit * (problem.change @ u[:-1])
        bias = y_mean + unit * u[0] - center @ w
        state = State(weights=w, bias=bias, scale=unit * jnp.exp(u[-1]))
        residual = y - X @ w - bias
    return state, Info(
        objective=unit * jnp.exp(end.value),
        gradient_norm=end.gradient_norm,
        is_outlier=(jnp.abs(residual) > threshold * state.scale) & (share > 0),
        num_steps=end.num_steps,
        is_done=status == Status.CONVERGED,
        status=status,
    )


@jax.jit
@checked
def predict(state: State, X: Float[Array, "n d"]) -> Float[Array, " n"]:
    """Return the typical target of every row, in the unit of y. O(n d)."""
    with jax.default_matmul_precision("highest"):
        return X @ state.weights + state.bias


def _log_objective(problem: _Problem, u: Array) -> Array:
    A, y, share, change, threshold, l2 = problem
    with jax.default_matmul_precision("highest"):
        scale, w = jnp.exp(u[-1]), change @ u[:-1]
        z = jnp.abs(y - A @ u[:-1]) / scale
        small = jnp.minimum(z, threshold)
        return jnp.log(scale * (1 + share @ (small * (2 * z - small))) + l2 * (w**2).sum())
