"""Logistic regression where the data leave something open, and the face it still has to keep."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from mastery_jax.core.status import Status
from mastery_jax.learning.linear import logistic
from tests.test_logistic import bundled, fit

rng = np.random.default_rng(0)
X = rng.normal(size=(200, 2))
y = (X[:, 0] + rng.logistic(size=200) > 0).astype(np.int32)
three = rng.normal(size=(60, 2))
two_of_three = (2 * (three[:, 0] + 0.5 * rng.normal(size=60) > 0)).astype(np.int32)


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


def log_loss(state, features, labels):
    log_probs = logistic.predict_log_proba(state, features)
    return -log_probs[jnp.arange(len(labels)), labels].mean()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("far", [1e3, 1e8])
@pytest.mark.parametrize("hyper", [{}, {"l1": 0.01}])
def test_features_of_a_row_of_weight_zero_are_not_read(dtype, far, hyper):
    padded = np.vstack([X, far + far * rng.normal(size=(5, 2))]).astype(dtype)
    weights = np.append(np.ones(200), np.zeros(5)).astype(dtype)
    labels = np.append(y, np.zeros(5, np.int32))
    state, info = fit(padded, labels, 2, weights=weights, **hyper)
    wanted, _ = fit(X.astype(dtype), y, 2, **hyper)
    assert info.status == Status.CONVERGED
    np.testing.assert_allclose(state.weights, wanted.weights, atol=1e-5)
    np.testing.assert_allclose(state.bias, wanted.bias, atol=1e-5)


codes = np.arange(200) % 3
DEPENDENT = {
    "constant": np.column_stack([X, np.full(200, 0.1)]),
    "one": np.column_stack([X, np.ones(200)]),
    "twice": np.column_stack([X, X[:, 0]]),
    "codes": np.column_stack([X, np.eye(3)[codes]]),
    "sum": np.column_stack([X + 100, X.sum(axis=1) + 200]),
    "many": np.column_stack(
        [
            rng.normal(size=(200, 20)) + rng.normal(size=(200, 1)),
            np.eye(10)[codes + 3 * (X[:, 1] > 0)],
        ]
    ),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", DEPENDENT)
def test_features_that_depend_on_others_without_a_penalty(name, dtype):
    features = DEPENDENT[name]
    state, info = fit(features.astype(dtype), y, 2, l2=0.0)
    assert info.status == Status.CONVERGED
    assert jnp.abs(state.weights).max() < 5
    wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), state)
    np.testing.assert_allclose(info.objective, log_loss(wide, features, y), atol=1e-5)
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(features, y)
    wanted = -theirs.predict_log_proba(features)[np.arange(200), y].mean()
    np.testing.assert_allclose(info.objective, wanted, atol=1e-5)
    if name in ("constant", "one"):
        np.testing.assert_allclose(state.weights[0, 2], 0, atol=1e-9)
    if name == "twice":  # the shortest weights
        np.testing.assert_allclose(state.weights[0, 0], state.weights[0, 2], rtol=1e-4)


@pytest.mark.parametrize("l2", [1e-2, 1e-6])
def test_more_features_than_rows_of_all_sizes(l2):
    draw = np.random.default_rng(1)
    base = draw.normal(size=(80, 10))
    features = base @ draw.normal(size=(10, 200)) + 0.01 * draw.normal(size=(80, 200))
    features *= np.logspace(-3, 3, 200)
    labels = (base[:, 0] + draw.logistic(size=80) > 0).astype(np.int32)
    state, info = fit(features, labels, 2, l2=l2, atol=1e-10)
    assert info.status == Status.CONVERGED
    best = LogisticRegression(C=1 / (80 * l2), solver="newton-cholesky", tol=1e-10, max_iter=1000)
    wanted = best.fit(features, labels).coef_
    assert jnp.abs(state.weights - wanted).max() < 1e-4 * np.abs(wanted).max()


def test_a_penalty_that_is_nearly_nothing_still_decides():
    features, labels, num_classes = bundled("iris")
    state, info = fit(features, labels, num_classes, l2=1 / (1e8 * 150))
    exact, _ = fit(features, labels, num_classes, l2=1 / (1e8 * 150), atol=1e-14)
    assert info.status == Status.CONVERGED
    off = jnp.abs(state.weights - exact.weights).max()
    assert off < 1e-3 * jnp.abs(exact.weights).max()


@pytest.mark.parametrize("hyper", [{}, {"l1": 0.02}])
@pytest.mark.parametrize("atol", [1e-4, 1e-12])
def test_an_absent_class_has_no_probability_and_the_others_do_not_feel_it(hyper, atol):
    state, info = fit(three, two_of_three, 3, l2=0.01, atol=atol, **hyper)
    assert info.status == Status.CONVERGED
    np.testing.assert_array_equal(state.bias[1], -np.inf)
    np.testing.assert_array_equal(state.weights[1], 0)
    np.testing.assert_allclose(state.bias[0] + state.bias[2], 0, atol=1e-12)
    np.testing.assert_array_equal(logistic.predict_proba(state, three)[:, 1], 0)
    # A softmax of two has half the weights of the log-odds, and half of their squares.
    halved = {name: value / 2 for name, value in {"l2": 0.01, **hyper}.items()}
    halved["l1"] = halved["l1"] * 2 if hyper else None
    alone, _ = fit(three, two_of_three // 2, 2, **halved, atol=atol)
    found = logistic.predict_proba(state, three)[:, ::2]
    rtol = 1e-5 if atol < 1e-6 else 1e-2
    np.testing.assert_allclose(found, logistic.predict_proba(alone, three), rtol=rtol)


def test_a_grid_by_accuracy_over_folds_that_lack_a_class():
    labels = two_of_three.copy()
    labels[:4] = 1
    folds = (np.arange(60)[None] // 20 != np.arange(3)[:, None]).astype(three.dtype)

    def one(weights, l2):
        state, info = fit(three, labels, 3, weights=weights, l2=l2)
        out = weights == 0
        hits = out & (logistic.predict(state, three) == labels)
        return hits.sum() / out.sum(), info.is_done

    found, is_done = jax.vmap(lambda w: jax.vmap(lambda l2: one(w, l2))(jnp.array([1e-3, 0.1])))(
        jnp.asarray(folds)
    )
    assert is_done.all()
    assert ((found > 0.6) & (found <= 1)).all()
    slope = jax.grad(
        lambda l2: log_loss(fit(three, two_of_three, 3, l2=l2)[0], three, two_of_three)
    )
    assert jnp.isfinite(slope(0.01))
