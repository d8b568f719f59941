"""The elastic net by coordinate descent on the Gram matrix: one weight at a time, the best next.

    w_j ← soft(c_j − (Gw)_j + G_jj w_j, αr) / (G_jj + α(1 − r))
    soft(a, t) = sign(a) max(|a| − t, 0)

The data are read once, for G and c; Gw follows every change of a weight ("covariance updates"), and
so do the sums in the duality gap, which is thus known at every step. The weight whose change lowers
the objective most comes next: weights that stay 0 cost nothing.

Source: Friedman, Hastie & Tibshirani (2010), *J. Statistical Software* 33(1), eq. 5 and section
2.2; the choice: Nutini et al. (2015), *Coordinate Descent Converges Faster with the Gauss-Southwell
Rule Than Random Selection*, section 8 (GS-q).
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from mastery_jax.core import loop
from mastery_jax.core.check import Scalar, checked
from mastery_jax.numerics.optimize import lasso

__all__ = ["cross_validate", "descend", "fit", "path"]

MAX_ROUNDS = 5
"""Times that the running sums, which gather rounding, are computed anew."""


class _State(NamedTuple):
    weights: Float[Array, " d"]
    product: Float[Array, " d"]  # G w
    cross: Float[Array, ""]  # c·w
    quadratic: Float[Array, ""]  # wᵀGw
    l1_norm: Float[Array, ""]
    l2_norm: Float[Array, ""]


class _Round(NamedTuple):
    weights: Float[Array, " d"]
    num_steps: Int[Array, ""]


class _Verdict(NamedTuple):
    is_done: Bool[Array, ""]


@partial(jax.jit, static_argnames=("max_steps",))
@checked
def fit(
    moments: lasso.Moments,
    *,
    alpha: Scalar,
    l1_ratio: Scalar = 1.0,
    rtol: Scalar = 1e-4,
    max_steps: int = 100_000,
) -> tuple[lasso.State, lasso.Info]:
    """Fit one model from weights of 0. O(d) a step, some d to 10 d steps.

    Differentiable in both modes with respect to the moments, and so to the data, and to the
    penalty.

    Args:
        moments: Of the data, from ``lasso.moments``.
        alpha: α > 0, v² per unit of weight. Traced: sweep it with ``vmap``, or take :func:`path`.
        l1_ratio: r in (0, 1]; 1 is the LASSO. Traced.
        rtol: Stop when the duality gap is at most this share of the variance of y, as scikit-learn
            does. What float32 reaches depends on the data, often 1e-5 or 1e-6.
        max_steps: Changes of one weight at most. Static.

    Returns:
        The model, and how it ended: CONVERGED, OUT_OF_STEPS, STALLED where rounding leaves nothing
        to gain before ``rtol``, NOT_FINITE, or BAD_INPUT where ``alpha``, ``l1_ratio`` or the total
        of the sample weights is out of its domain.

    Example:
        >>> X, y = jnp.array([[0.0], [1.0], [2.0], [3.0]]), jnp.array([0.0, 2.0, 4.0, 6.0])
        >>> state, info = fit(lasso.moments(X, y, jnp.ones(4)), alpha=0.5)
        >>> state.weights, bool(info.is_done)  # 2 - 0.5 / 1.25
        (Array([1.6], dtype=float32), True)
    """
    penalty = lasso.split(alpha, l1_ratio, moments)
    return descend(moments, penalty, rtol=rtol, max_steps=max_steps)


def descend(
    moments: lasso.Moments, penalty: tuple[Any, Any], *, rtol: Any, max_steps: int
) -> tuple[lasso.State, lasso.Info]:
    """Return what :func:`fit` does, for l1 = α r and l2 = α (1 − r).

    They differ in unit: α and r, made of an l2 that is small beside l1, have lost it.
    """
    moments = lasso.symmetric(moments)
    start = jnp.zeros_like(moments.cross)
    weights, num_steps = _descend(start, moments, penalty, rtol, max_steps)
    return lasso.conclude(weights, moments, penalty, rtol, num_steps, max_steps)


@partial(jax.jit, static_argnames=("max_steps",))
@checked
def path(
    moments: lasso.Moments,
    alphas: Float[Array, " penalties"],
    *,
    l1_ratio: Scalar = 1.0,
    rtol: Scalar = 1e-4,
    max_steps: int = 100_000,
) -> tuple[lasso.State, lasso.Info]:
    """Fit a model for every penalty, each from the one before. O(d² + d steps) a penalty.

    Args:
        moments: Of the data, from ``lasso.moments``.
        alphas: Penalties, best from large to small, from ``lasso.penalties``.
        l1_ratio: As in :func:`fit`.
        rtol: As in :func:`fit`.
        max_steps: As in :func:`fit`, for each penalty. Static.

    Returns:
        As :func:`fit`, with a leading axis of penalties.
    """
    moments = lasso.symmetric(moments)
    found, num_steps = _follow(moments, alphas, l1_ratio, rtol, max_steps)

    def conclude(weights: Array, alpha: Array, num_steps: Array) -> tuple[lasso.State, lasso.Info]:
        penalty = lasso.split(alpha, l1_ratio, moments)
        return lasso.conclude(weights, moments, penalty, rtol, num_steps, max_steps)

    return jax.vmap(conclude)(found, alphas, num_steps)


@partial(jax.jit, static_argnames=("max_steps",))
@checked
def cross_validate(
    X: Float[Array, "n d"],
    y: Float[Array, " n"],
    rows: Int[Array, "folds size"],
    alphas: Float[Array, " penalties"],
    *,
    l1_ratio: Scalar = 1.0,
    rtol: Scalar = 1e-4,
    max_steps: int = 100_000,
) -> tuple[Float[Array, "folds penalties"], Int[Array, "folds penalties"]]:
    """Return the error of every penalty on every fold, by models of the other folds. O(n d²).

    Every row is read once: a fold's models need the moments of the other folds, merged, and its
    error the moments of its own.

    Args:
        X: One row per sample.
        y: One target per sample.
        rows: Which samples are in each fold; -1 fills up a fold that is smaller than others.
        alphas: As in :func:`path`.
        l1_ratio: As in :func:`fit`.
        rtol: As in :func:`fit`.
        max_steps: As in :func:`path`. Static.

    Returns:
        Mean squared errors, and the steps taken: ``max_steps`` where a fit did not converge.
        LassoCV's choice is ``alphas[errors.mean(axis=0).argmin()]``.
    """
    is_there = (rows >= 0).astype(X.dtype)
    parts = jax.vmap(lasso.moments)(X[rows], y[rows], is_there)
    others = 1 - jnp.eye(len(rows), dtype=X.dtype)

    def one(_: None, fold: tuple[lasso.Moments, Array]) -> tuple[None, tuple[Array, Array]]:
        own, take = fold
        train = lasso.merge(parts, take)
        weights, num_steps = _follow(train, alphas, l1_ratio, rtol, max_steps)
        weights = jax.vmap(lasso.differentiable, (0, None, 0, 0))(
            weights, train, *lasso.split(alphas, l1_ratio, train)
        )
        with jax.default_matmul_precision("highest"):
            bias = train.y_mean - weights @ train.x_mean
            offset = own.y_mean - bias - weights @ own.x_mean
            spread = own.square - 2 * weights @ own.cross + ((weights @ own.gram) * weights).sum(1)
        return None, (spread + offset**2, num_steps)

    return loop.scan(one, None, (parts, others))[1]


def _follow(
    moments: lasso.Moments, alphas: Array, l1_ratio: Scalar, rtol: Scalar, max_steps: int
) -> tuple[Array, Array]:
    def step(weights: Array, alpha: Array) -> tuple[Array, tuple[Array, Array]]:
        penalty = lasso.split(alpha, l1_ratio, moments)
        weights, num_steps = _descend(weights, moments, penalty, rtol, max_steps)
        return weights, (weights, num_steps)

    return loop.scan(step, jnp.zeros_like(moments.cross), alphas)[1]


def _descend(
    weights: Array,
    moments: lasso.Moments,
    penalty: tuple[Any, Any],
    rtol: Scalar,
    max_steps: int,
) -> tuple[Array, Array]:
    """Return the weights, without derivative, and the number of steps."""
    weights, moments, penalty, rtol = jax.lax.stop_gradient((weights, moments, penalty, rtol))
    enough = jnp.asarray(rtol, weights.dtype) * moments.square
    hyper = {"moments": moments, "penalty": penalty, "enough": enough, "max_steps": max_steps}
    start = _Round(weights, jnp.zeros((), jnp.int32))
    found, _, _ = loop.until(partial(_round, **hyper), start, max_steps=MAX_ROUNDS)
    return found.weights, found.num_steps


def _round(
    start: _Round, *, moments: lasso.Moments, penalty: Any, enough: Array, max_steps: int
) -> tuple[_Round, _Verdict]:
    """Descend from sums that are computed anew; done if the next round would find nothing to do."""
    # Sums of products, not a dot: with a dot the loop around this one would be no single kernel.
    w = start.weights
    product = (moments.gram * w[None, :]).sum(axis=1)
    state = _State(
        weights=w,
        product=product,
        cross=(moments.cross * w).sum(),
        quadratic=(w * product).sum(),
        l1_norm=jnp.abs(w).sum(),
        l2_norm=(w**2).sum(),
    )
    state, _, taken = loop.until(
        _step, state, max_steps=max_steps, moments=moments, penalty=penalty, enough=enough
    )
    num_steps = start.num_steps + taken.astype(jnp.int32)
    is_still = (taken <= 1) | (num_steps >= max_steps)
    return _Round(state.weights, num_steps), _Verdict(is_still)


def _step(
    state: _State, *, moments: lasso.Moments, penalty: tuple[Array, Array], enough: Array
) -> tuple[_State, _Verdict]:
    """Change the weight that lowers the objective most."""
    w, (l1, l2) = state.weights, penalty
    diagonal = jnp.diagonal(moments.gram)
    slope = moments.cross - state.product
    numbers = (state.cross, state.quadratic, state.l1_norm, state.l2_norm)
    _, gap = lasso.gap_of(moments.square, *numbers, jnp.abs(slope - l2 * w).max(), penalty)

    target = slope + diagonal * w
    curvature = diagonal + l2
    best = jnp.sign(target) * jnp.maximum(jnp.abs(target) - l1, 0)
    change = jnp.where(curvature > 0, best / jnp.where(curvature > 0, curvature, 1) - w, 0)
    gain = curvature * change**2
    most = gain.max()
    j = jnp.where(gain == most, jnp.arange(len(w)), len(w) - 1).min()
    rounding = (4 * jnp.finfo(w.dtype).eps) ** 2 * (curvature * w**2).max()
    is_done = ~(gap > enough) | ~(most > rounding)

    delta = jnp.where(is_done, 0, change[j])
    there = w[j] + delta
    return _State(
        weights=w.at[j].set(there),
        product=state.product + delta * moments.gram[j],
        cross=state.cross + delta * moments.cross[j],
        quadratic=state.quadratic + delta * (2 * state.product[j] + delta * diagonal[j]),
        l1_norm=state.l1_norm + jnp.abs(there) - jnp.abs(w[j]),
        l2_norm=state.l2_norm + there**2 - w[j] ** 2,
    ), _Verdict(is_done)
