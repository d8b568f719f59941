"""The picture of the energy page."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from docs.draw.common import MUTED, add, save
from mastery_jax.numerics.quadrature import newton_cotes
from mastery_jax.numerics.quadrature.energy import budget, devices, operations
from mastery_jax.plots import style


def runge(x: jax.Array) -> jax.Array:
    """Return Runge's function, smooth, with poles near the interval."""
    return 1 / (1 + 25 * x * x)


def energy_budgets(file: pathlib.Path) -> None:
    """Draw the true error that a budget buys on each class, and what Simpson's rule would cost."""
    exact = 0.4 * np.arctan(5)
    fn, floor = Partial(runge), 1e-17
    plane = style.axes("error", "bought with joules", x="joules, modelled")
    with jax.enable_x64(True):
        for name in devices.DEVICES:
            spent: list[float] = []
            errors: list[float] = []
            for exponent in range(15):
                joules = 40 * devices.DEVICES[name].single_joules * 2.5**exponent
                estimate, report = budget.within(fn, -1.0, 1.0, budget=joules, device=name)
                if not spent or report.joules > spent[-1]:
                    spent.append(report.joules)
                    errors.append(max(abs(float(estimate) - exact), floor))
            add(plane, spent, errors, f"best on {name}")
        one = operations.count(fn, jnp.zeros(())).plus(6)
        each = devices.joules(devices.DEVICES["iot"], one, dtype="double")
        counts = 4 * 2 ** np.arange(12)
        found = [newton_cotes.integrate(fn, -1.0, 1.0, num_intervals=int(n))[0] for n in counts]
        simpson = [max(abs(float(estimate) - exact), floor) for estimate in found]
        add(plane, (counts + 1) * each, simpson, "Simpson on iot, float64")
    plane.set_xscale("log")
    plane.set_yscale("log")
    plane.set_ylabel("absolute error", color=MUTED)
    save(
        plane,
        file,
        note="Runge's function; classes are sure to a factor of 3 or 4",
    )


PICTURES = (energy_budgets,)
