import numpy as np
from scipy import optimize, special
from sklearn.linear_model import Ridge

from mastery_jax.core.status import Status
from mastery_jax.learning.linear import logistic, ridge
from tests.contract import Case

rng = np.random.default_rng(0)
X, y = rng.normal(size=(40, 3)), rng.normal(size=40)
codes = rng.integers(0, 3, size=40).astype(np.int32)
wide, of_wide = 0.3 * rng.normal(size=(6, 10)), np.array([0, 1, 2, 0, 1, 2], np.int32)
three = logistic.State(weights=rng.normal(size=(3, 3)), bias=rng.normal(size=3))
two = logistic.State(weights=rng.normal(size=(1, 3)), bias=rng.normal(size=1))


def ridge_by_sklearn(X, y, *, l2):
    fitted = Ridge(alpha=l2 * len(X)).fit(X, y)
    return ridge.State(fitted.coef_, fitted.intercept_)


def logistic_by_scipy(X, labels, *, num_classes, l2, **_):
    """Find the stationary point, with one row per class; the first is held at 0 if K = 2."""
    free = np.arange(num_classes) >= (num_classes == 2)
    rows = np.arange(len(X))

    def unpack(flat):
        full = np.zeros((num_classes, X.shape[1] + 1))
        full[free] = flat.reshape(-1, X.shape[1] + 1)
        weights, bias = full[:, :-1], full[:, -1]
        return weights, bias, special.log_softmax(X @ weights.T + bias, axis=1)

    def gradient(flat):
        weights, _, log_proba = unpack(flat)
        off = np.exp(log_proba) - np.eye(num_classes)[labels]
        parts = off.T @ X / len(X) + l2 * weights, off.mean(axis=0)[:, None]
        return np.hstack(parts)[free].ravel()

    start = np.zeros(free.sum() * (X.shape[1] + 1))
    found = optimize.root(gradient, start, method="lm", tol=1e-15)
    weights, bias, log_proba = unpack(found.x)
    if num_classes > 2:
        bias = bias - bias.mean()
    info = logistic.Info(
        objective=-log_proba[rows, labels].mean() + l2 / 2 * (weights**2).sum(),
        excess=0.0,
        num_steps=5,
        is_done=False,
        status=Status.OUT_OF_STEPS,
    )
    return logistic.State(weights[free], bias[free]), info


def log_proba_by_scipy(state, X):
    logits = X @ state.weights.T + state.bias
    if logits.shape[1] == 1:
        logits = np.hstack([0 * logits, logits])
    return special.log_softmax(logits, axis=1)


CASES: tuple[Case, ...] = (
    Case("ridge.fit", ridge.fit, (X, y), {"l2": 0.1}, oracle=ridge_by_sklearn),
    Case("ridge.fit wide", ridge.fit, (wide, y[:6]), {"l2": 0.1}, oracle=ridge_by_sklearn),
    Case(
        "ridge.predict",
        ridge.predict,
        (ridge.State(np.ones(3), np.array(2.0)), X),
        oracle=lambda state, X: X @ state.weights + state.bias,
    ),
    *(
        Case(
            f"logistic.fit {label}",
            logistic.fit,
            (features, labels),
            {"l2": 0.1, "atol": -1.0},  # never reached, so that every law sees five steps
            static={"num_classes": num_classes, "max_steps": 5},
            oracle=logistic_by_scipy,
        )
        for label, features, labels, num_classes in (
            ("two classes", X, (codes > 0).astype(np.int32), 2),
            ("three classes", X, codes, 3),
            ("wide", wide, of_wide, 3),
        )
    ),
    *(
        Case(f"logistic.{name} {label}", fn, (state, X), oracle=oracle)
        for label, state in (("two classes", two), ("three classes", three))
        for name, fn, oracle in (
            ("predict_log_proba", logistic.predict_log_proba, log_proba_by_scipy),
            (
                "predict_proba",
                logistic.predict_proba,
                lambda s, X: np.exp(log_proba_by_scipy(s, X)),
            ),
            ("predict", logistic.predict, lambda s, X: log_proba_by_scipy(s, X).argmax(axis=1)),
        )
    ),
)
