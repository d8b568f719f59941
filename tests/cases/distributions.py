"""The common families, against scipy.stats; the rest of them in tests/test_distributions.py."""

import jax
import numpy as np
from scipy import stats

from mastery_jax.probability import distributions
from tests.contract import Case

KEY = jax.random.key(0)
NORMAL = {"loc": np.array(0.3), "scale": np.array(1.7)}
GAMMA = {"concentration": np.array(2.5), "rate": np.array(0.8)}
LARGE_GAMMA = {"concentration": np.array(1000.0), "rate": np.array(1.02)}
BETA = {"concentration1": np.array(2.5), "concentration0": np.array(1.2)}
STUDENT = {"df": np.array(4.5), **NORMAL}
BINOMIAL = {"total_count": np.array(7, np.int32), "probs": np.array(0.3)}
POISSON = {"rate": np.array(3.5)}
ROOT = np.array([[1.0, 0.0, 0.0], [0.4, 1.2, 0.0], [-0.3, 0.5, 0.8]])
MVN = {"loc": np.array([0.3, -1.0, 2.0]), "covariance_matrix": ROOT @ ROOT.T}
DIRICHLET = {"concentration": np.array([1.5, 0.7, 2.0])}
CATEGORICAL = {"probs": np.array([0.2, 0.5, 0.3])}

SYMMETRIC = "a covariance must stay symmetric, and finite differences move each entry alone"
COUNTED = "a quantile of a count is a step: it has no slope at its jumps"


def frozen(params, family):
    """Return scipy's distribution of the same name and parameters."""
    p = params
    return {
        "normal": lambda: stats.norm(p["loc"], p["scale"]),
        "gamma": lambda: stats.gamma(p["concentration"], scale=1 / p["rate"]),
        "beta": lambda: stats.beta(p["concentration1"], p["concentration0"]),
        "student_t": lambda: stats.t(p["df"], p["loc"], p["scale"]),
        "binomial": lambda: stats.binom(p["total_count"], p["probs"]),
        "poisson": lambda: stats.poisson(p["rate"]),
        "multivariate_normal": lambda: stats.multivariate_normal(p["loc"], p["covariance_matrix"]),
        "dirichlet": lambda: stats.dirichlet(p["concentration"]),
    }[family]()


def case(verb, family, params, *data, oracle=None, **more):
    names = {"cdf": "cdf", "survival": "sf", "quantile": "ppf", "mean": "mean", "variance": "var"}
    asked = names.get(verb, verb)

    def by_scipy(params, *data, family):
        return getattr(frozen(params, family), asked)(*data)

    return Case(
        f"distributions.{verb} {family}",
        getattr(distributions, verb),
        (params, *data),
        static={"family": family},
        oracle=oracle or by_scipy,
        **more,
    )


def logpdf(params, x, *, family):
    return frozen(params, family).logpdf(x)


def logpmf(params, x, *, family):
    return frozen(params, family).logpmf(x)


CASES: tuple[Case, ...] = (
    *(
        Case(
            f"distributions.sample {family}",
            distributions.sample,
            (KEY, params),
            static={"family": family, "shape": (2, 3)},
            modes=(),
            engine=True,
            because="draws by rejection have no finite difference; NumPyro's are of mixed width",
        )
        for family, params in (("gamma", GAMMA), ("binomial", BINOMIAL))
    ),
    case("log_prob", "normal", NORMAL, np.array(1.1), oracle=logpdf),
    case("log_prob", "gamma", GAMMA, np.array(1.1), oracle=logpdf),
    case("log_prob", "dirichlet", DIRICHLET, np.array([0.2, 0.5, 0.3]), oracle=logpdf),
    case("log_prob", "binomial", BINOMIAL, np.array(2, np.int32), oracle=logpmf),
    case(
        "log_prob",
        "multivariate_normal",
        MVN,
        np.array([0.5, 0.1, 1.0]),
        oracle=logpdf,
    ),
    case("cdf", "gamma", GAMMA, np.array(1.1)),
    case("log_prob", "beta", BETA, np.array(0.3), oracle=logpdf),
    case("log_prob", "student_t", STUDENT, np.array(1.1), oracle=logpdf),
    case("cdf", "beta", BETA, np.array(0.3)),
    case("cdf", "student_t", STUDENT, np.array(1.1)),
    case("cdf", "poisson", POISSON, np.array(2, np.int32)),
    case("survival", "gamma", LARGE_GAMMA, np.array(1010.0)),
    case("survival", "binomial", BINOMIAL, np.array(2, np.int32)),
    case("quantile", "gamma", GAMMA, np.array(0.2)),
    case("quantile", "beta", BETA, np.array(0.2)),
    case("quantile", "binomial", BINOMIAL, np.array(0.7)),
    *(case(verb, "gamma", GAMMA) for verb in ("mean", "variance", "entropy")),
)
