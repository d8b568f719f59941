"""Paths of the hidden state given the whole series, drawn backwards through a filter's particles.

    x_T from the filter's particles at T, and then, for t = T − 1 … 1,
    x_t = x_t^i with chances ∝ w_t^i p(x_{t+1} | x_t^i)

Each path is a draw from p(x_1 … x_T | y_1 … y_T), as far as the particles represent the filter's
beliefs; means, bands and any functional of whole paths follow by averaging. The ancestors of the
last particles would be such draws too, but soon have one forebear in common.

Source: Godsill, Doucet & West (2004), *Journal of the American Statistical Association* 99, 156,
algorithm 1.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from mastery_jax.core import loop
from mastery_jax.core.check import checked
from mastery_jax.inference.filtering import resampling
from mastery_jax.inference.filtering.particle import Beliefs, Model

__all__ = ["sample"]


@partial(jax.jit, static_argnames=("num_paths",))
@checked
def sample(
    key: Key[Array, ""], filtered: Beliefs, *, model: Model, num_paths: int
) -> Float[Array, "paths time state"]:
    """Draw paths of x_1 … x_T given all observations. O(time num_paths particles).

    Args:
        key: Consumed.
        filtered: What ``particle.filter`` returned with ``keep_particles``. Missing observations
            make no difference here.
        model: The model that the filter had, with its ``log_transition``.
        num_paths: How many paths. Static.

    Returns:
        Paths, independent given the particles. A path is NaN at and before a t where no particle
        can have led to where it is, and where the filter is NaN.

    Raises:
        ValueError: beliefs without particles, a model without ``log_transition``, or no path (at
            trace time).

    Example:
        >>> from jax.tree_util import Partial
        >>> from mastery_jax.inference.filtering import additive_noise, nonlinear, particle
        >>> one = jnp.ones((1, 1))
        >>> walk = nonlinear.Model(Partial(jnp.positive), one, Partial(jnp.positive), one)
        >>> model = additive_noise.model_of(walk)
        >>> keys = jax.random.split(jax.random.key(0))
        >>> start = particle.init(jnp.zeros((500, 1)))
        >>> filtered, _ = particle.filter(
        ...     keys[0], start, jnp.ones((5, 1)), model=model, keep_particles=True
        ... )
        >>> sample(keys[1], filtered, model=model, num_paths=100).shape
        (100, 5, 1)
    """
    if num_paths < 1:
        raise ValueError(f"particle_smoother.sample: num_paths is {num_paths}, not at least 1")
    clouds, log_weights = filtered.particles, filtered.log_weights
    if clouds is None or log_weights is None:
        raise ValueError(
            "particle_smoother.sample: filtered.particles is None, not the particles that "
            "particle.filter keeps with keep_particles=True"
        )
    log_transition = model.log_transition
    if log_transition is None:
        raise ValueError(
            "particle_smoother.sample: model.log_transition is None, not the density of a step"
        )

    def drawn(key: Array, particles: Array, log_weights: Array) -> Array:
        index = resampling.multinomial(key, log_weights, num=1)[0]
        return jnp.where(index < 0, jnp.nan, particles[index])

    def back(key: Array, later: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
        particles, log_weights = now

        def one(key: Array, later: Array) -> Array:
            ahead = jax.vmap(lambda x: log_transition(later, x))(particles)
            return drawn(key, particles, log_weights + ahead)

        x = jax.vmap(one)(jax.random.split(key, num_paths), later)
        return x, x

    last_key, key = jax.random.split(key)
    last = jax.vmap(lambda key: drawn(key, clouds[-1], log_weights[-1]))(
        jax.random.split(last_key, num_paths)
    )
    earlier = (clouds[-2::-1], log_weights[-2::-1])
    _, xs = loop.scan(back, last, earlier, key=key)
    return jnp.concatenate([xs[::-1], last[None]]).swapaxes(0, 1)
