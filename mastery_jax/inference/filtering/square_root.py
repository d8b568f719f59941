"""Kalman filter and smoother that carry a square root of the covariance: for single precision.

    [ R^½  H L ]       [ S^½  0 ]
    [  0    L  ] Θ  =  [  K̄   L ]        given y: the L on the right is the new one, K = K̄ S^-½

    [ F L  Q^½ ] Θ  =  [ L  0 ]          one step ahead

    [ Q^½  F L ]       [ P̂^½  0 ]
    [  0    L  ] Θ  =  [  Ḡ   C ]        backwards, from the filter's L and the smoother's L_{t+1}
    [ Ḡ P̂^-½ L_{t+1}   C ] Θ  =  [ L_t  0 ]

P = L Lᵀ, and Θ is orthogonal. A covariance so carried cannot lose its sign, and its least and
greatest standard deviations may be as far apart as ``kalman`` lets variances be: in single
precision 1 to some 10⁶ instead of 1 to some 1000. Models and beliefs are those of ``factored``.

Source: Kaminski, Bryson & Schmidt (1971), *IEEE Transactions on Automatic Control* 16(6), 727; Park
& Kailath (1995), *International Journal of Control* 62(5), 1049 (the smoother).
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from mastery_jax.core import loop
from mastery_jax.core.check import checked
from mastery_jax.inference.filtering import kalman, matrix, observation
from mastery_jax.inference.filtering.factored import Beliefs, Model, State
from mastery_jax.inference.filtering.linear_gaussian import at_one_time, over_time, plus

__all__ = ["filter", "predict", "smooth", "step", "update"]


@jax.jit
@checked
def predict(state: State, *, model: Model) -> State:
    """Return the belief about the next x, before anything is seen of it. O(state³).

    Args:
        state: Belief about x now.
        model: What belongs to one step, all in one dtype.

    Raises:
        ValueError: shapes disagree, or a field of the model has an axis of steps (at trace time).

    Example:
        >>> one = jnp.ones((1, 1))
        >>> predict(State(jnp.zeros(1), 4 * one), model=Model(one, 3 * one, one, one)).factor
        Array([[5.]], dtype=float32)
    """
    at_one_time("square_root.predict", model)
    with jax.default_matmul_precision("highest"):
        return _predict(state, model)


@jax.jit
@checked
def update(
    state: State,
    y: Float[Array, " obs"],
    *,
    model: Model,
    is_observed: Bool[Array, " obs"] | None = None,
) -> tuple[State, kalman.Info]:
    """Condition the belief about x on an observation of the same x. O((state + obs)³).

    Args:
        state: Belief about x before ``y`` is seen.
        y: Observation, in v. Finite where it is observed.
        model: What belongs to one step, all in one dtype.
        is_observed: False for each component that is missing; ``None`` if none is.

    Returns:
        The belief given ``y``, and the step's info. If the predicted covariance of ``y`` is
        singular, both are NaN: test ``jnp.isfinite(info.log_likelihood)``.

    Raises:
        ValueError: as in ``predict``.

    Example:
        >>> one = jnp.ones((1, 1))
        >>> state, info = update(State(jnp.zeros(1), one), jnp.ones(1), model=Model(*[one] * 4))
        >>> state.mean.round(4), info.innovation_cov[0].round(4)
        (Array([0.5], dtype=float32), Array([2.], dtype=float32))
    """
    at_one_time("square_root.update", model)
    with jax.default_matmul_precision("highest"):
        return _update(state, y, model, is_observed)


@jax.jit
@checked
def step(
    state: State,
    y: Float[Array, " obs"],
    *,
    model: Model,
    is_observed: Bool[Array, " obs"] | None = None,
) -> tuple[State, kalman.Info]:
    """Predict one step ahead, then condition on ``y``; arguments and failure as in ``update``."""
    at_one_time("square_root.step", model)
    return update(predict(state, model=model), y, model=model, is_observed=is_observed)


@jax.jit
@checked
def filter(
    state: State,
    ys: Float[Array, "time obs"],
    *,
    model: Model,
    is_observed: Bool[Array, "time obs"] | None = None,
) -> tuple[Beliefs, kalman.Info]:
    """Apply ``step`` along a series. O(time (state + obs)³).

    Args:
        state: Belief about x_0.
        ys: Observations y_1 … y_T, in v. Finite where they are observed.
        model: Its fields, all in one dtype, may have a leading axis of T steps.
        is_observed: False for each number that is missing, e.g. ``jnp.isfinite(ys)``; ``None`` if
            none is.

    Returns:
        The belief at every t, and every step's info along a leading axis; NaN from the first step
        whose predicted covariance of ``y`` is singular.

    Raises:
        ValueError: shapes disagree, or a field has another number of steps (at trace time).

    Example:
        >>> one = jnp.ones((1, 1))
        >>> model = Model(one, 0 * one, one, one)
        >>> beliefs, _ = filter(State(jnp.zeros(1), one), 3 * jnp.ones((2, 1)), model=model)
        >>> (beliefs.factor[:, 0, 0] ** 2).round(4)
        Array([0.5   , 0.3333], dtype=float32)
    """
    varying = over_time("square_root.filter", model, len(ys))

    def advance(state: State, now: tuple[Array, Array | None, Any]) -> tuple[State, tuple]:
        y, is_observed, fields = now
        here = model._replace(**fields)
        state, info = _update(_predict(state, here), y, here, is_observed)
        return state, (Beliefs(*state), info)

    with jax.default_matmul_precision("highest"):
        return loop.scan(advance, state, (ys, is_observed, varying))[1]


@jax.jit
@checked
def smooth(filtered: Beliefs, *, model: Model) -> Beliefs:
    """Return the belief at every t given all observations. O(time state³).

    Args:
        filtered: What ``filter`` returned. With the belief about x_0 put in front, the first
            result is about x_0. Missing observations make no difference here.
        model: The model that the filter had.

    Returns:
        Smoothed beliefs; at the last t they are the filter's. Not finite at and before a t where
        F P_t Fᵀ + Q is singular: where something is known without error.

    Raises:
        ValueError: as in ``filter``.

    Example:
        >>> one = jnp.ones((1, 1))
        >>> filtered = Beliefs(mean=jnp.array([[0.0], [3.0]]), factor=jnp.ones((2, 1, 1)))
        >>> smooth(filtered, model=Model(one, one, one, one)).mean[:, 0].round(4)
        Array([1.5, 3. ], dtype=float32)
    """
    if not len(filtered.mean):
        return filtered
    varying = over_time("square_root.smooth", model, len(filtered.mean) - 1, num_spare=1)

    def back(later: State, now: tuple[State, Any]) -> tuple[State, State]:
        state, fields = now
        here = model._replace(**fields)
        through = matrix.product(here.transition, state.factor)
        spread, gain, rest = _turned(here.process_factor, through, state.factor)
        ahead = plus(matrix.product(here.transition, state.mean), here.process_mean)
        white = matrix.solve_lower(spread, later.mean - ahead)
        brought = matrix.product(gain, matrix.solve_lower(spread, later.factor))
        factor = matrix.triangular(jnp.concatenate([brought, rest], axis=1))
        found = State(state.mean + matrix.product(gain, white), factor)
        return found, found

    last = State(filtered.mean[-1], filtered.factor[-1])
    earlier = State(filtered.mean[:-1], filtered.factor[:-1])
    backwards = jax.tree.map(lambda rows: rows[::-1], (earlier, varying))
    with jax.default_matmul_precision("highest"):
        _, found = loop.scan(back, last, backwards)
    mean, factor = (
        jnp.concatenate([rows[::-1], end[None]]) for rows, end in zip(found, last, strict=True)
    )
    return Beliefs(mean=mean, factor=factor)


def _predict(state: State, model: Model) -> State:
    wide = [matrix.product(model.transition, state.factor), model.process_factor]
    return State(
        mean=plus(matrix.product(model.transition, state.mean), model.process_mean),
        factor=matrix.triangular(jnp.concatenate(wide, axis=1)),
    )


def _update(
    state: State, y: Array, model: Model, is_observed: Array | None
) -> tuple[State, kalman.Info]:
    seen = _of_the_seen(model, is_observed)
    predicted = plus(matrix.product(seen.emission, state.mean), seen.emission_mean)
    innovation = observation.filled(y, is_observed) - predicted
    through = matrix.product(seen.emission, state.factor)
    spread, gain, factor = _turned(seen.emission_factor, through, state.factor)
    scale = jnp.diagonal(spread)
    scale = jnp.where(scale > 0, scale, jnp.nan)
    white = matrix.solve_lower(spread, innovation)
    constant = observation.count(innovation, is_observed) * math.log(2 * math.pi)
    log_likelihood = -((white * white).sum() + 2 * jnp.log(scale).sum() + constant) / 2
    known = jnp.where(jnp.isnan(scale).any(), jnp.nan, 1)
    state = State(known * (state.mean + matrix.product(gain, white)), known * factor)
    return state, kalman.Info(log_likelihood, innovation, matrix.product(spread, spread.T))


def _turned(noise: Array, through: Array, factor: Array) -> tuple[Array, Array, Array]:
    """Return S^½, K̄ and L of [noise through; 0 factor] Θ = [S^½ 0; K̄ L]."""
    nothing = jnp.zeros((len(factor), noise.shape[1]), noise.dtype)
    rows = [jnp.concatenate(row, axis=1) for row in ([noise, through], [nothing, factor])]
    turned = matrix.triangular(jnp.concatenate(rows))
    size = len(noise)
    return turned[:size, :size], turned[size:, :size], turned[size:, size:]


def _of_the_seen(model: Model, is_observed: Array | None) -> Model:
    """Return the model of the observed components; the missing ones see a noise of their own."""
    if is_observed is None:
        return model
    mean = model.emission_mean
    own = jnp.diag((~is_observed).astype(model.emission_factor.dtype))
    shared = jnp.where(is_observed[:, None], model.emission_factor, 0)
    return model._replace(
        emission=jnp.where(is_observed[:, None], model.emission, 0),
        emission_factor=jnp.concatenate([shared, own], axis=1),
        emission_mean=None if mean is None else observation.filled(mean, is_observed),
    )
