"""The picture of monte_carlo.md: how fast the error falls."""

import math
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from docs.draw.common import MUTED, add, save
from mastery_jax.numerics.quadrature.monte_carlo import plain, quasi, vegas
from mastery_jax.plots import style

SEEDS = 24


def monte_carlo_error(file: pathlib.Path) -> None:
    """Draw the error of four rules against the number of points, in six dimensions."""
    truth = (math.sqrt(math.pi) / 2 * math.erf(1)) ** 6
    sizes = [2**m for m in range(8, 20, 2)]

    def error(rule: Any, num_samples: int, **options: Any) -> float:
        fn = Partial(lambda x: jnp.exp(-(x**2).sum()))
        box = jnp.zeros(6), jnp.ones(6)
        found = jnp.stack(
            [
                rule.integrate(key, fn, *box, num_samples=num_samples, **options)[0]
                for key in jax.random.split(jax.random.key(0), SEEDS)
            ]
        )
        return float(jnp.sqrt(jnp.mean((found / truth - 1) ** 2)))

    plane = style.axes("relative error", "in 6 dimensions", x="points")
    with jax.enable_x64(True):
        add(plane, sizes, [error(plain, n, generator="hash") for n in sizes], "plain")
        add(
            plane, sizes, [error(vegas, n, num_iterations=8, num_warmup=4) for n in sizes], "VEGAS+"
        )
        for points in ("sobol", "lattice"):
            errors = [error(quasi, n, points=points, num_randomizations=8) for n in sizes]
            add(plane, sizes, errors, points)
    plane.set_xscale("log", base=2)
    plane.set_yscale("log")
    plane.set_ylabel("root mean square over 24 seeds", color=MUTED)
    save(plane, file, note="∫ exp(−|x|²) over the unit cube, float64")


PICTURES = (monte_carlo_error,)
