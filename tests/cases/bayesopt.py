"""Acquisitions held to integrals in high precision, and a search of a few tiny steps."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from scipy import integrate, stats

from mastery_jax.inference.bayesopt import (
    acquisition,
    batch,
    latin_hypercube,
    one_point,
    surrogate,
    thompson,
)
from mastery_jax.numerics.optimize import multistart
from tests.cases import gaussian_process
from tests.contract import Case

rng = np.random.default_rng(7)
KEY = jax.random.key(0)
MEAN, VARIANCE = np.array([-0.5, 0.3, 1.2, 4.0]), np.array([1.0, 0.3, 2.0, 0.4])
BEST = np.float64(0.2)
lower, upper = np.array([-1.0, 0.0]), np.array([2.0, 3.0])
state = surrogate.State(
    X=np.array([[0.1, 2.0], [1.5, 1.0], [-0.5, 0.0], [-1.0, 0.0]]),
    y=np.array([0.7, -0.2, np.inf, 0.0]),
    constraints=np.array([[-0.5], [-0.3], [0.4], [0.0]]),
    num_told=np.int32(3),
    lower=lower,
    upper=upper,
    is_integer=np.array([False, True]),
)
good = state._replace(y=np.array([0.7, -0.2, 0.5, 0.0]))
posterior = gaussian_process.state
model = surrogate.Model(
    objective=posterior,
    constraints=jax.tree.map(lambda leaf: np.stack([leaf, leaf]), posterior),
    limits=np.array([0.3, -0.2]),
    best=BEST,
    best_at=np.array([0.4, 0.3]),
    has_best=np.array(True),
    status=np.int32(1),
)
normals, points_mean = rng.normal(size=(5, 2)), np.array([0.1, 0.4])
points_cov = np.array([[0.5, 0.2], [0.2, 0.3]])
TUPLES = "a kernel is free in shape, and the processes of the constraints are stacked"
JUMPS = "which candidate is best is a jump"
TINY = {"num_candidates": 4, "num_starts": 1}


def over_normal(gain):
    """Return an expectation over each normal, by adaptive quadrature."""

    def expected(mean, variance, best, **hyper):
        def one(m, s):
            density = stats.norm(m, s).pdf
            ends = (m - 12 * s, best)
            return integrate.quad(lambda f: gain(best - f) * density(f), *ends, epsabs=0)[0]

        return np.array([one(m, np.sqrt(v)) for m, v in zip(mean, variance, strict=True)])

    return expected


def log_of(fn):
    return lambda *args, **hyper: np.log(fn(*args, **hyper))


def gains(normals, mean, cov, best):
    return best - (mean + normals @ np.linalg.cholesky(cov).T)


def q_ei(normals, mean, cov, best):
    return np.mean([max(row.max(), 0) for row in gains(normals, mean, cov, best)])


def smooth_q_ei(normals, mean, cov, best, *, temperature):
    each = np.exp(gains(normals, mean, cov, best) / temperature).sum(axis=1)
    return np.log(np.mean(temperature * np.log1p(each)))


def told(state, x, y, *, constraints):
    X, values, rows = (np.array(a) for a in (state.X, state.y, state.constraints))
    X[3], values[3], rows[3] = x, y, constraints
    return state._replace(X=X, y=values, constraints=rows, num_told=4)


def log_feasible(model, X):
    mean, variance = gaussian_process.predict(posterior, X)
    z = (model.limits[:, None] - mean) / np.sqrt(variance)
    return stats.norm.logcdf(z).sum(axis=0)


def to_box(state, X):
    points = lower + X * (upper - lower)
    return np.stack([points[:, 0], np.round(points[:, 1])], axis=1)


def waves(shift, x):
    return (jnp.cos(5 * x) + (x - shift) ** 2).sum()


def concluded(model, search):
    return one_point.conclude(model, search)


CASES: tuple[Case, ...] = (
    *(
        Case(f"acquisition.{fn.__name__}", fn, (MEAN, VARIANCE, BEST), hyper, oracle=oracle)
        for fn, hyper, oracle in (
            (acquisition.expected_improvement, {}, over_normal(lambda gain: gain)),
            (acquisition.log_expected_improvement, {}, log_of(over_normal(lambda gain: gain))),
            (acquisition.probability_of_improvement, {}, over_normal(lambda gain: 1.0)),
            (acquisition.log_feasibility, {}, log_of(over_normal(lambda gain: 1.0))),
            (
                acquisition.confidence_bound,
                {"beta": np.float64(1.5)},
                lambda mean, variance, best, beta: -(mean - beta * np.sqrt(variance)),
            ),
        )
    ),
    Case(
        "latin_hypercube.sample",
        latin_hypercube.sample,
        (KEY, lower, upper),
        static={"num_points": 3},
    ),
    Case(
        "batch.expected_improvement",
        batch.expected_improvement,
        (normals, points_mean, points_cov, BEST),
        oracle=q_ei,
    ),
    Case(
        "batch.log_expected_improvement",
        batch.log_expected_improvement,
        (normals, points_mean, points_cov, BEST),
        {"temperature": np.float64(0.1)},
        oracle=smooth_q_ei,
    ),
    Case("surrogate.init", surrogate.init, (lower, upper), static={"capacity": 3}),
    Case(
        "surrogate.tell",
        surrogate.tell,
        (good, np.array([0.3, 1.0]), np.array(0.4)),
        {"constraints": np.array([-0.1])},
        oracle=told,
    ),
    Case(
        "surrogate.best",
        surrogate.best,
        (good,),
        oracle=lambda state: (np.array([1.5, 1.0]), -0.2),
    ),
    Case(
        "surrogate.fit",
        surrogate.fit,
        (KEY, good),
        static={"num_starts": 1},
        modes=(),
        rtol32=1e-1,
        atol=1e-3,
        because=JUMPS + "; a search by L-BFGS ends within its tolerance, not at a digit",
    ),
    Case(
        "surrogate.log_feasibility",
        surrogate.log_feasibility,
        (model, gaussian_process.Z),
        oracle=log_feasible,
        unchecked=("0",),
        because=TUPLES,
    ),
    Case(
        "surrogate.to_box",
        surrogate.to_box,
        (state, rng.uniform(size=(3, 2))),
        oracle=to_box,
        modes=(),
        because="whole numbers are steps: their slope is zero or a jump",
    ),
    Case(
        "surrogate.to_cube",
        surrogate.to_cube,
        (good, rng.uniform(size=(3, 2))),
        oracle=lambda state, X: (X - lower) / (upper - lower),
    ),
    Case(
        "one_point.candidates",
        one_point.candidates,
        (KEY, good, np.array([0.5, 0.5])),
        static={"num_points": 4},
        modes=(),
        because="whole numbers are steps: their slope is zero or a jump",
    ),
    *(
        Case(name, fn, (KEY, good), static=static, modes=(), atol=0.05, because=JUMPS)
        for name, fn, static in (
            ("one_point.ask", one_point.ask, {**TINY, "num_searches": 1}),
            ("batch.ask", batch.ask, {**TINY, "num_searches": 1, "num_points": 2}),
            ("thompson.ask", thompson.ask, {**TINY, "num_points": 2}),
        )
    ),
    Case(
        "multistart.minimize",
        multistart.minimize,
        (Partial(waves, np.array(0.5)), np.linspace(-3, 3, 5)[:, None]),
        {"gtol": np.float64(1e-5)},
        {"num_searches": 2},
        modes=(),
        because=JUMPS,
    ),
)
