"""Elliptical slice sampling: a Gaussian prior and any likelihood, with nothing to tune.

    ν = L z,  z ~ N(0, I);      y = log ℓ(x) + log u,  u uniform in (0, 1)
    x(θ) = m + (x − m) cos θ + ν sin θ,        θ uniform in a bracket of 2π around 0

x(θ) is taken as soon as log ℓ(x(θ)) > y; else the bracket is cut at θ, on the side that holds 0.
Every point of the ellipse is as likely under the prior N(m, L Lᵀ), so that it needs no gradient.

Source: Murray, Adams & MacKay (2010), *AISTATS*, PMLR 9, 541, figure 2.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int, Key

from mastery_jax.core import loop
from mastery_jax.core.check import checked
from mastery_jax.inference import vector
from mastery_jax.inference.mcmc import target
from mastery_jax.inference.mcmc.target import Factor

__all__ = ["Info", "State", "init", "step"]


class State(NamedTuple):
    """Where one chain stands."""

    position: Any  # a pytree of floats of one dtype
    log_density: Float[Array, ""]  # log ℓ, nats


class Info(NamedTuple):
    """What happened in one transition."""

    angle: Float[Array, ""]  # θ that was taken, radians
    num_evals: Int[Array, ""]  # of the likelihood
    is_accepted: Bool[Array, ""]  # False only where max_evals did not find a point


class _Search(NamedTuple):
    key: Key[Array, ""]
    low: Float[Array, ""]
    high: Float[Array, ""]
    angle: Float[Array, ""]


class _Tried(NamedTuple):
    state: State
    angle: Float[Array, ""]
    is_done: Bool[Array, ""]


@jax.jit
@checked
def init(position: Any, *, log_density: Partial) -> State:
    """Return a chain that stands at ``position``. One likelihood.

    Args:
        position: A pytree of floats of one dtype.
        log_density: ``position -> log ℓ`` in nats: the density with respect to the prior, not
            times it; −inf where it is impossible. Data in the ``Partial`` is traced.

    Raises:
        ValueError: the position is not of floats of one dtype, or the likelihood no scalar.

    Example:
        >>> init(jnp.ones(2), log_density=Partial(lambda x: -x @ x / 2)).log_density
        Array(-1., dtype=float32)
    """
    vector.flat("elliptical_slice.init", position)
    return State(position, vector.value_at("elliptical_slice.init", log_density, position))


@partial(jax.jit, static_argnames=("max_evals",))
@checked
def step(
    key: Key[Array, ""],
    state: State,
    *,
    log_density: Partial,
    prior_mean: Any = 0.0,
    factor: Factor = 1.0,
    max_evals: int = 100,
) -> tuple[State, Info]:
    """Make one transition. A handful of likelihoods, and O(d²) where the factor is a matrix.

    Args:
        key: Consumed; pass a fresh one to every step.
        state: Where the chain stands.
        log_density: As in ``init``.
        prior_mean: m: a tree like the position, or one number for all. Traced.
        factor: L of the prior, in units of the position. Traced.
        max_evals: Likelihoods that may be asked, at least 1. Static.

    Returns:
        The new state, and what happened. Where max_evals points are refused, as where the
        likelihood is NaN, the chain stays.

    Raises:
        ValueError: max_evals is below 1, mean or factor do not fit the position, or the likelihood
            is no scalar.

    Example:
        >>> flat = Partial(lambda x: 0 * x.sum())  # every point of the ellipse will do
        >>> start = init(jnp.zeros(2), log_density=flat)
        >>> _, info = step(jax.random.key(0), start, log_density=flat)
        >>> int(info.num_evals), bool(info.is_accepted)
        (1, True)
    """
    where = "elliptical_slice.step"
    if max_evals < 1:
        raise ValueError(f"{where}: max_evals is {max_evals}, not at least 1")
    ellipse_key, height_key, angle_key, search_key = jax.random.split(key, 4)
    x, back = vector.flat(where, state.position)
    mean = _mean(prior_mean, state.position, x)
    across = target.times(where, factor, jax.random.normal(ellipse_key, x.shape, x.dtype))
    height = state.log_density + jnp.log(jax.random.uniform(height_key, (), x.dtype))
    turn = 2 * jnp.pi

    def attempt(search: _Search) -> tuple[_Search, _Tried]:
        around = (x - mean) * jnp.cos(search.angle) + across * jnp.sin(search.angle)
        position = back(mean + around)
        value = vector.value_at(where, log_density, position)
        low = jnp.where(search.angle < 0, search.angle, search.low)
        high = jnp.where(search.angle < 0, search.high, search.angle)
        key, draw_key = jax.random.split(search.key)
        angle = jax.random.uniform(draw_key, (), x.dtype, minval=low, maxval=high)
        is_done = (value > height) & (value < jnp.inf)
        return _Search(key, low, high, angle), _Tried(State(position, value), search.angle, is_done)

    first = jax.random.uniform(angle_key, (), x.dtype, maxval=turn)
    begin = _Search(search_key, first - turn, first, first)
    _, tried, num_evals = loop.until(attempt, begin, max_steps=max_evals)
    return target.choose(tried.is_done, tried.state, state), Info(
        angle=jnp.where(tried.is_done, tried.angle, 0),
        num_evals=jnp.asarray(num_evals, jnp.int32),
        is_accepted=tried.is_done,
    )


def _mean(prior_mean: Any, position: Any, x: Array) -> Array:
    if jax.tree.structure(prior_mean) == jax.tree.structure(0) and jnp.ndim(prior_mean) == 0:
        return jnp.asarray(prior_mean, x.dtype)
    shapes = [jax.tree.map(jnp.shape, tree) for tree in (prior_mean, position)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"elliptical_slice.step: prior_mean has shapes {shapes[0]}, not one number or the "
            f"position's {shapes[1]}"
        )
    return vector.flat("elliptical_slice.step", prior_mean)[0].astype(x.dtype)
