"""Unscented Kalman filter and smoother: moments of f and h by 2n + 1 points of the belief.

    x₀ = m,  x_±j = m ± √c L_j,  c = α² (n + κ),  P = L Lᵀ        L_j: a column of L
    d_±j = g(x_±j) − g(x₀),  d̄ = Σ d_±j / 2c
    E g ≈ g(x₀) + d̄,   Cov g ≈ Σ d dᵀ / 2c + (β − α²) d̄ d̄ᵀ,   Cov(x, g) ≈ Σ (x_±j − m) dᵀ / 2c

and then ``assumed_density``. These are the sums of Julier and Uhlmann with the weights w₀ = 1 − n/c
(mean), w₀ + 1 − α² + β (covariance) and 1/2c. Written by differences there is no large negative
weight whose products cancel, and nothing is subtracted from a covariance: it is positive
semi-definite wherever β ≥ α². The mean is exact to the third order of g around m, and the
covariance where g is linear.

A small α still divides a difference of nearby values, twice over: the rounding error of E g is
some ε |g| / α². In single precision α = 0.1 costs two digits of the mean; at the α = 0.001 of the
older literature what is added to g(m) is noise. The defaults α = 1, β = 2, κ = 0 are safe: the
points lie where the cubature rule has them, and the center, of weight 0 in the mean, gives the
covariance of a quadratic function of one variable exactly.

Source: Julier & Uhlmann (2004), *Proceedings of the IEEE* 92(3), 401; Wan & van der Merwe (2000),
*The Unscented Kalman Filter for Nonlinear Estimation* (α and β); Särkkä (2013), *Bayesian Filtering
and Smoothing*, algorithms 5.14 and 9.3.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from mastery_jax.core.check import Scalar, checked
from mastery_jax.inference.filtering import assumed_density, sigma_points
from mastery_jax.inference.filtering.kalman import Beliefs, Info
from mastery_jax.inference.filtering.linear_gaussian import State
from mastery_jax.inference.filtering.nonlinear import Model

__all__ = ["filter", "predict", "smooth", "step", "update"]


@jax.jit
@checked
def predict(
    state: State,
    *,
    model: Model,
    inputs: Any = None,
    alpha: Scalar = 1.0,
    beta: Scalar = 2.0,
    kappa: Scalar = 0.0,
) -> State:
    """Return the belief about the next x, before anything is seen of it. O(state f + state³).

    Args:
        state: Belief about x now.
        model: Functions and covariances, those of one step.
        inputs: The known input of this step, a pytree; ``None`` if the functions take none.
        alpha: How far the points lie from the mean, > 0; see above for what is safe. Traced.
        beta: 2 for a normal belief; at least α², or a covariance may lose its sign. Traced.
        kappa: More than −n. The points lie √(α² (n + κ)) standard deviations away. Traced.

    Returns:
        The belief; NaN where the covariance of ``state`` has no factor (``sigma_points.root_of``),
        or α² (n + κ) is not above 0.

    Raises:
        ValueError: shapes disagree, or a function of the model returns another shape or dtype (at
            trace time).

    Example:
        >>> import jax.numpy as jnp
        >>> from jax.tree_util import Partial
        >>> one = jnp.ones((1, 1))
        >>> model = Model(Partial(jnp.square), 0 * one, Partial(jnp.exp), one)
        >>> ahead = predict(State(jnp.zeros(1), one), model=model)
        >>> ahead.mean, ahead.cov
        (Array([1.], dtype=float32), Array([[2.]], dtype=float32))
    """
    return assumed_density.ahead(_method(alpha, beta, kappa), state, model=model, inputs=inputs)


@jax.jit
@checked
def update(
    state: State,
    y: Float[Array, " obs"],
    *,
    model: Model,
    inputs: Any = None,
    is_observed: Bool[Array, " obs"] | None = None,
    alpha: Scalar = 1.0,
    beta: Scalar = 2.0,
    kappa: Scalar = 0.0,
) -> tuple[State, Info]:
    """Condition the belief about x on an observation of the same x. O(state h + state³ + obs³).

    Args:
        state: Belief about x before ``y`` is seen.
        y: Observation, in v. Finite where it is observed.
        model: Functions and covariances, those of one step.
        inputs: The known input of this step, a pytree; ``None`` if the functions take none.
        is_observed: False for each component that is missing; ``None`` if none is.
        alpha: As in ``predict``. Traced.
        beta: As in ``predict``. Traced.
        kappa: As in ``predict``. Traced.

    Returns:
        The belief given ``y``, and the step's info. If the covariance of ``state`` has no factor,
        or the predicted one of ``y`` is not positive definite, both are NaN: test
        ``jnp.isfinite(info.log_likelihood)``.

    Raises:
        ValueError: as in ``predict``.

    Example:
        >>> import jax.numpy as jnp
        >>> from jax.tree_util import Partial
        >>> one = jnp.ones((1, 1))
        >>> model = Model(Partial(jnp.sin), one, Partial(jnp.square), one)
        >>> state, info = update(State(jnp.ones(1), one), 4 * jnp.ones(1), model=model)
        >>> info.innovation, info.innovation_cov
        (Array([2.], dtype=float32), Array([[7.]], dtype=float32))
    """
    return assumed_density.given(
        _method(alpha, beta, kappa),
        state,
        y,
        model=model,
        inputs=inputs,
        is_observed=is_observed,
    )


@jax.jit
@checked
def step(
    state: State,
    y: Float[Array, " obs"],
    *,
    model: Model,
    inputs: Any = None,
    is_observed: Bool[Array, " obs"] | None = None,
    alpha: Scalar = 1.0,
    beta: Scalar = 2.0,
    kappa: Scalar = 0.0,
) -> tuple[State, Info]:
    """Predict one step ahead, then condition on ``y``; arguments and failure as in ``update``."""
    method = _method(alpha, beta, kappa)
    ahead = assumed_density.ahead(method, state, model=model, inputs=inputs)
    return assumed_density.given(
        method, ahead, y, model=model, inputs=inputs, is_observed=is_observed
    )


@jax.jit
@checked
def filter(
    state: State,
    ys: Float[Array, "time obs"],
    *,
    model: Model,
    inputs: Any = None,
    is_observed: Bool[Array, "time obs"] | None = None,
    alpha: Scalar = 1.0,
    beta: Scalar = 2.0,
    kappa: Scalar = 0.0,
) -> tuple[Beliefs, Info]:
    """Apply ``step`` along a series. O(time (state (f + h) + state³ + obs³)).

    With at most 8 components of x and of y, and functions without products of matrices, the loop
    holds no library call, and XLA can make one CPU kernel of it. Differentiable with respect to
    everything.

    Args:
        state: Belief about x_0. Its covariance may be singular up to 8 components.
        ys: Observations y_1 … y_T, in v. Finite where they are observed.
        model: Functions and covariances; those may have a leading axis of T steps.
        inputs: u_1 … u_T along the leading axis of a pytree; ``None`` if the functions take none.
        is_observed: False for each number that is missing, e.g. ``jnp.isfinite(ys)``; ``None`` if
            none is.
        alpha: As in ``predict``. Traced.
        beta: As in ``predict``. Traced.
        kappa: As in ``predict``. Traced.

    Returns:
        The belief at every t, and every step's info along a leading axis; NaN from the first step
        where the covariance of x has no factor, or that of ``y`` is not positive definite.

    Raises:
        ValueError: as in ``predict``, or inputs or covariances of another number of steps.

    Example:
        >>> import jax.numpy as jnp
        >>> from jax.tree_util import Partial
        >>> one = jnp.ones((1, 1))
        >>> model = Model(Partial(jnp.sin), one, Partial(jnp.square), one)
        >>> beliefs, info = filter(State(jnp.ones(1), one), jnp.ones((2, 1)), model=model)
        >>> [f"{variance:.2f}" for variance in beliefs.cov[:, 0, 0]]
        ['1.23', '1.75']
    """
    return assumed_density.along(
        _method(alpha, beta, kappa),
        state,
        ys,
        model=model,
        inputs=inputs,
        is_observed=is_observed,
    )


@jax.jit
@checked
def smooth(
    filtered: Beliefs,
    *,
    model: Model,
    inputs: Any = None,
    alpha: Scalar = 1.0,
    beta: Scalar = 2.0,
    kappa: Scalar = 0.0,
) -> Beliefs:
    """Return the belief at every t given all observations. O(time (state f + state³)).

    Args:
        filtered: What ``filter`` returned. With the belief about x_0 put in front, the first
            result is about x_0. Missing observations make no difference here.
        model: The model that the filter had.
        inputs: The inputs that the filter had.
        alpha: As in ``predict``. Traced.
        beta: As in ``predict``. Traced.
        kappa: As in ``predict``. Traced.

    Returns:
        Smoothed beliefs; at the last t they are the filter's. NaN at and before a t where the
        covariance of x has no factor, or its predicted one is not positive definite.

    Raises:
        ValueError: as in ``filter``.

    Example:
        >>> import jax.numpy as jnp
        >>> from jax.tree_util import Partial
        >>> one = jnp.ones((1, 1))
        >>> model = Model(Partial(jnp.sin), one, Partial(jnp.square), one)
        >>> filtered, _ = filter(State(jnp.ones(1), one), jnp.ones((2, 1)), model=model)
        >>> [f"{variance:.2f}" for variance in smooth(filtered, model=model).cov[:, 0, 0]]
        ['1.22', '1.75']
    """
    return assumed_density.back(_method(alpha, beta, kappa), filtered, model=model, inputs=inputs)


def _method(alpha: Scalar, beta: Scalar, kappa: Scalar) -> assumed_density.Method:
    def linearize(fn: assumed_density.Function, state: State) -> assumed_density.Linearization:
        dtype = state.mean.dtype
        a, b, k = (jnp.asarray(given, dtype) for given in (alpha, beta, kappa))
        spread = a**2 * (len(state.mean) + k)
        spread = jnp.where(spread > 0, spread, jnp.nan)
        return sigma_points.linearize(fn, state, spread=spread, center_weight=b - a**2)

    return assumed_density.Method("unscented", linearize)
