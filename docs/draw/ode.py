"""The picture of docs/ode.md: what an error costs, by four methods."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from docs.draw.common import MUTED, add, save
from mastery_jax.numerics.ode import dopri5, fixed_step
from mastery_jax.plots import style


def _animals(t: jax.Array, y: jax.Array) -> jax.Array:
    prey, predators = y
    return jnp.stack([prey - 0.5 * prey * predators, 0.3 * prey * predators - 0.8 * predators])


def convergence_orders(file: pathlib.Path) -> None:
    """Draw the error of a path against the calls of its field."""
    plane = style.axes("error", "of prey and predators after 10", x="calls of the field")
    with jax.enable_x64(True):
        field, y, times = Partial(_animals), jnp.array([1.0, 2.0]), jnp.array([0.0, 10.0])
        known = dopri5.solve(field, y, times, rtol=1e-13, atol=1e-13, max_steps=20_000)[0][-1]

        def error(ys: jax.Array) -> float:
            return float(jnp.abs(ys[-1] - known).max())

        for method in ("euler", "midpoint", "rk4"):
            counts, errors = [], []
            for num_substeps in (32, 128, 512, 2048, 8192):
                ys, info = fixed_step.solve(
                    field, y, times, method=method, num_substeps=num_substeps
                )
                counts.append(int(info.num_evals))
                errors.append(error(ys))
            add(plane, counts, errors, method)
        counts, errors = [], []
        for tolerance in np.geomspace(1e-2, 1e-11, 7):
            ys, info = dopri5.solve(field, y, times, rtol=tolerance, atol=tolerance)
            counts.append(int(info.num_evals))
            errors.append(error(ys))
        add(plane, counts, errors, "dopri5")
    plane.set_xscale("log")
    plane.set_yscale("log")
    plane.set_ylabel("error", color=MUTED)
    save(plane, file, note="float64; slopes 1, 2, 4 and 5")


PICTURES = (convergence_orders,)
