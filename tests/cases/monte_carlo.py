import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from scipy import integrate as scipy_integrate
from scipy.stats import qmc

from mastery_jax.numerics.quadrature.monte_carlo import (
    antithetic,
    control_variates,
    genz,
    halton,
    importance,
    lattice,
    pareto_tail,
    plain,
    quasi,
    sobol,
    stratified,
    vegas,
)
from tests.contract import Case

key = jax.random.key(0)
rate, lower, upper = np.array(0.7), np.array([0.1, -0.3]), np.array([1.2, 0.9])


def decay(rate, x):
    return jnp.exp(-rate * (x**2).sum()) + x[0]


def draw(scale, key):
    return scale * jax.random.normal(key, scale.shape, scale.dtype)


def log_normal(scale, x):
    z = x / scale
    return -(z**2 / 2 + jnp.log(scale * jnp.sqrt(2 * jnp.pi))).sum()


def log_bell(rate, x):
    return -rate * (x**2).sum()


def squares(x):
    return jnp.concatenate([x, (x**2).sum()[None]])


def of(fn):
    """Return a call whose result is a dict: an integral is no next key."""
    return lambda *args, **options: {"found": fn(*args, **options)}


def expected(*args, **options):
    """Leave out the tail's shape: of five excesses a finite difference of it has few digits."""
    estimate, info = importance.expectation(*args, **options)
    return {"found": estimate, "error": info.std_error, "size": info.effective_size}


def in_a_box(fn, **static):
    name = fn.__module__.rpartition(".")[2]
    args = (key, Partial(decay, rate), lower, upper)
    return Case(f"{name}.integrate", of(fn), args, static=static)


def stretched(points):
    """Return an oracle of points in a box from one of points in the unit cube."""
    return lambda lower, upper, **_: lower + (upper - lower) * points


def korobov(lower, upper, num_points):
    """Return multiples of the published first steps, as fractions."""
    vector = np.array([1, 433461])
    return lower + (upper - lower) * ((np.arange(num_points)[:, None] * vector / num_points) % 1)


def tail_fit(x):
    """Return Zhang and Stephens' fit, by sums over a list of candidates."""
    x, n = np.sort(x), len(x)
    m = 30 + int(n**0.5)
    quarter = x[int(n / 4 + 0.5) - 1]
    thetas = [1 / x[-1] + (1 - math.sqrt(m / (j - 0.5))) / (3 * quarter) for j in range(1, m + 1)]
    ks = [np.mean(np.log(1 - t * x)) for t in thetas]
    logs = [n * (math.log(-t / k) - k - 1) for t, k in zip(thetas, ks, strict=True)]
    weights = [1 / sum(math.exp(other - mine) for other in logs) for mine in logs]
    theta = sum(w * t for w, t in zip(weights, thetas, strict=True))
    k = np.mean(np.log(1 - theta * x))
    return (n * k + 5) / (n + 10), -k / theta


difficulty, place, point = np.array([1.3, 0.8]), np.array([0.35, 0.6]), np.array([0.2, 0.45])
FAMILIES = {
    genz.oscillatory: lambda a, u, x: math.cos(2 * math.pi * u[0] + a @ x),
    genz.product_peak: lambda a, u, x: math.prod(
        1 / (1 / b**2 + (y - v) ** 2) for b, v, y in zip(a, u, x, strict=True)
    ),
    genz.corner_peak: lambda a, u, x: (1 + a @ x) ** -3.0,
    genz.gaussian: lambda a, u, x: math.exp(-sum((a * (x - u)) ** 2)),
    genz.continuous: lambda a, u, x: math.exp(-a @ abs(x - u)),
    genz.discontinuous: lambda a, u, x: math.exp(a @ x) * (x[0] <= u[0]) * (x[1] <= u[1]),
}


def summed_up(formula):
    """Return the integral over the four rectangles that meet at u, by SciPy's cubature."""

    def oracle(a, u, family):
        ends = [[(0, v), (v, 1)] for v in u]
        return sum(
            scipy_integrate.dblquad(
                lambda y, x: formula(a, u, np.array([x, y])), *one, *two, epsabs=1e-12
            )[0]
            for one, two in itertools.product(*ends)
        )

    return oracle


CASES = (
    in_a_box(plain.integrate, num_samples=6, max_bytes=300),
    in_a_box(antithetic.integrate, num_samples=8, max_bytes=500),
    in_a_box(stratified.integrate, num_samples=8),
    in_a_box(quasi.integrate, num_samples=8, num_randomizations=2),
    Case(
        "control_variates.integrate",
        of(control_variates.integrate),
        (key, Partial(decay, rate), lower, upper),
        {"controls": Partial(squares), "integrals": np.array([0.858, 0.396, 0.954])},
        {"num_samples": 20},
    ),
    Case(
        "importance.integrate",
        of(importance.integrate),
        (key, Partial(decay, rate), lower, upper),
        {
            "sample": Partial(draw, upper),
            "log_density": Partial(log_normal, upper),
        },
        {"num_samples": 25, "num_probes": 4},
        modes=(),
        because="a point that moves across the edge of the box is a jump",
    ),
    Case(
        "importance.expectation",
        expected,
        (key, Partial(decay, rate)),
        {
            "sample": Partial(draw, upper),
            "log_density": Partial(log_normal, upper),
            "log_target": Partial(log_bell, rate),
        },
        {"num_samples": 25},
    ),
    Case(
        "vegas.integrate",
        of(vegas.integrate),
        (key, Partial(decay, rate), lower, upper),
        {"damping": 0.5, "strata_power": 0.75},
        {"num_samples": 48, "num_iterations": 3, "num_warmup": 1, "num_bins": 4},
        modes=(),
        because="the map and the strata follow the integrand; slopes are those at a fixed map",
    ),
    Case(
        "pareto_tail.fit",
        pareto_tail.fit,
        (np.array([0.1, 2.0, 0.4, 0.7, 1.1, 0.2]),),
        oracle=tail_fit,
    ),
    Case(
        "sobol.sequence",
        sobol.sequence,
        (lower, upper),
        static={"num_points": 6},
        oracle=stretched(qmc.Sobol(2, scramble=False).random(8)[:6]),
    ),
    Case("sobol.sample", sobol.sample, (key, lower, upper), static={"num_points": 4}),
    Case(
        "sobol.sample by matrix",
        sobol.sample,
        (key, lower, upper),
        static={"num_points": 4, "scramble": "matrix"},
    ),
    Case(
        "halton.sequence",
        halton.sequence,
        (lower, upper),
        static={"num_points": 5},
        oracle=stretched(qmc.Halton(2, scramble=False).random(5)),
    ),
    Case("halton.sample", halton.sample, (key, lower, upper), static={"num_points": 4}),
    Case(
        "lattice.sequence",
        lattice.sequence,
        (lower, upper),
        static={"num_points": 8},
        oracle=korobov,
    ),
    Case("lattice.sample", lattice.sample, (key, lower, upper), static={"num_points": 4}),
    *(
        Case(f"genz.{fn.__name__}", fn, (difficulty, place, point), oracle=formula)
        for fn, formula in FAMILIES.items()
    ),
    *(
        Case(
            f"genz.integral of {fn.__name__}",
            genz.integral,
            (difficulty, place),
            static={"family": fn.__name__},
            oracle=summed_up(formula),
        )
        for fn, formula in FAMILIES.items()
    ),
)
