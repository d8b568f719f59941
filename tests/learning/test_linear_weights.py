"""What weights of rows mean to every linear model: repeated rows, and rows that are not there."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mastery_jax.learning.linear import (
    bayesian_ridge,
    elastic_net,
    huber,
    linear_descent,
    linear_regression,
    logistic,
    ridge,
)

rng = np.random.default_rng(0)
X = rng.normal(size=(24, 5)) * [1, 2, 0.5, 1, 3] + 2
WIDE = rng.normal(size=(24, 30))
y = X @ [1.0, -1.0, 2.0, 0.0, 0.5] + rng.normal(size=24)
counts = rng.integers(0, 4, size=24)
labels = rng.permutation(np.arange(24) % 3).astype(np.int32)


def classes(X, codes, **hyper):
    num_classes = 3 if hyper.pop("three", False) else 2
    atol = 1e-14 if X.dtype == np.float64 else 1e-8
    return logistic.fit(X, codes, num_classes=num_classes, atol=atol, **hyper)[0]


def first(fit):
    """Return the weights and the bias alone."""

    def fitted(X, y, **hyper):
        found = fit(X, y, **hyper)
        return (found if hasattr(found, "_fields") else found[0])[:2]

    return fitted


MODELS = {
    "ridge": (ridge.fit, X, y, {"l2": 0.1}),
    "ridge wide": (ridge.fit, WIDE, y, {"l2": 0.1}),
    "linear": (first(linear_regression.fit), X, y, {}),
    "descent": (first(linear_descent.fit), X, y, {"rtol": 1e-12, "momentum": 0.8}),
    "net": (first(elastic_net.fit), X, y, {"l1": 0.1, "l2": 0.05, "rtol": 1e-14}),
    "huber": (first(huber.fit), X, y, {"l2": 0.1, "gtol": 1e-11}),
    "bayes": (first(bayesian_ridge.fit), X, y, {"rtol": 1e-12}),
    "logistic": (classes, X, labels, {"l2": 0.05, "three": True}),
    "logistic l1": (classes, X, labels % 2, {"l2": 0.01, "l1": 0.02}),
}


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


def close(a, b, rtol=1e-6):
    jax.tree.map(lambda u, v: np.testing.assert_allclose(u, v, rtol=rtol, atol=1e-8), a, b)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_whole_weights_repeat_rows_and_their_unit_is_free(name):
    fit, X, y, hyper = MODELS[name]
    weighted = fit(X, y, weights=1.0 * counts, **hyper)
    close(weighted, fit(np.repeat(X, counts, axis=0), np.repeat(y, counts), **hyper))
    if name != "bayes":  # which counts rows
        close(weighted, fit(X, y, weights=2.5 * counts, **hyper))


@pytest.mark.parametrize("name", MODELS)
def test_a_row_of_weight_zero_is_not_read(name):
    fit, X, y, hyper = MODELS[name]
    nonsense = np.where(counts == 0, np.nan if y.dtype.kind == "f" else 99, y).astype(y.dtype)
    far = X + 50.0 * (counts == 0)[:, None]
    weights = 1.0 * counts
    close(fit(far, nonsense, weights=weights, **hyper), fit(X, y, weights=weights, **hyper))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("weights", [-np.eye(24)[0] + 1e-3, np.zeros(24), np.full(24, np.nan)])
def test_weights_that_make_no_sense_give_nan(name, weights):
    fit, X, y, hyper = MODELS[name]
    found = fit(X, y, weights=weights, **hyper)
    assert all(jnp.isnan(leaf).all() for leaf in jax.tree.leaves(found[:2]))


@pytest.mark.parametrize("name", MODELS)
def test_single_precision_keeps_its_dtype_whatever_the_weights_have(name):
    fit, X, y, hyper = MODELS[name]
    loose = {k: 1e-5 for k in ("rtol", "gtol", "atol") if k in hyper}
    hyper = {**hyper, "weights": 1.0 * counts}
    narrow = y.astype(np.float32) if y.dtype.kind == "f" else y
    found = fit(X.astype(np.float32), narrow, **{**hyper, **loose})
    for a, b in zip(found[:2], fit(X, y, **hyper)[:2], strict=True):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, b, rtol=5e-3, atol=5e-3)
    # Targets of more digits are of the dtype of X as well.
    close(fit(X.astype(np.float32), narrow.astype(y.dtype), **{**hyper, **loose}), found)
