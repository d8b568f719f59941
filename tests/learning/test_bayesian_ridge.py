"""Bayesian ridge regression: published numbers, the top of the evidence, and honest error bars."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from sklearn.datasets import load_diabetes
from sklearn.linear_model import BayesianRidge

from mastery_jax.core.status import Status
from mastery_jax.learning.linear import bayesian_ridge, ridge

rng = np.random.default_rng(0)
X = rng.normal(size=(40, 4)) + 2
y = X @ [1.0, -1.0, 0.3, 0.0] + 0.5 * rng.normal(size=40)


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


@pytest.mark.reference
def test_the_published_precisions_of_diabetes(reference):
    published = json.loads((reference / "sklearn_reference" / "reference.json").read_text())
    wanted = published["deterministic"]["bayesridge_diabetes"]
    X, y = load_diabetes(return_X_y=True)
    state, info = bayesian_ridge.fit(X, y, rtol=1e-12)
    assert info.status == Status.CONVERGED
    np.testing.assert_allclose(state.weights, wanted["coef"], rtol=1e-9)
    np.testing.assert_allclose(state.noise_precision, wanted["alpha_noise_precision"], rtol=1e-9)
    np.testing.assert_allclose(state.weight_precision, wanted["lambda_"], rtol=1e-9)
    narrow, info = bayesian_ridge.fit(X.astype(np.float32), y.astype(np.float32))
    assert info.is_done
    np.testing.assert_allclose(narrow.weights, wanted["coef"], rtol=2e-3)


def log_evidence(alpha, lam):
    """Return the density of y as a normal vector, the bias integrated out by a flat prior."""
    n = len(y)
    Z = X - X.mean(axis=0)
    basis = np.linalg.svd(np.ones((1, n)))[2][1:]  # contrasts: free of the bias
    cov = basis @ (Z @ Z.T / lam + np.eye(n) / alpha) @ basis.T
    inside = stats.multivariate_normal(cov=cov).logpdf(basis @ y)
    return inside + (np.log(alpha) - np.log(2 * np.pi)) / 2


def test_the_evidence_is_that_of_the_data_and_stationary_at_the_fit():
    state, info = bayesian_ridge.fit(X, y, prior_shape=0.0, prior_rate=0.0, rtol=1e-13)
    alpha, lam = float(state.noise_precision), float(state.weight_precision)
    np.testing.assert_allclose(info.log_evidence, log_evidence(alpha, lam), rtol=1e-9)
    for factor in (0.99, 1.01):
        assert log_evidence(alpha * factor, lam) < info.log_evidence
        assert log_evidence(alpha, lam * factor) < info.log_evidence
    np.testing.assert_allclose(
        state.weights, ridge.fit(X, y, l2=lam / alpha / len(y)).weights, rtol=1e-8
    )
    assert 3 < info.num_known < 4


def test_error_bars_grow_away_from_the_data_and_cover():
    inside, outside = X.mean(axis=0), X.mean(axis=0) + 50
    state, _ = bayesian_ridge.fit(X, y)
    near, far = bayesian_ridge.predict_std(state, np.stack([inside, outside]))
    np.testing.assert_allclose(near, state.noise_precision**-0.5, rtol=1e-9)
    assert far > 5 * near
    fresh = np.random.default_rng(1).normal(size=(4000, 4)) + 2
    truth = fresh @ [1.0, -1.0, 0.3, 0.0] + 0.5 * np.random.default_rng(2).normal(size=4000)
    z = (truth - bayesian_ridge.predict(state, fresh)) / bayesian_ridge.predict_std(state, fresh)
    assert 0.85 < (jnp.abs(z) < 1.96).mean() < 0.99


def test_more_features_than_rows_and_collinear_ones():
    few = np.column_stack([X[:5], X[:5, :2]])
    state, info = bayesian_ridge.fit(few, y[:5])
    assert info.status in (Status.CONVERGED, Status.OUT_OF_STEPS)
    assert jnp.isfinite(state.weights).all()
    np.testing.assert_allclose(state.weights[:2], state.weights[4:], rtol=1e-6)


@pytest.mark.parametrize("num_features", [60, 200])
def test_single_precision_finds_what_double_does_with_more_features_than_rows(num_features):
    draw = np.random.default_rng(0)
    wide = draw.normal(size=(40, num_features))
    targets = wide[:, :5].sum(axis=1) + draw.normal(size=40)
    theirs = BayesianRidge(tol=1e-8, max_iter=5000).fit(wide, targets)
    state, info = bayesian_ridge.fit(wide.astype(np.float32), targets.astype(np.float32))
    assert info.status == Status.CONVERGED
    np.testing.assert_allclose(state.weights, theirs.coef_, atol=1e-4)
    np.testing.assert_allclose(state.noise_precision, theirs.alpha_, rtol=1e-3)
    np.testing.assert_allclose(state.weight_precision, theirs.lambda_, rtol=1e-3)
    np.testing.assert_allclose(state.cov, theirs.sigma_, atol=1e-4)


def test_slopes_of_an_exact_fit_are_those_of_differences():
    draw = np.random.default_rng(0)
    wide, targets = draw.normal(size=(10, 30)), draw.normal(size=10)

    def found(rate):
        state, info = bayesian_ridge.fit(wide, targets, prior_rate=rate, rtol=1e-12)
        return jnp.stack([state.weights[0], info.log_evidence])

    wanted = (found(1.001e-6) - found(0.999e-6)) / 2e-9
    np.testing.assert_allclose(jax.jacrev(found)(1e-6), wanted, rtol=0.05)


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ({"prior_rate": -1.0}, Status.BAD_INPUT),
        ({"weights": -np.ones(40)}, Status.BAD_INPUT),
        ({"y": np.nan}, Status.NOT_FINITE),
    ],
)
def test_what_makes_no_sense_is_told(fault, status):
    spoiled = y.copy()
    spoiled[4] = fault.pop("y", y[4])
    state, info = bayesian_ridge.fit(X, spoiled, **fault)
    assert (info.status, info.is_done) == (status, False)
    assert jnp.isnan(state.weights).all()
