"""What the classes do beside scikit-learn's own checks: their table and their answers."""

import importlib
import pathlib
import warnings

import jax
import numpy as np
import pyarrow
import pytest
import sklearn.linear_model
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_diabetes, load_iris
from sklearn.decomposition import PCA as TheirPCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.inspection import permutation_importance
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import mastery_jax.learning
from mastery_jax.learning.linear import logistic, ridge
from mastery_jax.learning.sklearn import estimators
from mastery_jax.learning.sklearn.estimators import (
    PCA,
    TSNE,
    BayesianRidge,
    DecisionTreeClassifier,
    GaussianMixture,
    GaussianNB,
    GradientBoostingRegressor,
    KernelPCA,
    KMeans,
    KNeighborsClassifier,
    LogisticRegression,
    RandomizedSVD,
    Ridge,
)

IRIS, KINDS = load_iris(return_X_y=True)
NAMES = load_iris().target_names
DIABETES, PROGRESS = load_diabetes(return_X_y=True)
_PAIRS = "learns from pairs of a user and an item, not from rows of features"
NO_ESTIMATOR = {
    "binning": "a step of the trees",
    **dict.fromkeys(("als", "funk_svd", "implicit_als"), _PAIRS),
}


def test_every_module_that_fits_is_in_the_table():
    root = pathlib.Path(mastery_jax.learning.__file__).parent
    paths = [p for p in root.rglob("*.py") if p.parent.name != "sklearn" and p.stem != "__init__"]
    names = (
        "mastery_jax." + ".".join(p.relative_to(root.parent).with_suffix("").parts) for p in paths
    )
    modules = [importlib.import_module(name) for name in names]
    fits = {module.fit for module in modules if hasattr(module, "fit")}
    known = {getattr(estimators, name)._plan.fit for name in estimators.__all__}
    missing = {f"{fit.__module__}".rpartition(".")[2] for fit in fits - known}
    assert missing == NO_ESTIMATOR.keys()


@pytest.mark.parametrize("name", estimators.__all__)
def test_every_parameter_is_explained(name):
    made = getattr(estimators, name)
    assert made.__name__ == name
    words = made.__doc__.partition("Parameters\n")[2].splitlines()
    for parameter in made().get_params():
        found = [i for i, line in enumerate(words) if line.startswith(f"{parameter} : default=")]
        assert words[found[0] + 1].strip(), parameter


def test_answers_are_those_of_scikit_learn():
    n = len(DIABETES)
    mine = Ridge(l2=1e-3).fit(DIABETES, PROGRESS)
    theirs = sklearn.linear_model.Ridge(alpha=1e-3 * n).fit(DIABETES, PROGRESS)
    np.testing.assert_allclose(mine.coef_, theirs.coef_, rtol=1e-9)
    assert mine.intercept_ == pytest.approx(theirs.intercept_, rel=1e-9)
    assert mine.score(DIABETES, PROGRESS) == pytest.approx(theirs.score(DIABETES, PROGRESS))

    mine = LogisticRegression(l2=1e-2, atol=1e-15).fit(IRIS, NAMES[KINDS])
    theirs = sklearn.linear_model.LogisticRegression(
        C=1 / (1e-2 * len(IRIS)), solver="newton-cholesky", tol=1e-10
    ).fit(IRIS, NAMES[KINDS])
    np.testing.assert_allclose(mine.coef_, theirs.coef_, atol=1e-6)
    np.testing.assert_allclose(mine.predict_proba(IRIS), theirs.predict_proba(IRIS), atol=1e-6)
    assert list(mine.classes_) == list(theirs.classes_)

    mine, theirs = PCA(num_components=2).fit(IRIS), TheirPCA(n_components=2).fit(IRIS)
    np.testing.assert_allclose(mine.explained_variance_, theirs.explained_variance_)
    np.testing.assert_allclose(abs(mine.components_), abs(theirs.components_), atol=1e-9)
    np.testing.assert_allclose(
        mine.inverse_transform(mine.transform(IRIS)),
        theirs.inverse_transform(theirs.transform(IRIS)),
    )


def test_two_classes_have_one_score():
    is_last = KINDS == 2
    model = LogisticRegression().fit(IRIS, is_last)
    theirs = sklearn.linear_model.LogisticRegression(
        C=1 / (1e-3 * len(IRIS)), tol=1e-10, max_iter=10_000
    ).fit(IRIS, is_last)
    assert model.coef_.shape == (1, 4)
    np.testing.assert_allclose(
        model.decision_function(IRIS), theirs.decision_function(IRIS), atol=1e-3
    )
    assert model.predict(IRIS).dtype == bool


def test_the_data_decide_the_precision():
    assert not jax.config.jax_enable_x64
    for X, dtype in ((DIABETES, np.double), (DIABETES.astype(np.single), np.single)):
        model = Ridge().fit(X, PROGRESS)
        assert model.coef_.dtype == model.predict(X).dtype == dtype
        assert model.predict(DIABETES).dtype == dtype
    assert Ridge().fit(np.arange(6).reshape(3, 2), [1, 2, 4]).coef_.dtype == np.double


def test_another_number_is_no_other_program():
    Ridge(l2=1.0).fit(DIABETES, PROGRESS)
    before = ridge.fit._cache_size()
    for l2 in (2.0, 3, np.float32(4.0)):
        Ridge(l2=l2).fit(DIABETES, PROGRESS)
    assert ridge.fit._cache_size() == before
    Ridge(l2=1.0).fit(DIABETES[:-1], PROGRESS[:-1])
    assert ridge.fit._cache_size() == before + 1


def test_fit_is_called_once(monkeypatch):
    calls = []

    def counted(*args, **given):
        calls.append(given)
        return logistic.fit(*args, **given)

    monkeypatch.setattr(LogisticRegression, "_plan", LogisticRegression._plan._replace(fit=counted))
    LogisticRegression(class_weight="balanced").fit(IRIS, KINDS)
    assert len(calls) == 1


@pytest.mark.parametrize("class_weight", ["balanced", {"setosa": 2.0, "virginica": 0.5}])
def test_weights_of_classes(class_weight):
    keep = np.r_[0:50, 60:150:2]
    X, y, weights = IRIS[keep], NAMES[KINDS[keep]], np.linspace(0.5, 1.5, len(keep))
    if class_weight == "balanced":
        total = {name: weights[y == name].sum() for name in NAMES}
        scale = {name: weights.sum() / 3 / total[name] for name in NAMES}
    else:
        scale = {name: class_weight.get(name, 1.0) for name in NAMES}
    mine = LogisticRegression(class_weight=class_weight).fit(X, y, sample_weight=weights)
    wanted = LogisticRegression().fit(X, y, sample_weight=weights * [scale[name] for name in y])
    np.testing.assert_allclose(mine.coef_, wanted.coef_, rtol=1e-6)


def test_weights_are_repetitions_and_zeros_are_absent_at_a_tight_end():
    times = np.random.default_rng(0).integers(0, 4, len(IRIS))
    model = LogisticRegression(atol=1e-20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # rounding ends the search
        weighted = clone(model).fit(IRIS, KINDS, sample_weight=times)
        repeated = clone(model).fit(IRIS.repeat(times, axis=0), KINDS.repeat(times))
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-7)


def test_missing_values_are_for_the_trees():
    X = IRIS.copy()
    X[::7, 2] = np.nan
    model = DecisionTreeClassifier(max_depth=3).fit(X, KINDS)
    assert model.score(X, KINDS) > 0.9
    with pytest.raises(ValueError, match="Input X contains NaN"):
        LogisticRegression().fit(X, KINDS)


def test_a_fit_in_parts_is_a_fit_of_all():
    whole, parts = GaussianNB().fit(IRIS, NAMES[KINDS]), GaussianNB()
    for rows in (np.r_[0:40], np.r_[40:90], np.r_[90:150]):
        parts.partial_fit(IRIS[rows], NAMES[KINDS[rows]], classes=NAMES)
    np.testing.assert_allclose(parts.predict_proba(IRIS), whole.predict_proba(IRIS), rtol=1e-6)
    assert list(parts.class_count_) == [50, 50, 50]
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        GaussianNB().partial_fit(IRIS, KINDS)
    with pytest.raises(ValueError, match="previously unseen labels"):
        parts.partial_fit(IRIS[:2], ["rose", "setosa"])
    with pytest.raises(ValueError, match="class_weight is 'balanced', which needs all rows"):
        GaussianNB(class_weight="balanced").partial_fit(IRIS, KINDS, classes=[0, 1, 2])


@pytest.mark.slow
def test_rounds_end_where_held_out_rows_say():
    noise = np.random.default_rng(0).normal(size=len(DIABETES))
    small = {"max_depth": 2, "num_bins": 16, "patience": 2, "num_rounds": 30, "random_state": 0}
    model = GradientBoostingRegressor(validation_fraction=0.3, **small).fit(DIABETES, noise)
    assert model.n_iter_ < 30
    assert GradientBoostingRegressor(**small).fit(DIABETES, noise).n_iter_ == 30
    with pytest.raises(ValueError, match=r"validation_fraction is 1\.5, which leaves no rows"):
        GradientBoostingRegressor(validation_fraction=1.5).fit(DIABETES, noise)


def test_randomness_is_that_of_random_state():
    def drawn(random_state):
        rough = {"num_components": 1, "num_oversamples": 0, "num_power_steps": 0}
        model = RandomizedSVD(random_state=random_state, **rough).fit(IRIS)
        return model.singular_values_[0]

    assert drawn(3) == drawn(3) == drawn(np.random.RandomState(3))
    assert len({drawn(seed) for seed in range(4)}) == 4
    assert drawn(None) != drawn(None)


def test_what_an_earlier_fit_showed_is_gone():
    model = Ridge().fit(DIABETES, PROGRESS)
    model.n_iter_ = 7  # of a fit that had steps
    assert not hasattr(model.fit(DIABETES, PROGRESS), "n_iter_")


def test_neighbors_are_rows_of_the_fit():
    model = KNeighborsClassifier(num_neighbors=3).fit(IRIS, NAMES[KINDS])
    distances, rows = model.kneighbors(IRIS)
    assert distances.shape == rows.shape == (150, 3)
    np.testing.assert_allclose(
        np.linalg.norm(IRIS[:, None] - IRIS[rows], axis=2), distances, atol=1e-7
    )
    assert model.kneighbors(IRIS, n_neighbors=1)[1].shape == (150, 1)


def test_names_of_features_are_kept_and_made():
    table = pyarrow.table({f"x{i}": column for i, column in enumerate(IRIS.T)})
    model = KernelPCA(num_components=2, kernel="linear").fit(table)
    assert list(model.feature_names_in_) == ["x0", "x1", "x2", "x3"]
    assert list(model.get_feature_names_out()) == ["kernelpca0", "kernelpca1"]
    with pytest.raises(ValueError, match="feature names should match"):
        model.transform(table.rename_columns(["a", "b", "c", "d"]))
    before = model.transform(table)
    model.set_params(kernel="rbf")  # of the next fit
    np.testing.assert_array_equal(model.transform(table), before)


def test_an_embedding_is_of_its_rows():
    model = TSNE(perplexity=5.0, exaggeration_steps=5, num_steps=10, record_every=5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        points = model.fit_transform(IRIS[::3])
    assert points is model.embedding_
    assert points.shape == (50, 2)
    assert not hasattr(model, "transform")
    assert list(model.get_feature_names_out()) == ["tsne0", "tsne1"]


def test_a_mixture_scores_by_its_density():
    model = GaussianMixture(num_clusters=2, start="rows", covariance="diag", random_state=0)
    labels = model.fit_predict(IRIS)
    np.testing.assert_array_equal(labels, model.predict(IRIS))
    assert model.score(IRIS) == pytest.approx(model.score_samples(IRIS).mean())
    assert isinstance(model.bic(IRIS), float)
    assert model.lower_bound_ == pytest.approx(model.score(IRIS), rel=1e-4)


def test_clusters_score_by_their_distances_and_an_empty_one_is_told():
    model = KMeans(num_clusters=3, random_state=0).fit(IRIS)
    assert model.score(IRIS) == pytest.approx(-model.inertia_, rel=1e-6)
    search = GridSearchCV(KMeans(random_state=0), {"num_clusters": [2, 3]}).fit(IRIS)
    assert search.best_params_ == {"num_clusters": 3}
    with pytest.warns(ConvergenceWarning, match="KMeans: 1 of 3 clusters have no row"):
        KMeans(num_clusters=3).fit(np.repeat(IRIS[:2] * [[1], [3]], 3, axis=0))


def test_the_spread_of_a_prediction():
    model = BayesianRidge().fit(DIABETES, PROGRESS)
    theirs = sklearn.linear_model.BayesianRidge().fit(DIABETES, PROGRESS)
    _, std = theirs.predict(DIABETES, return_std=True)
    np.testing.assert_allclose(model.predict_std(DIABETES), std, rtol=1e-2)
    assert model.alpha_ == pytest.approx(theirs.alpha_, rel=1e-2)


def test_tools_of_scikit_learn_work():
    search = GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression()),
        {"logisticregression__l2": [1e-3, 1e-1]},
        cv=3,
    ).fit(IRIS, NAMES[KINDS])
    assert search.best_score_ > 0.94
    assert cross_val_score(Ridge(), DIABETES, PROGRESS, cv=2).mean() > 0.4
    calibrated = CalibratedClassifierCV(LogisticRegression(), cv=2).fit(IRIS, KINDS)
    np.testing.assert_allclose(calibrated.predict_proba(IRIS).sum(axis=1), 1)
    drop = permutation_importance(search, IRIS, NAMES[KINDS], n_repeats=2, random_state=0)
    assert drop.importances_mean.argmax() in (2, 3)  # of the petals
