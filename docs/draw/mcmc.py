"""The picture of the mcmc page."""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from docs.draw.common import MUTED, add, save
from mastery_jax.inference.mcmc import (
    adaptive_metropolis,
    barker,
    chains,
    diagnostics,
    ensemble,
    hmc,
    kernel,
    mala,
    metropolis,
)
from mastery_jax.plots import style

SIZE, NUM_CHAINS, NUM_WARMUP, NUM_SAMPLES = 10, 4, 2000, 20_000
KERNELS = {  # name -> kernel, evaluations a transition
    "metropolis": (
        kernel.tune(kernel.bind(metropolis, step_size=1.0), target_accept=0.23, step_size=0.5),
        1,
    ),
    "adaptive_metropolis": (kernel.bind(adaptive_metropolis), 1),
    "mala": (kernel.tune(kernel.bind(mala, step_size=1.0), target_accept=0.57, step_size=0.5), 1),
    "barker": (
        kernel.tune(kernel.bind(barker, step_size=1.0), target_accept=0.4, step_size=0.5),
        1,
    ),
    "hmc, 10 steps": (
        kernel.tune(kernel.bind(hmc, step_size=1.0, num_steps=10, jitter=0.3), step_size=0.2),
        10,
    ),
    "ensemble of 20": (kernel.bind(ensemble), 20),
}


def correlated(rho: Any, x: jax.Array) -> jax.Array:
    """Return the log density of unit normals of which any two are equally correlated."""
    along = x.sum() ** 2 / SIZE
    return -(x @ x - along) / (1 - rho) / 2 - along / (1 + (SIZE - 1) * rho) / 2


def chain_costs(file: pathlib.Path) -> None:
    """Draw how many evaluations each kernel needs for an effective draw, by the correlation."""
    rhos = np.array([0.0, 0.3, 0.6, 0.8, 0.9, 0.95])
    plane = style.axes("cost", "of an effective draw", x="condition number of the covariance")
    for name, (which, cost) in KERNELS.items():
        shape = (NUM_CHAINS, 2 * SIZE, SIZE) if "ensemble" in name else (NUM_CHAINS, SIZE)
        start = jax.random.normal(jax.random.key(0), shape)
        costs = []
        for rho in rhos:
            run = chains.sample(
                jax.random.key(1),
                start,
                log_density=Partial(correlated, jnp.asarray(rho, jnp.float32)),
                kernel=which,
                num_warmup=NUM_WARMUP,
                num_samples=NUM_SAMPLES,
            )
            # The worst direction; of an ensemble its mean, each walker of which is a draw.
            sums = run.draws.sum(axis=-1) / SIZE**0.5
            if "ensemble" in name:
                times = diagnostics.integrated_time(sums.mean(axis=-1))
                costs.append(float(times))
            else:
                size = diagnostics.ess(sums, kind="mean")
                costs.append(cost * NUM_CHAINS * NUM_SAMPLES / float(size))
        add(plane, (1 + (SIZE - 1) * rhos) / (1 - rhos), costs, name)
    plane.set_xscale("log")
    plane.set_yscale("log")
    plane.set_ylabel("evaluations", color=MUTED)
    save(plane, file, note="normal, 10 dimensions; mean along the longest axis")


PICTURES = (chain_costs,)
