"""The deterministic rules; the oracles are scipy's integrators and moments in closed form."""

import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from scipy import integrate, special

from mastery_jax.numerics.quadrature import (
    gauss_hermite,
    gauss_kronrod,
    gauss_laguerre,
    gauss_legendre,
    newton_cotes,
    product_grid,
    sparse_grid,
)
from tests.contract import Case

BOUND = "what the error is estimated to be has no derivative"


def wave(rate, x):
    return jnp.exp(-rate * x) * (1 + rate * x)


def cubic(rate, x):
    return rate * x**3 + x


def well(rate, x):
    return jnp.exp(-rate * (x * x).sum())


def quadratic(rate, x):
    return rate * (x[0] * x[1]) + x.sum()


rate = np.array(0.8)
low, high = np.array([0.1, -0.2]), np.array([0.7, 0.5])
mean, cov = np.array([0.3, -0.1]), np.array([[0.6, 0.1], [0.1, 0.4]])
x = np.array([0.0, 0.4, 0.5, 0.9])
y = np.array([[1.0, 0.3], [0.2, 0.8], [0.7, 0.1], [0.5, 0.6]])


def simpson(fn, lower, upper, *, rule, num_intervals):
    del rule
    at = [np.linspace(lower, upper, count + 1) for count in (num_intervals, num_intervals // 2)]
    fine, coarse = (integrate.simpson((np.exp(-rate * x) * (1 + rate * x)), x=x) for x in at)
    return fine, np.abs(fine - coarse), num_intervals + 1, 2


def estimate_of(case):
    """Return a case of the estimate alone."""
    return lambda *args, **hyper: case(*args, **hyper)[0]


CASES: tuple[Case, ...] = (
    Case(
        "newton_cotes.integrate",
        estimate_of(newton_cotes.integrate),
        (Partial(wave, rate), np.array(0.2), np.array(1.5)),
        static={"rule": "simpson", "num_intervals": 4},
        oracle=lambda *given, **static: simpson(*given, **static)[0],
    ),
    Case(
        "newton_cotes.integrate and its bound",
        newton_cotes.integrate,
        (Partial(wave, rate), np.array(0.2), np.array(1.5)),
        static={"rule": "simpson", "num_intervals": 4},
        oracle=simpson,
        modes=(),
        because=BOUND,
    ),
    Case(
        "newton_cotes.integrate_samples",
        newton_cotes.integrate_samples,
        (x, y),
        static={"rule": "simpson"},
        oracle=lambda x, y, rule: integrate.simpson(y, x=x, axis=0),
        unchecked=("1",),
        because="samples may be arrays of any shape",
    ),
    Case(
        "gauss_legendre.integrate",
        estimate_of(gauss_legendre.integrate),
        (Partial(wave, rate), np.array(0.2), np.array(1.5)),
        static={"num_nodes": 9},
        oracle=lambda fn, a, b, num_nodes: integrate.quad(
            lambda x: np.exp(-rate * x) * (1 + rate * x), a, b
        )[0],
    ),
    Case(
        "gauss_laguerre.integrate",
        estimate_of(gauss_laguerre.integrate),
        (Partial(cubic, rate), np.array(0.2)),
        {"rate": np.array(1.3)},
        static={"num_nodes": 3},
        oracle=lambda fn, a, rate, num_nodes: integrate.quad(
            lambda x: np.exp(-rate * (x - a)) * (0.8 * x**3 + x), a, np.inf
        )[0],
    ),
    Case(
        "gauss_hermite.expectation",
        estimate_of(gauss_hermite.expectation),
        (Partial(cubic, rate), np.array(0.4), np.array(0.7)),
        static={"num_nodes": 3},
        oracle=lambda fn, m, s, num_nodes: 0.8 * (m**3 + 3 * m * s**2) + m,
    ),
    Case(
        "gauss_kronrod.integrate",
        gauss_kronrod.integrate,
        (Partial(wave, rate), np.array(0.2), np.array(1.5)),
        static={"max_intervals": 3},
        oracle=lambda fn, a, b, max_intervals: (
            integrate.quad(lambda x: np.exp(-rate * x) * (1 + rate * x), a, b)[0],
            np.zeros(()),
            42,
            1,
        ),
    ),
    Case(
        "product_grid.integrate",
        estimate_of(product_grid.integrate),
        (Partial(well, rate), low, high),
        static={"num_nodes": 7},
        oracle=lambda fn, a, b, num_nodes: np.prod(
            (special.erf(np.sqrt(rate) * b) - special.erf(np.sqrt(rate) * a))
            * np.sqrt(np.pi / rate)
            / 2
        ),
    ),
    Case(
        "product_grid.expectation",
        estimate_of(product_grid.expectation),
        (Partial(quadratic, rate), mean, cov),
        static={"num_nodes": 2},
        oracle=lambda fn, m, c, num_nodes: rate * (m[0] * m[1] + c[0, 1]) + m.sum(),
    ),
    Case(
        "sparse_grid.integrate",
        estimate_of(sparse_grid.integrate),
        (Partial(quadratic, rate), low, high),
        static={"level": 2},
        oracle=lambda fn, a, b, level: integrate.dblquad(
            lambda s, t: rate * s * t + s + t, a[1], b[1], a[0], b[0]
        )[0],
    ),
    Case(
        "sparse_grid.expectation",
        estimate_of(sparse_grid.expectation),
        (Partial(quadratic, rate), mean, cov),
        static={"level": 1},
        oracle=lambda fn, m, c, level: rate * (m[0] * m[1] + c[0, 1]) + m.sum(),
    ),
)
