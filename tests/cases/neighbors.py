"""Nearest neighbors, beside scikit-learn's."""

import numpy as np
from sklearn import neighbors as peer

from mastery_jax.learning.neighbors import knn_classifier, knn_regressor, search
from tests.contract import Case

rng = np.random.default_rng(8)
X, new = rng.normal(size=(40, 3)), rng.normal(size=(6, 3))
labels = rng.integers(0, 3, size=40).astype(np.int32)
y = rng.normal(size=40)
weights = rng.uniform(0.5, 2, size=40)
ranks = np.arange(5, dtype=np.int32)
INNER = {
    "modes": (),
    "unchecked": ("0/metric",),
    "because": "who is nearest has no derivative; a metric is of one of several kinds",
}


def nearest_by_sklearn(rows, weights, X, *, k, metric="euclidean"):
    model = peer.NearestNeighbors(n_neighbors=k, metric=metric, algorithm="brute").fit(rows)
    return model.kneighbors(X)


def classifier(state, X):
    model = peer.KNeighborsClassifier(weights="distance").fit(state.rows, state.labels)
    return model.predict_proba(X)


def regressor(state, X):
    return peer.KNeighborsRegressor(weights="distance").fit(state.rows, state.y).predict(X)


ones = np.ones(40)
counts = np.bincount(labels, weights=weights)
voters = knn_classifier.State(
    X, labels, ones, np.bincount(labels) * 1.0, ranks, np.array(1.0), search.Euclidean()
)
numbers = knn_regressor.State(X, y, ones, ranks, np.array(1.0), search.Euclidean())

CASES: tuple[Case, ...] = (
    *(
        Case(
            f"search.nearest {name}",
            lambda *args, metric=metric, **static: search.nearest(*args, metric=metric, **static),
            (X, ones, new),
            static={"k": 4},
            oracle=lambda *args, k, name=name: nearest_by_sklearn(*args, k=k, metric=name),
            modes=(),
            because="who is nearest has no derivative",
        )
        for name, metric in (
            ("euclidean", search.Euclidean()),
            ("manhattan", search.Manhattan()),
            ("cosine", search.Cosine()),
        )
    ),
    Case(
        "knn_classifier.fit",
        knn_classifier.fit,
        (X, labels),
        {"weights": weights, "power": 1.0},
        static={"num_classes": 3},
        oracle=lambda X, labels, weights, power, num_classes: knn_classifier.State(
            X, labels, weights, counts, ranks, power, search.Euclidean()
        ),
    ),
    Case(
        "knn_classifier.predict_proba",
        knn_classifier.predict_proba,
        (voters, new),
        oracle=classifier,
        **INNER,
    ),
    Case(
        "knn_classifier.predict",
        knn_classifier.predict,
        (voters, new),
        oracle=lambda s, X: classifier(s, X).argmax(axis=1),
        **INNER,
    ),
    Case(
        "knn_classifier.kneighbors",
        knn_classifier.kneighbors,
        (voters, new),
        static={"k": 3},
        oracle=lambda s, X, k: nearest_by_sklearn(s.rows, None, X, k=k),
        **INNER,
    ),
    Case(
        "knn_regressor.fit",
        knn_regressor.fit,
        (X, y),
        {"weights": weights, "power": 1.0},
        oracle=lambda X, y, weights, power: knn_regressor.State(
            X, y, weights, ranks, power, search.Euclidean()
        ),
    ),
    Case("knn_regressor.predict", knn_regressor.predict, (numbers, new), oracle=regressor, **INNER),
    Case(
        "knn_regressor.kneighbors",
        knn_regressor.kneighbors,
        (numbers, new),
        static={"k": 3},
        oracle=lambda s, X, k: nearest_by_sklearn(s.rows, None, X, k=k),
        **INNER,
    ),
)
