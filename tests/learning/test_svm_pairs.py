"""Pairs of classes cut out of one kernel, and fits that go on from where another was stopped."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mastery_jax.core.status import Status
from mastery_jax.learning.svm import linear_svm, similarity, svm_classifier, svm_regressor


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


def drawn(seed, num_classes=3):
    """Return 40 rows of classes that overlap, and times that rows count."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(40) % num_classes).astype(np.int32)
    X = rng.normal(size=(40, 3)) + labels[:, None]
    return X, labels, 1 + rng.multinomial(40, np.ones(40) / 40)


@pytest.mark.parametrize("kernel", ["rbf", "precomputed"])
def test_pairs_cut_out_are_the_pairs_of_all_rows(kernel):
    X, labels, times = drawn(4, num_classes=4)
    weights = np.where(times > 2, 0, times).astype(float)
    labels[np.flatnonzero(weights == 0)[:2]] = 99, -1  # no codes, and no say
    X = X if kernel == "rbf" else np.asarray(similarity.cross(similarity.RBF(0.3), X, X))
    fit = functools.partial(
        svm_classifier.fit,
        X,
        labels,
        num_classes=4,
        weights=weights,
        kernel=kernel,
        num_folds=3,
        atol=1e-9,
    )
    whole, wanted = fit()
    cut, info = fit(rows_per_class=11)
    np.testing.assert_allclose(cut.coefs, whole.coefs, atol=1e-7)
    np.testing.assert_allclose(cut.links, whole.links, rtol=1e-5)
    np.testing.assert_array_equal(info.num_support, wanted.num_support)
    np.testing.assert_allclose(info.objective, wanted.objective, rtol=1e-12)
    assert fit(rows_per_class=5)[1].status == Status.BAD_INPUT  # some class has more


def test_a_fit_goes_on_from_where_another_was_stopped():
    X, labels, _ = drawn(5)
    fit = functools.partial(svm_classifier.fit, X, labels, num_classes=3, gamma=0.5)

    def some(coefs, _):
        state, info = fit(coefs=coefs, max_steps=4, rows_per_class=14)
        return state.coefs, info.objective

    coefs, objectives = jax.lax.scan(some, jnp.zeros((3, 40)), length=30)
    wanted, info = fit()
    assert (np.diff(objectives, axis=0) <= 1e-12).all()  # a loss history, which never rises
    assert (objectives[0] > info.objective).all()
    np.testing.assert_allclose(coefs, wanted.coefs, atol=1e-2)
    np.testing.assert_allclose(objectives[-1], info.objective, rtol=1e-4)
    _, more = fit(C=1.5, coefs=coefs)
    _, all_of_them = fit(C=1.5)
    np.testing.assert_allclose(more.objective, all_of_them.objective, rtol=1e-4)
    assert more.num_steps.sum() < all_of_them.num_steps.sum()
    assert fit(C=0.1, coefs=coefs)[1].status == Status.BAD_INPUT  # beyond their ends
    assert fit(coefs=abs(coefs))[1].status == Status.BAD_INPUT  # no sum of 0


def test_the_plane_and_the_tube_go_on_too():
    X, labels, _ = drawn(6)
    y = X[:, 0] - np.sin(X[:, 1])

    def newton(state, _):
        state, info = linear_svm.fit(X, labels, num_classes=3, state=state, max_steps=1)
        return state, info.objective

    zeros = linear_svm.State(jnp.zeros((3, 3)), jnp.zeros(3))
    state, objectives = jax.lax.scan(newton, zeros, length=15)
    wanted, info = linear_svm.fit(X, labels, num_classes=3)
    assert (np.diff(objectives, axis=0) <= 1e-15).all()
    np.testing.assert_allclose(objectives[-1], info.objective, rtol=1e-12)
    np.testing.assert_allclose(state.weights, wanted.weights, atol=1e-8)
    half, info = svm_regressor.fit(X, y, max_steps=10)
    assert info.status == Status.OUT_OF_STEPS
    found, info = svm_regressor.fit(X, y, coefs=half.coefs)
    straight, whole = svm_regressor.fit(X, y)
    assert info.num_steps < whole.num_steps
    np.testing.assert_allclose(found.coefs, straight.coefs, atol=1e-2)
