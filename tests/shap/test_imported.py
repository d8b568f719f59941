"""Imported trees answer what their peers answer, to the last comparison."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special
from sklearn import ensemble as forests
from sklearn import tree
from sklearn.linear_model import LinearRegression, Ridge

from mastery_jax.learning.trees import ensemble, imported, imported_nodes

PEERS = json.loads((pathlib.Path(__file__).parent / "peers.json").read_text())
LINKS = {
    "identity": lambda z: z,
    "sigmoid": special.expit,
    "softmax": lambda z: special.softmax(z, axis=1),
    "exp": np.exp,
}
READ = {"xgboost": imported.from_xgboost, "lightgbm": imported.from_lightgbm}
NAMED = [(peer, name) for peer in READ for name in PEERS[peer]]

rng = np.random.default_rng(3)
X = rng.normal(size=(300, 6))
y = X[:, 0] * X[:, 1] + np.abs(X[:, 2])
codes = np.digitize(y, [0.3, 1.2])
holes = np.where(rng.random(X.shape) < 0.1, np.nan, X)
weights = np.where(np.arange(300) < 20, 0.0, 1.0)


def margin(found, X, dtype="float64"):
    with jax.enable_x64(dtype == "float64"):
        rows = jnp.asarray(X, dtype)
        return np.asarray(ensemble.evaluate(found.trees, rows) + found.bias[None])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("peer", "name"), NAMED)
def test_a_file_answers_as_its_peer(peer, name, dtype):
    given = PEERS[peer][name]
    with jax.enable_x64(dtype == "float64"):
        found = READ[peer](given["text"])
        assert found.trees.value.dtype == dtype
        ours = margin(found, np.array(given["asked"]), dtype)
    theirs = np.array(given["margin"]).reshape(ours.shape)
    np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=2e-6)
    answer = LINKS[found.link](ours)
    np.testing.assert_allclose(answer, np.reshape(given["answer"], answer.shape), rtol=1e-5)


def test_lightgbm_agrees_to_all_digits():
    with jax.enable_x64(True):
        given = PEERS["lightgbm"]["sets"]
        ours = margin(imported.from_lightgbm(given["text"]), np.array(given["asked"]))
    np.testing.assert_allclose(ours[:, 0], given["margin"], rtol=1e-14, atol=1e-15)


SMALL = {"max_depth": 4, "random_state": 0}
MODELS = {
    "tree": (tree.DecisionTreeRegressor(**SMALL), y, holes),
    "tree classes": (tree.DecisionTreeClassifier(**SMALL), codes, holes),
    "two targets": (tree.DecisionTreeRegressor(**SMALL), np.stack([y, -2 * y], 1), X),
    "forest": (forests.RandomForestRegressor(7, **SMALL), y, holes),
    "forest classes": (forests.RandomForestClassifier(7, **SMALL), codes, holes),
    "extra": (forests.ExtraTreesRegressor(5, **SMALL), y, X),
    "boosting": (forests.GradientBoostingRegressor(n_estimators=9, **SMALL), y, X),
    "boosting two": (forests.GradientBoostingClassifier(n_estimators=9, **SMALL), codes > 0, X),
    "boosting three": (forests.GradientBoostingClassifier(n_estimators=4, **SMALL), codes, X),
    "exponential": (
        forests.GradientBoostingClassifier(n_estimators=4, loss="exponential", **SMALL),
        codes > 0,
        X,
    ),
    "zero": (forests.GradientBoostingRegressor(init="zero", n_estimators=3, **SMALL), y, X),
    "histogram": (forests.HistGradientBoostingRegressor(max_iter=9, **SMALL), y, holes),
    "histogram two": (
        forests.HistGradientBoostingClassifier(max_iter=9, **SMALL),
        codes > 0,
        holes,
    ),
    "histogram three": (forests.HistGradientBoostingClassifier(max_iter=4, **SMALL), codes, holes),
    "histogram count": (
        forests.HistGradientBoostingRegressor(max_iter=4, loss="poisson", **SMALL),
        codes,
        holes,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_scikit_learn_answers_alike(name):
    model, target, rows = MODELS[name]
    model.fit(rows, target, sample_weight=weights)
    for dtype in ("float64", "float32"):
        with jax.enable_x64(dtype == "float64"):
            found = imported.from_sklearn(model)
            ours = LINKS[found.link](margin(found, rows, dtype))
        same = rows.astype(dtype)
        if hasattr(model, "predict_proba"):
            theirs = model.predict_proba(same)
            theirs = theirs[:, 1:] if found.link == "sigmoid" else theirs
        else:
            theirs = model.predict(same)
        tight = 1e-12 if dtype == "float64" else 2e-6
        np.testing.assert_allclose(ours, theirs.reshape(ours.shape), rtol=10 * tight, atol=tight)


def test_a_subclass_answers_as_its_class():
    class Wood(forests.ExtraTreesRegressor):
        pass

    model = Wood(3, **SMALL).fit(X, y)
    with jax.enable_x64(True):
        ours = margin(imported.from_sklearn(model), X)
    np.testing.assert_allclose(ours[:, 0], model.predict(X), rtol=1e-12)


def test_categories_are_followed_known_or_not():
    sets = X.copy()
    sets[:, 2] = 3 * rng.integers(0, 30, 300)
    sets[:15, 2] = np.nan
    target = (sets[:, 2] % 2 == 1) + 0.1 * sets[:, 0]
    model = forests.HistGradientBoostingRegressor(
        max_iter=6, max_depth=3, categorical_features=[2], random_state=0
    ).fit(sets, target)
    asked = np.concatenate([sets, sets[:3]])
    asked[300:, 2] = [1.0, 500.0, 88.0]  # unknown
    with jax.enable_x64(True):
        ours = margin(imported.from_sklearn(model), asked)
    np.testing.assert_allclose(ours[:, 0], model.predict(asked), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_row_beside_a_threshold_falls_where_it_falls_there(dtype):
    """Ask at every threshold, and at the numbers of both precisions around it."""
    model = tree.DecisionTreeRegressor(random_state=0).fit(X[:, :1], y)
    thresholds = model.tree_.threshold[model.tree_.children_left >= 0]
    single = thresholds.astype(np.float32)
    near = [single, np.nextafter(single, np.float32(9)), np.nextafter(single, np.float32(-9))]
    middle = [(a.astype(float) + b) / 2 for a in near for b in near]
    asked = [*near, *middle, thresholds, *(np.nextafter(m, s) for m in middle for s in (-9, 9))]
    rows = np.concatenate(asked).astype(dtype)[:, None]
    with jax.enable_x64(dtype == "float64"):
        ours = margin(imported.from_sklearn(model), rows, dtype)[:, 0]
    np.testing.assert_allclose(ours, model.predict(rows), rtol=1e-6)


def test_a_single_number_is_rounded_down_never_up():
    double = np.array([0.1, -0.1, 1.0, 1e39, -1e39, 5e-324, np.nan])
    found = imported_nodes.round_down(double, np.float32).astype(float)
    assert (found[:6] <= double[:6]).all()
    assert (np.nextafter(found[:3].astype(np.float32), np.float32(9)) > double[:3]).all()
    assert np.isnan(found[6])


def test_the_cover_and_the_gain_are_those_of_the_peer():
    model = tree.DecisionTreeClassifier(**SMALL).fit(X, codes, sample_weight=weights)
    trees = imported.from_sklearn(model).trees
    assert float(trees.cover[0, 0]) == weights.sum()
    inner = np.asarray(trees.child[0]) != np.arange(trees.child.shape[1])
    by_feature = np.bincount(trees.feature[0][inner], trees.gain[0][inner], minlength=6)
    np.testing.assert_allclose(by_feature / by_feature.sum(), model.feature_importances_, atol=1e-6)


OURS, BOOST = forests.GradientBoostingRegressor, PEERS["xgboost"]["binary"]["text"]
REFUSED = {
    "model is a Ridge": lambda: imported.from_sklearn(Ridge().fit(X, y)),
    "not a fitted tree": lambda: imported.from_sklearn(tree.DecisionTreeRegressor()),
    "2 targets of classes": lambda: imported.from_sklearn(
        tree.DecisionTreeClassifier(max_depth=2).fit(X, np.stack([codes, codes], 1))
    ),
    "init is a LinearRegression": lambda: imported.from_sklearn(
        OURS(n_estimators=2, init=LinearRegression()).fit(X, y)
    ),
    "model is a BaggingRegressor, not a fitted tree": lambda: imported.from_sklearn(
        forests.BaggingRegressor(n_estimators=2, max_features=3).fit(X, y)
    ),
    # Neither a mean nor a sum of its trees: a weighted median, votes, and the leaves themselves.
    "model is a AdaBoostRegressor, not a fitted tree": lambda: imported.from_sklearn(
        forests.AdaBoostRegressor(n_estimators=2, random_state=0).fit(X, y)
    ),
    "model is a AdaBoostClassifier, not a fitted tree": lambda: imported.from_sklearn(
        forests.AdaBoostClassifier(n_estimators=2, random_state=0).fit(X, codes)
    ),
    "model is a RandomTreesEmbedding, not a fitted tree": lambda: imported.from_sklearn(
        forests.RandomTreesEmbedding(2, max_depth=2, random_state=0).fit(X)
    ),
    "model is a RandomForestRegressor, not a fitted tree": lambda: imported.from_sklearn(
        forests.RandomForestRegressor(2)
    ),
    "no field 'learner'": lambda: imported.from_xgboost("{}"),
    "is no JSON": lambda: imported.from_xgboost("tree"),
    "not 'gbtree' or 'dart'": lambda: imported.from_xgboost(
        BOOST.replace('"name":"gbtree"', '"name":"gblinear"')
    ),
    "size_leaf_vector": lambda: imported.from_xgboost(
        BOOST.replace('"size_leaf_vector":"1"', '"size_leaf_vector":"3"')
    ),
    "is_linear is 1": lambda: imported.from_lightgbm(
        PEERS["lightgbm"]["binary"]["text"].replace("is_linear=0", "is_linear=1")
    ),
    "sigmoid is 2.0": lambda: imported.from_lightgbm(
        PEERS["lightgbm"]["binary"]["text"].replace("sigmoid:1", "sigmoid:2")
    ),
    "text has no trees": lambda: imported.from_lightgbm("tree\nnum_tree_per_iteration=1\n"),
}  # fmt: skip


@pytest.mark.parametrize("said", REFUSED)
def test_what_cannot_be_followed_is_refused_by_name(said):
    with pytest.raises(ValueError, match=said) as error:
        REFUSED[said]()
    assert str(error.value).startswith("imported.from_")
