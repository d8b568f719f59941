import numpy as np
from scipy import optimize, special
from sklearn.linear_model import Ridge

from mastery_jax.core.status import Status
from mastery_jax.learning.linear import logistic, ridge
from tests.contract import Case

rng = np.random.default_rng(0)
X, y = rng.normal(size=(40, 3)), rng.normal(size=40)
codes = rng.integers(0, 3, size=40).astype(np.int32)
weights = rng.uniform(0.5, 2, size=40)
wide, of_wide = 0.3 * rng.normal(size=(6, 10)), np.array([0, 1, 2, 0, 1, 2], np.int32)
three = logistic.State(weights=rng.normal(size=(3, 3)), bias=rng.normal(size=3))
two = logistic.State(weights=rng.normal(size=(1, 3)), bias=rng.normal(size=1))


def ridge_by_sklearn(X, y, *, l2, weights=None):
    total = len(X) if weights is None else weights.sum()
    fitted = Ridge(alpha=l2 * total).fit(X, y, sample_weight=weights)
    return ridge.State(fitted.coef_, fitted.intercept_)


def logistic_by_scipy(X, labels, *, num_classes, l2, weights=None, **_):
    """Find the stationary point, with one row per class; the first is held at 0 if K = 2."""
    free = np.arange(num_classes) >= (num_classes == 2)
    rows = np.arange(len(X))
    shares = np.full(len(X), 1 / len(X)) if weights is None else weights / weights.sum()

    def unpack(flat):
        full = np.zeros((num_classes, X.shape[1] + 1))
        full[free] = flat.reshape(-1, X.shape[1] + 1)
        weights, bias = full[:, :-1], full[:, -1]
        return weights, bias, special.log_softmax(X @ weights.T + bias, axis=1)

    def gradient(flat):
        weights, _, log_proba = unpack(flat)
        off = (np.exp(log_proba) - np.eye(num_classes)[labels]) * shares[:, None]
        parts = off.T @ X + l2 * weights, off.sum(axis=0)[:, None]
        return np.hstack(parts)[free].ravel()

    start = np.zeros(free.sum() * (X.shape[1] + 1))
    found = optimize.root(gradient, start, method="lm", tol=1e-15)
    weights, bias, log_proba = unpack(found.x)
    if num_classes > 2:
        bias = bias - bias.mean()
    info = logistic.Info(
        objective=-log_proba[rows, labels] @ shares + l2 / 2 * (weights**2).sum(),
        excess=0.0,
        num_steps=5,
        is_done=False,
        status=Status.OUT_OF_STEPS,
    )
    return logistic.State(weights[free], bias[free]), info


def logistic_by_shrinking(X, labels, *, num_classes, l1, l2, weights, max_steps, **_):
    """Follow the gradient from 0, and shrink every weight after each step: ISTA, to rounding."""
    free = np.arange(num_classes) >= (num_classes == 2)
    shares = (weights / weights.sum())[:, None]
    targets = np.eye(num_classes)[labels]
    W, b = np.zeros((num_classes, X.shape[1])), np.zeros(num_classes)
    step = 1 / (np.linalg.norm(X, axis=1).max() ** 2 + 1 + l2)
    for _ in range(20_000):
        log_proba = special.log_softmax(X @ W.T + b, axis=1)
        off = (np.exp(log_proba) - targets) * shares * free
        moved = W - step * (off.T @ X + l2 * W)
        W = np.sign(moved) * np.maximum(np.abs(moved) - step * l1, 0)
        b = b - step * off.sum(axis=0)
    objective = -(targets * log_proba * shares).sum() + l2 / 2 * (W**2).sum() + l1 * np.abs(W).sum()
    info = logistic.Info(objective, 0.0, max_steps, False, Status.OUT_OF_STEPS)
    return logistic.State(W[free], b[free]), info


def log_proba_by_scipy(state, X):
    logits = X @ state.weights.T + state.bias
    if logits.shape[1] == 1:
        logits = np.hstack([0 * logits, logits])
    return special.log_softmax(logits, axis=1)


CASES: tuple[Case, ...] = (
    Case("ridge.fit", ridge.fit, (X, y), {"l2": 0.1}, oracle=ridge_by_sklearn),
    Case("ridge.fit wide", ridge.fit, (wide, y[:6]), {"l2": 0.1}, oracle=ridge_by_sklearn),
    *(
        Case(
            f"ridge.fit weighted {label}",
            ridge.fit,
            (features, targets),
            {"l2": 0.1, "weights": weights[: len(targets)]},
            oracle=ridge_by_sklearn,
        )
        for label, features, targets in (("tall", X, y), ("wide", wide, y[:6]))
    ),
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
            {"l2": 0.1, "atol": -1.0, **more},  # never reached, so that every law sees five steps
            static={"num_classes": num_classes, "max_steps": 5},
            oracle=logistic_by_scipy,
        )
        for label, features, labels, num_classes, more in (
            ("two classes", X, (codes > 0).astype(np.int32), 2, {}),
            ("three classes, weighted", X, codes, 3, {"weights": weights}),
            ("wide", wide, of_wide, 3, {}),
        )
    ),
    *(
        Case(
            f"logistic.fit l1, {label}",
            logistic.fit,
            (X, labels),
            {"l1": 0.03, "l2": 0.01, "weights": weights, "atol": -1.0},
            static={"num_classes": num_classes, "max_steps": 6},
            oracle=logistic_by_shrinking,
        )
        for label, labels, num_classes in (
            ("two classes", (codes > 0).astype(np.int32), 2),
            ("three classes", codes, 3),
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
            (
                "decision_function",
                logistic.decision_function,
                lambda s, X: (X @ s.weights.T + s.bias).squeeze(axis=1 if len(s.bias) == 1 else ()),
            ),
        )
    ),
)
