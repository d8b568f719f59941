"""Extended Kalman filter and smoother: a nonlinear model, made linear at the mean.

    f(x) ≈ f(m) + F (x − m),  F = ∂f/∂x at m        for the step ahead, and for smoothing
    h(x) ≈ h(m) + H (x − m),  H = ∂h/∂x at m        for the observation

and then Kalman's formulas; see ``assumed_density``. The Jacobians are automatic derivatives. The
filter is exact for a linear model, and good where the functions hardly bend over a standard
deviation of the belief; it knows nothing of how much they bend, so that its covariance is then too
small. Log-likelihoods are those of the linear model, in nats.

Source: Jazwinski (1970), *Stochastic Processes and Filtering Theory*, theorem 8.1; Särkkä (2013),
*Bayesian Filtering and Smoothing*, algorithm 5.4 and eq. 9.1 (smoother).
"""

from typing import Any

import jax
from jaxtyping import Array, Bool, Float

from mastery_jax.core.check import checked
from mastery_jax.inference.filtering import assumed_density
from mastery_jax.inference.filtering.kalman import Beliefs, Info
from mastery_jax.inference.filtering.linear_gaussian import State
from mastery_jax.inference.filtering.nonlinear import Model

__all__ = ["filter", "predict", "smooth", "step", "update"]

_METHOD = assumed_density.Method(
    "extended", lambda fn, state: assumed_density.tangent(fn, state, state.mean)
)


@jax.jit
@checked
def predict(state: State, *, model: Model, inputs: Any = None) -> State:
    """Return the belief about the next x, before anything is seen of it. O(state f + state³).

    Args:
        state: Belief about x now.
        model: Functions and covariances, those of one step.
        inputs: The known input of this step, a pytree; ``None`` if the functions take none.

    Raises:
        ValueError: shapes disagree, or a function of the model returns another shape or dtype (at
            trace time).

    Example:
        >>> import jax.numpy as jnp
        >>> from jax.tree_util import Partial
        >>> one = jnp.ones((1, 1))
        >>> model = Model(Partial(jnp.sin), 0 * one, Partial(jnp.exp), one)
        >>> ahead = predict(State(jnp.zeros(1), one), model=model)
        >>> ahead.mean, ahead.cov
        (Array([0.], dtype=float32), Array([[1.]], dtype=float32))
    """
    return assumed_density.ahead(_METHOD, state, model=model, inputs=inputs)


@jax.jit
@checked
def update(
    state: State,
    y: Float[Array, " obs"],
    *,
    model: Model,
    inputs: Any = None,
    is_observed: Bool[Array, " obs"] | None = None,
) -> tuple[State, Info]:
    """Condition the belief about x on an observation of the same x. O(state h + state³ + obs³).

    Args:
        state: Belief about x before ``y`` is seen.
        y: Observation, in v. Finite where it is observed.
        model: Functions and covariances, those of one step.
        inputs: The known input of this step, a pytree; ``None`` if the functions take none.
        is_observed: False for each component that is missing; ``None`` if none is.

    Returns:
        The belief given ``y``, and the step's info. If the predicted covariance of ``y`` is not
        positive definite, both are NaN: test ``jnp.isfinite(info.log_likelihood)``.

    Raises:
        ValueError: as in ``predict``.

    Example:
        >>> import jax.numpy as jnp
        >>> from jax.tree_util import Partial
        >>> one = jnp.ones((1, 1))
        >>> model = Model(Partial(jnp.sin), one, Partial(jnp.exp), one)
        >>> state, info = update(State(jnp.zeros(1), one), 3 * jnp.ones(1), model=model)
        >>> state.mean, info.innovation
        (Array([1.], dtype=float32), Array([2.], dtype=float32))
    """
    return assumed_density.given(
        _METHOD, state, y, model=model, inputs=inputs, is_observed=is_observed
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
) -> tuple[State, Info]:
    """Predict one step ahead, then condition on ``y``; arguments and failure as in ``update``."""
    ahead = predict(state, model=model, inputs=inputs)
    return update(ahead, y, model=model, inputs=inputs, is_observed=is_observed)


@jax.jit
@checked
def filter(
    state: State,
    ys: Float[Array, "time obs"],
    *,
    model: Model,
    inputs: Any = None,
    is_observed: Bool[Array, "time obs"] | None = None,
) -> tuple[Beliefs, Info]:
    """Apply ``step`` along a series. O(time (state (f + h) + state³ + obs³)).

    With at most 8 components of x and of y, and functions without products of matrices, the loop
    holds no library call, and XLA can make one CPU kernel of it. Differentiable with respect to
    everything, so that the data inside the model's functions can be learned by gradient.

    Args:
        state: Belief about x_0.
        ys: Observations y_1 … y_T, in v. Finite where they are observed.
        model: Functions and covariances; those may have a leading axis of T steps.
        inputs: u_1 … u_T along the leading axis of a pytree; ``None`` if the functions take none.
        is_observed: False for each number that is missing, e.g. ``jnp.isfinite(ys)``; ``None`` if
            none is.

    Returns:
        The belief at every t, and every step's info along a leading axis; NaN from the first step
        whose predicted covariance of ``y`` is not positive definite.

    Raises:
        ValueError: as in ``predict``, or inputs or covariances of another number of steps.

    Example:
        >>> import jax.numpy as jnp
        >>> from jax.tree_util import Partial
        >>> one = jnp.ones((1, 1))
        >>> model = Model(Partial(jnp.sin), 0 * one, Partial(jnp.exp), one)
        >>> beliefs, info = filter(State(jnp.zeros(1), one), jnp.ones((2, 1)), model=model)
        >>> beliefs.mean[:, 0], [f"{variance:.3f}" for variance in beliefs.cov[:, 0, 0]]
        (Array([0., 0.], dtype=float32), ['0.500', '0.333'])
    """
    return assumed_density.along(
        _METHOD, state, ys, model=model, inputs=inputs, is_observed=is_observed
    )


@jax.jit
@checked
def smooth(filtered: Beliefs, *, model: Model, inputs: Any = None) -> Beliefs:
    """Return the belief at every t given all observations. O(time (state f + state³)).

    Args:
        filtered: What ``filter`` returned, this one's or the iterated filter's. With the belief
            about x_0 put in front, the first result is about x_0. Missing observations make no
            difference here.
        model: The model that the filter had.
        inputs: The inputs that the filter had.

    Returns:
        Smoothed beliefs; at the last t they are the filter's. NaN at and before a t where the
        predicted covariance of x is not positive definite: where something is known without error.

    Raises:
        ValueError: as in ``filter``.

    Example:
        >>> import jax.numpy as jnp
        >>> from jax.tree_util import Partial
        >>> one = jnp.ones((1, 1))
        >>> model = Model(Partial(jnp.sin), one, Partial(jnp.exp), one)
        >>> filtered, _ = filter(State(jnp.zeros(1), one), jnp.ones((2, 1)), model=model)
        >>> [f"{variance:.3f}" for variance in smooth(filtered, model=model).cov[:, 0, 0]]
        ['0.500', '0.625']
    """
    return assumed_density.back(_METHOD, filtered, model=model, inputs=inputs)
