"""What is handed to a search: keys, states, options that set a size, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from sklearn import datasets

from mastery_jax.core.status import Status
from mastery_jax.learning.linear import ridge
from mastery_jax.learning.selection import (
    curves,
    grid_search,
    halving,
    nested,
    splits,
    validation,
)
from mastery_jax.learning.trees import forest_classifier
from mastery_jax.probability.metrics import classification, regression

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


def drawn():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 4))
    return X, X @ rng.normal(size=4) + rng.normal(size=n)


def test_keys_are_shared_by_candidates_and_differ_between_folds():
    X, y = drawn()

    def fit(key, X, y, *, weights, shift):
        return jax.random.uniform(key) + 0 * shift

    found = grid_search.search(
        X,
        y,
        splits.k_fold(n, num_folds=3),
        fit=Partial(fit),
        predict=Partial(lambda state, X: jnp.full(len(X), state)),
        score=Partial(lambda predicted, y, weights: predicted[0]),
        hyper={"shift": np.zeros(2)},
        key=jax.random.key(0),
    )
    np.testing.assert_array_equal(*found[1].test)
    assert len({*np.asarray(found[1].test[0]), float(found[0].state)}) == 4


@pytest.mark.slow
def test_a_random_fit_with_sizes_bound_and_its_states():
    X, labels = datasets.load_wine(return_X_y=True)
    labels = labels.astype(np.int32)
    found = validation.cross_validate(
        X.astype(np.float32),
        labels,
        splits.stratified(labels, num_classes=3, num_folds=3),
        fit=Partial(forest_classifier.fit, num_classes=3, num_trees=5, max_depth=3),
        predict=Partial(forest_classifier.predict),
        score=Partial(classification.accuracy),
        key=jax.random.key(0),
        has_states=True,
    )
    assert found.test.mean() > 0.8  # by chance: 0.4
    assert found.states.importances.shape == (3, 13)
    assert found.infos.num_cut.shape == (3,)


def test_equal_options_share_a_program():
    X, y = drawn()
    folds = splits.k_fold(n, num_folds=3)
    count = []

    def fit(X, y, *, weights, size, shift):
        count.append(size)
        return weights.sum() * shift * size

    for shift in (1.0, 2.0):
        for size in (2, 3):
            validation.cross_validate(
                X,
                y,
                folds,
                fit=Partial(fit, size=size, shift=shift),
                predict=Partial(mean_of_state),
                score=Partial(regression.mse),
            )
    assert sorted(set(count)) == [2, 3]
    assert len(count) == 2 * count.count(2)
    once = len(count)
    options = {"size": 3, "shift": 9.0}
    validation.cross_validate(
        X,
        y,
        folds,
        fit=Partial(fit, **options),
        predict=Partial(mean_of_state),
        score=Partial(regression.mse),
    )
    assert len(count) == once


def mean_of_state(state, X):
    return jnp.full(len(X), state)


def test_a_grid_is_the_product_of_its_lists():
    found = grid_search.grid(l2=[1, 10], depth=np.array([3, 4, 5]))
    np.testing.assert_array_equal(found["l2"], [1.0, 1.0, 1.0, 10.0, 10.0, 10.0])
    np.testing.assert_array_equal(found["depth"], [3, 4, 5, 3, 4, 5])
    assert jnp.issubdtype(found["l2"].dtype, jnp.floating)
    assert jnp.issubdtype(found["depth"].dtype, jnp.integer)
    for wrong in ({}, {"l2": []}, {"l2": 3.0}):
        with pytest.raises(ValueError, match=r"grid_search\.grid: "):
            grid_search.grid(**wrong)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"fit": ridge.fit}, "fit is fit, not a jax.tree_util.Partial"),
        ({"fit": Partial(ridge.fit, axes=[1])}, "axes of fit is .*, not a value that has a hash"),
        ({"score": Partial(lambda p, y, weights: p)}, "score returns an array of shape"),
        ({"strategy": "loop"}, "strategy is 'loop', not one of map, vmap"),
        ({"hyper": {}}, "no array of candidates"),
        ({"hyper": {"l2": 0.5}}, "hyper has a number"),
        ({"hyper": {"l2": np.ones(2), "l1": np.ones(3)}}, "arrays of 2 and 3 candidates"),
    ],
)
def test_what_is_wrong_is_said(changed, said):
    X, y = drawn()
    given = {**RIDGE, "hyper": {"l2": np.ones(2)}, **changed}
    with pytest.raises(ValueError, match=rf"grid_search\.search: .*{said}"):
        grid_search.search(X, y, splits.k_fold(n), **given)


def test_halving_has_rows_of_every_fold_in_every_round():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(270, 4))
    y = X @ rng.normal(size=4) + 0.1 * rng.normal(size=270)
    hyper = {"l2": np.logspace(3, -5, 9)}
    for folds in (
        splits.k_fold(270, num_folds=3),  # in blocks, the first of which would fill two rounds
        splits.time_series(np.arange(270), num_folds=3, test_size=20),
    ):
        best, info = halving.search(X, y, folds, np.arange(270), **RIDGE, hyper=hyper)
        assert [int(rung.num_failed) for rung in info.rungs] == [0, 0, 0]
        assert (best.hyper["l2"] < 1) & (info.status == Status.CONVERGED)


def test_halving_chooses_none_where_a_round_chose_none():
    X, y = drawn()

    def fit(X, y, *, weights, shift):  # no model of fewer than 30 rows
        return jnp.where(weights.sum() < 30, jnp.nan, shift)

    best, info = halving.search(
        X,
        y,
        splits.k_fold(n, num_folds=3),
        np.arange(n),
        fit=Partial(fit),
        predict=Partial(lambda state, X: jnp.full(len(X), state)),
        score=Partial(regression.mse),
        hyper={"shift": np.arange(3.0)},
    )
    assert [int(rung.num_failed) for rung in info.rungs] == [3, 0]
    assert (best.candidate, info.status) == (-1, Status.NOT_FINITE)
    assert np.isnan(best.hyper["shift"])


def test_sizes_in_a_dtype_that_does_not_count_the_rows():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 2)), rng.normal(size=300)
    folds = splits.k_fold(300, num_folds=3)
    narrow, wide = (
        curves.learning_curve(X, y, folds, np.array([20, 100], dtype), **RIDGE).test
        for dtype in (np.int8, np.int32)
    )
    np.testing.assert_array_equal(narrow, wide)


@pytest.mark.parametrize(
    ("deal", "size"), [("stratified", "num_classes"), ("grouped", "num_groups")]
)
def test_more_codes_than_a_narrow_dtype_counts(deal, size):
    labels = np.arange(n, dtype=np.int8) % 7
    narrow, wide = (
        getattr(splits, deal)(labels.astype(dtype), **{size: 200}) for dtype in (np.int8, np.int32)
    )
    np.testing.assert_array_equal(narrow.test, wide.test)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"factor": 1}, "factor is 1"),
        ({"num_rungs": 0}, "num_rungs is 0"),
        ({"num_rungs": 5}, "num_rungs is 5, which leaves 0 rows for 5 folds"),
    ],
)
def test_halving_refuses_rounds_without_rows(options, said):
    X, y = drawn()
    with pytest.raises(ValueError, match=rf"halving\.search: {said}"):
        halving.search(
            X, y, splits.k_fold(n), np.arange(n), **RIDGE, hyper={"l2": np.ones(2)}, **options
        )


def test_other_refusals():
    X, y = drawn()
    folds = splits.k_fold(n, num_folds=3)
    with pytest.raises(ValueError, match=r"curves\.validation_curve: hyper has 2 names, not 1"):
        curves.validation_curve(X, y, folds, **RIDGE, hyper={"l2": np.ones(2), "b": np.ones(2)})
    with pytest.raises(ValueError, match=r"nested\.cross_validate: split returns tuple, not Folds"):
        nested.cross_validate(
            X,
            y,
            folds,
            **RIDGE,
            split=Partial(lambda among: (among[None], among[None])),
            hyper={"l2": np.ones(2)},
        )
