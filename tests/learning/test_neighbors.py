"""Nearest neighbors: scikit-learn's, ties, blocks, weights, bad input and single precision."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import datasets, neighbors

from mastery_jax.learning.neighbors import knn_classifier, knn_regressor, search

few = settings(max_examples=6, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


@pytest.mark.reference
@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "digits"])
@pytest.mark.parametrize(("model", "k"), [("knn5_scaled", 5), ("knn5_raw", 5), ("knn1_raw", 1)])
def test_the_published_errors(reference, name, model, k):
    folder = reference / "sklearn_reference"
    published = json.loads((folder / "reference.json").read_text())["classification"]
    wanted = published[name]["models"][model]
    splits = np.load(folder / "splits.npz")
    train, test = splits[f"{name}_train"], splits[f"{name}_test"]
    X, labels = getattr(datasets, f"load_{name}")(return_X_y=True)
    labels = labels.astype(np.int32)
    if model.endswith("scaled"):
        deviation = X[train].std(axis=0)
        X = (X - X[train].mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    state = knn_classifier.fit(
        X[train], labels[train], num_classes=int(labels.max()) + 1, num_neighbors=k
    )
    found = knn_classifier.predict(state, X[test])
    assert (np.asarray(found) != labels[test]).sum() == wanted["n_errors"]


@few
@given(seeds)
@pytest.mark.parametrize("metric", ["euclidean", "manhattan"])
def test_of_equally_far_rows_the_first_is_nearer(metric, seed):
    rng = np.random.default_rng(seed)
    rows, X = (rng.integers(0, 3, size=(n, 2)).astype(float) for n in (300, 7))
    apart = np.abs(rows[None] - X[:, None])
    distances = np.sqrt((apart**2).sum(axis=2)) if metric == "euclidean" else apart.sum(axis=2)
    order = np.argsort(distances, axis=1, kind="stable")[:, :20]
    for dtype in (np.float32, np.float64):
        found = search.nearest(
            rows.astype(dtype), np.ones(300, dtype), X.astype(dtype), k=20,
            metric=search.make(metric),
        )  # fmt: skip
        np.testing.assert_allclose(
            found.distances, np.take_along_axis(distances, order, axis=1), rtol=1e-6
        )
        np.testing.assert_array_equal(found.indices, order)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize(("unit", "apart"), [(1.0, 1e4), (1e20, 0.0), (1e-24, 0.0)])
def test_single_precision_finds_the_nearest_in_any_unit_and_in_far_clusters(metric, unit, apart):
    """Products lose the first by rounding, and squares the others by size: neither may decide."""
    rng = np.random.default_rng(0)
    rows, X = rng.normal(size=(2000, 4)), rng.normal(size=(40, 4))
    rows[1000:, :2] += apart
    X[20:, :2] += apart
    rows, X = (np.float32(unit * x) for x in (rows, X))
    found = search.nearest(rows, np.ones(2000, np.float32), X, k=3, metric=search.make(metric))
    wanted = neighbors.NearestNeighbors(n_neighbors=3, metric=metric, algorithm="brute")
    distances, indices = wanted.fit(rows.astype(float) / unit).kneighbors(X.astype(float) / unit)
    if metric == "euclidean":
        np.testing.assert_array_equal(found.indices, indices)
        np.testing.assert_allclose(found.distances / np.float32(unit), distances, rtol=1e-5)
    else:  # directions that differ by less than 1e-7 are one to single precision
        np.testing.assert_allclose(found.distances, distances, atol=1e-6)


def test_blocks_of_queries_and_a_large_shift(monkeypatch):
    rng = np.random.default_rng(0)
    rows, X = rng.normal(size=(500, 4)) + 1000, rng.normal(size=(50, 4)) + 1000
    wanted = neighbors.NearestNeighbors(n_neighbors=6, algorithm="brute").fit(rows).kneighbors(X)
    monkeypatch.setattr(search, "CELLS", 20 * 32 * 4 * 16)  # blocks of 32 queries, which overlap
    found = search.nearest(rows, np.ones(500), X, k=6)
    np.testing.assert_allclose(found.distances, wanted[0], rtol=1e-6)  # theirs rounds
    np.testing.assert_array_equal(found.indices, wanted[1])
    single = search.nearest(np.float32(rows), np.ones(500, np.float32), np.float32(X), k=6)
    np.testing.assert_allclose(single.distances, wanted[0], rtol=1e-3)


@pytest.mark.parametrize("power", [0.0, 1.0])
@pytest.mark.parametrize("metric", ["euclidean", "manhattan", "cosine"])
def test_the_votes_and_means_of_scikit_learn(metric, power):
    X, labels = datasets.load_wine(return_X_y=True)
    y = X[:, -1]
    given = {"weights": "distance" if power else "uniform", "metric": metric, "algorithm": "brute"}
    state = knn_classifier.fit(X, labels, num_classes=3, power=power, metric=metric)
    model = neighbors.KNeighborsClassifier(7, **given).fit(X, labels)
    state = state._replace(ranks=jnp.arange(7, dtype=jnp.int32))
    probes = X + 0.01  # at distance 0 rounding decides who is there
    found = knn_classifier.predict_proba(state, probes)
    np.testing.assert_allclose(found, model.predict_proba(probes), rtol=1e-5, atol=1e-6)
    state = knn_regressor.fit(X, y, num_neighbors=7, power=power, metric=metric)
    model = neighbors.KNeighborsRegressor(7, **given).fit(X, y)
    np.testing.assert_allclose(
        knn_regressor.predict(state, probes), model.predict(probes), rtol=1e-5
    )


def test_rows_at_distance_zero_vote_alone():
    X, labels = np.array([[0.0], [0.0], [1.0], [1.0], [1.0]]), np.array([0, 1, 1, 1, 1])
    state = knn_classifier.fit(X, labels, num_classes=2, power=1.0)
    np.testing.assert_allclose(knn_classifier.predict_proba(state, X[:1]), [[0.5, 0.5]])
    assert knn_classifier.predict(state, X[:1]) == 0  # of equal votes the first class


@few
@given(seeds)
def test_a_row_of_weight_zero_is_absent_and_a_weight_scales_a_vote(seed):
    rng = np.random.default_rng(seed)
    X, labels = rng.normal(size=(80, 3)), rng.integers(0, 3, size=80).astype(np.int32)
    y, weights = rng.normal(size=80), np.repeat([1.0, 0.0], 40)
    bare = knn_classifier.fit(X[:40], labels[:40], num_classes=3)
    wanted = knn_classifier.predict_proba(bare, X[:9])
    spoiled, codes = X.copy(), labels.copy()
    spoiled[40:], codes[40:] = np.nan, 77
    state = knn_classifier.fit(spoiled, codes, num_classes=3, weights=weights)
    np.testing.assert_allclose(knn_classifier.predict_proba(state, X[:9]), wanted)
    twice = knn_classifier.fit(spoiled, codes, num_classes=3, weights=2 * weights)
    np.testing.assert_allclose(knn_classifier.predict_proba(twice, X[:9]), wanted)
    y[40:] = np.nan
    found = knn_regressor.predict(knn_regressor.fit(spoiled, y, weights=weights), X[:9])
    bare = knn_regressor.fit(X[:40], y[:40])
    np.testing.assert_allclose(found, knn_regressor.predict(bare, X[:9]))


def test_fewer_rows_than_neighbors_have_weight():
    X, y = np.arange(6.0)[:, None], np.arange(6.0)
    state = knn_regressor.fit(X, y, weights=np.array([1.0, 1, 0, 0, 0, 0]))
    np.testing.assert_allclose(knn_regressor.predict(state, X[:1]), 0.5)
    found = knn_regressor.kneighbors(state, X[:1], k=3)
    np.testing.assert_array_equal(found.distances, [[0, 1, np.inf]])


@pytest.mark.parametrize("fault", ["weights", "no weights", "code", "NaN"])
def test_data_that_make_no_sense_give_nan(fault):
    X, labels, weights = np.arange(12.0).reshape(6, 2), np.arange(6) % 2, np.ones(6)
    if fault == "weights":
        weights[0] = -1
    elif fault == "no weights":
        weights[:] = 0
    elif fault == "code":
        labels[0] = -1
    else:
        X[0, 0] = np.nan
    state = knn_classifier.fit(X, labels, num_classes=2, weights=weights, num_neighbors=3)
    assert jnp.isnan(knn_classifier.predict_proba(state, X[1:])).all()
    if fault != "code":
        state = knn_regressor.fit(X, X[:, 1], weights=weights, num_neighbors=3)
        assert jnp.isnan(knn_regressor.predict(state, X[1:])).all()


def test_a_query_that_is_not_finite_spoils_itself_alone():
    X = np.arange(12.0).reshape(6, 2)
    state = knn_regressor.fit(X, X[:, 1], num_neighbors=1)
    found = knn_regressor.predict(state, np.array([[np.nan, 0], [0, 1], [np.inf, 1]]))
    np.testing.assert_array_equal(found, [np.nan, 1, np.nan])


def test_one_row_a_constant_feature_and_wrong_options():
    state = knn_regressor.fit(np.ones((1, 2)), np.array([3.0]), num_neighbors=1)
    assert knn_regressor.predict(state, np.zeros((1, 2))) == 3
    X, labels = np.ones((4, 2)), np.array([1, 0, 0, 1])
    state = knn_classifier.fit(X, labels, num_classes=2, num_neighbors=3)
    np.testing.assert_array_equal(knn_classifier.kneighbors(state, X, k=3).indices, [[0, 1, 2]] * 4)
    for hyper, said in (
        ({"num_classes": 1}, "num_classes is 1, not at least 2"),
        ({"num_classes": 2}, r"knn_classifier\.fit: num_neighbors is 5, not 1 to 4"),
        ({"num_classes": 2, "num_neighbors": 0}, "num_neighbors is 0"),
        ({"num_classes": 2, "num_neighbors": 1, "metric": "hamming"}, "metric is 'hamming'"),
    ):
        with pytest.raises(ValueError, match=said):
            knn_classifier.fit(X, labels, **hyper)
    with pytest.raises(ValueError, match=r"search\.nearest: k is 9, not 1 to 4"):
        knn_classifier.kneighbors(state, X, k=9)
