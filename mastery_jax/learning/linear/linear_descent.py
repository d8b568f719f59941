"""Least squares by gradient descent, in the open: every step is two products with the data.

    f(w) = min over b of ½ Σ_i s_i (y_i − x_i·w − b)²,    e = X w + b − y
    v ← m v − η Xᵀ(s e),    w ← w + v,    b = ȳ − x̄·w

with shares s of the rows. The best bias is known for every w, and has no step size: that of w is in
units of the features. Along an axis of the centered features' curvature λ the error becomes
1 − η λ of itself: it falls slowly where λ is small beside 1/η, and not at all with η over 2/λ.
Momentum m takes about the root of the number of steps. ``linear_regression`` has the same optimum
in closed form.

Source: Cauchy (1847), *Comptes Rendus* 25; Polyak (1964), *USSR Comp. Math. and Math. Phys.* 4(5),
eq. 9 (momentum); Nocedal & Wright (2006), *Numerical Optimization*, theorem 3.3 (rate).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int

from mastery_jax.core import loop
from mastery_jax.core.check import Scalar, checked
from mastery_jax.core.status import Status
from mastery_jax.learning.linear import rows

__all__ = ["Info", "State", "StepInfo", "fit", "init", "predict", "step"]


class State(NamedTuple):
    """A linear model on its way down."""

    weights: Float[Array, " d"]  # unit of y per unit of the feature
    bias: Float[Array, ""]  # unit of y
    velocity: Float[Array, " d"]  # of the weights in the last step


class StepInfo(NamedTuple):
    """What a step saw before it moved."""

    objective: Float[Array, ""]  # squared unit of y
    gradient_norm: Float[Array, ""]  # largest entry, unit of y times unit of the feature


class Info(NamedTuple):
    """How the descent ended."""

    objective: Float[Array, ""]  # before the last step, squared unit of y
    gradient_norm: Float[Array, ""]  # there
    num_steps: Int[Array, ""]
    is_done: Bool[Array, ""]  # status is CONVERGED
    status: Int[Array, ""]  # core.status.Status


class _Verdict(NamedTuple):
    is_done: Bool[Array, ""]
    info: StepInfo


@jax.jit
@checked
def init(X: Float[Array, "n d"]) -> State:
    """Start from a model of zeros, at rest. O(d)."""
    zeros = jnp.zeros(X.shape[1], X.dtype)
    return State(weights=zeros, bias=jnp.zeros((), X.dtype), velocity=zeros)


@jax.jit
@checked
def step(
    state: State,
    X: Float[Array, "n d"],
    y: Float[Array, " n"],
    *,
    step_size: Scalar,
    momentum: Scalar = 0.0,
    weights: Float[Array, " n"] | None = None,
) -> tuple[State, StepInfo]:
    """Move the weights against the gradient, and the bias to where it is best. O(n d).

    Args:
        state: From :func:`init`, or the step before.
        X: One row per sample.
        y: One target per sample.
        step_size: η, per squared unit of the features. Traced: sweep it with ``vmap``.
        momentum: m, in [0, 1). Traced.
        weights: Of the rows, ≥ 0, one where None.

    Returns:
        The model after the step, and what was seen before it. NaN for weights that make no sense.

    Example:
        >>> X, y = jnp.array([[-1.0], [1.0]]), jnp.array([1.0, 5.0])
        >>> state, info = step(init(X), X, y, step_size=1.0)
        >>> state.weights, state.bias, info.objective
        (Array([2.], dtype=float32), Array(3., dtype=float32), Array(2., dtype=float32))
    """
    share, _ = rows.shares(X, weights)
    m, rate = jnp.asarray(momentum, X.dtype), jnp.asarray(step_size, X.dtype)
    y = rows.seen(y, share)
    with jax.default_matmul_precision("highest"):
        error = rows.seen(X @ state.weights - y, share)
        error = error - share @ error  # the bias that is best here
        slope, x_mean = jnp.stack([share * error, share]) @ X
        velocity = m * state.velocity - rate * slope
        w = state.weights + velocity
        bias = share @ y - x_mean @ w
    info = StepInfo((share * error**2).sum() / 2, jnp.abs(slope).max())
    return State(weights=w, bias=bias, velocity=velocity), info


@partial(jax.jit, static_argnames=("max_steps",))
@checked
def fit(
    X: Float[Array, "n d"],
    y: Float[Array, " n"],
    *,
    weights: Float[Array, " n"] | None = None,
    step_size: Scalar | None = None,
    momentum: Scalar = 0.0,
    rtol: Scalar = 1e-5,
    max_steps: int = 10_000,
) -> tuple[State, Info]:
    """Step until the gradient has all but vanished. O(n d) a step.

    Forward-differentiable, through the steps.

    Args:
        X: One row per sample, raw or standardized; it is centered here.
        y: One target per sample.
        weights: Of the rows, ≥ 0, one where None. A row of weight 0 has no say, and its y is not
            read.
        step_size: η. Traced: sweep it with ``vmap``. None means 1/λ for the largest curvature λ,
            which takes an eigenvalue of d² numbers.
        momentum: m, in [0, 1). Traced.
        rtol: Stop when no entry of the gradient is larger than this share of the largest at the
            model that is ȳ everywhere.
        max_steps: Steps at most. Static.

    Returns:
        The model, and Info: CONVERGED; OUT_OF_STEPS; NOT_FINITE for data that are not finite;
        DIVERGED for a step that is too large; BAD_INPUT, with NaN, for weights that are negative,
        infinite or all 0, a step size that is not positive or a momentum outside [0, 1).

    Raises:
        ValueError: ``X``, ``y`` and ``weights`` disagree on the number of samples.

    Example:
        >>> X, y = jnp.array([[0.0], [1.0], [2.0]]), jnp.array([1.0, 3.0, 5.0])
        >>> state, info = fit(X, y)
        >>> state.weights.round(3), bool(info.is_done)
        (Array([2.], dtype=float32), True)
    """
    share, total = rows.shares(X, weights)
    y, m = rows.seen(y, share), jnp.asarray(momentum, X.dtype)
    with jax.default_matmul_precision("highest"):
        x_mean, Z = rows.centered(X, share)
        y_mean = share @ y
        v = y - y_mean
        if step_size is None:
            largest = jnp.linalg.eigvalsh((share[:, None] * Z).T @ Z)[-1]
            step_size = 1 / jnp.where(largest > 0, largest, 1)
        rate = jnp.asarray(step_size, X.dtype)
        is_sound = (total > 0) & (rate > 0) & (m >= 0) & (m < 1)
        start = jnp.abs((share * v) @ Z).max()
    enough = jnp.asarray(rtol, X.dtype) * start
    given = Partial(step, X=Z, y=v, weights=share, step_size=rate, momentum=m)
    far = (share * v**2).sum() / jnp.finfo(X.dtype).eps
    state, verdict, num_steps = loop.until(
        partial(_watched, given, enough=enough, far=far), init(Z), max_steps=max_steps
    )
    state = jax.tree.map(lambda leaf: jnp.where(is_sound, leaf, jnp.nan), state)
    state = state._replace(bias=state.bias + y_mean - x_mean @ state.weights)
    objective, norm = verdict.info
    status = jnp.where(norm <= enough, Status.CONVERGED, Status.OUT_OF_STEPS)
    status = jnp.where(objective > far, Status.DIVERGED, status)
    status = jnp.where(jnp.isfinite(start), status, Status.NOT_FINITE)
    status = jnp.where(is_sound, status, Status.BAD_INPUT).astype(jnp.int32)
    num_steps = num_steps.astype(jnp.int32)
    return state, Info(objective, norm, num_steps, status == Status.CONVERGED, status)


@jax.jit
@checked
def predict(state: State, X: Float[Array, "n d"]) -> Float[Array, " n"]:
    """Return the expected target of every row, in the unit of y. O(n d)."""
    with jax.default_matmul_precision("highest"):
        return X @ state.weights + state.bias


def _watched(move: Partial, state: State, *, enough: Array, far: Array) -> tuple[State, _Verdict]:
    moved, info = move(state)
    is_done = ~(info.gradient_norm > enough) | ~(info.objective <= far)
    return moved, _Verdict(is_done, info)
