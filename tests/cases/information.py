"""Entropy and its relatives, Bayes' rule, and nearest neighbors, from their definitions."""

import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from scipy import special, stats

from mastery_jax.probability import bayes, conjugate, information, ksg, maximum_likelihood
from tests.contract import Case

rng = np.random.default_rng(5)
P, Q = np.array([0.2, 0.5, 0.3]), np.array([0.6, 0.1, 0.3])
JOINT = rng.dirichlet(np.ones(6)).reshape(2, 3)
MEANS = rng.normal(size=(2, 3))
ROOTS = rng.normal(size=(2, 3, 4))
COVS = ROOTS @ ROOTS.transpose(0, 2, 1)
VARS = np.exp(rng.normal(size=(2, 3)))
X = rng.normal(size=(9, 2))
Y = X[:, :1] + 0.5 * rng.normal(size=(9, 1))
LOG_PRIOR = np.log(P)
LOG_LIKELIHOODS = rng.normal(size=(4, 3)) - 1


def js(p, q):
    return sum(special.rel_entr(each, (p + q) / 2).sum() / 2 for each in (p, q))


def mutual(joint):
    return special.rel_entr(joint, np.outer(joint.sum(axis=1), joint.sum(axis=0))).sum()


def kl_normal(mean_p, cov_p, mean_q, cov_q):
    inverse, shift = np.linalg.inv(cov_q), mean_q - mean_p
    dets = np.log(np.linalg.det(cov_q) / np.linalg.det(cov_p))
    return (np.trace(inverse @ cov_p) + shift @ inverse @ shift - len(shift) + dets) / 2


def kl_diagonal(mean_p, var_p, mean_q, var_q):
    return kl_normal(mean_p, np.diag(var_p), mean_q, np.diag(var_q))


def kl_vae(mean, log_var):
    return kl_normal(mean, np.diag(np.exp(log_var)), 0 * mean, np.eye(len(mean)))


def ksg_by_loops(X, Y, *, k, batch_size):
    """Count neighbors one pair at a time."""
    terms = []
    for i in range(len(X)):
        others = [j for j in range(len(X)) if j != i]
        far_x = [max(abs(X[j] - X[i])) for j in others]
        far_y = [max(abs(Y[j] - Y[i])) for j in others]
        radius = sorted(map(max, far_x, far_y))[k - 1]
        terms += [sum(special.digamma(sum(d < radius for d in far) + 1) for far in (far_x, far_y))]
    return special.digamma(k) + special.digamma(len(X)) - np.mean(terms)


def posterior(log_prior, log_likelihood):
    joint = np.exp(log_prior) * np.exp(log_likelihood)
    return np.log(joint / joint.sum()), bayes.Info(np.log(joint.sum()))


def posteriors(log_prior, log_likelihoods):
    joint = np.exp(log_prior + np.cumsum(log_likelihoods, axis=0))
    totals = joint.sum(axis=1)
    before = np.append(np.exp(log_prior).sum(), totals[:-1])
    return np.log(joint / totals[:, None]), bayes.Info(np.log(totals / before))


def on_a_grid(log_prior, log_likelihood, grid):
    """Return the mean and variance of prior times likelihood by the trapezoidal rule."""
    density = np.exp(log_prior + log_likelihood)
    density /= np.trapezoid(density, grid)
    mean = np.trapezoid(grid * density, grid)
    return mean, np.trapezoid((grid - mean) ** 2 * density, grid)


def beta_by_grid(state, successes, trials):
    """Match the moments of the posterior on a grid."""
    grid = np.linspace(0, 1, 200_001)
    likelihood = stats.binom.logpmf(successes, trials, grid)
    mean, var = on_a_grid(stats.beta.logpdf(grid, *state), likelihood, grid)
    total = mean * (1 - mean) / var - 1
    return conjugate.Beta(mean * total, (1 - mean) * total)


def gamma_by_grid(state, counts):
    grid = np.linspace(1e-9, 60, 400_001)
    prior = stats.gamma.logpdf(grid, state.concentration, scale=1 / state.rate)
    likelihood = stats.poisson.logpmf(counts[:, None], grid).sum(axis=0)
    mean, var = on_a_grid(prior, likelihood, grid)
    return conjugate.Gamma(mean**2 / var, mean / var)


def normal_by_grid(state, xs, *, noise_var):
    grid = np.linspace(-20, 20, 200_001)
    prior = stats.norm.logpdf(grid, state.mean, np.sqrt(state.var))
    likelihood = stats.norm.logpdf(xs[:, None], grid, np.sqrt(noise_var)).sum(axis=0)
    return conjugate.Normal(*on_a_grid(prior, likelihood, grid))


def one_by_one(state, xs):
    """Learn from one value after the other, by the rule for a single observation."""
    mean, count, concentration, scale = map(float, state)
    for x in xs:
        scale += count * (x - mean) ** 2 / (2 * (count + 1))
        mean = (count * mean + x) / (count + 1)
        count, concentration = count + 1, concentration + 0.5
    return conjugate.NormalInverseGamma(mean, count, concentration, scale)


def log_density(params, y):
    return -params["log_scale"] - ((y - params["loc"]) / jnp.exp(params["log_scale"])) ** 2 / 2


def fitted(*args, **hyper):
    """Return the estimate; how the search ended has no oracle."""
    return maximum_likelihood.fit(*args, **hyper)[0]


def normal_in_closed_form(fn, params, ys, **_):
    scale = ys.std()
    error = {"loc": scale / np.sqrt(len(ys)), "log_scale": 1 / np.sqrt(2 * len(ys))}
    return maximum_likelihood.State(
        {"loc": ys.mean(), "log_scale": np.log(scale)}, error, np.diag([*error.values()]) ** 2
    )


BETA = conjugate.Beta(np.array(2.0), np.array(3.5))
GAMMA = conjugate.Gamma(np.array(2.0), np.array(0.7))
NORMAL = conjugate.Normal(np.array(0.3), np.array(2.0))
DIRICHLET = conjugate.Dirichlet(np.array([1.0, 0.5, 2.0]))
NIG = conjugate.NormalInverseGamma(*map(np.array, (0.3, 2.0, 1.5, 0.8)))
COUNTS = np.array([3.0, 0.0, 5.0])

CASES: tuple[Case, ...] = (
    Case("information.is_distribution", information.is_distribution, (P,), oracle=lambda p: True),
    Case("information.entropy", information.entropy, (P,), oracle=stats.entropy),
    Case(
        "information.cross_entropy",
        information.cross_entropy,
        (P, Q),
        oracle=lambda p, q: stats.entropy(p) + stats.entropy(p, q),
    ),
    Case("information.kl_divergence", information.kl_divergence, (P, Q), oracle=stats.entropy),
    Case("information.js_divergence", information.js_divergence, (P, Q), oracle=js),
    Case("information.mutual_information", information.mutual_information, (JOINT,), oracle=mutual),
    Case(
        "information.kl_normal",
        information.kl_normal,
        (MEANS[0], COVS[0], MEANS[1], COVS[1]),
        oracle=kl_normal,
    ),
    Case(
        "information.kl_normal_diagonal",
        information.kl_normal_diagonal,
        (MEANS[0], VARS[0], MEANS[1], VARS[1]),
        oracle=kl_diagonal,
    ),
    Case("information.kl_vae", information.kl_vae, (MEANS[0], MEANS[1]), oracle=kl_vae),
    Case(
        "ksg.mutual_information",
        ksg.mutual_information,
        (X, Y),
        static={"k": 2, "batch_size": 4},
        oracle=ksg_by_loops,
    ),
    Case("bayes.update", bayes.update, (LOG_PRIOR, LOG_LIKELIHOODS[0]), oracle=posterior),
    Case("bayes.filter", bayes.filter, (LOG_PRIOR, LOG_LIKELIHOODS), oracle=posteriors),
    Case(
        "conjugate.update_gamma", conjugate.update_gamma, (GAMMA, COUNTS + 1), oracle=gamma_by_grid
    ),
    Case(
        "conjugate.update_beta",
        conjugate.update_beta,
        (BETA, np.array(4.0), np.array(9.0)),
        oracle=beta_by_grid,
    ),
    Case(
        "conjugate.update_normal",
        conjugate.update_normal,
        (NORMAL, X[:, 0]),
        {"noise_var": 0.6},
        oracle=normal_by_grid,
    ),
    Case(
        "conjugate.update_dirichlet",
        conjugate.update_dirichlet,
        (DIRICHLET, COUNTS + 1),
        oracle=lambda state, counts: (state.concentration + counts,),
    ),
    Case(
        "conjugate.update_normal_inverse_gamma",
        conjugate.update_normal_inverse_gamma,
        (NIG, X[:, 0]),
        oracle=one_by_one,
    ),
    Case(
        "conjugate.predict_beta",
        conjugate.predict_beta,
        (BETA, np.array(9.0)),
        oracle=lambda state, trials: {**state._asdict(), "total_count": trials},
    ),
    Case(
        "conjugate.predict_gamma",
        conjugate.predict_gamma,
        (GAMMA,),
        oracle=lambda state: state._asdict(),
    ),
    Case(
        "conjugate.predict_normal",
        conjugate.predict_normal,
        (NORMAL,),
        {"noise_var": 0.6},
        oracle=lambda state, noise_var: {"loc": 0.3, "scale": np.sqrt(2.6)},
    ),
    Case(
        "conjugate.predict_dirichlet",
        conjugate.predict_dirichlet,
        (DIRICHLET,),
        oracle=lambda state: {"probs": np.array([2, 1, 4]) / 7},
    ),
    Case(
        "conjugate.predict_normal_inverse_gamma",
        conjugate.predict_normal_inverse_gamma,
        (NIG,),
        oracle=lambda state: {"df": 3.0, "loc": 0.3, "scale": np.sqrt(0.8 * 1.5 / 1.5)},
    ),
    Case(
        "maximum_likelihood.fit",
        fitted,
        (Partial(log_density), {"loc": np.array(0.1), "log_scale": np.array(0.2)}, X[:, 0]),
        static={"max_steps": 30, "gtol": 1e-10},
        oracle=normal_in_closed_form,
        unchecked=("1", "2"),
        because="the parameters and the observations are trees of the caller's",
    ),
)
