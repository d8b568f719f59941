"""Gaussian processes, held to their definitions with plain inverses."""

import jax
import numpy as np
from scipy import stats

from mastery_jax.probability.gaussian_process import gp_regression, kernels, marginal_likelihood
from tests.contract import Case

rng = np.random.default_rng(5)
X, Z = rng.normal(size=(4, 2)), rng.normal(size=(3, 2))
y = rng.normal(size=4)
seen = np.array([True, True, False, True])
every = kernels.Sum(
    (
        kernels.Product((kernels.Constant(np.float64(1.3)), kernels.RBF(np.array([0.8, 1.5])))),
        kernels.Product((kernels.Matern12(np.float64(0.9)), kernels.Linear(np.array([0.4, 0.7])))),
        kernels.Matern32(np.float64(1.1)),
        kernels.Matern52(np.array([0.7, 2.0])),
        kernels.Periodic(period=np.float64(1.9), lengthscale=np.float64(1.2)),
        kernels.White(np.float64(0.2)),
    )
)
simple = kernels.Sum((kernels.RBF(np.array([0.8, 1.5])), kernels.White(np.float64(0.2))))
FREE = "a kernel's hyperparameters are one number or one a coordinate"


def k(kernel, x, z):
    """Return a covariance from the formulas, one pair at a time."""
    match kernel:
        case kernels.Constant(v):
            return v
        case kernels.White():
            return 0.0
        case kernels.Linear(v):
            return np.sum(v * x * z)
        case kernels.RBF(length):
            return np.exp(-np.sum(((x - z) / length) ** 2) / 2)
        case kernels.Matern12(length):
            return np.exp(-np.linalg.norm((x - z) / length))
        case kernels.Matern32(length):
            u = np.sqrt(3) * np.linalg.norm((x - z) / length)
            return (1 + u) * np.exp(-u)
        case kernels.Matern52(length):
            u = np.sqrt(5) * np.linalg.norm((x - z) / length)
            return (1 + u + u**2 / 3) * np.exp(-u)
        case kernels.Periodic(period, length):
            return np.prod(np.exp(-2 * np.sin(np.pi * (x - z) / period) ** 2 / length**2))
        case kernels.Sum(parts):
            return sum(k(part, x, z) for part in parts)
        case kernels.Product(parts):
            return np.prod([k(part, x, z) for part in parts])


def cross(kernel, X, Z):
    return np.array([[k(kernel, x, z) for z in Z] for x in X])


def gram(kernel, X, *, noise=0.0, is_observed=None):
    white = sum(p.variance for p in getattr(kernel, "parts", ()) if isinstance(p, kernels.White))
    matrix = cross(kernel, X, X) + (white + noise) * np.eye(len(X))
    if is_observed is None:
        return matrix
    return np.where(np.outer(is_observed, is_observed), matrix, np.eye(len(X)))


def fit(kernel, X, y, *, noise, mean, is_observed):
    K = gram(kernel, X, noise=noise, is_observed=is_observed)
    r = np.where(is_observed, y - mean, 0)
    weights = np.linalg.inv(K) @ r
    factor = np.linalg.cholesky(K)
    return gp_regression.State(
        kernel, X * is_observed[:, None], is_observed, np.float64(mean), factor, weights
    )


def log_prob(kernel, X, y, *, noise, mean, is_observed):
    s = is_observed
    covariance = gram(kernel, X, noise=noise)[np.ix_(s, s)]
    return stats.multivariate_normal(np.full(s.sum(), mean), covariance).logpdf(y[s])


state = fit(simple, X, y, noise=0.05, mean=0.3, is_observed=seen)


def predict_joint(state, Z):
    s = state.is_observed
    inverse = np.linalg.inv((state.factor @ state.factor.T)[np.ix_(s, s)])
    across = cross(state.kernel, Z, state.X[s])
    r = inverse @ (state.factor @ state.factor.T @ state.weights)[s]
    mean = state.mean + across @ r
    return mean, cross(state.kernel, Z, Z) - across @ inverse @ across.T


def predict(state, Z):
    mean, covariance = predict_joint(state, Z)
    return mean, np.diag(covariance)


def leave_one_out(state):
    """Condition anew on all others, one by one."""
    K = state.factor @ state.factor.T
    y = state.mean + K @ state.weights
    found = []
    for i in range(len(K)):
        o = np.arange(len(K)) != i
        gain = K[i, o] @ np.linalg.inv(K[np.ix_(o, o)])
        found.append((state.mean + gain @ (y[o] - state.mean), K[i, i] - gain @ K[o, i]))
    return tuple(np.array(found).T)


FIT = {"noise": np.float64(0.05), "mean": np.float64(0.3)}
PART = {"is_observed": seen}

CASES: tuple[Case, ...] = (
    Case("kernels.gram", kernels.gram, (every, X), oracle=gram, unchecked=("0",), because=FREE),
    Case(
        "kernels.gram in part",
        kernels.gram,
        (simple, X),
        {"noise": np.float64(0.1), **PART},
        oracle=gram,
        unchecked=("0",),
        because=FREE,
    ),
    Case(
        "kernels.cross", kernels.cross, (every, X, Z), oracle=cross, unchecked=("0",), because=FREE
    ),
    Case(
        "kernels.diagonal",
        kernels.diagonal,
        (every, X),
        oracle=lambda kernel, X: np.diag(cross(kernel, X, X)),
        unchecked=("0",),
        because=FREE,
    ),
    *(
        Case(name, fn, (simple, X, y), FIT | PART, oracle=oracle, unchecked=("0",), because=FREE)
        for name, fn, oracle in (
            ("gp_regression.fit", gp_regression.fit, fit),
            ("marginal_likelihood.log_prob", marginal_likelihood.log_prob, log_prob),
        )
    ),
    *(
        Case(name, fn, (state, Z), oracle=oracle, unchecked=("0/kernel",), because=FREE)
        for name, fn, oracle in (
            ("gp_regression.predict", gp_regression.predict, predict),
            ("gp_regression.predict_joint", gp_regression.predict_joint, predict_joint),
        )
    ),
    Case(
        "gp_regression.leave_one_out",
        gp_regression.leave_one_out,
        (state,),
        oracle=leave_one_out,
        unchecked=("0/kernel",),
        because=FREE,
    ),
    Case(
        "gp_regression.sample",
        gp_regression.sample,
        (jax.random.key(0), state, Z),
        {"jitter": np.float64(0.01)},
        {"num_samples": 2},
        unchecked=("1/kernel",),
        because=FREE,
    ),
    Case(
        "marginal_likelihood.maximize",
        marginal_likelihood.maximize,
        (jax.random.key(0), simple, X, y),
        {"lower": np.float64(0.05), "upper": np.float64(5.0)},
        {"num_starts": 2, "max_steps": 2},
        modes=(),
        unchecked=("1",),
        because="which search is best is a jump, and two steps are no minimum; " + FREE,
    ),
)
