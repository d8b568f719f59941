"""Logistic regression with an absolute penalty and weights: optima, exact zeros, bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from mastery_jax.core.status import Status
from mastery_jax.learning.linear import log_loss, logistic
from tests.test_logistic import bundled, few, fit, problem, seeds


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


def objective_of(state, X, labels, l1, l2):
    log_probs = logistic.predict_log_proba(state, X)[np.arange(len(X)), labels]
    return -log_probs.mean() + l1 * jnp.abs(state.weights).sum() + l2 / 2 * (state.weights**2).sum()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "C", "ratio"), [("iris", 1.0, 1.0), ("wine", 0.3, 0.5)])
def test_sparse_weights_are_those_of_saga(name, C, ratio):
    X, labels, num_classes = bundled(name)
    l1, l2 = ratio / (C * len(X)), (1 - ratio) / (C * len(X))
    state, info = fit(X, labels, num_classes, l1=l1, l2=l2, atol=1e-14)
    theirs = LogisticRegression(C=C, l1_ratio=ratio, solver="saga", tol=1e-10, max_iter=10**5)
    wanted = theirs.fit(X, labels).coef_
    assert info.status == Status.CONVERGED
    np.testing.assert_array_equal(state.weights == 0, wanted == 0)
    assert (state.weights == 0).any()
    np.testing.assert_allclose(state.weights, wanted, atol=1e-6)
    np.testing.assert_allclose(info.objective, objective_of(state, X, labels, l1, l2), rtol=1e-12)


def test_sparse_weights_are_those_of_liblinear_whose_bias_is_penalized():
    X, labels, _ = bundled("breast_cancer")
    C = 0.1
    theirs = LogisticRegression(C=C, l1_ratio=1, solver="liblinear", tol=1e-10, max_iter=10**5)
    wanted = theirs.set_params(fit_intercept=False).fit(X, labels).coef_
    # With a mirrored copy of the data the best bias is 0, and their problem is ours.
    mirrored, codes = np.vstack([X, -X]), np.append(labels, 1 - labels)
    state, info = fit(mirrored, codes, 2, l1=1 / (C * len(X)), l2=0.0, atol=1e-14)
    assert info.status == Status.CONVERGED
    np.testing.assert_allclose(state.bias, 0, atol=1e-9)
    np.testing.assert_array_equal(state.weights == 0, wanted == 0)
    np.testing.assert_allclose(state.weights, wanted, atol=1e-6)


@pytest.mark.slow
@few
@given(seeds, st.sampled_from([((30, 4), 2), ((9, 12), 3)]), st.sampled_from([1e-3, 0.03]))
def test_at_the_sparse_optimum_slopes_are_within_the_penalty(seed, kind, l1):
    X, labels, num_classes = problem(seed, kind)
    state, info = fit(X, labels, num_classes, l1=l1, l2=0.01, atol=1e-14)
    assert info.status == Status.CONVERGED

    def smooth(state):
        return objective_of(state, X, labels, 0.0, 0.01)

    slope = jax.grad(smooth)(state)
    is_zero = state.weights == 0
    assert (jnp.abs(slope.weights)[is_zero] <= l1 * (1 + 1e-6)).all()
    np.testing.assert_allclose(
        (slope.weights + l1 * jnp.sign(state.weights))[~is_zero], 0, atol=1e-7
    )
    np.testing.assert_allclose(slope.bias, 0, atol=1e-7)


@pytest.mark.slow
def test_a_large_penalty_leaves_no_weight_and_a_small_one_is_like_none():
    X, labels, num_classes = problem(0, ((30, 4), 3))
    none, _ = fit(X, labels, num_classes, l1=10.0, l2=0.0)
    np.testing.assert_array_equal(none.weights, 0)
    np.testing.assert_allclose(
        logistic.predict_proba(none, X[:1])[0], np.bincount(labels) / len(labels), rtol=1e-6
    )
    small, _ = fit(X, labels, num_classes, l1=1e-9, l2=0.1, atol=1e-14)
    plain, _ = fit(X, labels, num_classes, l2=0.1, atol=1e-14)
    np.testing.assert_allclose(small.weights, plain.weights, atol=1e-6)


@pytest.mark.parametrize(
    "hyper", [{"l2": -0.1}, {"l1": 0.0}, {"l1": -1.0}, {"l2": np.nan}, {"l1": np.nan}]
)
def test_penalties_that_make_no_sense_are_bad_input(hyper):
    X, labels, num_classes = problem(0, ((30, 4), 3))
    state, info = fit(X, labels, num_classes, **hyper)
    assert (info.status, info.is_done) == (Status.BAD_INPUT, False)
    assert jnp.isnan(state.bias).all()


@pytest.mark.parametrize("rows", [slice(None), slice(1)])
def test_one_class_alone_has_no_optimum(rows):
    X, _, _ = problem(0, ((30, 4), 2))
    labels = np.ones(30, np.int32)
    state, info = fit(X[rows], labels[rows], 2, l2=0.1)
    assert (info.status, info.is_done) == (Status.BAD_INPUT, False)
    assert (logistic.predict(state, X) == 1).all()


def test_a_grid_of_penalties_and_folds_is_one_program():
    X, labels, num_classes = problem(3, ((30, 4), 2))
    folds = (np.arange(30)[None] % 3 != np.arange(3)[:, None]).astype(X.dtype)
    penalties = jnp.array([1e-3, 1e-1])

    def one(weights, l2):
        return fit(X, labels, num_classes, weights=weights, l2=l2, atol=1e-14)[0]

    found = jax.vmap(lambda w: jax.vmap(lambda l2: one(w, l2))(penalties))(folds)
    for i, kept in enumerate(folds > 0):
        for j, l2 in enumerate(penalties):
            wanted = fit(X[kept], labels[kept], num_classes, l2=l2, atol=1e-14)[0]
            np.testing.assert_allclose(found.weights[i, j], wanted.weights, rtol=1e-6, atol=1e-7)


def test_the_slope_at_a_weight_of_zero_is_that_of_a_row_that_enters():
    X, labels, num_classes = problem(5, ((30, 4), 3))
    weights = np.ones(30)
    weights[0] = 0.0

    def bias(entry):
        given = jnp.asarray(weights).at[0].set(entry)
        return fit(X, labels, num_classes, weights=given, l2=0.1, atol=1e-16)[0].bias[0]

    slope = (bias(1e-4) - bias(0.0)) / 1e-4
    np.testing.assert_allclose(jax.grad(bias)(0.0), slope, rtol=1e-3)


@pytest.mark.parametrize("hole", [np.nan, np.inf])
def test_features_that_are_not_finite(hole):
    X, labels, num_classes = problem(0, ((30, 4), 3))
    X[3, 1] = hole
    state, info = fit(X, labels, num_classes, l1=0.01)
    assert (info.status, info.is_done) == (Status.NOT_FINITE, False)
    assert jnp.isnan(state.weights).all()


@pytest.mark.parametrize("block", [log_loss.BLOCK, 64])
def test_the_curvature_is_the_slopes_slope_however_it_is_added_up(block, monkeypatch):
    monkeypatch.setattr(log_loss, "BLOCK", block)  # rows in one block, and in several
    rng = np.random.default_rng(0)
    A, codes = rng.normal(size=(4, 150)), rng.integers(0, 3, size=150)
    A[-1] = 1
    U, penalty = rng.normal(size=(3, 4)), jnp.array([0.1, 0.1, 0.1, 0.0])
    shares = rng.dirichlet(np.ones(150), size=2)

    def problem_of(share):
        return log_loss.Problem(jnp.asarray(A), jnp.eye(3)[:, codes], share, penalty, jnp.ones(4))

    def curvature(share):
        return log_loss.hessian(log_loss.link(U @ A)[1], problem_of(share))

    def slope(flat, share):
        V = flat.reshape(3, 4)
        return log_loss.gradient(V, log_loss.link(V @ A)[1], problem_of(share)).reshape(-1)

    lanes = jax.jit(jax.vmap(curvature))(jnp.asarray(shares))  # whose weights are taken together
    bias = np.arange(12) % 4 == 3
    for lane, share in zip(lanes, jnp.asarray(shares), strict=True):
        wanted = jax.jit(jax.jacobian(slope))(jnp.asarray(U.reshape(-1)), share)
        wanted = wanted + np.outer(bias, bias) / 3  # the shift that all biases share
        np.testing.assert_allclose(lane, wanted, atol=1e-12)
        np.testing.assert_allclose(jax.jit(curvature)(share), wanted, atol=1e-12)
