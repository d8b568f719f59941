"""What is wrong is one sentence: the class, the parameter, what came and what was wanted."""

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning

from mastery_jax.learning.linear import elastic_net, ridge
from mastery_jax.learning.sklearn import signatures
from mastery_jax.learning.sklearn.estimators import (
    PCA,
    SVC,
    GaussianNB,
    GradientBoostingRegressor,
    KernelPCA,
    KMeans,
    LogisticRegression,
    MultinomialNB,
    Ridge,
)
from mastery_jax.learning.sklearn.generation import make

IRIS, KINDS = load_iris(return_X_y=True)


class Table:
    """As much of a table as names its columns."""

    def __init__(self, columns, rows):
        self.columns, self.rows = columns, np.array(rows)
        self.shape = self.rows.shape

    def __array__(self, dtype=None, copy=None):
        return self.rows if dtype is None else self.rows.astype(dtype)


BAD = {
    "not a number": (lambda: Ridge(l2="x").fit(IRIS, KINDS), "Ridge: l2 is 'x', not a number"),
    "no such word": (
        lambda: KernelPCA(kernel="cubic").fit(IRIS),
        "KernelPCA: kernel is 'cubic', not one of rbf, linear, poly",
    ),
    "no integer": (
        lambda: KMeans(num_clusters=2.5).fit(IRIS),
        "KMeans: num_clusters is 2.5, not an integer",
    ),
    "no truth": (lambda: PCA(whiten=1).fit(IRIS), "PCA: whiten is 1, neither True nor False"),
    "too many": (
        lambda: PCA(num_components=9).fit(IRIS),
        r"PCA: pca.fit: num_components is 9, .* \(n_samples = 150, n_features = 4\)",
    ),
    "no answer": (lambda: Ridge(l2=-1e3).fit(IRIS, KINDS), "Ridge: the fit has no finite answer"),
    "bad penalty": (
        lambda: LogisticRegression(l2=-1.0).fit(IRIS, KINDS),
        "LogisticRegression: the fit was given values that have no answer",
    ),
    "one class": (
        lambda: LogisticRegression().fit(IRIS, np.ones(150)),
        r"the rows with weight are of one class, 1\.0, not of two or more",
    ),
    "negative weights": (
        lambda: Ridge().fit(IRIS, KINDS, sample_weight=np.r_[-1, np.ones(149)]),
        "Negative values in data passed to `sample_weight`",
    ),
    "no weights": (
        lambda: KMeans().fit(IRIS, sample_weight=np.zeros(150)),
        "Sample weights must contain at least one non-zero number",
    ),
    "class of no row": (
        lambda: GaussianNB(class_weight={7: 1.0}).fit(IRIS, KINDS),
        "GaussianNB: class_weight has 7, which is none of the classes",
    ),
    "no such weights": (
        lambda: GaussianNB(class_weight="even").fit(IRIS, KINDS),
        "GaussianNB: class_weight is 'even', not 'balanced', a dict or None",
    ),
    "weights of classes": (
        lambda: GaussianNB(class_weight={0: -1.0}).fit(IRIS, KINDS),
        "GaussianNB: class_weight is .*, not weights of 0 or more",
    ),
    "a column of a table": (
        lambda: Ridge().fit(Table(["a", "b"], [[1.0, 0.0], [2.0, np.nan]]), [1.0, 2.0]),
        r"Input X contains NaN\. The first is nan in row 1, column 'b'\.",
    ),
    "a column of an array": (
        lambda: GaussianNB().fit([[1.0, 2.0], [np.inf, 0.0]], [0, 1]),
        "Input X contains infinity .* The first is inf in row 1, column 0",
    ),
    "another width, back": (
        lambda: PCA(num_components=2).fit(IRIS).inverse_transform(IRIS),
        "X has 4 features, but PCA.inverse_transform is expecting 2 components",
    ),
    "an unknown label": (
        lambda: GaussianNB().fit(IRIS, KINDS).partial_fit(IRIS, KINDS + 1),
        r"y contains previously unseen labels: \[.*3.*\]",
    ),
    "nothing is likeliest": (
        lambda: GaussianNB().fit(np.ones((6, 2)), [0, 0, 1, 1, 1, 1]).predict(np.ones((2, 2))),
        "GaussianNB: row 0 of X has no class: nothing is likeliest",
    ),
    "backwards": (
        lambda: GradientBoostingRegressor(learning_rate=-1.0, num_rounds=2).fit(IRIS, KINDS),
        "GradientBoostingRegressor: the fit has no finite answer",
    ),
    "other classes": (
        lambda: GaussianNB().fit(IRIS, KINDS).partial_fit(IRIS, KINDS, classes=[0, 1]),
        "is not the same as on last call to partial_fit",
    ),
    "weights of two rows": (
        lambda: Ridge().fit(IRIS, KINDS, sample_weight=np.ones((150, 2))),
        "Sample weights must be 1D array or scalar, got 2D array",
    ),
    "negative counts": (lambda: MultinomialNB().fit(-IRIS, KINDS), "Negative values in data"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_one_sentence(case):
    do, sentence = BAD[case]
    with pytest.raises(ValueError, match=sentence):
        do()


def test_parameters_are_known():
    with pytest.raises(TypeError, match="Ridge: alpha is no parameter; there are l2"):
        Ridge(alpha=1.0)
    with pytest.raises(ValueError, match="l1 of Lasso has no default"):
        make("Lasso", elastic_net, "regressor")
    with pytest.raises(ValueError, match="alpha of Ridge is no parameter"):
        make("Ridge", ridge, "regressor", defaults={"alpha": 1.0})
    told = signatures.about(ridge.fit)["weights"]
    assert told.startswith("Of the rows, ≥ 0, one where None.")
    assert told.endswith("its features must be finite.")


def test_an_unfinished_fit_is_a_warning():
    with pytest.warns(ConvergenceWarning, match="LogisticRegression: the fit stopped at max_steps"):
        LogisticRegression(max_steps=1).fit(IRIS, KINDS)


def test_a_method_that_needs_a_parameter_says_so():
    with pytest.raises(AttributeError) as caught:
        SVC().fit(IRIS, KINDS).predict_proba(IRIS)
    assert (
        str(caught.value.__cause__) == "SVC: num_folds is 0, with which there is no predict_proba"
    )
    assert not hasattr(SVC(), "predict_proba")
    assert hasattr(SVC(num_folds=3), "predict_proba")
