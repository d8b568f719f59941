"""The elastic net: published numbers, a bound that holds, exact zeros, and the path."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_diabetes
from sklearn.linear_model import enet_path

from mastery_jax.core.status import Status
from mastery_jax.learning.linear import elastic_net, ridge

few = settings(max_examples=8, deadline=None, derandomize=True)


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


def problem(seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(30, 6)) @ rng.normal(size=(6, 6)) + rng.normal(size=6)
    return X, X @ (rng.normal(size=6) * (rng.uniform(size=6) < 0.5)) + rng.normal(size=30)


def objective(state, X, y, l1, l2):
    residual = y - elastic_net.predict(state, X)
    w = state.weights
    return (residual**2).mean() / 2 + l1 * jnp.abs(w).sum() + l2 / 2 * (w**2).sum()


@pytest.mark.reference
@pytest.mark.parametrize(
    ("name", "l1", "l2"),
    [("lasso0.5_diabetes", 0.5, 0.0), ("enet_a0.01_l1ratio0.5_diabetes", 0.005, 0.005)],
)
def test_the_published_coefficients_of_diabetes(reference, name, l1, l2):
    published = json.loads((reference / "sklearn_reference" / "reference.json").read_text())
    wanted = published["deterministic"][name]
    X, y = load_diabetes(return_X_y=True)
    state, info = elastic_net.fit(X, y, l1=l1, l2=l2, rtol=1e-12)
    assert info.status == Status.CONVERGED
    np.testing.assert_allclose(state.weights, wanted["coef"], rtol=1e-6)
    np.testing.assert_allclose(state.bias, wanted["intercept"], rtol=1e-9)
    np.testing.assert_array_equal(state.weights == 0, np.array(wanted["coef"]) == 0)
    narrow, info = elastic_net.fit(X.astype(np.float32), y.astype(np.float32), l1=l1, l2=l2)
    assert info.is_done
    np.testing.assert_allclose(narrow.weights, wanted["coef"], rtol=5e-3, atol=0.3)


@few
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.05, 0.5]), st.sampled_from([0.0, 0.2]))
def test_the_gap_bounds_what_is_left_and_slopes_are_within_the_penalty(seed, l1, l2):
    X, y = problem(seed)
    rough, info = elastic_net.fit(X, y, l1=l1, l2=l2, rtol=0.05)
    state, best = elastic_net.fit(X, y, l1=l1, l2=l2, rtol=1e-12)
    np.testing.assert_allclose(info.objective, objective(rough, X, y, l1, l2), rtol=1e-9)
    assert -1e-12 <= info.objective - best.objective <= info.gap
    assert info.gap <= 0.05 * y.var() / 2
    slope = jax.grad(lambda s: objective(s, X, y, 0.0, l2))(state)
    is_zero = state.weights == 0
    assert (jnp.abs(slope.weights)[is_zero] <= l1 + 1e-5).all()
    np.testing.assert_allclose(
        (slope.weights + l1 * jnp.sign(state.weights))[~is_zero], 0, atol=1e-4
    )


def test_the_path_is_scikit_learns_and_each_model_a_fit():
    X, y = problem(1)
    Z, v = X - X.mean(axis=0), y - y.mean()
    penalties, states, infos = elastic_net.path(
        X, y, l1_ratio=0.7, num_penalties=12, ratio=1e-2, rtol=1e-12
    )
    assert infos.is_done.all()
    first = np.abs(Z.T @ v).max() / (0.7 * len(y))
    np.testing.assert_allclose(penalties, first * np.logspace(0, -2, 12), rtol=1e-9)
    _, wanted, _ = enet_path(Z, v, l1_ratio=0.7, alphas=np.asarray(penalties), tol=1e-12)
    np.testing.assert_allclose(states.weights, wanted.T, atol=1e-6)
    assert not states.weights[0].any()
    alone, _ = elastic_net.fit(X, y, l1=0.7 * penalties[6], l2=0.3 * penalties[6], rtol=1e-12)
    np.testing.assert_allclose(states.weights[6], alone.weights, atol=1e-6)


def test_hardly_any_l1_is_ridge():
    X, y = problem(2)
    net, _ = elastic_net.fit(X, y, l1=1e-8, l2=0.3, rtol=1e-13)
    np.testing.assert_allclose(net.weights, ridge.fit(X, y, l2=0.3).weights, atol=1e-5)


@pytest.mark.parametrize(
    ("dtype", "x_unit", "y_unit", "rtol", "atol"),
    [("float32", 1e-5, 1e6, 1e-6, 2e-3), ("float64", 1e-8, 1e8, 1e-12, 1e-6)],
)
def test_the_units_of_the_data_are_free(dtype, x_unit, y_unit, rtol, atol):
    """In them l2 is 1e-10 of l1 and less, and decides as much as in units of size 1."""
    X, y = problem(5)
    wanted, best = elastic_net.fit(X, y, l1=0.3, l2=10.0, rtol=1e-13)
    features, targets = (X * x_unit).astype(dtype), (y * y_unit).astype(dtype)
    penalties = {"l1": 0.3 * x_unit * y_unit, "l2": 10.0 * x_unit**2}
    state, info = elastic_net.fit(features, targets, **penalties, rtol=rtol)
    assert info.status == Status.CONVERGED
    weights = np.float64(state.weights) * x_unit / y_unit
    np.testing.assert_allclose(weights, wanted.weights, atol=atol)
    np.testing.assert_allclose(np.float64(info.objective) / y_unit**2, best.objective, rtol=1e-5)


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ({"l1": 0.0}, Status.BAD_INPUT),
        ({"l1": 0.1, "l2": -0.1}, Status.BAD_INPUT),
        ({"l1": 0.1, "weights": -np.ones(30)}, Status.BAD_INPUT),
        ({"l1": 0.1, "y": np.nan}, Status.NOT_FINITE),
    ],
)
def test_what_makes_no_sense_is_told(fault, status):
    X, y = problem(3)
    y = y + fault.pop("y", 0.0) * (np.arange(30) == 4)
    state, info = elastic_net.fit(X, y, **fault)
    assert (info.status, info.is_done) == (status, False)
    assert jnp.isnan(state.weights).all()


def test_constant_features_and_one_row_get_no_weight():
    X, y = problem(4)
    state, info = elastic_net.fit(np.column_stack([X, np.full(30, 0.1)]), y, l1=0.01)
    assert info.is_done
    assert state.weights[-1] == 0
    alone, _ = elastic_net.fit(X[:1], y[:1], l1=0.01)
    assert not alone.weights.any()
    np.testing.assert_allclose(alone.bias, y[0])
    with pytest.raises(ValueError, match=r"elastic_net\.path: num_penalties is 0"):
        elastic_net.path(X, y, num_penalties=0)
