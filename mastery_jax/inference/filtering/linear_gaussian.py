"""The linear Gaussian state-space model, which a Kalman filter inverts.

    x_t = F x_{t-1} + w,  w ~ N(0, Q)        hidden state
    y_t = H x_t     + v,  v ~ N(0, R)        observation

Source: Särkkä (2013), *Bayesian Filtering and Smoothing*, eq. 4.17.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from mastery_jax.core import loop
from mastery_jax.core.check import checked
from mastery_jax.inference.filtering import matrix

__all__ = ["Model", "Path", "State", "simulate"]


class Model(NamedTuple):
    """What does not change in time. Units: u for the state, v for the data."""

    transition: Float[Array, "state state"]  # F, u per u
    process_cov: Float[Array, "state state"]  # Q, u², positive semi-definite
    emission: Float[Array, "obs state"]  # H, v per u
    emission_cov: Float[Array, "obs obs"]  # R, v², positive definite


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
    """
    start_key, process_key, emission_key = jax.random.split(key, 3)
    with jax.default_matmul_precision("highest"):
        start = state.mean + _noise(start_key, state.cov, ())
        shocks = _noise(process_key, model.process_cov, (num_steps,))
        noise = _noise(emission_key, model.emission_cov, (num_steps,))

        def move(x: Array, shock: Array) -> tuple[Array, Array]:
            x = matrix.product(model.transition, x) + shock
            return x, x

        _, states = loop.scan(move, start, shocks)
        return Path(states=states, observations=states @ model.emission.T + noise)


def _noise(key: Array, cov: Array, shape: tuple[int, ...]) -> Array:
    zero = jnp.zeros(len(cov), cov.dtype)
    return jax.random.multivariate_normal(key, zero, cov, shape, cov.dtype, method="svd")
