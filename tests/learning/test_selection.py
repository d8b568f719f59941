"""Model selection: scikit-learn's folds, scores and choices; what fails never wins."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.tree_util import Partial
from sklearn import datasets, model_selection
from sklearn.linear_model import LogisticRegression

from mastery_jax.core.status import Status
from mastery_jax.learning.linear import logistic, ridge
from mastery_jax.learning.naive_bayes import gaussian_nb
from mastery_jax.learning.selection import (
    curves,
    grid_search,
    halving,
    nested,
    splits,
    validation,
)
from mastery_jax.probability.metrics import classification, regression
from tests.learning.peer_folds import masks_of

few = settings(max_examples=8, deadline=None, derandomize=True)
seeds = st.integers(0, 2**31 - 1)
n = 60
RIDGE = {
    "fit": Partial(ridge.fit),
    "predict": Partial(ridge.predict),
    "score": Partial(regression.r2),
}


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


def drawn(seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4))
    return X, X @ rng.normal(size=4) + rng.normal(size=n)


def wine():
    """Return 175 rows at random: five folds have equal sizes, and one l2 is one C."""
    X, labels = datasets.load_wine(return_X_y=True)
    rows = np.random.default_rng(0).permutation(178)[:175]
    return ((X - X.mean(axis=0)) / X.std(axis=0))[rows], labels[rows].astype(np.int32)


def logit(num_classes, score="log_loss", **fixed):
    predict = logistic.predict_log_proba if score == "log_loss" else logistic.predict
    return {
        "fit": Partial(logistic.fit, num_classes=num_classes, **fixed),
        "predict": Partial(predict),
        "score": Partial(getattr(classification, score)),
    }


def test_what_only_the_data_tell_leaves_folds_empty_and_their_scores_nan():
    X, y = drawn()
    labels = np.arange(n) % 3
    bad = [
        splits.stratified(np.where(labels == 2, 7, labels), num_classes=3),
        splits.grouped(labels - 1, num_groups=9),
        splits.time_series(np.where(labels == 0, np.nan, y)),
    ]
    assert not any(mask.any() for folds in bad for mask in folds)
    folds = splits.grouped(labels, num_groups=9, num_folds=4)  # three groups have rows
    found = validation.cross_validate(X, y, folds, **RIDGE)
    assert np.isnan(found.test).sum() == 1
    assert np.isfinite(found.train).all()


@pytest.mark.parametrize("strategy", ["map", "vmap"])
def test_the_choice_of_scikit_learn(strategy):
    X, labels = wine()
    C = np.logspace(-3, 2, 6)
    cv = model_selection.KFold(5, shuffle=True, random_state=0)
    peer = model_selection.GridSearchCV(
        LogisticRegression(solver="newton-cholesky", tol=1e-12),
        {"C": C},
        scoring="neg_log_loss",
        cv=cv,
        return_train_score=True,
    ).fit(X, labels)
    best, info = grid_search.search(
        X,
        labels,
        masks_of(cv, labels),
        **logit(3, atol=1e-14),
        hyper={"l2": 1 / (C * 140)},
        is_loss=True,
        strategy=strategy,
    )
    each = [peer.cv_results_[f"split{fold}_test_score"] for fold in range(5)]
    np.testing.assert_allclose(info.test.T, np.negative(each), rtol=1e-6)
    np.testing.assert_allclose(info.mean, -peer.cv_results_["mean_test_score"], rtol=1e-6)
    np.testing.assert_allclose(info.std, peer.cv_results_["std_test_score"], rtol=1e-5)
    np.testing.assert_allclose(
        info.train.mean(axis=1), -peer.cv_results_["mean_train_score"], rtol=1e-6
    )
    assert (int(best.candidate), info.num_failed) == (peer.best_index_, 0)
    assert info.fits.is_done.shape == (6, 5)
    assert info.fits.is_done.all()
    # l2 is per row: fitted to all rows, the same l2 is scikit-learn's with a smaller C.
    same = {"C": 1 / (175 * float(best.hyper["l2"]))}
    last = LogisticRegression(**same, solver="newton-cholesky", tol=1e-12)
    np.testing.assert_allclose(best.state.weights, last.fit(X, labels).coef_, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_learning_curve_of_scikit_learn(dtype):
    X, labels = wine()
    cv = model_selection.StratifiedKFold(5, shuffle=True, random_state=0)
    sizes, train, test = model_selection.learning_curve(
        LogisticRegression(tol=1e-8, max_iter=2000), X, labels, train_sizes=[0.4, 1.0], cv=cv
    )
    for i, size in enumerate(sizes):  # C is one l2 at each size
        curve = curves.learning_curve(
            X.astype(dtype),
            labels,
            masks_of(cv, labels),
            np.array([size]),
            **logit(3, "accuracy"),
            hyper={"l2": 1 / size},
        )
        np.testing.assert_allclose(curve.train[0], train[i], rtol=1e-6)
        np.testing.assert_allclose(curve.test[0], test[i], rtol=1e-6)
        assert curve.test.dtype == dtype


@pytest.mark.slow
def test_a_curve_has_no_score_where_rows_are_too_few_or_the_order_is_none():
    X, y = drawn()
    folds = splits.k_fold(n, num_folds=3)
    sizes = np.array([0, 40, 41])
    found = curves.learning_curve(X, y, folds, sizes, **RIDGE, hyper={"l2": 0.1})
    whole = validation.cross_validate(X, y, folds, **RIDGE, hyper={"l2": 0.1})
    np.testing.assert_allclose(found.test[1], whole.test, rtol=1e-12)
    assert np.isnan(found.test[np.array([0, 2])]).all()
    twice = np.arange(n) // 2
    assert np.isnan(curves.learning_curve(X, y, folds, sizes, **RIDGE, order=twice).test).all()
    best, info = halving.search(X, y, folds, twice, **RIDGE, hyper={"l2": np.ones(2)})
    assert (best.candidate, info.status) == (-1, Status.NOT_FINITE)


@pytest.mark.slow
def test_nested_scores_are_those_of_a_search_within_every_fold():
    X, labels = wine()
    l2 = np.logspace(-4, 0, 3)
    inner, outer = (model_selection.StratifiedKFold(f) for f in (4, 5))
    folds = masks_of(outer, labels)
    split = Partial(splits.stratified, labels, num_classes=3, num_folds=4)
    method = logit(3, atol=1e-14)
    found = nested.cross_validate(
        X, labels, folds, split=split, **method, hyper={"l2": l2}, is_loss=True
    )
    for fold, (rows, rest) in enumerate(outer.split(X, labels)):
        best, info = grid_search.search(
            X[rows],
            labels[rows],
            masks_of(inner, labels[rows]),
            **method,
            hyper={"l2": l2},
            is_loss=True,
        )
        assert found.candidate[fold] == best.candidate
        np.testing.assert_allclose(found.mean[fold], info.mean, rtol=1e-6)
        log_probs = logistic.predict_log_proba(best.state, X[rest])
        np.testing.assert_allclose(
            found.test[fold], classification.log_loss(log_probs, labels[rest]), rtol=1e-6
        )
    assert found.num_failed.sum() == 0


@few
@given(seeds)
def test_whole_weights_are_repeated_rows_and_weight_zero_is_absence(seed):
    X, y = drawn(seed)
    counts = np.random.default_rng(seed).permutation(np.arange(n) % 3)
    folds = splits.k_fold(n, num_folds=3, key=jax.random.key(seed))
    hyper = {"l2": np.array([0.01, 0.3])}
    y_seen = np.where(counts == 0, np.nan, y)
    best, info = grid_search.search(
        X, y_seen, folds, **RIDGE, hyper=hyper, weights=counts.astype(float)
    )
    again, other = grid_search.search(
        np.repeat(X, counts, axis=0),
        np.repeat(y, counts),
        splits.Folds(*(np.repeat(mask, counts, axis=1) for mask in folds)),
        **RIDGE,
        hyper=hyper,
    )
    np.testing.assert_allclose(info.test, other.test, rtol=1e-9)
    np.testing.assert_allclose(best.state.weights, again.state.weights, rtol=1e-9)


def test_the_first_of_equals_wins_and_what_fails_never_does():
    X, y = drawn()
    folds = splits.k_fold(n, num_folds=3)
    hyper = {"l2": np.array([-10.0, 0.1, np.nan, 0.1, 50.0])}
    for is_loss, score in ((False, regression.r2), (True, regression.mse)):
        method = RIDGE | {"score": Partial(score)}
        best, info = grid_search.search(X, y, folds, **method, hyper=hyper, is_loss=is_loss)
        assert (best.candidate, info.num_failed) == (1, 2)
        assert (best.hyper["l2"], info.status) == (0.1, Status.CONVERGED)
    failed = {"l2": np.array([np.nan, np.nan])}
    best, info = grid_search.search(X, y, folds, **RIDGE, hyper=failed)
    assert (best.candidate, info.num_failed, info.status) == (-1, 2, Status.NOT_FINITE)
    assert np.isnan(best.state.weights).all()
    assert np.isnan(best.hyper["l2"])


@pytest.mark.parametrize("kind", ["status", "state"])
def test_codes_from_a_fit_without_a_model_are_not_scored(kind):
    X, _ = wine()
    labels = (np.arange(175) < 30).astype(np.int32)
    folds = splits.k_fold(175, num_folds=3)
    folds = splits.Folds(train=folds.test, test=folds.train)
    if kind == "status":  # two of them learn from one class alone
        found = validation.cross_validate(X, labels, folds, **logit(2, "accuracy"))
        np.testing.assert_array_equal(np.isnan(found.test), [False, True, True])
    else:
        method = {
            "fit": Partial(gaussian_nb.fit, num_classes=2),
            "predict": Partial(gaussian_nb.predict),
            "score": Partial(classification.accuracy),
        }
        bad = np.where(np.arange(175) == 0, 5, labels)  # no code, in the first fold
        found = validation.cross_validate(X, bad, folds, **method)
        np.testing.assert_array_equal(np.isnan(found.test), [True, False, False])


@pytest.mark.slow
def test_halving_ends_where_the_grid_does_at_less_cost():
    X, y = drawn()
    order = np.random.default_rng(0).permutation(n)
    folds = splits.k_fold(n, num_folds=2)
    hyper = grid_search.grid(l2=np.logspace(-3, 3, 9))
    best, info = halving.search(X, y, folds, order, **RIDGE, hyper=hyper)
    assert [len(rung.candidates) for rung in info.rungs] == [9, 3, 1]
    assert [int(rung.num_rows) for rung in info.rungs] == [6, 20, 60]
    for rung, after in zip(info.rungs, info.rungs[1:], strict=False):
        kept = np.argsort(-rung.mean, kind="stable")[: len(after.candidates)]
        np.testing.assert_array_equal(after.candidates, np.sort(np.asarray(rung.candidates)[kept]))
    once, _ = halving.search(X, y, folds, order, **RIDGE, hyper=hyper, num_rungs=1)
    grid, every = grid_search.search(X, y, folds, **RIDGE, hyper=hyper)
    assert once.candidate == grid.candidate
    assert best.candidate == info.rungs[-1].candidates[0]
    np.testing.assert_allclose(info.rungs[-1].mean[0], every.mean[best.candidate], rtol=1e-12)
