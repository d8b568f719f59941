"""Iterated extended Kalman filter: linearized again where the observation leads.

    minimize over x:  (x − m)ᵀ P⁻¹ (x − m) + (y − h(x))ᵀ R⁻¹ (y − h(x))
    by Gauss-Newton from x = m:  H = ∂h/∂x at x,  K = P Hᵀ (H P Hᵀ + R)⁻¹,
                                 x ← m + K (y − h(x) − H (m − x))

The new mean is the last x, and the covariance that of the last linearization. One iteration is the
extended filter; for a linear h every iteration gives the same x. Steps ahead, and smoothing, are
those of ``extended``.

The log-likelihood is of y under the last linearization, which at the minimum is Laplace's
approximation of the integral, with Gauss and Newton's curvature; the innovation is the observation
less the mean that this linearization predicts. Gauss-Newton is neither damped nor certain to
converge: ``last_move`` says how far the last iteration went, beside the roots of the diagonal of
the covariance.

Source: Bell & Cathey (1993), *IEEE Transactions on Automatic Control* 38(2), 294; Jazwinski (1970),
*Stochastic Processes and Filtering Theory*, theorem 8.2.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, Bool, Float

from mastery_jax.core import loop
from mastery_jax.core.check import checked
from mastery_jax.inference.filtering import assumed_density, extended, linear_gaussian
from mastery_jax.inference.filtering.kalman import Beliefs
from mastery_jax.inference.filtering.linear_gaussian import State
from mastery_jax.inference.filtering.nonlinear import Model

__all__ = ["Info", "filter", "step", "update"]


class Info(NamedTuple):
    """What one step tells about itself; nothing here is needed by the next step.

    A component of y that is missing has innovation 0, variance 1 and no part in the likelihood.
    """

    log_likelihood: Float[Array, ""]  # of y_t given y_1 … y_{t-1}, nats
    innovation: Float[Array, " obs"]  # y less what the last linearization predicts, v
    innovation_cov: Float[Array, "obs obs"]  # H P Hᵀ + R of the last linearization, v²
    last_move: Float[Array, " state"]  # of the mean, in the last iteration, u


@partial(jax.jit, static_argnames=("num_iterations",))
@checked
def update(
    state: State,
    y: Float[Array, " obs"],
    *,
    model: Model,
    num_iterations: int,
    inputs: Any = None,
    is_observed: Bool[Array, " obs"] | None = None,
) -> tuple[State, Info]:
    """Condition the belief about x on an observation. O(iterations (state h + state³ + obs³)).

    Args:
        state: Belief about x before ``y`` is seen.
        y: Observation, in v. Finite where it is observed.
        model: Functions and covariances, those of one step.
        num_iterations: At least 1, which is ``extended.update``. Static.
        inputs: The known input of this step, a pytree; ``None`` if the functions take none.
        is_observed: False for each component that is missing; ``None`` if none is.

    Returns:
        The belief given ``y``, and the step's info. If a predicted covariance of ``y`` is not
        positive definite, both are NaN: test ``jnp.isfinite(info.log_likelihood)``.

    Raises:
        ValueError: fewer iterations than 1, shapes disagree, or a function of the model returns
            another shape or dtype (at trace time).

    Example:
        >>> import jax.numpy as jnp
        >>> from jax.tree_util import Partial
        >>> one = jnp.ones((1, 1))
        >>> model = Model(Partial(jnp.sin), one, Partial(jnp.exp), one)
        >>> state, y = State(jnp.zeros(1), one), 3 * jnp.ones(1)
        >>> found, info = update(state, y, model=model, num_iterations=20)
        >>> slope = jnp.exp(found.mean) * (y - jnp.exp(found.mean)) - found.mean
        >>> f"{found.mean[0]:.2f}", bool(abs(slope[0]) < 1e-5)
        ('0.97', True)
    """
    _at_least_one("update", num_iterations)
    linear_gaussian.at_one_time("iterated_extended", model)
    state = linear_gaussian.trusted(state, model)
    with jax.default_matmul_precision("highest"):
        state, info = _update(num_iterations, state, y, model, inputs, is_observed)
        return assumed_density.symmetric(state), info


@partial(jax.jit, static_argnames=("num_iterations",))
@checked
def step(
    state: State,
    y: Float[Array, " obs"],
    *,
    model: Model,
    num_iterations: int,
    inputs: Any = None,
    is_observed: Bool[Array, " obs"] | None = None,
) -> tuple[State, Info]:
    """Predict as ``extended`` does, then condition on ``y``; all else is as in ``update``."""
    linear_gaussian.at_one_time("iterated_extended", model)
    return update(
        extended.predict(state, model=model, inputs=inputs),
        y,
        model=model,
        num_iterations=num_iterations,
        inputs=inputs,
        is_observed=is_observed,
    )


@partial(jax.jit, static_argnames=("num_iterations",))
@checked
def filter(
    state: State,
    ys: Float[Array, "time obs"],
    *,
    model: Model,
    num_iterations: int,
    inputs: Any = None,
    is_observed: Bool[Array, "time obs"] | None = None,
) -> tuple[Beliefs, Info]:
    """Apply ``step`` along a series. O(time iterations (state h + state³ + obs³)).

    Args:
        state: Belief about x_0.
        ys: Observations y_1 … y_T, in v. Finite where they are observed.
        model: Functions and covariances; those may have a leading axis of T steps.
        num_iterations: At least 1, which is ``extended.filter``. Static.
        inputs: u_1 … u_T along the leading axis of a pytree; ``None`` if the functions take none.
        is_observed: False for each number that is missing, e.g. ``jnp.isfinite(ys)``; ``None`` if
            none is.

    Returns:
        The belief at every t, and every step's info along a leading axis; NaN from the first step
        where a predicted covariance of ``y`` is not positive definite. ``extended.smooth`` takes
        the beliefs further.

    Raises:
        ValueError: as in ``update``, or inputs or covariances of another number of steps.

    Example:
        >>> import jax.numpy as jnp
        >>> from jax.tree_util import Partial
        >>> one = jnp.ones((1, 1))
        >>> model = Model(Partial(jnp.sin), one, Partial(jnp.exp), one)
        >>> state, ys = State(jnp.zeros(1), one), 3 * jnp.ones((2, 1))
        >>> beliefs, info = filter(state, ys, model=model, num_iterations=10)
        >>> [f"{mean:.2f}" for mean in beliefs.mean[:, 0]], bool((info.last_move < 1e-3).all())
        (['1.04', '1.07'], True)
    """
    _at_least_one("filter", num_iterations)
    return assumed_density.along(
        assumed_density.Method("iterated_extended", _at_the_mean),
        state,
        ys,
        model=model,
        inputs=inputs,
        is_observed=is_observed,
        update=partial(_update, num_iterations),
    )


def _at_the_mean(fn: assumed_density.Function, state: State) -> assumed_density.Linearization:
    return assumed_density.tangent(fn, state, state.mean)


def _update(
    num_iterations: int,
    state: State,
    y: Array,
    model: Model,
    inputs: Any,
    is_observed: Array | None,
) -> tuple[State, Info]:
    observed = assumed_density.what_is_seen(model, y, inputs, is_observed)

    def given(x: Array) -> tuple[State, Any]:
        seen = assumed_density.tangent(observed.emission, state, x)
        return assumed_density.conditioned(state, observed, seen, is_observed)

    x, _ = loop.scan(lambda x: (given(x)[0].mean, None), state.mean, num_steps=num_iterations - 1)
    found, info = given(x)
    return found, Info(*info, last_move=found.mean - x)


def _at_least_one(verb: str, num_iterations: int) -> None:
    if num_iterations < 1:
        raise ValueError(
            f"iterated_extended.{verb}: num_iterations is {num_iterations}, not at least 1"
        )
