"""Posteriors whose answers are known."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import Partial

MEAN = np.array([1.0, -2.0, 0.5], np.float32)
COV = np.array([[2.0, 0.8, 0.3], [0.8, 1.0, 0.2], [0.3, 0.2, 0.5]], np.float32)
LOG_EVIDENCE = 1.5 * np.log(2 * np.pi) + np.linalg.slogdet(COV)[1] / 2


def _normal(mean, precision, x):
    away = jnp.concatenate([x["a"], x["b"][None]]) - mean
    return -away @ precision @ away / 2


NORMAL = Partial(_normal, MEAN, np.linalg.inv(COV))
ORIGIN = {"a": jnp.zeros(2), "b": jnp.zeros(())}


def numbers(position):
    """Return the numbers of positions, in the order of MEAN, on the last axis."""
    return np.concatenate([position["a"], np.asarray(position["b"])[..., None]], axis=-1)


def adam(learning_rate):
    return Partial(optax.adam, learning_rate=learning_rate)


def settling(learning_rate, num_steps):
    """Return Adam with a rate that falls to nothing."""

    def make(rate):
        return optax.adam(optax.cosine_decay_schedule(rate, num_steps))

    return Partial(make, jnp.asarray(learning_rate))


def _funnel(x):
    return -(x[0] ** 2) / 18 - x[0] / 2 - x[1] ** 2 * jnp.exp(-x[0]) / 2


FUNNEL = Partial(_funnel)
KEY = jax.random.key(0)
