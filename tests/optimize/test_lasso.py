"""The LASSO and the elastic net: scikit-learn's optima, the duality gap, and paths over folds."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_diabetes
from sklearn.linear_model import ElasticNet, LassoCV
from sklearn.model_selection import KFold

from mastery_jax.core.status import Status
from mastery_jax.numerics.optimize import admm, coordinate_descent, lasso

few = settings(max_examples=6, deadline=None, derandomize=True)
N, D = 40, 6


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


def problem(seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N, D)) @ (np.eye(D) + 0.5 * rng.normal(size=(D, D)))
    y = X @ np.where(rng.random(D) < 0.5, rng.normal(size=D), 0) + rng.normal(size=N)
    return X, y, rng.random(N)


def solvers():
    return {"coordinate_descent": coordinate_descent.fit, "admm": admm.solve}


@few
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 1), st.sampled_from([0.3, 1.0]))
def test_both_solvers_reach_the_optimum_of_scikit_learn(seed, alpha, l1_ratio):
    X, y, weights = problem(seed)
    moments = lasso.moments(X, y, weights)
    peer = ElasticNet(alpha=alpha, l1_ratio=l1_ratio, tol=1e-14, max_iter=100_000)
    peer.fit(X, y, sample_weight=weights)
    for name, fit in solvers().items():
        state, info = fit(moments, alpha=alpha, l1_ratio=l1_ratio, rtol=1e-12)
        assert bool(info.is_done), name
        np.testing.assert_allclose(state.weights, peer.coef_, atol=1e-5)
        np.testing.assert_allclose(state.bias, peer.intercept_, atol=1e-5)


@few
@given(st.integers(0, 2**32 - 1))
def test_the_gap_is_at_least_what_is_missing(seed):
    X, y, weights = problem(seed)
    moments = lasso.moments(X, y, weights)
    _, best = coordinate_descent.fit(moments, alpha=0.1, rtol=1e-13)
    w = np.random.default_rng(seed).normal(size=D)
    objective, gap = lasso.duality_gap(w, moments, alpha=0.1)
    assert float(gap) >= float(objective - best.objective) - 1e-10 >= -1e-10


def test_the_largest_penalty_leaves_no_weight_and_the_next_some():
    X, y, weights = problem(0)
    moments = lasso.moments(X, y, weights)
    alphas = lasso.penalties(moments, num=20, ratio=1e-2)
    state, info = coordinate_descent.path(moments, alphas, rtol=1e-10)
    assert (state.weights[0] == 0).all()
    assert (state.weights[1] != 0).any()
    assert bool(info.is_done.all())
    assert bool((jnp.diff(jnp.abs(state.weights).sum(axis=1)) > -1e-9).all())


@pytest.mark.parametrize(
    ("alpha", "l1_ratio", "row", "status"),
    [
        (0.1, 1.0, 0.0, Status.CONVERGED),
        (-0.1, 1.0, 0.0, Status.BAD_INPUT),
        (0.1, 1.5, 0.0, Status.BAD_INPUT),
        (0.1, 0.0, 0.0, Status.BAD_INPUT),
        (0.1, 1.0, np.nan, Status.NOT_FINITE),
    ],
)
def test_how_a_fit_ends(alpha, l1_ratio, row, status):
    X, y, weights = problem(1)
    moments = lasso.moments(np.where(np.arange(N) == 0, row, X.T).T, y, weights)
    for fit in solvers().values():
        _, info = fit(moments, alpha=alpha, l1_ratio=l1_ratio, max_steps=300)
        assert int(info.status) == status


def test_folds_are_those_of_lassocv():
    X, y = load_diabetes(return_X_y=True)
    folds = [test for _, test in KFold(5).split(X)]
    size = max(map(len, folds))
    rows = np.stack([np.append(f, np.full(size - len(f), -1)) for f in folds])
    moments = lasso.moments(X, y, np.ones(len(y)))
    alphas = lasso.penalties(moments, num=30)
    errors, _ = coordinate_descent.cross_validate(X, y, rows, alphas, rtol=1e-8)
    peer = LassoCV(alphas=np.asarray(alphas), cv=KFold(5), tol=1e-8, max_iter=100_000).fit(X, y)
    np.testing.assert_allclose(alphas, peer.alphas_, rtol=1e-9)
    np.testing.assert_allclose(errors.T, peer.mse_path_, rtol=1e-5)
    assert float(alphas[errors.mean(axis=0).argmin()]) == pytest.approx(peer.alpha_)


@pytest.mark.reference
@pytest.mark.parametrize(
    ("name", "alpha", "l1_ratio"),
    [("lasso0.5_diabetes", 0.5, 1.0), ("enet_a0.01_l1ratio0.5_diabetes", 0.01, 0.5)],
)
def test_the_published_optima_of_diabetes(reference, name, alpha, l1_ratio):
    published = json.loads((reference / "sklearn_reference" / "reference.json").read_text())
    wanted = published["deterministic"][name]
    X, y = load_diabetes(return_X_y=True)
    moments = lasso.moments(X, y, np.ones(len(y)))
    for fit in solvers().values():
        state, _ = fit(moments, alpha=alpha, l1_ratio=l1_ratio, rtol=1e-13)
        np.testing.assert_allclose(state.weights, wanted["coef"], rtol=1e-6, atol=2e-5)
        np.testing.assert_allclose(state.bias, wanted["intercept"], rtol=1e-6)


def test_what_rounding_forbids_is_said_and_costs_no_budget():
    X, y, weights = problem(2)
    moments = lasso.moments(X, y, weights)
    state, info = coordinate_descent.fit(moments, alpha=0.05, rtol=0.0, max_steps=1_000_000)
    assert int(info.status) in (Status.STALLED, Status.CONVERGED)
    assert int(info.num_steps) < 10_000
    best, _ = coordinate_descent.fit(moments, alpha=0.05, rtol=1e-12)
    np.testing.assert_allclose(state.weights, best.weights, atol=1e-10)


def test_running_sums_are_as_good_as_new_ones():
    """Nearly collinear columns need many steps, and the sums gather the rounding of each."""
    rng = np.random.default_rng(0)
    X = np.cumsum(rng.normal(size=(200, 30)), axis=1)
    y = X @ rng.normal(size=30)
    moments = lasso.moments(X, y, np.ones(200))
    _, info = coordinate_descent.fit(moments, alpha=1e-3, rtol=1e-12, max_steps=1_000_000)
    assert int(info.status) == Status.CONVERGED
