"""The picture of the page on nonlinear filters."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from docs.draw.common import MUTED, save
from mastery_jax.inference.filtering import (
    additive_noise,
    cubature,
    extended,
    nonlinear,
    particle,
)
from mastery_jax.inference.filtering.linear_gaussian import State
from mastery_jax.plots import style

STEP = 0.05  # seconds


def _swing(x: jax.Array) -> jax.Array:
    speed = x[1] - STEP * 9.81 * jnp.sin(x[0])
    return jnp.stack([x[0] + STEP * speed, speed])


def _sine(x: jax.Array) -> jax.Array:
    return jnp.sin(x[:1])


def nonlinear_filters(file: pathlib.Path) -> None:
    """Draw the angle of a pendulum that is seen by its sine, and what three filters make of it."""
    model = nonlinear.Model(
        transition=Partial(_swing),
        process_cov=0.005 * jnp.array([[0.001, 0.02], [0.02, 1.0]]),
        emission=Partial(_sine),
        emission_cov=jnp.array([[0.1]]),
    )
    start = State(mean=jnp.array([1.5, 0.0]), cov=0.5 * jnp.eye(2))
    path = nonlinear.simulate(jax.random.key(7), start, model=model, num_steps=200)
    draw_key, key = jax.random.split(jax.random.key(1))
    cloud = particle.init(jax.random.multivariate_normal(draw_key, start.mean, start.cov, (2000,)))
    found = {
        "extended": extended.filter(start, path.observations, model=model)[0],
        "cubature": cubature.filter(start, path.observations, model=model)[0],
        "2,000 particles": particle.filter(
            key, cloud, path.observations, model=additive_noise.model_of(model)
        )[0],
    }
    plane = style.axes("angle", "of a pendulum that is seen by its sine", x="seconds")
    seconds = STEP * np.arange(1, 201)
    for index, (name, beliefs) in enumerate(found.items()):
        mean = np.asarray(beliefs.mean[:, 0])
        half = 1.96 * np.sqrt(np.asarray(beliefs.cov[:, 0, 0]))
        color = style.look(index).color
        plane.plot(seconds, mean, color=color, linewidth=1.4, label=name)
        plane.fill_between(seconds, mean - half, mean + half, color=color, alpha=0.18, linewidth=0)
    plane.plot(seconds, path.states[:, 0], color="black", linewidth=0.9, label="the pendulum")
    plane.set_ylim(-4, 4)
    plane.set_ylabel("radians", color=MUTED)
    save(plane, file, note="bands of 95 %; one simulated series")


PICTURES = (nonlinear_filters,)
