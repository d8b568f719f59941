import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from scipy import optimize

from mastery_jax.numerics.optimize import (
    gauss_newton,
    implicit,
    lagrange,
    lbfgs,
    levenberg_marquardt,
    line_search,
    newton,
    newton_raphson,
    trust_region,
)
from tests.contract import Case
from tests.optimize import problems

matrix = np.array([[2.0, 0.3, 0.1], [0.3, 1.5, -0.2], [0.1, -0.2, 1.0]])
target = np.array([1.0, -0.5, 2.0])
start = np.array([0.4, 0.1, 0.8])
upper = np.array([2.0, 2.0, 0.6])
WELL = Partial(problems.well, matrix, target)


def answer(solver):
    """Keep what does not depend on rounding: the answer, and the value there."""

    def solve(*args, **options):
        x, info = solver(*args, **options)
        return x, info.value

    return solve


def well_in_a_box_by_scipy(fn, x, *, upper=np.inf, **_):
    """Hold every possible set of variables at its bound; keep what is least and within."""
    matrix, target = fn.args

    def value(x):
        return x @ matrix @ x / 2 - target @ x + (x**4).sum() / 4

    upper = np.broadcast_to(upper, x.shape)
    found = []
    for held in np.ndindex(*(2,) * len(x)):
        held = np.array(held, bool)
        at = np.where(held & np.isfinite(upper), upper, 0.0)

        def slope(z, held=held, at=at):
            full = at.copy()
            full[~held] = z
            return (matrix @ full - target + full**3)[~held]

        full = at.copy()
        if not held.all():
            full[~held] = optimize.root(slope, x[~held], method="lm", tol=1e-15).x
        if (full <= upper + 1e-12).all():
            found.append(full)
    best = min(found, key=value)
    return best, value(best)


def squares(a, x):
    return x**2 - a


def curves(radius, tilt, x):
    return jnp.stack([x[0] ** 2 + x[1] ** 2 - radius**2, x[1] - tilt * jnp.exp(x[0])])


def root_by_scipy(fn, x, **_):
    radius, tilt = fn.args

    def equations(x):
        return [x[0] ** 2 + x[1] ** 2 - radius**2, x[1] - tilt * np.exp(x[0])]

    return optimize.root(equations, x, method="hybr", tol=1e-14).x, 0.0


def decay_by_scipy(residuals, x, **_):
    t, y = residuals.args
    found = optimize.least_squares(
        lambda x: x[0] * np.exp(-x[1] * t) - y, x, xtol=1e-15, ftol=1e-15, gtol=1e-15
    )
    return found.x, found.cost


def covariance_by_hand(residuals, x):
    t, y = residuals.args
    J = np.column_stack([np.exp(-x[1] * t), -x[0] * t * np.exp(-x[1] * t)])
    r = x[0] * np.exp(-x[1] * t) - y
    return r @ r / (len(t) - 2) * np.linalg.inv(J.T @ J)


def step_in_a_ball(eigenvalues, gradient, radius):
    def excess(multiplier):
        return np.linalg.norm(gradient / (eigenvalues + multiplier)) - radius

    lower = max(0.0, -eigenvalues.min())
    multiplier = optimize.brentq(excess, lower + 1e-9, lower + 1e3, xtol=1e-15, rtol=1e-14)
    return -gradient / (eigenvalues + multiplier), multiplier


def backtracking_by_hand(fn, x, direction, *, step_size, shrink, c1):
    matrix, target = fn.args

    def value(t):
        z = x + t * direction
        return z @ matrix @ z / 2 - target @ z + (z**4).sum() / 4

    slope = direction @ (matrix @ x - target + x**3)
    t, count = step_size, 2
    while value(t) > value(0) + c1 * t * slope:
        t, count = t * shrink, count + 1
    return t, line_search.Info(value(t), slope, count, 1, True)


def on_a_circle_by_scipy(fn, constraints, x, **_):
    """Go around the circle by its angle."""
    (matrix, target), (radius,) = fn.args, constraints.args

    def value(angle):
        x = radius * np.array([np.cos(angle), np.sin(angle)])
        return x @ matrix @ x / 2 - target @ x + (x**4).sum() / 4

    angle = min(np.linspace(-np.pi, np.pi, 181), key=value)

    def slope(angle):
        x = radius * np.array([np.cos(angle), np.sin(angle)])
        return (matrix @ x - target + x**3) @ np.array([-np.sin(angle), np.cos(angle)])

    angle = optimize.brentq(slope, angle - 0.1, angle + 0.1, xtol=1e-15)
    x = radius * np.array([np.cos(angle), np.sin(angle)])
    gradient = matrix @ x - target + x**3
    return lagrange.State(x, np.array([-(gradient @ x) / (2 * x @ x)])), value(angle)


t = np.linspace(0.0, 3.0, 5)
y = 2 * np.exp(-0.7 * t) + 0.05 * np.array([1.0, -1.0, 0.5, 1.0, -0.5])
DECAY = Partial(problems.decay, t, y)
CURVES = Partial(curves, np.array(2.0), np.array(0.7))
WIDE = Partial(problems.well, matrix[:2, :2], target[:2])
downhill = -np.array([1.2, 0.9, 0.1])


EXACT = {"gtol": 1e-9, "max_steps": 15}
CASES: tuple[Case, ...] = (
    Case(
        "lbfgs.minimize",
        answer(lbfgs.minimize),
        (WELL, start),
        static=EXACT,
        oracle=well_in_a_box_by_scipy,
    ),
    Case(
        "lbfgs.minimize in a box",
        answer(lbfgs.minimize),
        (WELL, start),
        {"upper": upper},
        static=EXACT,
        oracle=well_in_a_box_by_scipy,
    ),
    Case(
        "implicit.attach",
        implicit.attach,
        (Partial(squares, np.array([4.0, 9.0])), np.array([2.0, 3.0])),
        modes=(),
        oracle=lambda equation, x: x,
        because="the derivative of a root is not that of the number passed through",
    ),
    Case(
        "newton.minimize",
        answer(newton.minimize),
        (WELL, start),
        static={"gtol": 1e-9, "max_steps": 12},
        oracle=well_in_a_box_by_scipy,
    ),
    Case(
        "newton_raphson.solve",
        answer(newton_raphson.solve),
        (CURVES, np.array([0.8, 1.5])),
        static={"atol": 1e-11, "max_steps": 12},
        oracle=root_by_scipy,
    ),
    Case(
        "gauss_newton.minimize",
        answer(gauss_newton.minimize),
        (DECAY, np.array([1.8, 0.6])),
        static={"gtol": 1e-11, "max_steps": 12},
        oracle=decay_by_scipy,
    ),
    Case(
        "levenberg_marquardt.minimize",
        answer(levenberg_marquardt.minimize),
        (DECAY, np.array([1.8, 0.6])),
        static={"max_steps": 15},
        oracle=decay_by_scipy,
    ),
    Case(
        "levenberg_marquardt.covariance",
        levenberg_marquardt.covariance,
        (DECAY, np.array([2.0, 0.7])),
        oracle=covariance_by_hand,
    ),
    Case(
        "trust_region.solve",
        trust_region.solve,
        (np.array([-0.5, 0.3, 2.0]), np.array([0.4, -0.2, 1.0]), np.array(0.6)),
        oracle=step_in_a_ball,
    ),
    Case(
        "line_search.backtracking",
        line_search.backtracking,
        (WELL, start, downhill),
        {"step_size": 4.0, "shrink": 0.5, "c1": 1e-4},
        modes=(),
        oracle=backtracking_by_hand,
        because="a step size that was tried has no derivative",
    ),
    Case(
        "line_search.strong_wolfe",
        line_search.strong_wolfe,
        (WELL, start, downhill),
        {"step_size": 4.0},
        modes=(),
        because="any step size that meets the conditions will do, so that they are what is tested;"
        " one that was tried has no derivative",
    ),
    Case(
        "lagrange.minimize",
        answer(lagrange.minimize),
        (WIDE, Partial(problems.disk, np.array(1.1)), np.array([0.9, 0.4])),
        static={"gtol": 1e-9, "max_steps": 8},
        oracle=on_a_circle_by_scipy,
    ),
)
