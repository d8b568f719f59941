"""Categories: the best of all sets, whatever their codes are; histogram boosting finds the same."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor

from mastery_jax.learning.sklearn import signatures
from mastery_jax.learning.trees import (
    boosting_regressor,
    categories,
    ensemble,
    forest_classifier,
    gains,
    splitting,
    tree_classifier,
)
from mastery_jax.trust.shap import paths, tree_path_dependent
from tests.learning import grown_trees as by_definition

key = jax.random.key(0)
rng = np.random.default_rng(0)
NODES = 60
KINDS = {
    "gini": by_definition.of_classes("gini"),
    "entropy": by_definition.of_classes("entropy"),
    "squared_error": by_definition.of_numbers(),
}


@pytest.fixture(autouse=True, scope="module")
def double():
    with jax.enable_x64(True):
        yield


def split(histogram, criterion, missing="learned"):
    """Split nodes by one feature of categories, the last bin being that of missing values."""
    channels, num_bins = histogram.shape[2], histogram.shape[1]
    number = jnp.zeros(())
    rules = gains.Rules(number, number, number, number + 3, jnp.ones(channels))

    def found(histogram):
        total = histogram[0].sum(axis=0, dtype=jnp.int32)
        arranged, order = categories.arrange(
            histogram, None, (0,), criterion=criterion, dtype=jnp.dtype("float64")
        )
        best = splitting.best(arranged, rules, criterion, missing, is_set=order.is_set)
        return *categories.settle(best, order, total, num_bins), total

    return jax.jit(found)(jnp.asarray(histogram, jnp.int32))


def best_of_all(cells, kind, steps):
    """Try every set of categories, the last of which are missing values."""
    total, best = cells.sum(axis=0), 0.0
    cells = cells[cells.any(axis=1)]
    for size in range(1, len(cells)):
        for chosen in itertools.combinations(cells, size):
            left = sum(chosen)
            if min(kind.weight(left), kind.weight(total - left)) > 0:
                gain = sum(kind.score(part, *steps) for part in (left, total - left))
                best = max(best, gain - kind.score(total, *steps))
    return best


def histograms(criterion, *, num_classes=2, k=6):
    """Return counts, or slopes and weights; some categories are in no row of a node."""
    weights = rng.integers(1, 9, (1, k + 1, 1, NODES)) * (rng.random((1, k + 1, 1, NODES)) < 0.8)
    if criterion in ("gini", "entropy"):
        shares = rng.dirichlet(np.ones(num_classes), (1, k + 1, NODES)).transpose(0, 1, 3, 2)
        return np.round(9 * weights * shares).astype(int)
    slopes = rng.integers(-20, 21, weights.shape) * (weights > 0)
    return np.concatenate([slopes, weights], axis=2)


@pytest.mark.parametrize("criterion", ["gini", "entropy", "squared_error", "newton"])
def test_no_set_of_categories_is_better(criterion):
    histogram = histograms(criterion)
    kind, steps = KINDS.get(criterion), ()
    if criterion == "newton":
        kind, steps = by_definition.of_slopes(l2=3.0, rate=1.0), (-np.inf, np.inf)
    best, sets, _ = split(histogram, criterion)
    for node in range(NODES):
        cells = histogram[0, :, :, node].astype(float)
        wanted = best_of_all(cells, kind, steps)
        gain = best.gain[node]
        if wanted < 1e-9:
            assert not gain > 1e-9
            continue
        np.testing.assert_allclose(gain, wanted, rtol=1e-9)
        # The set is the one that gains it: missing and unseen categories are on the right.
        is_left = np.array([int(sets[node, 0]) >> code & 1 for code in range(7)], bool)
        assert not is_left[6]
        assert not is_left[~cells.any(axis=1)].any()
        left, whole = cells[is_left].sum(axis=0), cells.sum(axis=0)
        np.testing.assert_array_equal(best.left[:, node], left)
        sides = sum(kind.score(part, *steps) for part in (left, whole - left))
        np.testing.assert_allclose(sides - kind.score(whole, *steps), wanted, rtol=1e-9)


@pytest.mark.parametrize("criterion", ["gini", "entropy"])
def test_of_three_classes_next_to_nothing_is_lost(criterion):
    histogram = histograms(criterion, num_classes=3)
    best, _, _ = split(histogram, criterion)
    wanted = [
        best_of_all(histogram[0, :, :, node].astype(float), KINDS[criterion], ())
        for node in range(NODES)
    ]
    gain = np.asarray(best.gain)
    assert (gain < np.multiply(wanted, 1 + 1e-9)).all()
    assert gain.sum() > 0.95 * np.sum(wanted)
    assert np.isclose(gain, wanted).mean() > 0.7


def test_held_right_missing_values_stay_with_the_greater_mean():
    histogram = histograms("squared_error")
    best, sets, total = split(histogram, "squared_error", "right")
    left = np.asarray(best.left)
    is_split = np.asarray(best.gain) > -np.inf
    assert (sets[is_split, 0] >> 6 & 1 == 0).all()
    rest = np.asarray(total) - left
    seen = np.where(histogram[0, 6], histogram[0, 6], 0)
    rest = rest - seen  # without the missing ones
    has_rest = is_split & (rest[1] > 0)
    assert (left[0] / left[1] <= rest[0] / np.maximum(rest[1], 1))[has_rest].all()


# Many rows of every category: scikit-learn adds 10 to the weight of each before it sorts them.
X = np.stack([rng.integers(0, 8, 4000), rng.integers(0, 10, 4000), rng.integers(0, 5, 4000)], 1)
X = X.astype(float)
y = rng.normal(size=(8, 5))[X[:, 0].astype(int), X[:, 2].astype(int)]
y += 0.2 * X[:, 1] + 0.3 * rng.normal(size=len(y))
X[:, 0] = 5 * X[:, 0]
X[::7, 0] = np.nan


def boosted(X):
    return boosting_regressor.fit(
        key, X, y, max_depth=3, num_rounds=5, l2=0.0, num_bins=64, categorical=(0, 2)
    )


def test_boosting_is_that_of_scikit_learn_and_knows_no_codes():
    state, info = boosted(X)
    told = boosting_regressor.predict(state, X)
    theirs = HistGradientBoostingRegressor(
        max_iter=5, max_depth=3, max_leaf_nodes=None, min_samples_leaf=1, early_stopping=False,
        categorical_features=[0, 2],
    ).fit(X, y)  # fmt: skip
    np.testing.assert_allclose(told, theirs.predict(X), atol=1e-7)
    # Rows end where they were when the tree grew, though they were moved by their bins then.
    np.testing.assert_allclose(((told - y) ** 2).mean() / 2, info.loss[-1], rtol=1e-6)
    # Other codes for the same categories: nothing changes.
    other = X.copy()
    has_code = ~np.isnan(X[:, 0])
    other[has_code, 0] = rng.permutation(63)[X[has_code, 0].astype(int)]
    again = boosting_regressor.predict(boosted(other)[0], other)
    np.testing.assert_array_equal(told, again)
    # What was not there, or is no code, goes where what is missing goes.
    missing = X.copy()
    missing[:, 0] = np.nan
    for code in (50.0, 63.0, 1e9, -1.0, np.inf):
        strange = X.copy()
        strange[:, 0] = code
        np.testing.assert_array_equal(
            *(boosting_regressor.predict(state, rows) for rows in (strange, missing))
        )
    # Shapley values: the sums hold, by sets too.
    trees = ensemble.trim(state.trees)
    explained, shap = tree_path_dependent.explain(paths.prepare(trees), jnp.asarray(X[:50]))
    assert shap.gap.max() < 1e-9
    whole = explained.expected[0] + explained.values.sum(axis=1)[:, 0]
    np.testing.assert_allclose(whole, told[:50] - state.bias, atol=1e-9)


@pytest.mark.slow
def test_trees_and_forests_of_three_classes_know_no_codes():
    codes = np.digitize(y, [0.5, 1.5]).astype(np.int32)
    other = X.copy()
    other[:, 2] = np.array([7, 3, 50, 0, 12])[X[:, 2].astype(int)]
    small = {"num_classes": 3, "max_depth": 4, "num_bins": 64, "categorical": (0, 2)}
    for fit, predict in (
        (lambda X: tree_classifier.fit(X, codes, **small)[0], tree_classifier.predict_proba),
        (
            lambda X: forest_classifier.fit(key, X, codes, num_trees=4, max_features=2, **small)[0],
            forest_classifier.predict_proba,
        ),
    ):
        told = predict(fit(X), X)
        assert (np.asarray(told).argmax(axis=1) == codes).mean() > 0.6
        np.testing.assert_array_equal(told, predict(fit(other), other))


def test_categories_of_equal_means_are_not_parted():
    """Which of them went left would hang on their codes; a threshold may part them to no gain."""
    histogram = np.full((1, 4, 2, 1), 3)
    histogram[0, 3] = 0
    assert split(histogram, "gini")[0].gain == -np.inf


def test_columns_that_are_not_there_are_refused():
    for columns in ((3,), (-1,), (0, 0)):
        with pytest.raises(ValueError, match=r"categorical is .*, not different columns of 0 to 2"):
            boosting_regressor.fit(key, X, y, categorical=columns)


def test_scikit_learns_face_takes_signs_and_columns():
    found = {p.name: p for p in signatures.parameters(boosting_regressor.fit)}

    def settle(name, value):
        return signatures.settle(found[name], value, np.dtype("float64"), where="Trees")

    assert settle("categorical", [0, np.int64(2)]) == (0, 2)
    assert settle("categorical", ()) == ()
    assert settle("monotone", None) is None
    assert settle("monotone", [1, 0, -1]).dtype == np.int32
    for name, value, said in (
        ("categorical", 1, "categorical is 1, not a tuple of integers"),
        ("categorical", (True,), "not a tuple of integers"),
        ("monotone", 1, "monotone is 1, not a row of integers"),
        ("monotone", [0.5], "not a row of integers"),
    ):
        with pytest.raises(ValueError, match=said):
            settle(name, value)
