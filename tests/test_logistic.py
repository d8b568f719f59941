"""Logistic regression: scikit-learn's optimum, an honest end, and what holds at every optimum."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import export
from sklearn import datasets
from sklearn.linear_model import LogisticRegression

from mastery_jax.core.status import Status
from mastery_jax.learning.linear import logistic

few = settings(max_examples=8, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)
kinds = st.sampled_from([((30, 4), 2), ((30, 4), 3), ((9, 12), 3)])


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


def bundled(name, *, standardize=True):
    X, labels = getattr(datasets, f"load_{name}")(return_X_y=True)
    if standardize:
        X = (X - X.mean(axis=0)) / np.where(X.std(axis=0) > 0, X.std(axis=0), 1)
    return X, labels.astype(np.int32), int(labels.max()) + 1


def problem(seed, kind):
    (num_samples, num_features), num_classes = kind
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(num_samples, num_features)) * np.exp(rng.normal(size=num_features)) + 1
    labels = np.arange(num_samples) % num_classes
    return X, rng.permutation(labels).astype(np.int32), num_classes


def fit(X, labels, num_classes, **hyper):
    return logistic.fit(X, labels, num_classes=num_classes, **hyper)


def objective_of_sklearn(X, labels, C):
    fitted = LogisticRegression(C=C, tol=1e-8, max_iter=20000).fit(X, labels)
    picked = fitted.predict_log_proba(X)[np.arange(len(X)), labels]
    return -picked.sum() + (fitted.coef_**2).sum() / (2 * C)


@pytest.mark.reference
def test_the_published_optimum_of_breast_cancer(reference):
    published = json.loads((reference / "sklearn_reference" / "reference.json").read_text())
    wanted = published["deterministic"]["logreg_breast_cancer_full_zscore_C1"]
    X, labels, num_classes = bundled("breast_cancer")
    state, info = fit(X, labels, num_classes, l2=1 / len(X), atol=1e-14)
    assert info.status == Status.CONVERGED
    np.testing.assert_allclose(
        info.objective * len(X), wanted["objective_sum_nll_plus_half_l2"], rtol=1e-6
    )
    np.testing.assert_allclose(state.weights[0], wanted["coef"], atol=1e-5)
    np.testing.assert_allclose(state.bias[0], wanted["intercept"], atol=1e-5)


@pytest.mark.parametrize(
    ("name", "every"),
    [("iris", 1), ("wine", 1), ("digits", 4), pytest.param("digits", 1, marks=pytest.mark.slow)],
)
def test_the_optimum_of_scikit_learn(name, every):
    X, labels, num_classes = bundled(name)
    X, labels = X[::every], labels[::every]
    state, info = fit(X, labels, num_classes, l2=1 / len(X))
    assert info.is_done
    np.testing.assert_allclose(
        info.objective * len(X), objective_of_sklearn(X, labels, C=1.0), rtol=1e-6
    )
    np.testing.assert_allclose(state.bias.sum(), 0, atol=1e-9)


@pytest.mark.parametrize("name", ["wine", "breast_cancer"])
@pytest.mark.parametrize("l2", [1e-2, 1e-5])
def test_float32_and_raw_features_reach_the_same_optimum(name, l2):
    X, labels, num_classes = bundled(name, standardize=False)
    _, wide = fit(X, labels, num_classes, l2=l2)
    _, info = fit(np.float32(X), labels, num_classes, l2=l2)
    assert info.objective.dtype == np.float32
    assert info.status == wide.status == Status.CONVERGED
    np.testing.assert_allclose(info.objective, wide.objective, rtol=1e-4, atol=1e-7)


@few
@given(seeds, kinds)
def test_at_the_optimum_the_gradient_vanishes(seed, kind):
    X, labels, num_classes = problem(seed, kind)
    state, info = fit(X, labels, num_classes, l2=0.1, atol=1e-16)

    def objective(state):
        log_probs = logistic.predict_log_proba(state, X)
        loss = -log_probs[jnp.arange(len(X)), labels].mean()
        return loss + 0.05 * (state.weights**2).sum()

    value, slope = jax.value_and_grad(objective)(state)
    np.testing.assert_allclose(info.objective, value, rtol=1e-12)
    for leaf in slope:
        np.testing.assert_allclose(leaf, 0, atol=1e-7)
    # The bias is free: on average every class is predicted as often as it occurs.
    probs = logistic.predict_proba(state, X)
    np.testing.assert_allclose(probs.mean(axis=0), np.bincount(labels) / len(labels), rtol=1e-6)


@few
@given(seeds, kinds)
def test_what_leaves_the_predictions_unmoved(seed, kind):
    X, labels, num_classes = problem(seed, kind)
    probs = logistic.predict_proba(fit(X, labels, num_classes, l2=0.1, atol=1e-16)[0], X)
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=2 * X.shape[1:]))[0]
    order = np.random.default_rng(seed).permutation(num_classes)
    same = [
        (X + 7.0, labels, probs),
        (X @ rotation, labels, probs),
        (X, np.argsort(order)[labels].astype(np.int32), probs[:, order]),
    ]
    for features, codes, wanted in same:
        state, _ = fit(features, codes, num_classes, l2=0.1, atol=1e-16)
        np.testing.assert_allclose(logistic.predict_proba(state, features), wanted, atol=1e-7)


def test_the_penalty_is_a_mean_and_can_be_swept():
    X, labels, num_classes = problem(0, ((30, 4), 3))
    grid = jnp.logspace(-4, 3, 6)
    path, info = jax.vmap(lambda l2: fit(X, labels, num_classes, l2=l2))(grid)
    assert info.is_done.all()
    assert (jnp.diff(jnp.abs(path.weights).sum(axis=(1, 2))) < 0).all()
    twice, _ = fit(np.vstack([X, X]), np.append(labels, labels), num_classes, l2=grid[2])
    np.testing.assert_allclose(path.weights[2], twice.weights, rtol=1e-4, atol=1e-7)


def test_the_estimated_excess_is_true():
    X, labels, num_classes = bundled("wine")
    best = fit(X, labels, num_classes, l2=1e-3, atol=1e-16)[1].objective
    before, after = (fit(X, labels, num_classes, l2=1e-3, max_steps=n)[1] for n in (3, 6))
    assert after.objective - best < after.excess < before.excess
    assert after.status == before.status == Status.OUT_OF_STEPS
    assert not before.is_done


def test_separable_classes_and_a_constant_column():
    X, labels, _ = bundled("iris")
    X = np.column_stack([X[:100], np.ones(100)])
    state, info = fit(X, labels[:100], 2, l2=1e-6)
    assert info.status == Status.CONVERGED
    assert (logistic.predict(state, X) == labels[:100]).all()
    np.testing.assert_allclose(state.weights[0, -1], 0, atol=1e-9)


@pytest.mark.parametrize("num_classes", [2, 3])
@pytest.mark.parametrize("fault", ["a label too large", "a negative label", "NaN"])
def test_data_that_make_no_sense_are_not_finite(num_classes, fault):
    X, labels, _ = problem(0, ((30, 4), num_classes))
    if fault == "NaN":
        X[3, 1] = np.nan
    else:
        labels[3] = num_classes if fault == "a label too large" else -1
    state, info = fit(X, labels, num_classes)
    assert (info.status, info.is_done, info.num_steps) == (Status.NOT_FINITE, False, 1)
    assert jnp.isnan(state.weights).any()


def test_an_absent_class_is_predicted_nowhere():
    X, labels, _ = problem(0, ((30, 4), 2))
    state, info = fit(X, labels, 3, l2=0.1)
    assert info.is_done
    assert logistic.predict_proba(state, X)[:, 2].max() < 1e-5


def test_one_class_is_refused():
    X, labels, _ = problem(0, ((30, 4), 2))
    with pytest.raises(ValueError, match=r"logistic\.fit: num_classes is 1, not at least 2"):
        fit(X, labels, 1)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_predictions_trace_for_any_number_of_rows(num_classes):
    X, labels, _ = problem(0, ((30, 4), num_classes))
    state, _ = fit(X, labels, num_classes)
    (rows,) = export.symbolic_shape("rows")
    spec = jax.ShapeDtypeStruct((rows, 4), X.dtype)
    exported = export.export(jax.jit(lambda state, X: logistic.predict(state, X)))(state, spec)
    np.testing.assert_array_equal(exported.call(state, X[:7]), logistic.predict(state, X)[:7])
    np.testing.assert_array_equal(
        logistic.predict(state, X), logistic.predict_proba(state, X).argmax(axis=1)
    )
