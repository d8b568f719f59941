"""Information filter: the inverse of the covariance is carried, and nothing need be known at first.

    φ(x) = exp(c + ηᵀ x − ½ xᵀ Λ x),   Λ = P⁻¹,   η = Λ m        the belief; flat where Λ is 0

    φ(x) ← φ(x) N(y; H x + d, R)           given y: Λ ← Λ + Hᵀ R⁻¹ H,   η ← η + Hᵀ R⁻¹ (y − d)
    φ(x) ← E φ(F⁻¹ (x − w)) / |F|          one step ahead, w ~ N(b, Q)

in the notation of ``linear_gaussian`` and by the algebra of ``quadratic``. F must have an inverse.
Q may be singular, but where F contracts a state without noise Λ has no bound: take ``kalman``. Λ
stays positive semi-definite when rounded.

While the belief is flat in some direction, c keeps its mass, so that the likelihood is exact: it is
the diffuse likelihood, the limit of log p(y_1 … y_t) + ½ q log κ where q components of x_0 have
variance κ → ∞. It is told as soon as x is known in all directions; before, it has no value.

Of a belief so narrow that rounding could have made it, one cannot say which it is, and it counts as
flat: where, given the components before it, one keeps less than 100 n units of rounding of its own
Λ. In single precision so does a proper prior of two components correlated by more than 1 − 1e-5:
``is_known`` is False, and its likelihood 0 until the data tell more. Take ``kalman``, or double.

Source: Anderson & Moore (1979), *Optimal Filtering*, section 6.3; Durbin & Koopman (2012), *Time
Series Analysis by State Space Methods*, section 7.2 (diffuse likelihood).
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from mastery_jax.core import loop
from mastery_jax.core.check import checked
from mastery_jax.inference.filtering import kalman, matrix, observation, quadratic
from mastery_jax.inference.filtering.linear_gaussian import Model, at_one_time, over_time, plus
from mastery_jax.inference.filtering.quadratic import State

__all__ = ["Beliefs", "Info", "State", "filter", "init", "moments", "predict", "step", "update"]


class Beliefs(NamedTuple):
    """Beliefs about x_1 … x_T, without their scale."""

    information: Float[Array, "time state"]  # 1/u
    precision: Float[Array, "time state state"]  # 1/u²


class Info(NamedTuple):
    """What one step tells about itself."""

    log_likelihood: Float[Array, ""]  # nats; 0 until x is known, then that of all y so far
    innovation: Float[Array, " obs"]  # r = y_t − E[y_t | y_1 … y_{t-1}], v; NaN until x is known
    innovation_cov: Float[Array, "obs obs"]  # S, v²; NaN until x is known
    is_known: Bool[Array, ""]  # whether x_t was known in all directions before y_t


@jax.jit
@checked
def init(
    mean: Float[Array, " state"],
    cov: Float[Array, "state state"],
    *,
    is_flat: Bool[Array, " state"] | None = None,
) -> State:
    """Return the belief held before any observation. O(state³).

    Args:
        mean: E[x_0], in u.
        cov: In u², positive definite by more than rounding;
            ``init(mean, cov, is_flat=jnp.ones(n, bool))`` reads none.
        is_flat: True for each component of which nothing is known, whose mean and covariances are
            not read; ``None`` if there is none.

    Returns:
        The belief; NaN where the covariance of what is known is not positive definite.

    Example:
        >>> init(jnp.ones(2), 4 * jnp.eye(2), is_flat=jnp.array([False, True])).precision
        Array([[0.25, 0.  ],
               [0.  , 0.  ]], dtype=float32)
    """
    identity = jnp.eye(len(mean), dtype=mean.dtype)
    is_given = jnp.ones(mean.shape, bool) if is_flat is None else ~is_flat
    both = is_given[:, None] & is_given[None, :]
    cov = jnp.where(both, cov, identity)
    precision = jnp.where(both, matrix.solve(cov, identity), 0)
    mean = jnp.where(is_given, mean, 0)
    information = matrix.product(precision, mean)
    circle = len(mean) * math.log(2 * math.pi)
    log_scale = -((mean * information).sum() + matrix.log_det(cov) + circle) / 2
    return State(information, matrix.symmetric(precision), log_scale)


@jax.jit
@checked
def moments(beliefs: Beliefs) -> kalman.Beliefs:
    """Return means and covariances. O(time state³). NaN where a direction is unknown.

    Example:
        >>> moments(Beliefs(jnp.ones((1, 1)), 4 * jnp.ones((1, 1, 1)))).mean
        Array([[0.25]], dtype=float32)
    """

    def one(information: Array, precision: Array) -> tuple[Array, Array]:
        mean, cov = quadratic.moments(information, precision)
        is_known = quadratic.is_proper(precision)
        return jnp.where(is_known, mean, jnp.nan), jnp.where(is_known, cov, jnp.nan)

    mean, cov = jax.vmap(one)(beliefs.information, beliefs.precision)
    return kalman.Beliefs(mean=mean, cov=matrix.symmetric(cov))


@jax.jit
@checked
def predict(state: State, *, model: Model) -> State:
    """Return the belief about the next x, before anything is seen of it. O(state³).

    Args:
        state: Belief about x now.
        model: What belongs to one step, all in one dtype; its transition has an inverse.

    Returns:
        The belief; not finite where the transition has no inverse, or Q is indefinite.

    Raises:
        ValueError: shapes disagree, or a field of the model has an axis of steps (at trace time).

    Example:
        >>> one = jnp.ones((1, 1))
        >>> predict(init(jnp.zeros(1), one), model=Model(one, one, one, one)).precision
        Array([[0.5]], dtype=float32)
    """
    at_one_time("information.predict", model)
    with jax.default_matmul_precision("highest"):
        return _predict(state, model, _prepared(model))


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
        The belief given ``y``, and the step's info; NaN where R is not positive definite.

    Raises:
        ValueError: as in ``predict``.

    Example:
        >>> one = jnp.ones((1, 1))
        >>> nothing = init(jnp.zeros(1), one, is_flat=jnp.array([True]))
        >>> state, info = update(nothing, 3 * jnp.ones(1), model=Model(one, one, one, one))
        >>> f"{info.log_likelihood:.4f}"  # as Durbin and Koopman have it: −½ log 2π
        '-0.9189'
    """
    at_one_time("information.update", model)
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
) -> tuple[State, Info]:
    """Predict one step ahead, then condition on ``y``; arguments and failure as in both."""
    at_one_time("information.step", model)
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

    Args:
        state: Belief about x_0. Of a flat x_0 and a regular F, x_1 is as flat.
        ys: Observations y_1 … y_T, in v. Finite where they are observed.
        model: Its fields, all in one dtype, may have a leading axis of T steps.
        is_observed: False for each number that is missing, e.g. ``jnp.isfinite(ys)``; ``None`` if
            none is.

    Returns:
        The belief at every t, and every step's info along a leading axis; not finite from the
        first step where ``predict`` or ``update`` is not.

    Raises:
        ValueError: shapes disagree, or a field has another number of steps (at trace time).

    Example:
        >>> one = jnp.ones((1, 1))
        >>> nothing = init(jnp.zeros(1), one, is_flat=jnp.array([True]))
        >>> still = Model(one, 0 * one, one, one)
        >>> moments(filter(nothing, jnp.array([[1.0], [3.0]]), model=still)[0]).mean[:, 0]
        Array([1., 2.], dtype=float32)
    """
    varying = over_time("information.filter", model, len(ys))

    def advance(state: State, now: tuple[Array, Array | None, Any, Any]) -> tuple:
        y, is_observed, fields, inverse = now
        here = model._replace(**fields)
        state = _predict(state, here, constant if inverse is None else inverse)
        state, info = _update(state, y, here, is_observed)
        return state, (Beliefs(state.information, state.precision), info)

    with jax.default_matmul_precision("highest"):
        constant: Any = None if varying else _prepared(model)
        rows = jax.vmap(lambda row: _prepared(model._replace(**row)))(varying) if varying else None
        return loop.scan(advance, state, (ys, is_observed, varying, rows))[1]


def _prepared(model: Model) -> tuple[Array, Array, Array]:
    """Return F⁻¹, log |F| and a root of Q: what would cost a step of the loop most."""
    F = model.transition
    inverse = jnp.linalg.solve(F, jnp.eye(len(F), dtype=F.dtype))
    return inverse, jnp.linalg.slogdet(F)[1], matrix.root(model.process_cov)


def _predict(state: State, model: Model, prepared: tuple[Array, Array, Array]) -> State:
    inverse, log_det, root = prepared
    moved = quadratic.pulled(state, inverse)
    moved = moved._replace(log_scale=moved.log_scale - log_det)
    return quadratic.blurred(moved, model.process_cov, root, model.process_mean)


def _update(state: State, y: Array, model: Model, is_observed: Array | None) -> tuple[State, Info]:
    told = quadratic.likelihood(y, model, is_observed)
    after = jax.tree.map(jnp.add, state, told)
    was_known = quadratic.is_proper(state.precision)
    is_known = quadratic.is_proper(after.precision)
    mass = quadratic.log_integral(_or_unit(after, is_known))
    # Of a belief that is known the scale follows from the rest: small differences of large numbers
    # are not carried along.
    after = after._replace(log_scale=after.log_scale - jnp.where(is_known, mass, 0))

    seen = observation.of_the_seen(model, is_observed)
    before = _or_unit(state, was_known)
    mean, cov = quadratic.moments(before.information, before.precision)
    predicted = plus(matrix.product(seen.emission, mean), seen.emission_mean)
    innovation = observation.filled(y, is_observed) - predicted
    spread = matrix.congruence(seen.emission, cov) + seen.emission_cov
    density = observation.log_density(innovation[:, None], spread, is_observed)[0]
    return after, Info(
        log_likelihood=jnp.where(was_known, density, jnp.where(is_known, mass, 0)),
        innovation=jnp.where(was_known, innovation, jnp.nan),
        innovation_cov=jnp.where(was_known, matrix.symmetric(spread), jnp.nan),
        is_known=was_known,
    )


def _or_unit(state: State, is_known: Array) -> State:
    """Return a belief that can be solved with: where it is flat, another."""
    identity = jnp.eye(len(state.precision), dtype=state.precision.dtype)
    return state._replace(precision=jnp.where(is_known, state.precision, identity))
