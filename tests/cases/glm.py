import jax.numpy as jnp
import numpy as np
from scipy import optimize, special, stats

from mastery_jax.core.status import Status
from mastery_jax.probability import glm
from tests.contract import Case

rng = np.random.default_rng(0)
n = 40
X = rng.normal(size=(n, 2)) * [1.0, 3.0] + [0.0, 5.0]
label = 0.05 + 0.7 * (rng.random(n) < special.expit(0.7 * X[:, 0]))  # slopes need room
y = X @ [1.0, 0.3] + rng.normal(size=n)
counts = 1.0 + rng.poisson(2.0, n)
row_weights = rng.uniform(0.5, 2.0, n)
model = glm.State(coefs=np.array([0.2, -0.1]), bias=np.array(0.3), dispersion=np.array(1.5))
targets_of = {"normal": y, "logit": label, "probit": label, "poisson": counts}


def mean_of(family):
    return {"normal": lambda z: z, "logit": special.expit, "probit": special.ndtr}.get(
        family, np.exp
    )


def log_prob_by_scipy(state, X, y, *, family):
    mean = mean_of(family)(X @ state.coefs + state.bias)
    if family == "normal":
        return stats.norm.logpdf(y, mean, np.sqrt(state.dispersion))
    if family == "poisson":
        return stats.poisson.logpmf(y, mean)
    return y * np.log(mean) + (1 - y) * np.log1p(-mean)


def fitted(*args, **options):
    """Leave out the number of steps, which rounding may change by one."""
    state, info = glm.fit(*args, **options)
    return state, info._replace(num_steps=jnp.zeros_like(info.num_steps))


def weighted(*args, weights, **options):
    return fitted(*args, weights=weights, **options)


def fit_by_scipy(X, y, *, family, weights=None, penalty=0.0):
    """Find the root of the score by MINPACK, slopes and curvatures by complex steps."""
    A = np.column_stack([np.ones(len(X)), X])
    w = np.ones(len(X)) if weights is None else weights
    total = w.sum()
    variance = w @ (X - w @ X / total) ** 2 / total
    scale = w @ (y - w @ y / total) ** 2 / total if family == "normal" else 1.0
    P = np.diag([0, *(penalty * scale * variance)])

    def slope(eta):
        if family == "probit":
            phi, p = np.exp(-(eta**2) / 2) / np.sqrt(2 * np.pi), special.ndtr(eta)
            return phi * (y - p) / (p * (1 - p))
        mean = {"logit": lambda z: 1 / (1 + np.exp(-z)), "normal": lambda z: z}.get(family, np.exp)
        return y - mean(eta)

    def gradient(b):
        return (w * slope(A @ b)) @ A / total - P @ b

    def hessian(b):
        c = -slope(A @ b + 1e-30j).imag / 1e-30
        return (A * (w * c)[:, None]).T @ A / total + P

    start = np.array([np.log(y.mean()) if family == "poisson" else 0, *np.zeros(X.shape[1])])
    b = optimize.root(gradient, start, jac=lambda b: -hessian(b), tol=1e-14).x
    phi = (w * (y - A @ b) ** 2).sum() / (total - len(b)) if family == "normal" else 1.0
    state = glm.State(b[1:], b[0], phi)
    bread = np.linalg.inv(hessian(b)) / total
    s = A * (w * slope(A @ b))[:, None]
    info = glm.Info(
        log_likelihood=(w * log_prob_by_scipy(state, X, y, family=family)).sum(),
        cov=phi * bread,
        robust_cov=bread @ (s.T @ s) @ bread,
        is_separated=False,
        num_steps=0,
        status=Status.CONVERGED,
    )
    return state, info


CASES = (
    *(
        Case(
            f"glm.fit {family}", fitted, (X, target), static={"family": family}, oracle=fit_by_scipy
        )
        for family, target in targets_of.items()
    ),
    Case(
        "glm.fit weights",
        weighted,
        (X, label),
        {"weights": row_weights, "penalty": 0.1},
        {"family": "logit"},
        oracle=fit_by_scipy,
    ),
    *(
        Case(
            f"glm.predict {family}",
            glm.predict,
            (model, X),
            static={"family": family},
            oracle=lambda state, X, *, family: mean_of(family)(X @ state.coefs + state.bias),
        )
        for family in targets_of
    ),
    *(
        Case(
            f"glm.log_prob {family}",
            glm.log_prob,
            (model, X, target),
            static={"family": family},
            oracle=log_prob_by_scipy,
        )
        for family, target in targets_of.items()
    ),
)
