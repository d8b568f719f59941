"""Support vector machines, beside the exact optimum of the bounds that libsvm finds active."""

import jax.numpy as jnp
import numpy as np
from scipy import optimize
from sklearn import svm as peer

from mastery_jax.learning.svm import (
    dual,
    linear_svm,
    similarity,
    svm_classifier,
    svm_regressor,
)
from tests.contract import Case

rng = np.random.default_rng(11)
X = rng.normal(size=(18, 2))
labels = rng.permutation(np.arange(18) % 3).astype(np.int32)
X[:, 0] += labels
sides = np.where(labels == 0, 1.0, -1.0)
y = X[:, 0] - np.sin(2 * X[:, 1]) + 0.1 * rng.normal(size=18)
weights = rng.uniform(0.5, 2, size=18)
GAMMA, EXACT, NO_SLOPE = 2.0, {"atol": 1e-13}, "the search by pairs has no derivative"
WHOLE = {"max_steps": 300}


def rbf(X, Z=None, gamma=GAMMA):
    Z = X if Z is None else Z
    return np.exp(-gamma * ((X[:, None] - Z[None]) ** 2).sum(axis=2))


def refined(gram, targets, lower, upper, *, epsilon=0.0, coefs=None, atol=None, max_steps=None):
    """Solve for the coefficients at no bound, given what libsvm says of the others."""
    cost = np.maximum(upper, -lower)
    rows = cost > 0
    if epsilon:
        model = peer.SVR(kernel="precomputed", C=1, epsilon=epsilon, tol=1e-10)
    else:
        model = peer.SVC(kernel="precomputed", C=1, tol=1e-10)
    model.fit(gram[np.ix_(rows, rows)], targets[rows], sample_weight=cost[rows])
    rough = np.zeros(len(targets))
    rough[np.flatnonzero(rows)[model.support_]] = model.dual_coef_[0]
    is_free = (rough > lower + 1e-6) & (rough < upper - 1e-6) & (np.abs(rough) > 1e-6)
    coefs = np.where(is_free, 0, np.round(rough / np.where(rows, cost, 1)) * cost)
    tube = targets - epsilon * np.sign(rough)
    size = is_free.sum()
    K = np.ones((size + 1, size + 1))
    K[:-1, :-1], K[-1, -1] = gram[np.ix_(is_free, is_free)], 0
    found = np.linalg.solve(K, np.append((tube - gram @ coefs)[is_free], -coefs.sum()))
    coefs[is_free] = found[:-1]
    objective = coefs @ (gram @ coefs / 2 - targets) + epsilon * np.abs(coefs).sum()
    return dual.State(coefs, found[-1]), objective


def without_end(fn):
    """Return a function that hides how it ended: no other code takes as many steps to its gap."""

    def hidden(*args, **hyper):
        state, info = fn(*args, **hyper)
        names = {"num_steps", "gap", "decrement", "is_done", "status"} & {*info._fields}
        return state, info._replace(**{n: jnp.zeros(getattr(info, n).shape, int) for n in names})

    return hidden


def dual_by_libsvm(gram, targets, lower, upper, **hyper):
    state, objective = refined(gram, targets, lower, upper, **hyper)
    return state, dual.Info(objective, 0.0, 0, 0, 0)


def classifier_by_libsvm(X, labels, *, weights, C, gamma, atol, **sizes):
    gram = rbf(X, gamma=gamma)
    found = []
    for i in range(3):
        for j in range(i + 1, 3):
            s = np.where(labels == i, 1.0, np.where(labels == j, -1.0, 0.0))
            cost = C * weights * np.abs(s)
            found.append(refined(gram, s, np.where(s < 0, -cost, 0), np.where(s > 0, cost, 0)))
    coefs = np.stack([state.coefs for state, _ in found])
    bias = np.array([state.bias for state, _ in found])
    support = [((coefs != 0).any(axis=0) & (labels == k)).sum() for k in range(3)]
    state = svm_classifier.State(X, coefs, bias, (gamma,), np.full((3, 2), np.nan))
    objective = np.array([objective for _, objective in found])
    return state, svm_classifier.Info(objective, np.zeros(3), np.zeros(3), np.array(support), 0, 0)


def regressor_by_libsvm(X, y, *, weights, C, gamma, epsilon, atol, max_steps):
    cost = C * weights
    state, objective = refined(rbf(X, gamma=gamma), y, -cost, cost, epsilon=epsilon)
    return svm_regressor.State(X, *state, (gamma,)), svm_regressor.Info(
        objective, 0.0, 0, (state.coefs != 0).sum(), 0, 0
    )


def linear_by_scipy(X, labels, *, weights, l2, num_classes):
    share = weights / weights.sum()

    def loss(u, s):
        short = np.maximum(1 - s * (X @ u[:-1] + u[-1]), 0)
        slope = -2 * share * s * short
        gradient = np.append(X.T @ slope + l2 * u[:-1], slope.sum())
        return share @ short**2 + l2 / 2 * (u[:-1] ** 2).sum(), gradient

    rows, objective = [], []
    for k in range(num_classes):
        s = np.where(labels == k, 1.0, -1.0)
        u = optimize.root(lambda u, s=s: loss(u, s)[1], np.zeros(3), tol=1e-14).x
        rows.append(u)
        objective.append(loss(u, s)[0])
    rows = np.stack(rows)
    state = linear_svm.State(rows[:, :-1], rows[:, -1])
    info = linear_svm.Info(np.array(objective), np.zeros(3), np.zeros(3), 0, 0)
    return state, info


def pairs_of(state, X):
    return rbf(X, state.rows, state.kernel.gamma) @ state.coefs.T + state.bias


def ovr_by_sklearn(state, X):
    from sklearn.utils.multiclass import _ovr_decision_function

    found = pairs_of(state, X)
    return _ovr_decision_function(found < 0, -found, 3)


def most_votes(state, X):
    one, other = np.triu_indices(3, 1)
    winner = np.where(pairs_of(state, X) > 0, one, other)
    return (winner[:, :, None] == np.arange(3)).sum(axis=1).argmax(axis=1)


def coupled(state, X):
    """Minimize the quadratic of Wu, Lin & Weng, row by row, as equations with a multiplier."""
    found = 1 / (1 + np.exp(state.links[:, 0] * pairs_of(state, X) + state.links[:, 1]))
    rows = []
    for r01, r02, r12 in found:
        r = np.array([[0, r01, r02], [1 - r01, 0, r12], [1 - r02, 1 - r12, 0]])
        K = np.zeros((4, 4))
        K[:3, :3] = np.diag((r**2).sum(axis=0)) - r.T * r
        K[3, :3], K[:3, 3] = 1, -1
        rows.append(np.linalg.solve(K, [0, 0, 0, 1])[:3])
    return np.array(rows)


kernel = similarity.RBF(np.array(GAMMA))
links = np.array([[-2.0, 0.1], [-1.0, 0.0], [-3.0, -0.2]])
pairs = svm_classifier.State(X, rng.normal(size=(3, 18)), rng.normal(size=3), kernel, links)
curve = svm_regressor.State(X, rng.normal(size=18), np.array(0.3), kernel)
plane = linear_svm.State(rng.normal(size=(3, 2)), rng.normal(size=3))
new = rng.normal(size=(5, 2))
INNER = {"unchecked": ("0/kernel",), "because": "a kernel is data of one of several kinds"}
SOLVED = {"modes": (), "because": NO_SLOPE}
box = (np.minimum(sides, 0) * 2 * weights, np.maximum(sides, 0) * 2 * weights)
poly = similarity.Polynomial(np.array(0.5), np.array(1.0), np.array(3.0))

CASES: tuple[Case, ...] = (
    *(
        Case(
            f"dual.solve {name}",
            without_end(dual.solve),
            (rbf(X), *given),
            EXACT | hyper,
            static=WHOLE,
            oracle=dual_by_libsvm,
            **SOLVED,
        )
        for name, given, hyper in (
            ("classes", (sides, *box), {}),
            ("tube", (y, -2 * weights, 2 * weights), {"epsilon": 0.2, "coefs": np.zeros(18)}),
        )
    ),
    *(
        Case(
            f"similarity.cross {name}",
            similarity.cross,
            (form, X, new),
            unchecked=("0",),
            because="a kernel is data of one of several kinds",
            oracle=oracle,
        )
        for name, form, oracle in (
            ("linear", similarity.Linear(), lambda k, X, Z: X @ Z.T),
            ("rbf", kernel, lambda k, X, Z: rbf(X, Z, k.gamma)),
            (
                "poly",
                poly,
                lambda k, X, Z: (k.gamma * X @ Z.T + k.offset) ** k.degree,
            ),
        )
    ),
    Case(
        "similarity.scale",
        similarity.scale,
        (X,),
        {"weights": np.ones(18)},
        oracle=lambda X, weights: 1 / (X.shape[1] * X.var()),
    ),
    Case(
        "svm_classifier.fit",
        without_end(svm_classifier.fit),
        (X, labels),
        EXACT | {"weights": weights, "C": 2.0, "gamma": GAMMA},
        static=WHOLE | {"num_classes": 3, "rows_per_class": 6},
        oracle=classifier_by_libsvm,
        **SOLVED,
    ),
    Case(
        "svm_classifier.decision_function",
        svm_classifier.decision_function,
        (pairs, new),
        oracle=ovr_by_sklearn,
        **INNER,
    ),
    Case(
        "svm_classifier.predict",
        svm_classifier.predict,
        (pairs, new),
        oracle=most_votes,
        **INNER,
    ),
    Case(
        "svm_classifier.predict_proba",
        svm_classifier.predict_proba,
        (pairs, new),
        oracle=coupled,
        **INNER,
    ),
    Case(
        "svm_regressor.fit",
        without_end(svm_regressor.fit),
        (X, y),
        EXACT | {"weights": weights, "C": 2.0, "gamma": GAMMA, "epsilon": 0.2},
        static=WHOLE,
        oracle=regressor_by_libsvm,
        **SOLVED,
    ),
    Case(
        "svm_regressor.predict",
        svm_regressor.predict,
        (curve, new),
        oracle=lambda s, X: rbf(X, s.rows, s.kernel.gamma) @ s.coefs + s.bias,
        **INNER,
    ),
    Case(
        "linear_svm.fit",
        without_end(linear_svm.fit),
        (X, labels),
        {"weights": weights, "l2": 0.1},
        static={"num_classes": 3},
        oracle=linear_by_scipy,
        modes=("fwd",),
        because="the steps end when they are done",
    ),
    Case(
        "linear_svm.decision_function",
        linear_svm.decision_function,
        (plane, new),
        oracle=lambda s, X: X @ s.weights.T + s.bias,
    ),
    Case(
        "linear_svm.predict",
        linear_svm.predict,
        (plane, new),
        oracle=lambda s, X: (X @ s.weights.T + s.bias).argmax(axis=1),
    ),
)
