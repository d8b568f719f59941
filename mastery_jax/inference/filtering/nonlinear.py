"""The nonlinear state-space model with additive Gaussian noise, and paths drawn from it.

    x_t = f(x_{t-1}, u_t) + w,  w ~ N(0, Q)        hidden state
    y_t = h(x_t, u_t)     + v,  v ~ N(0, R)        observation

The known inputs u_t are optional: without them the functions are f(x) and h(x).

Source: Särkkä (2013), *Bayesian Filtering and Smoothing*, eq. 5.16.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key

from mastery_jax.core import loop
from mastery_jax.core.check import checked
from mastery_jax.inference.filtering import linear_gaussian
from mastery_jax.inference.filtering.linear_gaussian import Path, State

__all__ = ["Model", "emission_of", "over_time", "simulate", "transition_of"]


class Model(NamedTuple):
    """Two functions and two covariances. Units: u for the state, v for the data.

    What the functions need besides goes into their ``Partial``. A covariance may have a leading
    axis of steps: row t − 1 then belongs to the step from x_{t-1} to x_t and y_t. Gaussian filters
    are NaN throughout where one has a negative variance or a correlation beyond 1.
    """

    transition: Partial  # f(x) or f(x, input): the next state without its noise, u
    process_cov: (  # Q, u², positive semi-definite
        Float[Array, "state state"] | Float[Array, "steps state state"]
    )
    emission: Partial  # h(x) or h(x, input): the observation without its noise, v
    emission_cov: (  # R, v², positive definite
        Float[Array, "obs obs"] | Float[Array, "steps obs obs"]
    )


@partial(jax.jit, static_argnames=("num_steps",))
@checked
def simulate(
    key: Key[Array, ""], state: State, *, model: Model, num_steps: int, inputs: Any = None
) -> Path:
    """Draw a path of the model. O(num_steps (f + h + state²)).

    Args:
        key: Consumed.
        state: Belief about x_0, which is drawn but not returned.
        model: Its covariances may be singular; each is factored by its singular values, which
            have no derivative where two of them are equal.
        num_steps: Length of the path. Static.
        inputs: u_1 … u_T along the leading axis of a pytree; ``None`` if the functions take none.

    Returns:
        The path; NaN from the first step on whose covariance is not positive semi-definite.

    Raises:
        ValueError: covariances or inputs of another number of steps, or a function of the model
            that returns another shape or dtype (at trace time).

    Example:
        >>> one = jnp.ones((1, 1))
        >>> model = Model(Partial(jnp.cos), 0 * one, Partial(jnp.exp), 0 * one)
        >>> path = simulate(
        ...     jax.random.key(0), State(jnp.zeros(1), 0 * one), model=model, num_steps=2
        ... )
        >>> path.states[:, 0].round(4)
        Array([1.    , 0.5403], dtype=float32)
    """
    _, inputs = over_time("nonlinear.simulate", model, inputs, num_steps)
    start_key, process_key, emission_key = jax.random.split(key, 3)
    with jax.default_matmul_precision("highest"):
        start = state.mean + linear_gaussian.noise(start_key, state.cov, 1)[0]
        shocks = linear_gaussian.noise(process_key, model.process_cov, num_steps)
        noise = linear_gaussian.noise(emission_key, model.emission_cov, num_steps)

        def move(x: Array, now: tuple[Array, Array, Any]) -> tuple[Array, Path]:
            shock, noise, inputs = now
            x = transition_of(model, inputs)(x) + shock
            return x, Path(states=x, observations=emission_of(model, inputs)(x) + noise)

        return loop.scan(move, start, (shocks, noise, inputs))[1]


def transition_of(model: Model, inputs: Any) -> Callable[[Array], Array]:
    """Return f at one time, which insists on the shape of what it returns."""
    return _bound("transition", model.transition, inputs, model.process_cov.shape[-1])


def emission_of(model: Model, inputs: Any) -> Callable[[Array], Array]:
    """Return h at one time, which insists on the shape of what it returns."""
    return _bound("emission", model.emission, inputs, model.emission_cov.shape[-1])


def over_time(
    where: str,
    model: Model,
    inputs: Any,
    num_steps: int,
    *,
    num_spare: int = 0,
) -> tuple[dict[str, Array], Any]:
    """Return what changes along a series: covariances by their names, and inputs.

    Args:
        where: Whose error it is.
        model: Its covariances may have an axis of steps.
        inputs: A pytree with a leading axis of steps, or ``None``.
        num_steps: How many steps there are.
        num_spare: How many first rows there may be beyond those of the steps; they are dropped.

    Raises:
        ValueError: covariances or inputs that have another number of steps.
    """
    changing = linear_gaussian.over_time(where, model, num_steps, num_spare=num_spare)

    def rows(leaf: Any) -> Any:
        spare = jnp.shape(leaf)[0] - num_steps if jnp.ndim(leaf) else -1
        if not 0 <= spare <= num_spare:
            shown = jax.typeof(jnp.asarray(leaf)).str_short()
            raise ValueError(f"{where}: inputs is {shown}, not {num_steps} along its first axis")
        return leaf[spare:]

    return changing, jax.tree.map(rows, inputs)


def _bound(name: str, fn: Partial, inputs: Any, size: int) -> Callable[[Array], Array]:
    def call(x: Array) -> Array:
        value = jnp.asarray(fn(x) if inputs is None else fn(x, inputs))
        if value.shape != (size,) or value.dtype != x.dtype:
            came, wanted = jax.typeof(value).str_short(), f"{x.dtype.name}[{size}]"
            raise ValueError(f"nonlinear.Model: {name} gives {came}, not {wanted}")
        return value

    return call
