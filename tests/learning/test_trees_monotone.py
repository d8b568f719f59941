"""Signs of features: held for all pairs of rows, by the definition, and as scikit-learn does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from mastery_jax.learning.trees import (
    boosting_classifier,
    boosting_regressor,
    ensemble,
    forest_classifier,
    forest_regressor,
    soundness,
    tree_classifier,
    tree_regressor,
)
from tests.learning import grown_trees, test_boosting

key = jax.random.key(0)
rng = np.random.default_rng(0)
SIGNS = np.array([1, -1, 0], np.int32)
X = rng.integers(0, 20, (300, 3)).astype(float)
y = np.sin(X[:, 0] / 2) + 0.1 * X[:, 0] - 0.05 * X[:, 1] + 0.3 * np.cos(X[:, 2] * X[:, 1])
y += 0.3 * rng.normal(size=len(y))
labels = (y > 0.4).astype(np.int32)


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


def steps(answer, signs, *, low=-1.0, high=21.0):
    """Return how far answers rise, along a grid of each feature with a sign, the others by chance.

    The steps are multiplied by the sign: none may be below 0.
    """
    grid = np.linspace(low, high, 45)
    found = []
    for feature in np.flatnonzero(signs):
        rows = rng.uniform(low, high, (40, 1, len(signs))).repeat(len(grid), axis=1)
        rows[:5, :, np.flatnonzero(np.arange(len(signs)) != feature)[0]] = np.nan
        rows[:, :, feature] = grid
        told = np.asarray(answer(jnp.asarray(rows.reshape(-1, len(signs))))).reshape(40, -1)
        found.append(signs[feature] * np.diff(told, axis=1))
    return np.array(found)


def test_a_tree_of_numbers_is_scikit_learns():
    for signs in (SIGNS, -SIGNS, 0 * SIGNS):
        state, _ = tree_regressor.fit(X, y, max_depth=6, monotone=signs, missing="right")
        theirs = DecisionTreeRegressor(max_depth=6, monotonic_cst=signs, random_state=0).fit(X, y)
        np.testing.assert_allclose(tree_regressor.predict(state, X), theirs.predict(X), atol=1e-6)
        if signs.any():
            rises = steps(lambda X, state=state: tree_regressor.predict(state, X), signs)
            assert (rises >= 0).all()
            assert (rises > 0).any()
        else:  # what was held back would rise and fall
            assert (steps(lambda X, state=state: tree_regressor.predict(state, X), SIGNS) < 0).any()


@pytest.mark.parametrize("criterion", ["gini", pytest.param("entropy", marks=pytest.mark.slow)])
def test_a_tree_of_classes_is_scikit_learns(criterion):
    state, _ = tree_classifier.fit(
        X, labels, num_classes=2, criterion=criterion, max_depth=6, monotone=SIGNS, missing="right"
    )
    theirs = DecisionTreeClassifier(
        max_depth=6, criterion=criterion, monotonic_cst=SIGNS, random_state=0
    ).fit(X, labels)
    told = tree_classifier.predict_proba(state, X)
    np.testing.assert_allclose(told, theirs.predict_proba(X), atol=1e-12)
    assert (steps(lambda X: tree_classifier.predict_proba(state, X)[:, 1], SIGNS) >= 0).all()


def test_boosting_is_what_the_definition_says():
    signs = np.array([1, 0, 1], np.int32)
    hyper = test_boosting.HYPER | {"max_depth": 3, "monotone": signs}
    rows, targets = test_boosting.X, test_boosting.y
    found = boosting_regressor.fit(key, rows, targets, **hyper)
    test_boosting.close(found, test_boosting.of_numbers(**hyper))
    rises = steps(lambda X: boosting_regressor.predict(found[0], X), signs, low=-3, high=3)
    assert (rises >= 0).all()
    assert (rises > 0).any()
    # Not refused splits alone: some node of the first tree would say more than its bounds.
    kind = grown_trees.of_slopes(l2=0.5, rate=1.0)
    slopes = np.stack([targets.mean() - targets, np.ones(40)], axis=1)
    nodes = grown_trees.grow(rows, slopes, kind, max_depth=3, signs=signs)
    assert any(np.clip(said := kind.say(n.total), *n.bounds) != said for n in nodes)


def fitted(kind):
    """Return what answers of a model must rise by their signs."""
    small = {"max_depth": 4, "num_bins": 32, "monotone": SIGNS}
    if kind == "quantile":
        state, _ = boosting_regressor.fit(
            key, X, y, loss="quantile", quantile=0.3, num_rounds=20, learning_rate=0.3, **small
        )
        return lambda X: boosting_regressor.predict(state, X)
    if kind == "boosted classes":
        state, _ = boosting_classifier.fit(key, X, labels, num_classes=2, num_rounds=20, **small)
        return lambda X: boosting_classifier.predict_proba(state, X)[:, 1]
    small |= {"num_trees": 8, "max_features": 2, "out_of_bag": True}
    if kind == "forest of classes":
        state, info = forest_classifier.fit(key, X, labels, num_classes=2, **small)
        is_told = ~np.isnan(info.out_of_bag[:, 0])
        assert (np.asarray(info.out_of_bag).argmax(axis=1) == labels)[is_told].mean() > 0.7
        np.testing.assert_allclose(forest_classifier.predict_proba(state, X).sum(axis=1), 1)
        return lambda X: forest_classifier.predict_proba(state, X)[:, 1]
    state, _ = forest_regressor.fit(key, X, y, random_thresholds=True, **small)
    return lambda X: forest_regressor.predict(state, X)


@pytest.mark.parametrize(
    "kind",
    [
        "quantile",
        "forest of classes",
        pytest.param("boosted classes", marks=pytest.mark.slow),
        pytest.param("extra trees", marks=pytest.mark.slow),
    ],
)
def test_no_pair_of_rows_contradicts_a_sign(kind):
    rises = steps(fitted(kind), SIGNS)
    assert (rises >= 0).all()
    assert (rises > 0).mean() > 0.02


@pytest.mark.slow
def test_stumps_are_those_of_histogram_boosting():
    """At the root nothing is clipped; below, their gain of a clipped step is another."""
    hyper = {"num_rounds": 20, "max_depth": 1, "l2": 0.0, "missing": "right"}
    state, _ = boosting_regressor.fit(key, X, y, monotone=SIGNS, **hyper)
    theirs = HistGradientBoostingRegressor(
        max_iter=20, max_depth=1, min_samples_leaf=1, monotonic_cst=SIGNS, early_stopping=False
    ).fit(X, y)
    np.testing.assert_allclose(boosting_regressor.predict(state, X), theirs.predict(X), atol=1e-7)


def test_leaves_found_without_signs_are_brought_within_bounds():
    """A root of sign 1 whose left side says more: both sides meet in the middle of their means."""
    from mastery_jax.learning.trees import monotone

    child = np.array([1, 3, 2, 3, 4, 5, 6], np.int32)  # leaves 2, 3, 4; 5 and 6 are not used
    sign = np.array([1, 0, 0, 0, 0, 0, 0], np.int32)
    found = monotone.reconcile(
        np.array([9.0, 9.0, 1.0, 5.0, -1.0, 0.0, 0.0]),
        np.array([0.0, 0.0, 2.0, 1.0, 1.0, 0.0, 0.0]), child, sign, max_depth=2,
    )  # fmt: skip
    np.testing.assert_allclose(found[2:5], [1.5, 1.5, -1.0])


def test_bad_signs_are_refused_or_told():
    three = labels + (y > 1).astype(np.int32)
    for fit in (
        lambda: tree_classifier.fit(X, three, num_classes=3, monotone=SIGNS),
        lambda: forest_classifier.fit(key, X, three, num_classes=3, monotone=SIGNS),
        lambda: boosting_classifier.fit(key, X, three, num_classes=3, monotone=SIGNS),
    ):
        with pytest.raises(ValueError, match=r"fit: monotone is given for 3 classes, not for 2"):
            fit()
    with pytest.raises(ValueError, match=r"tree_regressor\.fit: monotone is int32\[2\]"):
        tree_regressor.fit(X, y, max_depth=6, monotone=SIGNS[:2], missing="right")
    state, _ = tree_regressor.fit(X, y, max_depth=6, monotone=2 * SIGNS, missing="right")
    assert jnp.isnan(state.trees.value).all()
    assert bool(soundness.are_signs(jnp.asarray(SIGNS), (2,)))
    assert not bool(soundness.are_signs(jnp.asarray(SIGNS), (0,)))
    assert ensemble.evaluate(state.trees, X).shape == (300, 1)
