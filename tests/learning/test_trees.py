"""Trees: scikit-learn's own splits, missing values, weights that are counts, bad input."""

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import datasets
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from mastery_jax.learning.trees import binning, ensemble, tree_classifier, tree_regressor

rng = np.random.default_rng(0)


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


def iris():
    X, labels = datasets.load_iris(return_X_y=True)
    return X, labels.astype(np.int32)


def fit(X, labels, *, max_depth=6, **hyper):
    """Fit a tree that a single width of the queue has room for: half as much is compiled."""
    return tree_classifier.fit(X, labels, num_classes=3, max_depth=max_depth, **hyper)[0]


@pytest.mark.parametrize("criterion", ["gini", "entropy"])
def test_the_splits_are_those_of_scikit_learn(criterion):
    """On features of fewer values than bins; ties may be split by another feature, none better."""
    X, labels = iris()
    state = fit(X, labels, criterion=criterion)
    theirs = DecisionTreeClassifier(criterion=criterion, random_state=0).fit(X, labels)
    trees = ensemble.trim(state.trees)
    assert trees.child.shape[1] == theirs.tree_.node_count
    np.testing.assert_array_equal(tree_classifier.predict_proba(state, X), theirs.predict_proba(X))
    assert np.isclose(state.importances.sum(), 1)


def test_regression_splits_are_those_of_scikit_learn():
    X, y = datasets.load_diabetes(return_X_y=True, scaled=False)
    state, info = tree_regressor.fit(X, y, max_depth=4, min_samples_leaf=5)
    theirs = DecisionTreeRegressor(max_depth=4, min_samples_leaf=5, random_state=0).fit(X, y)
    np.testing.assert_allclose(tree_regressor.predict(state, X), theirs.predict(X), rtol=1e-10)
    np.testing.assert_allclose(state.importances, theirs.feature_importances_, atol=1e-6)
    assert info.num_cut == 0


@pytest.mark.parametrize("criterion", ["gini", "entropy"])
def test_single_precision_sees_a_class_of_one_row_in_a_thousand(criterion):
    """The gain is 3e-7 of the node's weight here, which a difference of purities loses."""
    own = np.random.default_rng(0)
    labels = (own.random(200_000) < 0.001).astype(np.int32)
    X = np.round(2 * own.normal(size=(200_000, 3)) + [0, 0, 1] * labels[:, None])
    found = [
        tree_classifier.fit(
            X.astype(dtype), labels, num_classes=2, max_depth=2, criterion=criterion, num_bins=32
        )[0].trees
        for dtype in ("float32", "float64")
    ]
    single, double = map(ensemble.trim, found)
    assert single.feature[0, 0] == 2
    np.testing.assert_array_equal(single.threshold[0, 0], double.threshold[0, 0])
    np.testing.assert_allclose(single.gain[0, 0], double.gain[0, 0], rtol=1e-3)


def test_single_precision_sees_detail_beside_a_large_step():
    own = np.random.default_rng(0)
    X = own.integers(0, 100, (5000, 4)).astype(np.float32)
    y = (X[:, 3] > 49) + 1e-3 * np.sin(X[:, 2] / 10)
    state, _ = tree_regressor.fit(X, y.astype(np.float32), max_depth=6)
    error = np.asarray(tree_regressor.predict(state, X)) - y
    assert np.sqrt((error**2).mean()) < 1.5e-4  # of 7e-4 without the detail


def test_a_weight_is_a_count_and_no_weight_is_no_row():
    X, labels = iris()
    counts = rng.integers(0, 3, len(X))
    weighted = fit(X, labels, weights=counts.astype(float))
    repeated = fit(np.repeat(X, counts, axis=0), np.repeat(labels, counts))
    for name in ("feature", "threshold", "child", "value", "cover"):
        one, other = (getattr(ensemble.trim(s.trees), name) for s in (weighted, repeated))
        np.testing.assert_array_equal(one, other)


def test_order_of_rows_and_scale_of_features_do_not_matter():
    X, labels = iris()
    order = rng.permutation(len(X))
    state, other = fit(X, labels), fit(np.exp(X[order]), labels[order])
    for name in ("feature", "child", "cover", "value", "gain"):
        np.testing.assert_array_equal(getattr(state.trees, name), getattr(other.trees, name))


def test_missing_values_go_where_they_lower_the_impurity():
    X = np.array([[0.0], [1.0], [2.0], [3.0], [np.nan], [np.nan]])
    labels = np.array([0, 0, 1, 1, 0, 0], np.int32)
    state = fit(X, labels)
    assert state.trees.threshold[0, 0] == 1.5
    assert bool(state.trees.missing_left[0, 0])
    np.testing.assert_array_equal(tree_classifier.predict(state, X), labels)
    held_right = fit(X, labels, missing="right")
    np.testing.assert_array_equal(tree_classifier.predict(held_right, X), labels)
    assert not bool(held_right.trees.missing_left[0, 0])
    theirs = DecisionTreeClassifier(random_state=0).fit(X, labels)
    assert theirs.tree_.node_count == ensemble.trim(state.trees).child.shape[1]


def test_limits_hold_in_every_node():
    X, labels = iris()
    trees = fit(X, labels, min_samples_leaf=12.0, min_samples_split=40.0, max_depth=3).trees
    is_inner = np.asarray(trees.child[0]) != np.arange(trees.child.shape[1])
    leaves = np.asarray(ensemble.leaves(trees, X))[:, 0]
    assert np.bincount(leaves)[np.unique(leaves)].min() >= 12
    assert np.asarray(trees.cover[0])[is_inner].min() >= 40
    assert trees.depth[0] <= 3
    cut = tree_classifier.fit(X, labels, num_classes=3, max_leaves=3)
    assert ensemble.trim(cut[0].trees).child.shape[1] == 5
    assert cut[1].num_cut > 0


def test_bins_hold_equal_weight():
    X = rng.normal(size=(5000, 2))
    bins = binning.fit(X, num_bins=17)
    codes = binning.transform(bins, X)
    assert np.ptp([np.bincount(column, minlength=16) for column in np.asarray(codes)]) <= 2
    heavy = np.where(rng.random(5000) < 0.9, 0.0, rng.normal(size=5000))[:, None]
    edges = np.asarray(binning.fit(heavy, num_bins=17).edges)
    assert (np.diff(edges[np.isfinite(edges)]) >= 0).all()
    assert (edges < 0).any()
    assert (edges > 0).any()


def test_only_rows_with_weight_are_sampled():
    """Every fourth row counts, and as many are looked at: none of the others may stand for them."""
    X = rng.normal(size=(4000, 2))
    counts = (np.arange(4000) % 4 == 3).astype(float)
    sampled = binning.fit(X, weights=counts, num_bins=17, max_rows=1000)
    alone = binning.fit(X[3::4], num_bins=17)
    np.testing.assert_array_equal(sampled.edges, alone.edges)
    fewer = binning.fit(X, weights=counts, num_bins=17, max_rows=300)
    np.testing.assert_array_equal(fewer.edges, binning.fit(X[3::16], num_bins=17).edges)


@pytest.mark.parametrize("width", ["float32", "float64"])
def test_an_edge_parts_the_two_values_beside_it(width):
    near = np.nextafter(np.ones(1, width), 2, dtype=width)
    column = np.array([1, near[0], -0.0, 0.0, np.inf, -np.inf, 3e38], width)[:, None]
    codes = np.asarray(binning.transform(binning.fit(column), column))[0]
    order = np.argsort(column[:, 0], kind="stable")
    assert (
        np.diff(codes[order].astype(int)) == (np.diff(np.unique(column)) > 0).sum() * 0 + 1
    ).sum() == 5
    assert codes[2] == codes[3]


def test_rows_end_where_they_would_alone_however_many_there_are():
    """More than walk together, and in a program that does not know their number."""
    X, labels = iris()
    trees = fit(X, labels).trees
    many = rng.permuted(np.tile(X, (30, 1)), axis=0)
    parts = np.split(many, [1000, 3000])
    for ask in (ensemble.evaluate, ensemble.leaves):
        alone = np.concatenate([ask(trees, part) for part in parts])
        np.testing.assert_array_equal(ask(trees, many), alone)
    (rows,) = jax.export.symbolic_shape("rows")
    shapes = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in trees]
    shapes.append(jax.ShapeDtypeStruct((rows, 4), X.dtype))
    answer = jax.jit(lambda *given: ensemble.evaluate(trees._make(given[:-1]), given[-1]))
    exported = jax.export.export(answer)(*shapes)
    np.testing.assert_array_equal(jax.jit(exported.call)(*trees, X), ensemble.evaluate(trees, X))


def test_bad_input_is_refused_or_told():
    X, labels = iris()
    with pytest.raises(ValueError, match="num_classes is 1, not at least 2"):
        tree_classifier.fit(X, labels, num_classes=1)
    with pytest.raises(ValueError, match="max_depth is 0, not at least 1"):
        fit(X, labels, max_depth=0)
    with pytest.raises(ValueError, match="num_bins is 300, not 3 to 256"):
        fit(X, labels, num_bins=300)
    state = fit(X, labels)
    with pytest.raises(ValueError, match=r"tree_classifier\.predict"):
        tree_classifier.predict(state, X[:, :3])
    for wrong in (labels + 1, labels - 1):
        assert jnp.isnan(fit(X, wrong).trees.value).all()
    for weights in (-np.ones(150), np.zeros(150), np.full(150, np.nan)):
        assert jnp.isnan(fit(X, labels, weights=weights).trees.value).all()
    narrow = X[:, :2]  # of which none of the nodes is told that it lacks what they ask for
    assert jnp.isnan(ensemble.evaluate(state.trees, narrow)).all()
    assert jnp.isnan(ensemble.stages(state.trees, narrow)).all()
    assert (ensemble.leaves(state.trees, narrow) == -1).all()
    with pytest.raises(ValueError, match="trees_a_round is 2, no divisor of 1 trees"):
        ensemble.stages(state.trees, X, trees_a_round=2)
    y = X[:, 0].copy()
    y[3] = np.nan
    assert jnp.isnan(tree_regressor.fit(X, y, max_depth=2)[0].trees.value).all()
    weights = np.ones(150)
    weights[3] = 0
    assert jnp.isfinite(tree_regressor.fit(X, y, weights=weights, max_depth=2)[0].trees.value).all()


def test_one_class_one_row_and_a_constant_feature_are_a_leaf():
    X, labels = iris()
    for rows, codes in ((X, 0 * labels), (X[:1], labels[:1]), (0 * X, labels)):
        state = fit(rows, codes)
        assert ensemble.trim(state.trees).child.shape[1] == 1
        share = np.bincount(codes, minlength=3) / len(codes)
        np.testing.assert_allclose(tree_classifier.predict_proba(state, rows[:1])[0], share)
        assert (state.importances == 0).all()
