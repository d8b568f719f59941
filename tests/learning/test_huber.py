"""Huber's regression: a lower optimum than the published one, and what outliers can do to it."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from sklearn.datasets import load_diabetes

from mastery_jax.core.status import Status
from mastery_jax.learning.linear import huber, linear_regression

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 3)) * [1.0, 5.0, 0.2] + 1
y = X @ [1.0, -1.0, 2.0] + rng.normal(size=60)


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


def objective(params, X, y, threshold, l2):
    w, b, scale = params[:-2], params[-2], params[-1]
    z = np.abs(y - X @ w - b) / scale
    loss = np.where(z < threshold, z**2, 2 * threshold * z - threshold**2)
    return scale + scale * loss.mean() + l2 * w @ w


@pytest.mark.reference
def test_the_published_optimum_of_diabetes_is_met_and_lowered(reference):
    published = json.loads((reference / "sklearn_reference" / "reference.json").read_text())
    wanted = published["deterministic"]["huber1.35_diabetes_zscore"]
    X, y = load_diabetes(return_X_y=True)
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    state, info = huber.fit(Z, y, l2=1e-4 / len(y), gtol=1e-9)
    assert info.status == Status.CONVERGED
    theirs = objective(
        np.array([*wanted["coef"], wanted["intercept"], wanted["scale"]]), Z, y, 1.35, 1e-4 / len(y)
    )
    # Their search by L-BFGS ended at a gradient of 2e-3: the objective is met to 1e-10, not w.
    assert theirs * (1 - 1e-10) < info.objective < theirs
    np.testing.assert_allclose(state.weights, wanted["coef"], atol=2e-3)
    np.testing.assert_allclose(state.scale, wanted["scale"], rtol=1e-5)


def test_at_the_optimum_the_scale_balances_and_slopes_vanish():
    state, info = huber.fit(X, y, l2=0.01, gtol=1e-10)
    params = np.array([*state.weights, state.bias, state.scale])
    np.testing.assert_allclose(info.objective, objective(params, X, y, 1.35, 0.01), rtol=1e-10)
    for direction in np.eye(5) * 1e-5:
        assert objective(params + direction, X, y, 1.35, 0.01) > info.objective
        assert objective(params - direction, X, y, 1.35, 0.01) > info.objective
    z = (y - huber.predict(state, X)) / state.scale
    balance = np.where(info.is_outlier, 1.35, z) ** 2
    np.testing.assert_allclose(balance.mean(), 1, rtol=1e-7)


def test_with_a_threshold_beyond_all_residuals_it_is_least_squares():
    state, info = huber.fit(X, y, threshold=100.0, gtol=1e-11)
    assert not info.is_outlier.any()
    exact = linear_regression.fit(X, y)
    np.testing.assert_allclose(state.weights, exact.weights, rtol=1e-6)
    residual = y - linear_regression.predict(exact, X)
    np.testing.assert_allclose(state.scale, residual.std(), rtol=1e-7)


def test_rows_of_weight_zero_have_no_say_where_the_fit_is_exact():
    """More features than rows: of many exact fits, the one that the rows with weight span."""
    few, new = rng.normal(size=(8, 12)), rng.normal(size=(20, 12))
    targets, count = rng.normal(size=8), np.array([1, 2, 0, 1, 3, 0, 1, 1])
    weighted, _ = huber.fit(few, targets, weights=count.astype(float))
    repeated, _ = huber.fit(few.repeat(count, axis=0), targets.repeat(count))
    seen = count > 0
    np.testing.assert_allclose(huber.predict(weighted, few[seen]), targets[seen], atol=1e-6)
    np.testing.assert_allclose(
        huber.predict(weighted, new), huber.predict(repeated, new), atol=1e-6
    )


@pytest.mark.parametrize("far", [1e2, 1e4])
def test_how_far_an_outlier_is_does_not_matter(far):
    spoiled = y.copy()
    spoiled[:6] += far
    state, info = huber.fit(X, spoiled, gtol=1e-8)
    assert info.status == Status.CONVERGED
    assert info.is_outlier[:6].all()
    # In deviations of the features, whose size is what weights are known by.
    assert (jnp.abs(state.weights - huber.fit(X, y)[0].weights) * X.std(axis=0)).max() < 0.3
    further, _ = huber.fit(X, np.where(np.arange(60) < 6, spoiled + far, y), gtol=1e-8)
    np.testing.assert_allclose(further.weights, state.weights, rtol=1e-5)
    pulled = linear_regression.fit(X, spoiled).weights - linear_regression.fit(X, y).weights
    assert (jnp.abs(pulled) * X.std(axis=0)).max() > 3


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_moves_with_the_units_of_y_and_with_features_that_do_not_vary(dtype):
    gtol = 1e-5 if dtype == "float32" else 1e-10
    rtol = 5e-3 if dtype == "float32" else 1e-6
    narrow = X.astype(dtype)
    state, info = huber.fit(narrow, y.astype(dtype), gtol=gtol)
    assert info.status == Status.CONVERGED
    large, info = huber.fit(narrow, (1e6 * y + 5e6).astype(dtype), gtol=gtol)
    assert info.status == Status.CONVERGED
    np.testing.assert_allclose(large.weights, 1e6 * state.weights, rtol=rtol)
    np.testing.assert_allclose(large.scale, 1e6 * state.scale, rtol=rtol)
    wide = np.column_stack([narrow, np.full(60, 0.1, dtype)])
    wide, _ = huber.fit(wide, y.astype(dtype), gtol=gtol)
    np.testing.assert_allclose(wide.weights[:3], state.weights, rtol=rtol)
    assert wide.weights[3] == 0


def test_it_is_nearly_as_good_as_least_squares_for_normal_noise():
    draws = np.random.default_rng(1).normal(size=(200, 60))
    found = jax.lax.map(lambda e: huber.fit(X, e)[0].weights[0], jnp.asarray(draws))
    exact = jax.vmap(lambda e: linear_regression.fit(X, e).weights[0])(jnp.asarray(draws))
    # Huber: 95 %; of 200 pairs the ratio of variances, correlated, is some 4 % off.
    assert 0.85 < exact.var() / found.var() < 1.03
    tailed = jnp.asarray(stats.t(2).rvs((200, 60), random_state=2))
    found = jax.lax.map(lambda e: huber.fit(X, e)[0].weights[0], tailed)
    exact = jax.vmap(lambda e: linear_regression.fit(X, e).weights[0])(tailed)
    assert exact.var() / found.var() > 1.5


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ({"threshold": 1.0}, Status.BAD_INPUT),
        ({"l2": -1.0}, Status.BAD_INPUT),
        ({"weights": np.zeros(60)}, Status.BAD_INPUT),
        ({"y": np.inf}, Status.NOT_FINITE),
    ],
)
def test_what_makes_no_sense_is_told(fault, status):
    spoiled = y.copy()
    spoiled[4] = fault.pop("y", y[4])
    state, info = huber.fit(X, spoiled, **fault)
    assert (info.status, info.is_done) == (status, False)
    assert jnp.isnan(state.weights).all()


@pytest.mark.parametrize("hole", [np.nan, np.inf])
def test_features_that_are_not_finite(hole):
    spoiled = X.copy()
    spoiled[3, 1] = hole
    state, info = huber.fit(spoiled, y)
    assert info.status == Status.NOT_FINITE
    assert jnp.isnan(state.weights).all()
