"""Regression held to normal equations, SciPy's Student t, and sums from the definition."""

import jax
import numpy as np
from scipy import special, stats

from mastery_jax.inference.regression import (
    closed_form,
    markov,
    model,
    predictive,
    prior,
    simulated,
    variational,
)
from tests.contract import Case

rng = np.random.default_rng(17)
KEY = jax.random.key(0)
X = np.concatenate([np.ones((7, 1)), rng.normal(size=(7, 2))], axis=1)
y = X @ np.array([1.0, -0.5, 2.0]) + 0.4 * rng.normal(size=7)
X_new = rng.normal(size=(4, 3))
root = np.array([[3.0, 0.4, -0.2], [0.0, 2.0, 0.5], [0.0, 0.0, 1.5]])
BELIEF = prior.Prior(np.array([0.5, 0.0, -0.3]), root, np.array(2.5), np.array(1.7))
STATE = closed_form.State(np.array([0.3, -1.0, 0.8]), root / 5, np.array(5.5), np.array(2.1))
DRAWS = model.Draws(rng.normal(size=(2, 5, 3)), 0.5 + rng.random((2, 5)))
SHORT = {"num_draws": 4, "num_chains": 2}
CHAIN = "a walk has no slope; the engine mixes integers and floats"
DRAWN = "a gamma variable is drawn by rejection, which has no slope at a fixed key"


def slow_prior(X, y):
    spread, deviations = 10.0, X[:, 1:].std(axis=0)
    scale = np.diag(np.append(spread, spread / deviations))
    scale[0, 1:] = -X[:, 1:].mean(axis=0) * spread / deviations
    return np.array([y.mean(), 0, 0]), scale, 1.0, 0.01 * y.var()


def fit_and_cov(X, y, *, prior):
    state, info = closed_form.fit(X, y, prior=prior)
    return state.mean, state.factor @ state.factor.T, state.shape, state.rate, info.log_evidence


def normal_equations(X, y, *, prior):
    precision = np.linalg.inv(prior.root @ prior.root.T)
    cov = np.linalg.inv(precision + X.T @ X)
    mean = cov @ (precision @ prior.mean + X.T @ y)
    shape = prior.shape + len(y) / 2
    squares = y @ y + prior.mean @ precision @ prior.mean - mean @ np.linalg.solve(cov, mean)
    spread = np.eye(len(y)) + X @ prior.root @ prior.root.T @ X.T
    marginal = stats.multivariate_t(
        X @ prior.mean, prior.rate / prior.shape * spread, df=2 * prior.shape
    )
    return mean, cov, shape, prior.rate + squares / 2, marginal.logpdf(y)


def slow_moments(state):
    cov = state.factor @ state.factor.T * state.rate / (state.shape - 1)
    noise = stats.gengamma(state.shape, -2, scale=np.sqrt(state.rate))
    return state.mean, np.sqrt(np.diag(cov)), noise.mean(), noise.std()


def slow_student(state, X):
    spread = np.eye(len(X)) + X @ state.factor @ state.factor.T @ X.T
    scale = np.sqrt(np.diag(spread) * state.rate / state.shape)
    return {"df": np.full(len(X), 2 * state.shape), "loc": X @ state.mean, "scale": scale}


def slow_log_density(draws, X, y):
    weights, noise = draws.weights.reshape(-1, 3), draws.noise.ravel()
    each = stats.norm(weights @ X.T, noise[:, None]).logpdf(y)
    return special.logsumexp(each, axis=0) - np.log(len(noise))


def mean_and_sd(key, draws, X):
    found = predictive.predict(key, draws, X)
    return found.mean, found.sd


def slow_mean_and_sd(key, draws, X):
    level = draws.weights.reshape(-1, 3) @ X.T
    return level.mean(axis=0), np.sqrt(level.var(axis=0) + (draws.noise**2).mean())


def draws_of(fn):
    """Leave out the verdict on four draws, which hangs on their ties."""
    return lambda *args, **options: fn(*args, **options)[0]


def engine(name, fn, **static):
    return Case(
        name,
        draws_of(fn) if name.startswith("markov") else fn,
        (KEY, X, y),
        {"prior": BELIEF},
        {**SHORT, **static},
        modes=(),
        engine=True,
        because=CHAIN,
    )


CASES = (
    Case(
        "prior.weakly_informative",
        prior.weakly_informative,
        (X, y),
        oracle=slow_prior,
        modes=(),
        because="whether a column is constant is a jump",
    ),
    Case("model.pose", model.pose, (X, y), {"prior": BELIEF}),
    Case("closed_form.fit", fit_and_cov, (X, y), {"prior": BELIEF}, oracle=normal_equations),
    Case("closed_form.moments", closed_form.moments, (STATE,), oracle=slow_moments),
    Case("closed_form.predict", closed_form.predict, (STATE, X_new), oracle=slow_student),
    Case(
        "closed_form.sample", closed_form.sample, (KEY, STATE), {}, SHORT, modes=(), because=DRAWN
    ),
    Case(
        "closed_form.engine",
        closed_form.engine,
        (KEY, X, y),
        {"prior": BELIEF},
        SHORT,
        modes=(),
        because=DRAWN,
    ),
    engine("markov.hmc", markov.hmc, num_warmup=2, num_steps=2),
    engine("markov.nuts", markov.nuts, num_warmup=2, max_tree_depth=2),
    engine("variational.laplace", variational.laplace, max_steps=20),
    engine("variational.mean_field", variational.mean_field, num_steps=8),
    engine("variational.numpyro_svi", variational.numpyro_svi, num_steps=8),
    Case("predictive.sample", predictive.sample, (KEY, DRAWS, X_new)),
    Case("predictive.predict", mean_and_sd, (KEY, DRAWS, X_new), oracle=slow_mean_and_sd),
    Case(
        "predictive.predict (quantiles)",
        predictive.predict,
        (KEY, DRAWS, X_new),
        modes=(),
        because="which draws lie beside a quantile is a jump",
    ),
    Case(
        "predictive.log_density",
        predictive.log_density,
        (DRAWS, X, y),
        oracle=slow_log_density,
    ),
    Case(
        "predictive.p_values",
        predictive.p_values,
        (KEY, DRAWS, X, y),
        modes=(),
        because="a count of draws has no slope",
    ),
    Case(
        "simulated.sample",
        simulated.sample,
        (KEY, np.array([1.0, -0.5, 2.0])),
        {"noise": 0.4, "correlation": 0.3},
        {"num_rows": 6},
    ),
)
