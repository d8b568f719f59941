"""Folds: scikit-learn's numbers of rows, every row once, whole groups, no way back in time."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import model_selection

from mastery_jax.learning.selection import splits
from tests.learning.peer_folds import masks_of

few = settings(max_examples=8, deadline=None, derandomize=True)
seeds = st.integers(0, 2**31 - 1)
n = 60


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


def on_host(folds):
    return splits.Folds(*map(np.asarray, folds))


def same(found, wanted):
    for mask, peer in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(mask, peer)


@pytest.mark.parametrize("num_folds", [2, 7, 23])
def test_folds_in_order_are_those_of_scikit_learn(num_folds):
    labels = np.random.default_rng(1).permutation(np.repeat([2, 0, 1, 3], [9, 7, 5, 2]))
    same(
        splits.k_fold(23, num_folds=num_folds),
        masks_of(model_selection.KFold(num_folds), labels),
    )
    if num_folds < 9:
        peer = model_selection.StratifiedKFold(num_folds)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a class has fewer rows than there are folds
            wanted = masks_of(peer, labels)
        same(splits.stratified(labels, num_classes=5, num_folds=num_folds), wanted)


@pytest.mark.parametrize(
    "options", [{}, {"gap": 2}, {"test_size": 3}, {"test_size": 2, "gap": 1, "max_train_size": 4}]
)
def test_time_series_is_that_of_scikit_learn_in_any_order_of_rows(options):
    wanted = masks_of(model_selection.TimeSeriesSplit(4, **options), np.zeros(23))
    order = np.random.default_rng(0).permutation(23)
    found = splits.time_series(np.linspace(0, 1, 23)[order], num_folds=4, **options)
    same(found, [mask[:, order] for mask in wanted])


@few
@given(seeds)
def test_groups_stay_whole_and_balance_as_in_scikit_learn(seed):
    groups = (np.random.default_rng(seed).gamma(1, 3, n) % 9).astype(np.int8)
    sizes = np.bincount(groups, minlength=9)
    wanted = masks_of(model_selection.GroupKFold(3), groups, groups)
    for key in (None, jax.random.key(seed)):
        found = on_host(splits.grouped(groups, num_groups=9, num_folds=3, key=key))
        assert sorted(found.test.sum(axis=1)) == sorted(wanted.test.sum(axis=1))
        held = np.array([[row[groups == g].sum() for g in range(9)] for row in found.test])
        assert ((held == 0) | (held == sizes)).all()
        assert (found.train == ~found.test).all()


@few
@given(seeds)
def test_random_folds_deal_every_row_once_and_evenly(seed):
    labels = np.random.default_rng(seed).integers(0, 3, n)
    first, second = jax.random.split(jax.random.key(seed))
    by_class = on_host(splits.stratified(labels, num_classes=3, num_folds=7, key=first))
    for folds in (on_host(splits.k_fold(n, num_folds=7, key=first)), by_class):
        assert (folds.test.sum(axis=0) == 1).all()
        assert (folds.train == ~folds.test).all()
        assert np.ptp(folds.test.sum(axis=1)) <= 1
    for kind in range(3):
        assert np.ptp(by_class.test[:, labels == kind].sum(axis=1)) <= 1
    for key in (second, None):
        other = on_host(splits.stratified(labels, num_classes=3, num_folds=7, key=key))
        assert (by_class.test != other.test).any()


@few
@given(seeds)
def test_folds_among_some_rows_are_folds_of_those_rows(seed):
    rng = np.random.default_rng(seed)
    among = rng.permutation(n) < 31
    labels, times = rng.integers(0, 3, n), rng.normal(size=n)
    for whole, part in (
        (splits.k_fold(n, num_folds=4, among=among), splits.k_fold(31, num_folds=4)),
        *(
            (fn(data, among=among, **options), fn(data[among], **options))
            for fn, data, options in (
                (splits.stratified, labels, {"num_classes": 3, "num_folds": 4}),
                (splits.grouped, labels, {"num_groups": 3, "num_folds": 2}),
                (splits.time_series, times, {"num_folds": 4, "gap": 1}),
            )
        ),
    ):
        whole = on_host(whole)
        same([mask[:, among] for mask in whole], part)
        assert not whole.train[:, ~among].any()
        assert not whole.test[:, ~among].any()


@pytest.mark.parametrize(
    ("name", "args", "options", "said"),
    [
        ("k_fold", (4,), {"num_folds": 5}, "num_folds is 5, not from 2 to 4"),
        ("k_fold", (4,), {"num_folds": 1}, "num_folds is 1"),
        ("k_fold", (4,), {"num_folds": 2, "among": jnp.ones(3, bool)}, "among has 3 rows, not 4"),
        ("stratified", (jnp.zeros(4, int),), {"num_classes": 1}, "num_classes is 1"),
        ("grouped", (jnp.zeros(9, int),), {"num_groups": 3, "num_folds": 4}, "from 2 to 3"),
        ("time_series", (jnp.zeros(4),), {"num_folds": 4}, "num_folds is 4, not from 1 to 3"),
        ("time_series", (jnp.zeros(9),), {"num_folds": 2, "test_size": 4, "gap": 1}, "none of 9"),
        ("time_series", (jnp.zeros(9),), {"gap": -1}, "gap is -1"),
        ("time_series", (jnp.zeros(9),), {"max_train_size": 0}, "max_train_size is 0"),
    ],
)
def test_an_empty_fold_is_refused(name, args, options, said):
    with pytest.raises(ValueError, match=rf"splits\.{name}: .*{said}"):
        getattr(splits, name)(*args, **options)
