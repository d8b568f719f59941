"""Mean embeddings and Bayesian quadrature, held to dense product rules."""

import jax
import numpy as np
from scipy import integrate

from mastery_jax.probability import bayesian_quadrature
from mastery_jax.probability.gaussian_process import embedding, kernels
from tests.cases.gaussian_process import FREE, X, Z, fit, k, y
from tests.contract import Case

EITHER = FREE + "; a measure is one of two tuples"
box = embedding.Box(np.array([-1.0, -0.5]), np.array([1.0, 1.5]))
normal = embedding.Normal(np.array([0.2, -0.3]), np.array([0.7, 1.2]))
scaled = kernels.Sum(
    (
        kernels.Product((kernels.Constant(np.float64(1.3)), kernels.RBF(np.array([0.8, 1.5])))),
        kernels.Constant(np.float64(0.4)),
    )
)
line = embedding.Box(np.array([-1.0]), np.array([2.0]))
inside = np.array([[-0.7], [0.1], [1.6]])
rough = kernels.Sum(
    (
        kernels.Matern12(np.float64(0.9)),
        kernels.Matern32(np.float64(0.5)),
        kernels.Matern52(np.float64(1.4)),
    )
)


def nodes(measure, size=80):
    """Return points and weights of a product rule, one for each coordinate."""
    u, w = np.polynomial.legendre.leggauss(size)
    if isinstance(measure, embedding.Box):
        half = (measure.upper - measure.lower) / 2
        return [(lo + h * (u + 1), w * h) for lo, h in zip(measure.lower, half, strict=True)]
    u, w = np.polynomial.hermite_e.hermegauss(size)
    w = w / np.sqrt(2 * np.pi)
    return [(m + s * u, w) for m, s in zip(*measure, strict=True)]


def grid(measure):
    (a, v), (b, w) = nodes(measure, 40)
    points = np.stack(np.meshgrid(a, b, indexing="ij"), axis=-1).reshape(-1, 2)
    return points, np.outer(v, w).ravel()


def scaled_gram(X, Z):
    d2 = (((X[:, None] - Z[None]) / np.array([0.8, 1.5])) ** 2).sum(axis=-1)
    return 1.3 * np.exp(-d2 / 2) + 0.4


def mean_by_quadrature(kernel, measure, X):
    points, weights = grid(measure)
    return scaled_gram(X, points) @ weights


def energy_by_quadrature(kernel, measure):
    points, weights = grid(measure)
    return weights @ scaled_gram(points, points) @ weights


def mean_on_the_line(kernel, measure, X):
    (a,), (b,) = measure

    def one(x):
        pieces = ((a, x), (x, b))
        f = lambda t: k(kernel, np.array([x]), np.array([t]))  # noqa: E731
        return sum(integrate.quad(f, *piece, epsabs=1e-13)[0] for piece in pieces)

    return np.array([one(x) for x in X[:, 0]])


def energy_on_the_line(kernel, measure):
    (a,), (b,) = measure
    f = lambda t: 2 * (b - a - t) * k(kernel, np.zeros(1), np.array([t]))  # noqa: E731
    return integrate.quad(f, 0, b - a, epsabs=1e-13)[0]


def quadrature_fit(kernel, measure, X, y, *, noise, mean):
    everywhere = np.ones(len(X), bool)
    posterior = fit(kernel, X, y, noise=noise, mean=mean, is_observed=everywhere)
    means = mean_by_quadrature(kernel, measure, X)
    weights = np.linalg.inv(posterior.factor @ posterior.factor.T) @ means
    energy = energy_by_quadrature(kernel, measure)
    return bayesian_quadrature.State(posterior, measure, means, weights, energy, np.float64(noise))


belief = quadrature_fit(scaled, box, X, y, noise=0.1, mean=0.3)


def integrate_by_grid(state):
    """Integrate the posterior's mean, and its covariance, over a grid."""
    points, weights = grid(state.measure)
    K = state.posterior.factor @ state.posterior.factor.T
    across = scaled_gram(points, X)
    mean = state.posterior.mean + across @ state.posterior.weights
    covariance = scaled_gram(points, points) - across @ np.linalg.inv(K) @ across.T
    return weights @ mean, weights @ covariance @ weights


def gain_by_refitting(state, Z):
    before = integrate_by_grid(state)[1]
    found = []
    for z in Z:
        points = np.vstack([X, z])
        K = scaled_gram(points, points) + 0.1 * np.eye(len(points))
        means = mean_by_quadrature(scaled, state.measure, points)
        found.append(before - (state.prior_variance - means @ np.linalg.inv(K) @ means))
    return np.array(found)


def place_and_gain(key, state, **sizes):
    """Leave out what rounding decides: the slope at the top, and how many steps led there."""
    point, info = bayesian_quadrature.ask(key, state, **sizes)
    return point, info.value


CASES: tuple[Case, ...] = (
    Case(
        "embedding.mean box",
        embedding.mean,
        (scaled, box, X),
        oracle=mean_by_quadrature,
        unchecked=("0", "1"),
        because=EITHER,
    ),
    Case(
        "embedding.mean normal",
        embedding.mean,
        (scaled, normal, X),
        oracle=mean_by_quadrature,
        unchecked=("0", "1"),
        because=EITHER,
    ),
    Case(
        "embedding.mean rough",
        embedding.mean,
        (rough, line, inside),
        oracle=mean_on_the_line,
        unchecked=("0", "1"),
        because=EITHER,
    ),
    Case(
        "embedding.energy box",
        embedding.energy,
        (scaled, box),
        oracle=energy_by_quadrature,
        any_rank=True,
        because=EITHER,
    ),
    Case(
        "embedding.energy normal",
        embedding.energy,
        (scaled, normal),
        oracle=energy_by_quadrature,
        any_rank=True,
        because=EITHER,
    ),
    Case(
        "embedding.energy rough",
        embedding.energy,
        (rough, line),
        oracle=energy_on_the_line,
        any_rank=True,
        because=EITHER,
    ),
    Case(
        "embedding.total",
        embedding.total,
        (box,),
        oracle=lambda measure: 4.0,
        any_rank=True,
        because="a measure is one of two tuples",
    ),
    Case(
        "bayesian_quadrature.fit",
        bayesian_quadrature.fit,
        (scaled, box, X, y),
        {"noise": np.float64(0.1), "mean": np.float64(0.3)},
        oracle=quadrature_fit,
        unchecked=("0", "1"),
        because=EITHER,
    ),
    Case(
        "bayesian_quadrature.integrate",
        bayesian_quadrature.integrate,
        (belief,),
        oracle=integrate_by_grid,
        unchecked=("0/posterior/kernel", "0/measure"),
        because=EITHER,
    ),
    Case(
        "bayesian_quadrature.gain",
        bayesian_quadrature.gain,
        (belief, Z),
        oracle=gain_by_refitting,
        unchecked=("0/posterior/kernel", "0/measure"),
        because=EITHER,
    ),
    Case(
        "bayesian_quadrature.ask",
        place_and_gain,
        (jax.random.key(0), belief),
        static={"num_candidates": 4, "num_searches": 1},
        modes=(),
        unchecked=("1/posterior/kernel", "1/measure"),
        because="which candidate is best is a jump; a kernel and a measure are free in shape",
    ),
)
