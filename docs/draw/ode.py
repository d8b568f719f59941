"""The pictures of docs/ode.md: what an error costs, and which steps are chosen."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from docs.draw.common import MUTED, add, save
from mastery_jax.numerics.ode import dense, dopri5, fixed_step
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


def _pelts(rates: jax.Array, t: jax.Array, y: jax.Array) -> jax.Array:
    hares, lynxes = y
    return jnp.stack(
        [(rates[0] - rates[1] * lynxes) * hares, (rates[3] * hares - rates[2]) * lynxes]
    )


def lotka_volterra(file: pathlib.Path) -> None:
    """Draw a round of hares and lynxes, and the steps that dopri5 takes on it.

    Rates and start are the posterior means of Carpenter (2018), *Predator-Prey Population Dynamics:
    the Lotka-Volterra model in Stan*, for the pelts that the Hudson's Bay Company bought.
    """
    plane = style.axes("lynxes", "and hares, one round", x="hares, thousand pelts")
    field, start = Partial(_pelts, jnp.array([0.55, 0.028, 0.80, 0.024])), jnp.array([33.9, 5.9])
    counts = []
    for index, tolerance in enumerate((1e-3, 1e-6)):
        options = {"rtol": tolerance, "atol": tolerance}
        path, info = dense.solve(field, start, jnp.array(0.0), jnp.array(11.0), **options)
        look = style.look(index)
        if index == 0:
            times = jnp.linspace(path.start, path.end, 600)
            orbit = jax.vmap(lambda t, path=path: dense.evaluate(path, t))(times)
            plane.plot(*orbit.T, color=MUTED, linewidth=1.2, label="the polynomials of rtol 0.001")
        ends = path.coefs[: int(info.num_steps - info.num_rejected), 0]
        plane.plot(
            *ends.T, look.marker, color=look.color, markersize=7 - 3 * index,
            label=f"where steps begin, rtol {tolerance:g}",
        )  # fmt: skip
        counts.append(f"{int(info.num_steps)}")
    plane.set_ylabel("lynxes, thousand pelts", color=MUTED)
    save(plane, file, note=f"11 years in {' and '.join(counts)} steps")


PICTURES = (convergence_orders, lotka_volterra)
