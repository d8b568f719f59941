"""Kalman filter: the exact posterior of a linear Gaussian state-space model.

    m ← F m + b,   P ← F P Fᵀ + Q                        one step ahead
    r = y − H m − d,   S = H P Hᵀ + R,   K = P Hᵀ S⁻¹    given x ~ N(m, P)
    m ← m + K r,   P ← (I − K H) P (I − K H)ᵀ + K R Kᵀ

in the notation of ``linear_gaussian``. This form of P, of Bucy and Joseph, stays positive
semi-definite when rounded. Time starts before the first observation: ``step`` and ``filter`` take
the belief about x_0 and move it first. With a belief about x_1, ``update`` it by y_1 and ``filter``
the rest.

Log-likelihoods are log p(y_t | y_1 … y_{t-1}) in nats; their sum is that of the series, given the
first belief. A flat prior on x_1 needs no large number: where H is square and regular, the belief
after y_1 is N(H⁻¹ y_1, H⁻¹ R H⁻ᵀ). Filter the rest from there, and the sum is the likelihood of
y_2 … given y_1; the exact diffuse likelihood is less by log |det H| + log(2π)/2 for each component
of y_1.

Source: Särkkä (2013), *Bayesian Filtering and Smoothing*, theorem 4.2; Bucy & Joseph (1968),
*Filtering for Stochastic Processes with Applications to Guidance*, chapter 9; Durbin & Koopman
(2012), *Time Series Analysis by State Space Methods*, sections 4.10 (missing) and 5.2 (diffuse).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from mastery_jax.core import loop
from mastery_jax.core.check import checked
from mastery_jax.inference.filtering import matrix, observation
from mastery_jax.inference.filtering.linear_gaussian import (
    Model,
    State,
    at_one_time,
    over_time,
    plus,
    trusted,
)

__all__ = [
    "Beliefs",
    "Info",
    "Model",
    "State",
    "filter",
    "filter_many",
    "init",
    "predict",
    "step",
    "update",
]


class Beliefs(NamedTuple):
    """Beliefs N(mean, cov) about x_1 … x_T."""

    mean: Float[Array, "time state"]  # u
    cov: Float[Array, "time state state"]  # u²


class Info(NamedTuple):
    """What one step tells about itself; nothing here is needed by the next step.

    A component of y that is missing has innovation 0, variance 1 and no part in the likelihood.
    """

    log_likelihood: Float[Array, ""]  # log p(y_t | y_1 … y_{t-1}), nats
    innovation: Float[Array, " obs"]  # r = y_t − E[y_t | y_1 … y_{t-1}], v
    innovation_cov: Float[Array, "obs obs"]  # S, v²


@jax.jit
@checked
def init(mean: Float[Array, " state"], cov: Float[Array, "state state"]) -> State:
    """Return the belief held before any observation."""
    return State(mean=mean, cov=cov)


@jax.jit
@checked
def predict(state: State, *, model: Model) -> State:
    """Return the belief about the next x, before anything is seen of it. O(state³).

    Args:
        state: Belief about x now.
        model: What belongs to one step, all in one dtype.

    Returns:
        The belief; NaN where a given covariance, R included, has a negative variance or a
        correlation beyond 1.

    Raises:
        ValueError: shapes disagree, or a field of the model has an axis of steps (at trace time).

    Example:
        >>> one = jnp.ones((1, 1))
        >>> model = Model(2 * one, one, one, one, process_mean=jnp.ones(1))
        >>> predict(State(jnp.ones(1), one), model=model)
        State(mean=Array([3.], dtype=float32), cov=Array([[5.]], dtype=float32))
    """
    at_one_time("kalman.predict", model)
    with jax.default_matmul_precision("highest"):
        return _symmetric(_predict(trusted(state, model), model))


@jax.jit
@checked
def update(
    state: State,
    y: Float[Array, " obs"],
    *,
    model: Model,
    is_observed: Bool[Array, " obs"] | None = None,
) -> tuple[State, Info]:
    """Condition the belief about x on an observation of the same x. O(state³ + obs³).

    Args:
        state: Belief about x before ``y`` is seen.
        y: Observation, in v. Finite where it is observed.
        model: What belongs to one step, all in one dtype.
        is_observed: False for each component that is missing; ``None`` if none is.

    Returns:
        The belief given ``y``, and the step's info. If the predicted covariance of ``y`` is not
        positive definite, or as in ``predict``, both are NaN: test
        ``jnp.isfinite(info.log_likelihood)``.

    Raises:
        ValueError: as in ``predict``.
    """
    at_one_time("kalman.update", model)
    with jax.default_matmul_precision("highest"):
        state, info = _update(trusted(state, model), y, model, is_observed)
    return _symmetric(state), info


@jax.jit
@checked
def step(
    state: State,
    y: Float[Array, " obs"],
    *,
    model: Model,
    is_observed: Bool[Array, " obs"] | None = None,
) -> tuple[State, Info]:
    """Predict one step ahead, then condition on ``y``; arguments and failure as in ``update``."""
    at_one_time("kalman.step", model)
    return update(predict(state, model=model), y, model=model, is_observed=is_observed)


@jax.jit
@checked
def filter(
    state: State,
    ys: Float[Array, "time obs"],
    *,
    model: Model,
    is_observed: Bool[Array, "time obs"] | None = None,
) -> tuple[Beliefs, Info]:
    """Apply ``step`` along a series. O(time (state³ + obs³)).

    With at most 8 components of y the loop has no LAPACK call, and XLA can make one CPU kernel of
    it. Differentiable with respect to everything, so that ``model`` can be learned by gradient.

    Args:
        state: Belief about x_0.
        ys: Observations y_1 … y_T, in v. Finite where they are observed.
        model: Its fields, all in one dtype, may have a leading axis of T steps.
        is_observed: False for each number that is missing, e.g. ``jnp.isfinite(ys)``; ``None`` if
            none is.

    Returns:
        The belief at every t, and every step's info along a leading axis; NaN from the first step
        whose predicted covariance of ``y`` is not positive definite; throughout as in ``predict``.

    Raises:
        ValueError: shapes disagree, or a field has another number of steps (at trace time).

    Example:
        >>> one = jnp.ones((1, 1))
        >>> model = Model(transition=one, process_cov=0 * one, emission=one, emission_cov=one)
        >>> beliefs, info = filter(State(jnp.zeros(1), one), 3 * jnp.ones((2, 1)), model=model)
        >>> beliefs.mean[:, 0], beliefs.cov[0, 0]
        (Array([1.5, 2. ], dtype=float32), Array([0.5], dtype=float32))
    """
    state = trusted(state, model)
    varying = over_time("kalman.filter", model, len(ys))

    def advance(state: State, now: tuple[Array, Array | None, Any]) -> tuple[State, tuple]:
        y, is_observed, fields = now
        here = model._replace(**fields)
        state, info = _update(_predict(state, here), y, here, is_observed)
        return state, (Beliefs(*state), info)

    with jax.default_matmul_precision("highest"):
        _, (beliefs, info) = loop.scan(advance, state, (ys, is_observed, varying))
    return _symmetric(beliefs), info


@jax.jit
@checked
def filter_many(
    state: State,
    yss: Float[Array, "series time obs"],
    *,
    model: Model,
    is_observed: Bool[Array, "time obs"] | None = None,
) -> tuple[Beliefs, Info]:
    """Filter many series that share a model, a first belief and what is missing.

    Covariances do not depend on the data: they are computed once, in O(time (state³ + obs³)), and
    each series then costs O(time state (state + obs)).

    Args:
        state: Belief about x_0, of every series.
        yss: Observations of each series, in v. Finite where they are observed.
        model: Its fields, all in one dtype, may have a leading axis of steps.
        is_observed: False for each number that is missing, in all series alike.

    Returns:
        What ``jax.vmap`` of ``filter`` over ``yss`` does, but that covariances, which all series
        share, have no axis of series.

    Raises:
        ValueError: as in ``filter``.
    """
    num_series, num_steps, _ = yss.shape
    state = trusted(state, model)
    varying = over_time("kalman.filter_many", model, num_steps)

    def advance_cov(cov: Array, now: tuple[Array | None, Any] | None = None) -> tuple:
        is_observed, fields = now or (None, {})
        here = model._replace(**fields)
        seen = observation.of_the_seen(here, is_observed)
        cov, gain, innovation_cov = _update_cov(_predict_cov(cov, here), seen)
        return cov, (cov, gain, innovation_cov)

    def advance_mean(mean: Array, now: tuple[Array, Array, Array, Array | None, Any]) -> tuple:
        y, gain, innovation_cov, is_observed, fields = now
        here = model._replace(**fields)
        seen = observation.of_the_seen(here, is_observed)
        mean, innovation = _update_mean(_predict_mean(mean, here), y, gain, seen)
        log_likelihood = observation.log_density(innovation, innovation_cov, is_observed)
        return mean, (mean, log_likelihood, innovation)

    # The series lie along the last axis, where a processor's vectors run.
    ys = jnp.moveaxis(observation.filled(yss, is_observed), 0, -1)
    start = jnp.broadcast_to(state.mean[:, None], (state.mean.size, num_series))
    with jax.default_matmul_precision("highest"):
        given = (is_observed, varying) if is_observed is not None or varying else None
        _, (cov, *gains) = loop.scan(advance_cov, state.cov, given, num_steps=num_steps)
        _, by_series = loop.scan(advance_mean, start, (ys, *gains, is_observed, varying))
    mean, log_likelihood, innovation = (jnp.moveaxis(x, -1, 0) for x in by_series)
    _, innovation_cov = gains
    return _symmetric(Beliefs(mean, cov)), Info(log_likelihood, innovation, innovation_cov)


def _predict(state: State, model: Model) -> State:
    return State(mean=_predict_mean(state.mean, model), cov=_predict_cov(state.cov, model))


def _update(state: State, y: Array, model: Model, is_observed: Array | None) -> tuple[State, Info]:
    seen = observation.of_the_seen(model, is_observed)
    cov, gain, innovation_cov = _update_cov(state.cov, seen)
    y = observation.filled(y, is_observed)
    mean, innovation = _update_mean(state.mean, y, gain, seen)
    log_likelihood = observation.log_density(innovation[:, None], innovation_cov, is_observed)[0]
    return State(mean, cov), Info(log_likelihood, innovation, innovation_cov)


def _predict_mean(mean: Array, model: Model) -> Array:
    """Return F m + b; of one series, or of many along a last axis."""
    return plus(matrix.product(model.transition, mean).T, model.process_mean).T


def _predict_cov(cov: Array, model: Model) -> Array:
    return matrix.congruence(model.transition, cov) + model.process_cov


def _update_cov(cov: Array, model: Model) -> tuple[Array, Array, Array]:
    """Return the covariance given y, the gain K and the covariance S of the innovation."""
    H, R = model.emission, model.emission_cov
    HP = matrix.product(H, cov)
    S = matrix.product(HP, H.T) + R
    K = matrix.solve(S, HP).T
    shrunk = cov - matrix.product(K, HP)  # (I − K H) P
    shrink = jnp.eye(len(cov), dtype=cov.dtype) - matrix.product(K, H)
    return matrix.product(shrunk, shrink.T) + matrix.congruence(K, R), K, S


def _update_mean(mean: Array, y: Array, gain: Array, model: Model) -> tuple[Array, Array]:
    """Return the mean given y, and the innovation; of one series, or of many along a last axis."""
    innovation = y - plus(matrix.product(model.emission, mean).T, model.emission_mean).T
    return mean + matrix.product(gain, innovation), innovation


def _symmetric(beliefs: Any) -> Any:
    """Return beliefs whose covariances are symmetric to the last bit."""
    return beliefs._replace(cov=matrix.symmetric(beliefs.cov))
