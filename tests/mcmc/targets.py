"""Targets whose moments are known, and the kernels that are held against them."""

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from mastery_jax.inference.mcmc import (
    adaptive_metropolis,
    barker,
    gibbs,
    hmc,
    kernel,
    mala,
    metropolis,
)


def skewed(shape, position):
    """Log of gamma variables, one behind a shear: asymmetric, so that a wrong sign shows."""
    x, y = position["x"], position["y"] - position["x"][0]
    return (shape * x - jnp.exp(x)).sum() + shape * y - jnp.exp(y)


SKEWED = Partial(skewed, jnp.asarray(2.0))
MEAN, VARIANCE = 1 - 0.57721566, 0.64493407  # digamma(2), trigamma(2)


def starts(num_chains):
    return {"x": jnp.zeros((num_chains, 2)), "y": jnp.zeros(num_chains)}


# A shear like the target's, so that a factor is seen to be used, and used the right way round.
FACTOR = jnp.array([[0.8, 0.0, 0.0], [0.1, 0.8, 0.0], [0.8, -0.1, 0.8]])
SIZES = jnp.array([0.7, 0.8, 1.1])


def drawn_y(shape, key, position):
    """Draw y from its conditional: x_0 plus the log of a gamma variable."""
    return position["x"][0] + jax.random.loggamma(key, shape)


KERNELS = {
    "metropolis": kernel.bind(metropolis, step_size=1.3, factor=FACTOR),
    "metropolis, sizes": kernel.bind(metropolis, step_size=1.3, factor=SIZES),
    "adaptive": kernel.bind(adaptive_metropolis),
    "mala": kernel.bind(mala, step_size=1.0, factor=FACTOR),
    "mala, sizes": kernel.bind(mala, step_size=0.8, factor=SIZES),
    "barker": kernel.bind(barker, step_size=1.3, factor=FACTOR),
    "barker, tuned": kernel.tune(kernel.bind(barker, step_size=9.0), target_accept=0.4),
    "hmc": kernel.bind(hmc, step_size=0.5, num_steps=3, factor=FACTOR, jitter=0.3),
    "hmc, tuned": kernel.tune(kernel.bind(hmc, step_size=9.0, num_steps=3), dense_mass=True),
    "gibbs": kernel.bind(
        gibbs,
        kernels={
            "x": kernel.tune(kernel.bind(mala, step_size=1.0), target_accept=0.57),
            "y": Partial(drawn_y, jnp.asarray(2.0)),
        },
    ),
}
