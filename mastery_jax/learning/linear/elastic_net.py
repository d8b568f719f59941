"""The elastic net and the LASSO: least squares whose weights are shrunk, some of them to exactly 0.

    minimize  ½ Σ_i s_i (y_i − x_i·w − b)² / Σ_i s_i  +  l1 |w|₁  +  l2/2 |w|²   (b not penalized)

The LASSO is l2 = 0. Coordinate descent on moments of the data ends when the duality gap, which
bounds how far the objective is above its minimum, is small. scikit-learn's ``alpha`` is l1 + l2,
and its ``l1_ratio`` is l1 / (l1 + l2); l2 alone is that of ``ridge``.

Source: Zou & Hastie (2005), *JRSS B* 67, eq. 3; Tibshirani (1996), *JRSS B* 58, eq. 2; Friedman,
Hastie & Tibshirani (2010), *J. Statistical Software* 33(1), sections 2.2 and 2.5.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from mastery_jax.core.check import Scalar, checked
from mastery_jax.core.status import Status
from mastery_jax.learning.linear import rows
from mastery_jax.numerics.optimize import coordinate_descent, lasso

__all__ = ["fit", "path", "predict"]


@partial(jax.jit, static_argnames=("max_steps",))
@checked
def fit(
    X: Float[Array, "n d"],
    y: Float[Array, " n"],
    *,
    weights: Float[Array, " n"] | None = None,
    l1: Scalar,
    l2: Scalar = 0.0,
    rtol: Scalar = 1e-5,
    max_steps: int = 100_000,
) -> tuple[lasso.State, lasso.Info]:
    """Fit one model from weights of 0. O(n d²), and O(d) a step, some d to 10 d steps.

    Differentiable in both modes with respect to ``X``, ``y``, ``weights`` and the penalties, where
    no weight is about to leave 0.

    Args:
        X: One row per sample, raw or standardized; it is centered here.
        y: One target per sample.
        weights: Of the rows, ≥ 0, one where None. A row of weight 0 has no say, and its y is not
            read; its features must be finite.
        l1: Penalty per sample, > 0, unit of y times unit of the feature. Traced: sweep it with
            :func:`path`, or with ``lax.map`` on a CPU.
        l2: Penalty per sample, ≥ 0, in squared units of the features. Traced.
        rtol: Stop when the duality gap is at most this share of half the variance of y. What
            float32 reaches depends on the data, often 1e-5 or 1e-6.
        max_steps: Changes of one weight at most. Static.

    Returns:
        ``lasso.State`` of weights and bias, and ``lasso.Info``: CONVERGED; OUT_OF_STEPS; STALLED
        where rounding leaves nothing to gain before ``rtol``; NOT_FINITE; BAD_INPUT, with NaN, for
        weights that are negative, infinite or all 0, and penalties out of range.

    Raises:
        ValueError: ``X``, ``y`` and ``weights`` disagree on the number of samples.

    Example:
        >>> X, y = jnp.array([[0.0], [1.0], [2.0], [3.0]]), jnp.array([0.0, 2.0, 4.0, 6.0])
        >>> state, info = fit(X, y, l1=0.5)
        >>> state.weights, bool(info.is_done)  # 2 - 0.5 / 1.25
        (Array([1.6], dtype=float32), True)
    """
    moments = _moments(X, y, weights)
    l1, l2 = jnp.asarray(l1, X.dtype), jnp.asarray(l2, X.dtype)
    l2 = jnp.where(l2 >= 0, l2, jnp.nan)  # so that no search begins
    state, info = coordinate_descent.descend(
        moments, (l1, l2), rtol=jnp.asarray(rtol, X.dtype) / 2, max_steps=max_steps
    )
    return _honest(state, info), info


@partial(jax.jit, static_argnames=("num_penalties", "max_steps"))
@checked
def path(
    X: Float[Array, "n d"],
    y: Float[Array, " n"],
    *,
    weights: Float[Array, " n"] | None = None,
    penalties: Float[Array, " penalties"] | None = None,
    num_penalties: int = 100,
    ratio: Scalar = 1e-3,
    l1_ratio: Scalar = 1.0,
    rtol: Scalar = 1e-5,
    max_steps: int = 100_000,
) -> tuple[Float[Array, " penalties"], lasso.State, lasso.Info]:
    """Fit a model for every penalty, each from the one before. O(n d²), and O(d) a step.

    Args:
        X: As in :func:`fit`.
        y: As in :func:`fit`.
        weights: As in :func:`fit`.
        penalties: l1 + l2, best from large to small. None: from the least that leaves no weight,
            down, evenly in the logarithm, as in scikit-learn's ``enet_path``.
        num_penalties: How many, where they are not given. Static.
        ratio: The last by the first, where they are not given, in (0, 1). Traced.
        l1_ratio: l1 / (l1 + l2), in (0, 1]. Traced.
        rtol: As in :func:`fit`.
        max_steps: As in :func:`fit`, for each penalty. Static.

    Returns:
        The penalties, and as :func:`fit` with a leading axis of penalties.

    Raises:
        ValueError: shapes that disagree, or ``num_penalties`` < 1.

    Example:
        >>> X, y = jnp.array([[0.0], [1.0], [2.0], [3.0]]), jnp.array([0.0, 2.0, 4.0, 6.0])
        >>> _, states, _ = path(X, y, penalties=jnp.array([2.5, 0.5]))
        >>> states.weights
        Array([[0. ],
               [1.6]], dtype=float32)
    """
    if num_penalties < 1:
        raise ValueError(f"elastic_net.path: num_penalties is {num_penalties}, not at least 1")
    moments = _moments(X, y, weights)
    grid = penalties
    if grid is None:
        grid = lasso.penalties(moments, num=num_penalties, ratio=ratio, l1_ratio=l1_ratio)
    states, infos = coordinate_descent.path(
        moments,
        grid,
        l1_ratio=l1_ratio,
        rtol=jnp.asarray(rtol, X.dtype) / 2,
        max_steps=max_steps,
    )
    return grid, jax.vmap(_honest)(states, infos), infos


@jax.jit
@checked
def predict(state: lasso.State, X: Float[Array, "n d"]) -> Float[Array, " n"]:
    """Return the expected target of every row, in the unit of y. O(n d)."""
    with jax.default_matmul_precision("highest"):
        return X @ state.weights + state.bias


def _moments(X: Array, y: Array, weights: Array | None) -> lasso.Moments:
    share, _ = rows.shares(X, weights)
    return lasso.moments(X, rows.seen(y, share), share)


def _honest(state: lasso.State, info: lasso.Info) -> lasso.State:
    """Return no weights of 0 for data that have no answer."""
    is_bad = (info.status == Status.BAD_INPUT) | (info.status == Status.NOT_FINITE)
    return lasso.State(*(jnp.where(is_bad, jnp.nan, leaf) for leaf in state))
