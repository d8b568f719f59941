"""Least squares in closed form and by gradient descent: one optimum, and what is said of it."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_diabetes

from mastery_jax.core.status import Status
from mastery_jax.learning.linear import linear_descent, linear_regression

rng = np.random.default_rng(0)
X = rng.normal(size=(30, 4)) * [1.0, 2.0, 0.5, 1.0] + 3
y = X @ [1.0, -1.0, 2.0, 0.0] + rng.normal(size=30)


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


@pytest.mark.reference
def test_the_published_coefficients_of_diabetes_both_ways(reference):
    published = json.loads((reference / "sklearn_reference" / "reference.json").read_text())
    wanted = published["deterministic"]["ols_diabetes"]
    X, y = load_diabetes(return_X_y=True)
    state = linear_regression.fit(X, y)
    np.testing.assert_allclose(state.weights, wanted["coef"], rtol=1e-9)
    np.testing.assert_allclose(state.bias, wanted["intercept"], rtol=1e-12)
    residual = y - linear_regression.predict(state, X)
    np.testing.assert_allclose(1 - residual.var() / y.var(), wanted["r2"], rtol=1e-12)
    walked, info = linear_descent.fit(X, y, momentum=0.9, rtol=1e-12)
    assert info.status == Status.CONVERGED
    np.testing.assert_allclose(walked.weights, wanted["coef"], rtol=1e-6)


def test_residuals_are_uncorrelated_with_every_feature():
    weights = rng.uniform(size=30)
    state = linear_regression.fit(X, y, weights=weights)
    residual = weights * (y - linear_regression.predict(state, X))
    np.testing.assert_allclose(residual @ X, 0, atol=1e-11)
    np.testing.assert_allclose(residual.sum(), 0, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("extra", "rank"),
    [
        (np.full(30, 0.1), 4),  # its mean is not exactly 0.1
        (X[:, 0] - 2 * X[:, 1], 4),
        (np.full(30, 1e6), 4),
    ],
)
def test_dependent_features_are_told_and_predict_alike(dtype, extra, rank):
    wide = np.column_stack([X, extra]).astype(dtype)
    state = linear_regression.fit(wide, y.astype(dtype))
    assert state.rank == rank
    wanted = linear_regression.predict(linear_regression.fit(X, y), X)
    rtol = 1e-8 if dtype == "float64" else 1e-2
    np.testing.assert_allclose(linear_regression.predict(state, wide), wanted, rtol=rtol, atol=rtol)
    if np.ptp(extra) == 0:
        assert state.weights[-1] == 0


def test_a_constant_is_seen_among_many_rows_whose_mean_is_rounded():
    many = rng.normal(size=(3540, 2)).astype(np.float32)
    state = linear_regression.fit(np.insert(many, 1, np.float32(0.1), axis=1), many[:, 0])
    assert (state.rank, state.weights[1]) == (2, 0)


def test_fewer_rows_than_features_leave_the_shortest_weights():
    few = X[:3]
    state = linear_regression.fit(few, y[:3])
    assert state.rank == 2
    np.testing.assert_allclose(linear_regression.predict(state, few), y[:3], rtol=1e-9)
    Z = few - few.mean(axis=0)
    wanted = np.linalg.pinv(Z) @ (y[:3] - y[:3].mean())
    np.testing.assert_allclose(state.weights, wanted, rtol=1e-7)
    alone = linear_regression.fit(few[:1], y[:1])
    assert (alone.rank, alone.bias) == (0, y[0])
    assert not alone.weights.any()


@pytest.mark.parametrize("momentum", [0.0, 0.7])
def test_descent_is_its_steps_and_ends_at_the_closed_form(momentum):
    given = {"step_size": 0.2, "momentum": momentum}
    state = linear_descent.init(X)
    for _ in range(4):
        state, seen = linear_descent.step(state, X, y, **given)
    whole, info = linear_descent.fit(X, y, **given, max_steps=4)
    np.testing.assert_allclose(whole.weights, state.weights, rtol=1e-9)
    np.testing.assert_allclose(whole.bias, state.bias, rtol=1e-9)
    np.testing.assert_allclose(info.objective, seen.objective, rtol=1e-9)
    assert (info.status, info.num_steps) == (Status.OUT_OF_STEPS, 4)
    end, info = linear_descent.fit(X, y, momentum=momentum, rtol=1e-10)
    assert info.status == Status.CONVERGED
    exact = linear_regression.fit(X, y)
    np.testing.assert_allclose(end.weights, exact.weights, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(end.bias, exact.bias, rtol=1e-7)


def test_the_error_along_an_axis_shrinks_as_the_theory_says():
    axes = np.linalg.qr(rng.normal(size=(40, 2)) - 0.0)[0]
    axes = np.linalg.qr(axes - axes.mean(axis=0))[0] * np.sqrt(40 * np.array([1.0, 0.25]))
    target = axes @ [1.0, 1.0]
    state = linear_descent.init(axes)
    for _ in range(3):
        state, _ = linear_descent.step(state, axes, target, step_size=0.8)
    np.testing.assert_allclose(1 - state.weights, [(1 - 0.8) ** 3, (1 - 0.2) ** 3], rtol=1e-10)


def test_a_step_past_two_over_the_curvature_diverges():
    share = np.cov(X.T, bias=True)
    limit = 2 / np.linalg.eigvalsh(share)[-1]
    over, below = (linear_descent.fit(X, y, step_size=f * limit)[1] for f in (1.05, 0.95))
    assert (over.status, below.status) == (Status.DIVERGED, Status.CONVERGED)


@pytest.mark.parametrize("hyper", [{"step_size": 0.0}, {"momentum": 1.0}, {"momentum": -0.1}])
def test_steps_that_make_no_sense_are_bad_input(hyper):
    state, info = linear_descent.fit(X, y, **hyper)
    assert info.status == Status.BAD_INPUT
    assert jnp.isnan(state.weights).all()


def test_data_that_are_not_finite():
    spoiled = X.copy()
    spoiled[2, 1] = np.nan
    assert jnp.isnan(linear_regression.fit(spoiled, y).weights).all()
    assert linear_descent.fit(spoiled, y)[1].status == Status.NOT_FINITE
    with pytest.raises(ValueError, match=r"linear_regression\.predict: X is float64\[30,3\]"):
        linear_regression.predict(linear_regression.fit(X, y), X[:, :3])
