"""Fields whose paths are polynomials, so that every step is exact and the lengths of steps do not matter."""

import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from scipy.linalg import expm

from mastery_jax.numerics.ode import dopri5, fixed_step, rodas4, runge_kutta
from tests.contract import Case

ANY = "a state may have any shape"
RATES = np.array([0.7, 1.2])
START = np.array([0.4, 0.9])
TIMES = np.array([0.0, 0.3, 0.5])
LOOSE = {"rtol": np.float64(0.5), "atol": np.float64(0.5)}


def ramp(rates, t, y):
    """Return y_0' = r_0 t, y_1' = r_1 y_0: a parabola, and a cubic."""
    return jnp.stack([rates[0] * t, rates[1] * y[0]])


def spin(rates, t, y):
    return jnp.stack([-rates[0] * y[1], rates[1] * y[0]])


RAMP, SPIN = Partial(ramp, RATES), Partial(spin, RATES)
MATRIX = np.array([[0.0, -RATES[0]], [RATES[1], 0.0]])


def climbed(y, t):
    """Return where the ramp leads from y, at time 0, to time t."""
    r, s = RATES
    return np.array([y[0] + r * t**2 / 2, y[1] + s * (y[0] * t + r * t**3 / 6)])


def marched(num_steps):
    def oracle(field, y, times, **given):
        states = np.array([climbed(y, t) for t in times])
        return states, (num_steps, 0, 2 + 6 * num_steps, 1, True)

    return oracle


def taylor(order):
    """Return one step of a method of an order, on what turns: the exponential, cut off."""

    def oracle(field, t, y, step_size):
        terms = [np.eye(2)]
        for power in range(1, order + 1):
            terms.append(terms[-1] @ MATRIX * step_size / power)
        return sum(terms) @ y

    return oracle


def repeated(order):
    def oracle(field, y, times, *, num_substeps, **given):
        states = [y]
        for gap in np.diff(times):
            for _ in range(num_substeps):
                y = taylor(order)(field, 0.0, y, gap / num_substeps)
            states.append(y)
        per_step = {1: 1, 2: 2, 4: 4}[order]
        return np.array(states), (per_step * num_substeps * (len(times) - 1), 1)

    return oracle


CASES: tuple[Case, ...] = (
    *(
        Case(
            f"runge_kutta.{fn.__name__}",
            fn,
            (SPIN, np.float64(0.1), START, np.float64(0.2)),
            oracle=taylor(order),
            unchecked=("2",),
            because=ANY,
        )
        for fn, order in ((runge_kutta.euler, 1), (runge_kutta.midpoint, 2), (runge_kutta.rk4, 4))
    ),
    *(
        Case(
            f"fixed_step.solve {method}",
            fixed_step.solve,
            (SPIN, START, TIMES),
            static={"method": method, "num_substeps": num_substeps},
            oracle=repeated(order),
            unchecked=("1",),
            because=ANY,
        )
        for method, order, num_substeps in (("euler", 1, 1), ("midpoint", 2, 2), ("rk4", 4, 1))
    ),
    Case(
        "fixed_step.solve backsolve",
        fixed_step.solve,
        (RAMP, START, TIMES),
        static={"adjoint": "backsolve"},
        modes=("rev",),
        unchecked=("1",),
        because=f"{ANY}; a rule for reverse mode has no forward mode",
    ),
    *(
        Case(
            f"{module.__name__.rpartition('.')[2]}.solve {adjoint}",
            module.solve,
            (RAMP, START, TIMES),
            LOOSE,
            {"max_steps": 8, "adjoint": adjoint},
            oracle=marched(2),
            modes=("fwd",) if adjoint == "forward" else ("rev",),
            unchecked=("1",),
            because=f"{ANY}; each rule of differentiation is made for one mode",
        )
        for module, adjoint in (
            (dopri5, "direct"),
            (dopri5, "backsolve"),
            (dopri5, "forward"),
            (rodas4, "direct"),
            (rodas4, "forward"),
        )
    ),
)
