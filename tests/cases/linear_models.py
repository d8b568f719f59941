import numpy as np
from scipy import optimize
from sklearn.linear_model import BayesianRidge, LinearRegression
from sklearn.linear_model._huber import _huber_loss_and_gradient
from sklearn.utils.class_weight import compute_class_weight

from mastery_jax.core.status import Status
from mastery_jax.learning import class_weights
from mastery_jax.learning.linear import (
    bayesian_ridge,
    elastic_net,
    huber,
    linear_descent,
    linear_regression,
)
from mastery_jax.numerics.optimize import lasso
from tests.contract import Case

rng = np.random.default_rng(0)
codes = rng.integers(0, 3, size=40).astype(np.int32)
weights = rng.uniform(0.5, 2, size=40)
X = rng.normal(size=(40, 3)) + np.array([1.0, 0.0, -2.0])
y = X @ [1.0, -2.0, 0.1] + rng.standard_t(2, size=40)
WEIGHTED = {"weights": weights}
MODEL = {"weights": np.array([1.0, -0.5, 2.0]), "bias": np.array(0.3)}
moving = linear_descent.State(**MODEL, velocity=np.array([0.1, 0.0, -0.2]))
believed = bayesian_ridge.State(
    **MODEL,
    cov=np.array([[0.5, 0.1, 0.0], [0.1, 0.4, -0.1], [0.0, -0.1, 0.3]]),
    center=np.array([1.0, 0.0, -2.0]),
    noise_precision=np.array(4.0),
    weight_precision=np.array(0.5),
)


def balanced_by_sklearn(labels, *, num_classes, weights):
    classes = np.arange(num_classes)
    return compute_class_weight("balanced", classes=classes, y=labels, sample_weight=weights)


def predict_by_hand(state, X):
    return X @ state.weights + state.bias


def least_squares_by_sklearn(X, y, *, weights):
    fitted = LinearRegression().fit(X, y, sample_weight=weights)
    sizes = np.linalg.svd(scaled(X, weights), compute_uv=False)
    return linear_regression.State(fitted.coef_, fitted.intercept_, 3, sizes[0] / sizes[-1])


def scaled(X, weights):
    """Return weighted columns over the powers of two that the library takes for their sizes."""
    share = weights / weights.sum()
    Z = np.sqrt(share)[:, None] * (X - share @ X)
    sizes = 2.0 ** np.floor(np.log2(np.abs(Z).max(axis=0)))
    return Z / (sizes * 2.0 ** np.floor(np.log2(np.linalg.norm(Z / sizes, axis=0))))


def descent_by_hand(X, y, *, weights, step_size, momentum, max_steps=1, start=None, **_):
    share = weights / weights.sum()
    Z, v = X - share @ X, y - share @ y
    w, velocity = (np.zeros(3), np.zeros(3)) if start is None else (start.weights, start.velocity)
    for _ in range(max_steps):
        residual = Z @ w - v
        slope = Z.T @ (share * residual)
        velocity = momentum * velocity - step_size * slope
        w = w + velocity
    state = linear_descent.State(w, share @ y - share @ X @ w, velocity)
    return state, (share @ residual**2 / 2, np.abs(slope).max())


def descent_to_the_end(X, y, *, max_steps, **given):
    state, (objective, norm) = descent_by_hand(X, y, max_steps=max_steps, **given)
    return state, (objective, norm, max_steps, False, Status.OUT_OF_STEPS)


def net_by_enumeration(X, y, *, l1, l2, weights, **_):
    """Solve for every pattern of signs, and keep the one whose slopes are within the penalty."""
    share = weights / weights.sum()
    Z, v = X - share @ X, y - share @ y
    gram, cross = Z.T @ (share[:, None] * Z) + l2 * np.eye(3), Z.T @ (share * v)
    for signs in np.stack(np.meshgrid(*[[-1, 0, 1]] * 3), -1).reshape(-1, 3):
        on, w = signs != 0, np.zeros(3)
        w[on] = np.linalg.solve(gram[on][:, on], (cross - l1 * signs)[on])
        is_best = (np.sign(w) == signs).all() and (np.abs(cross - gram @ w)[~on] < l1).all()
        if is_best:
            break
    objective = share @ (v - Z @ w) ** 2 / 2 + l1 * np.abs(w).sum() + l2 / 2 * w @ w
    return lasso.State(w, share @ y - share @ X @ w), objective


def path_by_enumeration(X, y, *, penalties, l1_ratio, weights, **_):
    nets = [
        net_by_enumeration(X, y, l1=p * l1_ratio, l2=p * (1 - l1_ratio), weights=weights)
        for p in penalties
    ]
    states, objectives = zip(*nets, strict=True)
    state = lasso.State(*(np.stack(leaves) for leaves in zip(*states, strict=True)))
    return penalties, state, np.stack(objectives)


def huber_by_scipy(X, y, *, weights, threshold, l2, **_):
    """Find the root of scikit-learn's gradient; its own search ends earlier."""
    given = (X, y, threshold, l2 * weights.sum(), weights)
    start = np.append(np.linalg.lstsq(np.column_stack([X, np.ones(40)]), y)[0], y.std())
    rough = optimize.minimize(
        _huber_loss_and_gradient, start, given, jac=True, bounds=[(None, None)] * 4 + [(0.01, None)]
    )
    found = optimize.root(
        lambda p: _huber_loss_and_gradient(p, *given)[1], rough.x, method="lm", tol=1e-15
    ).x
    objective = _huber_loss_and_gradient(found, *given)[0] / weights.sum()
    is_outlier = np.abs(y - X @ found[:3] - found[3]) > threshold * found[4]
    return huber.State(found[:3], found[3], found[4]), objective, is_outlier


def huber_found(*args, **given):
    state, info = huber.fit(*args, **given)
    return state, info.objective, info.is_outlier


def net_found(*args, **given):
    state, info = elastic_net.fit(*args, **given)
    return state, info.objective


def path_found(*args, **given):
    penalties, state, info = elastic_net.path(*args, **given)
    return penalties, state, info.objective


def bayes_by_sklearn(X, y, *, weights, **_):
    given = {"tol": 1e-14, "max_iter": 10_000, "compute_score": True}
    fitted = BayesianRidge(**given).fit(X, y, sample_weight=weights)
    alpha, lam = fitted.alpha_, fitted.lambda_
    center = np.average(X, axis=0, weights=weights)
    state = (fitted.coef_, fitted.intercept_, fitted.sigma_, center, alpha, lam)
    known = 3 - lam * np.trace(fitted.sigma_)
    return bayesian_ridge.State(*state), fitted.scores_[-1], known


def bayes_found(*args, **given):
    state, info = bayesian_ridge.fit(*args, **given)
    return state, info.log_evidence, info.num_known


def std_by_hand(state, X):
    Z = X - state.center
    return np.sqrt(1 / state.noise_precision + np.einsum("ni,ij,nj->n", Z, state.cov, Z))


CASES: tuple[Case, ...] = (
    Case(
        "class_weights.balanced",
        class_weights.balanced,
        (codes,),
        WEIGHTED,
        static={"num_classes": 3},
        oracle=balanced_by_sklearn,
    ),
    Case(
        "class_weights.spread",
        class_weights.spread,
        (codes, np.array([0.5, 1.0, 4.0])),
        oracle=lambda labels, class_weights: class_weights[labels],
    ),
    Case(
        "linear_regression.fit",
        linear_regression.fit,
        (X, y),
        WEIGHTED,
        oracle=least_squares_by_sklearn,
    ),
    *(
        Case(f"{module}.predict", predict, (state, X), oracle=predict_by_hand)
        for module, predict, state in (
            (
                "linear_regression",
                linear_regression.predict,
                linear_regression.State(**MODEL, rank=np.array(3), condition=np.array(1.0)),
            ),
            ("linear_descent", linear_descent.predict, moving),
            ("elastic_net", elastic_net.predict, lasso.State(**MODEL)),
            ("huber", huber.predict, huber.State(**MODEL, scale=np.array(1.0))),
            ("bayesian_ridge", bayesian_ridge.predict, believed),
        )
    ),
    Case(
        "linear_descent.init",
        linear_descent.init,
        (X,),
        oracle=lambda X: linear_descent.State(np.zeros(3), 0.0, np.zeros(3)),
    ),
    Case(
        "linear_descent.step",
        linear_descent.step,
        (moving, X, y),
        {"step_size": 0.3, "momentum": 0.5, **WEIGHTED},
        oracle=lambda state, X, y, **given: descent_by_hand(X, y, start=state, **given),
    ),
    Case(
        "linear_descent.fit",
        linear_descent.fit,
        (X, y),
        {"step_size": 0.3, "momentum": 0.5, "rtol": -1.0, **WEIGHTED},
        static={"max_steps": 5},
        oracle=descent_to_the_end,
        modes=("fwd",),
        because="a loop that ends on tolerance has no reverse mode",
    ),
    Case(
        "elastic_net.fit",
        net_found,
        (X, y),
        {"l1": 0.6, "l2": 0.1, **WEIGHTED},
        static={"rtol": 1e-14},  # not moved by the law of derivatives
        oracle=net_by_enumeration,
    ),
    Case(
        "elastic_net.path",
        path_found,
        (X, y),
        {"penalties": np.array([2.0, 0.7]), "l1_ratio": 0.8, **WEIGHTED},
        static={"rtol": 1e-14},
        oracle=path_by_enumeration,
    ),
    Case(
        "huber.fit",
        huber_found,
        (X, y),
        {"threshold": 1.35, "l2": 0.02, **WEIGHTED},
        static={"gtol": 1e-11},
        oracle=huber_by_scipy,
    ),
    Case(
        "bayesian_ridge.fit",
        bayes_found,
        (X, y),
        WEIGHTED,
        static={"rtol": 1e-13, "max_steps": 40},
        oracle=bayes_by_sklearn,
    ),
    Case(
        "bayesian_ridge.predict_std",
        bayesian_ridge.predict_std,
        (believed, X),
        oracle=std_by_hand,
    ),
)
