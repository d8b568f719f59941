import numpy as np
from jax.tree_util import Partial
from scipy import optimize

from mastery_jax.numerics.optimize import implicit, lbfgs
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
)
