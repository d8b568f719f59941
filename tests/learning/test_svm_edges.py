"""Support vector machines where single precision, absent rows or wrong numbers could mislead."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.svm import SVC

from mastery_jax.core.status import Status
from mastery_jax.learning.svm import linear_svm, svm_classifier, svm_regressor

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 2))
labels = (X[:, 0] * X[:, 1] > 0).astype(np.int32)
weights = np.where(np.arange(60) % 5 == 0, 0.0, 1.0)


@pytest.mark.parametrize("size", [None, 20])
def test_features_far_from_zero_keep_their_digits_in_every_fold(size):
    kept = weights > 0
    model = SVC(gamma=0.25).fit(X[kept], labels[kept])
    far = (X + 1e4).astype(np.float32)
    codes = labels + 2 * (np.arange(60) % 2).astype(np.int32) if size else labels
    options = {"num_classes": 4 if size else 2, "gamma": 0.25, "rows_per_class": size}
    state, info = svm_classifier.fit(far, codes, weights=weights.astype(np.float32), **options)
    assert info.status == Status.CONVERGED
    found = svm_classifier.decision_function(state, far)
    if size is None:
        np.testing.assert_allclose(found, model.decision_function(X), atol=0.02)
    removed, _ = svm_classifier.fit(far[kept], codes[kept], **options)
    wanted = svm_classifier.decision_function(removed, far)
    np.testing.assert_allclose(found, wanted, atol=0.02)


def test_a_width_that_is_not_positive_has_no_answer():
    for gamma in (-1.0, 0.0):
        for kernel in ("rbf", "poly"):
            _, info = svm_classifier.fit(X, labels, num_classes=2, kernel=kernel, gamma=gamma)
            assert info.status == Status.BAD_INPUT
            assert (info.num_support == 0).all()
        assert svm_regressor.fit(X, X[:, 0], gamma=gamma)[1].status == Status.BAD_INPUT


def test_targets_far_from_zero_take_as_few_steps_and_never_more_than_allowed():
    y = (X[:, 0] + np.sin(X[:, 1])).astype(np.float32)
    near, near_info = svm_regressor.fit(X.astype(np.float32), y)
    far, far_info = svm_regressor.fit(X.astype(np.float32), y + 4096)
    assert far_info.is_done
    assert abs(int(far_info.num_steps) - int(near_info.num_steps)) <= 20
    np.testing.assert_allclose(far.bias - 4096, near.bias, atol=2e-3)
    _, info = svm_regressor.fit(X.astype(np.float32), y, C=1e7, atol=1e-9, max_steps=2_000)
    assert info.num_steps <= 2_000


def test_how_a_fold_ended_is_told():
    _, info = svm_classifier.fit(X, labels, num_classes=2, num_folds=3, C=1e3, max_steps=150)
    assert info.status in (Status.OUT_OF_STEPS, Status.STALLED)
    _, info = svm_classifier.fit(X, labels, num_classes=2, num_folds=3)
    assert info.status == Status.CONVERGED


def test_the_precision_is_that_of_the_features():
    with jax.enable_x64(True):
        single, double = X.astype(np.float32), jnp.asarray(X[:, 0])
        state, _ = linear_svm.fit(single, labels, num_classes=2, weights=weights)
        assert state.weights.dtype == np.float32
        state, _ = svm_classifier.fit(single, labels, num_classes=2, weights=weights)
        assert state.coefs.dtype == np.float32
        assert svm_regressor.fit(single, double, weights=weights)[0].coefs.dtype == np.float32
