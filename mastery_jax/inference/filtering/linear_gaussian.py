"""The linear Gaussian state-space model, which a Kalman filter inverts.

    x_t = F x_{t-1} + w,  w ~ N(b, Q)        hidden state
    y_t = H x_t     + v,  v ~ N(d, R)        observation

Known inputs u_t enter as the means of the noise: b = B u_t is ``process_mean=inputs @ B.T``.

Source: Särkkä (2013), *Bayesian Filtering and Smoothing*, eq. 4.17; Durbin & Koopman (2012), *Time
Series Analysis by State Space Methods*, eq. 4.12 (matrices that change, and means).
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from mastery_jax.core import loop
from mastery_jax.core.check import checked
from mastery_jax.inference.filtering import matrix

__all__ = [
    "Model",
    "Path",
    "State",
    "at_one_time",
    "noise",
    "over_time",
    "plus",
    "simulate",
    "trusted",
    "varying",
]

_VECTORS = ("process_mean", "emission_mean")  # all other fields of a model are matrices


class Model(NamedTuple):
    """Four matrices, and two means that are 0 if ``None``. Units: u for the state, v for the data.

    Any field may have a leading axis of steps: row t − 1 then belongs to the step from x_{t-1} to
    x_t and y_t.
    """

    transition: (  # F, u per u
        Float[Array, "state state"] | Float[Array, "steps state state"]
    )
    process_cov: (  # Q, u², positive semi-definite
        Float[Array, "state state"] | Float[Array, "steps state state"]
    )
    emission: (  # H, v per u
        Float[Array, "obs state"] | Float[Array, "steps obs state"]
    )
    emission_cov: (  # R, v², positive definite
        Float[Array, "obs obs"] | Float[Array, "steps obs obs"]
    )
    process_mean: (  # b, u
        Float[Array, " state"] | Float[Array, "steps state"] | None
    ) = None
    emission_mean: (  # d, v
        Float[Array, " obs"] | Float[Array, "steps obs"] | None
    ) = None


class State(NamedTuple):
    """A belief N(mean, cov) about x_t."""

    mean: Float[Array, " state"]  # u
    cov: Float[Array, "state state"]  # u²


class Path(NamedTuple):
    """One draw of everything: x_1 … x_T and y_1 … y_T."""

    states: Float[Array, "time state"]  # u
    observations: Float[Array, "time obs"]  # v


@partial(jax.jit, static_argnames=("num_steps",))
@checked
def simulate(key: Key[Array, ""], state: State, *, model: Model, num_steps: int) -> Path:
    """Draw a path of the model. O(num_steps state²).

    Args:
        key: Consumed.
        state: Belief about x_0, which is drawn but not returned.
        model: Its covariances may be singular; each is factored by its singular values, which
            have no derivative where two of them are equal.
        num_steps: Length of the path. Static.

    Returns:
        The path; NaN from the first step on whose covariance is not positive semi-definite.

    Raises:
        ValueError: shapes disagree, or a field has another number of steps (at trace time).

    Example:
        >>> one = jnp.ones((1, 1))
        >>> model = Model(2 * one, 0 * one, one, 0 * one, process_mean=jnp.ones(1))
        >>> start = State(jnp.zeros(1), 0 * one)
        >>> simulate(jax.random.key(0), start, model=model, num_steps=3).observations[:, 0]
        Array([1., 3., 7.], dtype=float32)
    """
    changing = over_time("linear_gaussian.simulate", model, num_steps)
    start_key, process_key, emission_key = jax.random.split(key, 3)
    with jax.default_matmul_precision("highest"):
        start = state.mean + noise(start_key, state.cov, 1)[0]
        shocks = plus(noise(process_key, model.process_cov, num_steps), model.process_mean)
        errors = plus(noise(emission_key, model.emission_cov, num_steps), model.emission_mean)

        def move(x: Array, now: tuple[Array, dict[str, Array]]) -> tuple[Array, Array]:
            shock, fields = now
            x = matrix.product(model._replace(**fields).transition, x) + shock
            return x, x

        _, states = loop.scan(move, start, (shocks, changing))
        if model.emission.ndim == 3:
            seen = jax.vmap(matrix.product)(model.emission, states)
        else:
            seen = states @ model.emission.T
        return Path(states=states, observations=seen + errors)


def at_one_time(where: str, model: NamedTuple) -> None:
    """Insist that a model is one of a single step.

    Args:
        where: Whose error it is.
        model: What a ``predict``, an ``update`` or a ``step`` was given.

    Raises:
        ValueError: a field has an axis of steps.
    """
    for name, field in varying(model).items():
        raise ValueError(
            f"{where}: model.{name} is {jax.typeof(field).str_short()}, with an axis of steps; "
            "give the row that belongs to this one"
        )


def over_time(
    where: str, model: NamedTuple, num_steps: int, *, num_spare: int = 0
) -> dict[str, Array]:
    """Return the fields of a model that change along a series, by their names.

    Args:
        where: Whose error it is.
        model: Any of its fields may have an axis of steps.
        num_steps: How many steps there are.
        num_spare: How many first rows there may be beyond those of the steps; they are dropped.

    Raises:
        ValueError: a field has another number of steps.
    """
    found = varying(model)
    for name, field in found.items():
        if not 0 <= len(field) - num_steps <= num_spare:
            shown = jax.typeof(field).str_short()
            raise ValueError(
                f"{where}: model.{name} is {shown}, not {num_steps} along its first axis"
            )
    return {name: field[len(field) - num_steps :] for name, field in found.items()}


def plus(values: Array, mean: Array | None) -> Array:
    """Add a mean that is 0 if ``None``, along the last axis."""
    if mean is None:
        return values
    return values + mean.reshape((1,) * (values.ndim - mean.ndim) + mean.shape)


def trusted(beliefs: Any, model: Any) -> Any:
    """Return beliefs, NaN if one of them or a model has what ``matrix.is_covariance`` refuses.

    Added to others it might pass for a covariance, and variances would come out negative.
    """
    belief, process, emission = (
        matrix.is_covariance(cov) for cov in (beliefs.cov, model.process_cov, model.emission_cov)
    )
    is_sound = belief & process & emission
    return beliefs._replace(cov=jnp.where(is_sound, beliefs.cov, jnp.nan))


def varying(model: NamedTuple) -> dict[str, Array]:
    """Return the fields that have an axis of steps."""
    return {
        name: field
        for name, field in model._asdict().items()
        if getattr(field, "ndim", 0) == (2 if name in _VECTORS else 3)
    }


def noise(key: Array, cov: Array, num_steps: int) -> Array:
    """Return draws of N(0, cov), along a leading axis. O(num_steps d² + d³).

    They are NaN where a covariance is not positive semi-definite.
    """
    zero = jnp.zeros(cov.shape[:-1], cov.dtype)
    draws = jax.random.multivariate_normal(key, zero, cov, (num_steps,), cov.dtype, method="svd")
    # Singular values have lost the sign.
    fixed = jax.lax.stop_gradient(cov)
    roots = jax.vmap(matrix.root)(fixed) if cov.ndim == 3 else matrix.root(fixed)
    return jnp.where(jnp.isnan(roots).any(axis=(-2, -1))[..., None], jnp.nan, draws)
