"""Forests: published accuracies, the same on any device, out of bag, and what is drawn."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh
from sklearn import datasets
from sklearn.ensemble import RandomForestRegressor

from mastery_jax.learning.trees import drawing, ensemble, forest_classifier, forest_regressor

key = jax.random.key(0)


def cancer():
    X, labels = datasets.load_breast_cancer(return_X_y=True)
    return X.astype(np.float32), labels.astype(np.int32)


def fit(X, labels, **hyper):
    return forest_classifier.fit(key, X, labels, num_classes=2, num_trees=8, **hyper)


def test_trees_do_not_depend_on_the_devices_that_share_them():
    X, labels = cancer()
    alone, _ = fit(X, labels, max_depth=3)
    mesh = Mesh(np.array(jax.devices()[:3]), ("trees",))  # which do not divide the eight trees
    shared, _ = fit(X, labels, max_depth=3, mesh=mesh)
    for one, other in zip(jax.tree.leaves(alone), jax.tree.leaves(shared), strict=True):
        np.testing.assert_array_equal(one, other)


def test_out_of_bag_rows_are_those_a_tree_was_not_grown_on():
    """Labels by chance: bagged trees know their own rows, and nothing of the others."""
    X = np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32)
    labels = np.random.default_rng(1).integers(0, 2, 400).astype(np.int32)
    state, info = fit(X, labels, out_of_bag=True)
    seen = (forest_classifier.predict(state, X) == labels).mean()
    told = np.asarray(info.out_of_bag)
    is_told = ~np.isnan(told[:, 0])
    unseen = (told.argmax(axis=1) == labels)[is_told].mean()
    assert seen > 0.9
    assert abs(unseen - 0.5) < 4 * 0.5 / np.sqrt(400)
    # Eight trees have all drawn a row with probability (1 − 1/e)^8.
    assert abs(is_told.mean() - (1 - (1 - np.exp(-1)) ** 8)) < 0.03
    np.testing.assert_allclose(told[is_told].sum(axis=1), 1, rtol=1e-5)


def test_probabilities_are_the_mean_of_the_trees():
    X, labels = cancer()
    state, _ = fit(X, labels, max_depth=3)
    leaves = np.asarray(ensemble.leaves(state.trees, X))
    values = np.asarray(state.trees.value)
    mean = values[np.arange(8)[None, :], leaves].sum(axis=1)
    np.testing.assert_allclose(forest_classifier.predict_proba(state, X), mean, rtol=1e-5)
    np.testing.assert_allclose(mean.sum(axis=1), 1, rtol=1e-5)


def test_extra_trees_draw_each_threshold_as_often_as_any():
    """One feature of eight values: seven thresholds part the rows, each with probability 1/7."""
    X = np.tile(np.arange(8.0, dtype=np.float32), 4)[:, None]
    labels = (X[:, 0] > 3).astype(np.int32)
    state, _ = forest_classifier.fit(
        key, X, labels, num_classes=2, num_trees=2000, max_depth=1, bootstrap=False,
        random_thresholds=True,
    )  # fmt: skip
    counts = np.unique(state.trees.threshold[:, 0], return_counts=True)[1]
    assert len(counts) == 7
    # χ² with 6 degrees of freedom exceeds 27.9 with probability 1e-4.
    assert ((counts - 2000 / 7) ** 2 / (2000 / 7)).sum() < 27.9


def test_every_set_of_features_is_drawn_as_often_as_any():
    chosen = np.asarray(drawing._subsets(key, 5, 2, 4000))
    pairs, counts = np.unique(np.sort(chosen, axis=0), axis=1, return_counts=True)
    assert pairs.shape[1] == 10
    assert (pairs[0] < pairs[1]).all()
    # χ² with 9 degrees of freedom exceeds 33.7 with probability 1e-4.
    assert ((counts - 400) ** 2 / 400).sum() < 33.7


@pytest.mark.slow
def test_a_regression_forest_explains_what_scikit_learns_does():
    X, y = datasets.load_diabetes(return_X_y=True, scaled=False)
    X, y = X.astype(np.float32), y.astype(np.float32)
    state, info = forest_regressor.fit(key, X, y, out_of_bag=True, max_depth=8)
    theirs = RandomForestRegressor(100, max_depth=8, oob_score=True, random_state=0).fit(X, y)
    left = 1 - ((info.out_of_bag - y) ** 2).sum() / ((y - y.mean()) ** 2).sum()
    assert abs(left - theirs.oob_score_) < 0.02
    assert np.abs(state.importances - theirs.feature_importances_).max() < 0.05


def test_bad_input_is_refused():
    X, labels = cancer()
    for wrong, said in (
        ({"max_features": 31}, "max_features is 31, not 1 to 30"),
        ({"num_trees": 0}, "num_trees is 0, not at least 1"),
        ({"max_leaves": 0}, "max_leaves is 0, not at least 1"),
    ):
        with pytest.raises(ValueError, match=rf"forest_classifier\.fit: {said}"):
            forest_classifier.fit(key, X, labels, num_classes=2, **wrong)
    state, _ = fit(X, labels + 5, max_depth=3)
    assert jnp.isnan(state.importances).all()


@pytest.mark.reference
@pytest.mark.parametrize("name", ["digits", "breast_cancer", "wine", "iris"])
def test_published_accuracies(reference, name):
    """Within two errors and two deviations of scikit-learn's over eight seeds."""
    folder = reference / "sklearn_reference"
    published = json.loads((folder / "reference.json").read_text())["classification"][name]
    splits = np.load(folder / "splits.npz")
    X, labels = getattr(datasets, f"load_{name}")(return_X_y=True)
    X, labels = X.astype(np.float32), labels.astype(np.int32)
    train, test = splits[f"{name}_train"], splits[f"{name}_test"]
    state, _ = forest_classifier.fit(
        key, X[train], labels[train], num_classes=int(labels.max()) + 1
    )
    accuracy = (forest_classifier.predict(state, X[test]) == labels[test]).mean()
    wanted = published["models"]["rf100_8seeds"]
    assert accuracy >= wanted["mean"] - 2 * wanted["sd"] - 2 / len(test)
