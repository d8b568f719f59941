"""The estimators as scikit-learn's checks see them, and the checks that are known to fail.

Sizes are small, since most checks bring a shape of their own, and so a program to compile.
"""

from mastery_jax.learning.sklearn import estimators

SMALL = {
    "RandomForestClassifier": {"num_trees": 20, "max_depth": 4, "num_bins": 16},
    "RandomForestRegressor": {"num_trees": 20, "max_depth": 4, "num_bins": 16},
    "ExtraTreesClassifier": {"num_trees": 20, "max_depth": 4, "num_bins": 16},
    "ExtraTreesRegressor": {"num_trees": 20, "max_depth": 4, "num_bins": 16},
    "GradientBoostingClassifier": {"num_rounds": 20, "max_depth": 3, "num_bins": 16},
    "GradientBoostingRegressor": {"num_rounds": 20, "max_depth": 3, "num_bins": 16},
    "AdaBoostClassifier": {"num_rounds": 10},
    "DecisionTreeClassifier": {"max_depth": 4, "num_bins": 64},
    "DecisionTreeRegressor": {"max_depth": 4, "num_bins": 64},
    "KMeans": {"num_clusters": 3, "num_restarts": 3},
    "PCA": {"num_components": 1},
    "TruncatedSVD": {"num_components": 1},
    "RandomizedSVD": {"num_components": 1},
    "KernelPCA": {"num_components": 1},
    "TSNE": {
        "perplexity": 2.0,
        "exaggeration_steps": 5,
        "num_steps": 10,
        "record_every": 5,
        "rtol": 9.0,
    },
    "Lasso": {"l1": 0.1},
    "ElasticNet": {"l1": 0.1, "l2": 0.1},
    "HuberRegressor": {"l2": 1e-3},
}

# Whole families that compile within some ten seconds each; the others take minutes.
FAST = ("Ridge", "GaussianNB", "PCA", "KNeighborsRegressor", "DBSCAN")

_REPEATED = "check_sample_weight_equivalence_on_dense_data"
_DRAWN = "rows are drawn: a weight and a repetition meet other random numbers"
_TOLERANCE = "to 1e-7 only at a tighter tolerance than that of the default"
_NEIGHBORS = "a row of weight 3 is one neighbor with three votes; three equal rows are three"
FAILING: dict[str, dict[str, str]] = {
    # scikit-learn lists the same check for its own classes of these names.
    "KMeans": {_REPEATED: _DRAWN},
    "RandomForestClassifier": {_REPEATED: _DRAWN},
    "RandomForestRegressor": {_REPEATED: _DRAWN},
    "SVC": {_REPEATED: _TOLERANCE},
    "SVR": {_REPEATED: _TOLERANCE},
    # scikit-learn's own take no weights of rows or of classes, so that there is nothing to check.
    "KNeighborsClassifier": {_REPEATED: _NEIGHBORS},
    "KNeighborsRegressor": {_REPEATED: _NEIGHBORS},
    "MultinomialNB": {"check_class_weight_classifiers": "it brings negative features"},
    "AdaBoostClassifier": {
        "check_class_weight_classifiers": "wants 0.87 of rows in the heavy class; scikit-learn's "
        "AdaBoostClassifier puts 0.82 there for these weights of rows, as this one does"
    },
}


def subject(name):
    """Return an estimator to check."""
    return getattr(estimators, name)(**SMALL.get(name, {}))
