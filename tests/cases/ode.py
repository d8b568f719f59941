"""Fields whose paths are polynomials: every step is exact, and its length does not matter."""

import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from mastery_jax.numerics.ode import dense, dopri5, event, fixed_step, rodas4, runge_kutta
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


def one_step(field, y, start, end, *, method, **given):
    """Return the path of a march that needs one step of two: the ramp from y, by powers of s."""
    r, s = RATES
    powers = [[y[0], y[1]], [0, s * y[0] * end], [r * end**2 / 2, 0], [0, s * r * end**3 / 6]]
    if method == "dopri5":
        powers.append([0, 0])
    still = np.zeros_like(powers)
    still[0] = np.sum(powers, axis=0)  # the rows that no step has used stay at the end
    coefs = np.array([powers, still])
    path = dense.Path(start, end, np.array([start, end]), np.array([end, 0]), coefs)
    return path, (1, 0, 8, 1, True)


def evaluated(path, t):
    row = 0 if t < path.t[1] else 1
    s = (t - path.t[row]) / path.step_size[row]
    return np.array([np.polyval(path.coefs[row, ::-1, i], s) for i in range(2)])


def climb_to(field, y, start, end, *, event, **given):
    (level,) = event.args
    r, s = RATES
    roots = np.roots([s * r / 6, 0, s * y[0], y[1] - level])
    t = roots[np.isreal(roots)].real[0]
    return t, climbed(y, t), (NUM_STEPS, 0, 4 + 6 * NUM_STEPS, 1, True)


NUM_STEPS = 4  # to the event, and again
PATH = dense.Path(
    start=np.float64(0.5),
    end=np.float64(1.2),
    t=np.array([0.5, 0.8, 1.2]),
    step_size=np.array([0.3, 0.4, 0.0]),
    coefs=np.random.default_rng(5).normal(size=(3, 4, 2)),
)
BETWEEN = (RAMP, START, np.float64(0.0))
HEIGHT = Partial(lambda level, t, y: y[1] - level, np.float64(1.2))

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
    *(
        Case(
            f"dense.solve {method}",
            dense.solve,
            (*BETWEEN, np.float64(0.05)),
            LOOSE,
            {"max_steps": 2, "method": method},
            oracle=one_step,
            modes=("fwd",),
            unchecked=("1",),
            because=f"{ANY}; a loop whose length depends on data has no reverse mode",
        )
        for method in ("dopri5", "rodas4")
    ),
    Case(
        "dense.evaluate",
        dense.evaluate,
        (PATH, np.float64(0.9)),
        oracle=evaluated,
        unchecked=("0/coefs",),
        because=ANY,
    ),
    *(
        Case(
            f"event.solve {adjoint}",
            event.solve,
            (*BETWEEN, np.float64(2.0)),
            {**LOOSE, "event": HEIGHT},
            {"max_steps": 8, "adjoint": adjoint, "direction": "up"},
            oracle=climb_to,
            modes=modes,
            unchecked=("1",),
            because=f"{ANY}; each rule of differentiation is made for one mode",
        )
        for adjoint, modes in (("direct", ("rev",)), ("forward", ("fwd",)))
    ),
)
