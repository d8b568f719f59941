"""Models that the tests of this folder share."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from mastery_jax.inference.filtering import linear_gaussian, matrix, nonlinear
from mastery_jax.inference.filtering.linear_gaussian import State


def covariance(rng, n):
    half = rng.normal(size=(n, n))
    return half @ half.T + 0.1 * np.eye(n)


def linear(seed, n=3, m=2, num_steps=5):
    """Return a belief, a linear model, the same as functions, a series and what is seen of it."""
    rng = np.random.default_rng(seed)
    model = linear_gaussian.Model(
        transition=rng.normal(size=(n, n)) / np.sqrt(n),
        process_cov=covariance(rng, n),
        emission=rng.normal(size=(m, n)),
        emission_cov=covariance(rng, m),
    )
    state = State(mean=rng.normal(size=n), cov=covariance(rng, n))
    series = rng.normal(size=(num_steps, m)), rng.random((num_steps, m)) < 0.6
    state, model, (ys, seen) = jax.tree.map(jnp.asarray, (state, model, series))
    return state, model, as_functions(model), ys, seen


def as_functions(model):
    return nonlinear.Model(
        transition=Partial(matrix.product, model.transition),
        process_cov=model.process_cov,
        emission=Partial(matrix.product, model.emission),
        emission_cov=model.emission_cov,
    )


def turn(speed, x, push):
    """Move a point and its velocity, which is pushed and turns with the distance."""
    angle = 0.1 * speed / (1 + x[0] ** 2 + x[1] ** 2)
    c, s = jnp.cos(angle), jnp.sin(angle)
    velocity = [c * x[2] - s * x[3] + push[0], s * x[2] + c * x[3]]
    return jnp.stack([x[0] + 0.1 * x[2], x[1] + 0.1 * x[3], *velocity])


def range_and_bearing(x, push):
    return jnp.stack([jnp.sqrt(1 + x[0] ** 2 + x[1] ** 2) + 0 * push[0], jnp.arctan2(x[1], x[0])])


def radar(seed, num_steps=6):
    """Return a belief, a model with inputs, a series of it, its inputs and what is seen."""
    rng = np.random.default_rng(seed)
    model = nonlinear.Model(
        transition=Partial(turn, jnp.array(3.0)),
        process_cov=jnp.asarray(0.02 * covariance(rng, 4)),
        emission=Partial(range_and_bearing),
        emission_cov=jnp.asarray(0.02 * covariance(rng, 2)),
    )
    state = State(mean=jnp.array([3.0, 2.0, -0.5, 0.5]), cov=0.1 * jnp.eye(4))
    pushes = jnp.asarray(0.3 * rng.normal(size=(num_steps, 1)))
    path = nonlinear.simulate(
        jax.random.key(seed), state, model=model, num_steps=num_steps, inputs=pushes
    )
    seen = jnp.asarray(rng.random((num_steps, 2)) < 0.6)
    return state, model, path.observations, pushes, seen
