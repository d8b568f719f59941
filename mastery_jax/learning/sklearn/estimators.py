"""scikit-learn's classes for the estimators of this room: one line each.

    from mastery_jax.learning.sklearn.estimators import Ridge

Names are scikit-learn's where the method is; parameters are named as in the module, whose
docstring says how to convert them.

Source: Pedregosa et al. (2011), *Scikit-learn: machine learning in Python*, *JMLR* 12 (the names).
"""

from mastery_jax.learning.clustering import dbscan, gaussian_mixture, kmeans
from mastery_jax.learning.components import (
    kernel_pca,
    pca,
    randomized_svd,
    truncated_svd,
    tsne,
)
from mastery_jax.learning.linear import (
    bayesian_ridge,
    elastic_net,
    huber,
    linear_descent,
    linear_regression,
    logistic,
    ridge,
)
from mastery_jax.learning.naive_bayes import bernoulli_nb, gaussian_nb, multinomial_nb
from mastery_jax.learning.neighbors import knn_classifier, knn_regressor
from mastery_jax.learning.sklearn.generation import make
from mastery_jax.learning.svm import linear_svm, svm_classifier, svm_regressor
from mastery_jax.learning.trees import (
    adaboost,
    boosting_classifier,
    boosting_regressor,
    forest_classifier,
    forest_regressor,
    tree_classifier,
    tree_regressor,
)

__all__ = [
    "DBSCAN", "PCA", "SVC", "SVR", "TSNE", "AdaBoostClassifier", "BayesianRidge", "BernoulliNB",
    "DecisionTreeClassifier", "DecisionTreeRegressor", "ElasticNet", "ExtraTreesClassifier",
    "ExtraTreesRegressor", "GaussianMixture", "GaussianNB", "GradientBoostingClassifier",
    "GradientBoostingRegressor", "GradientDescentRegressor", "HuberRegressor", "KMeans",
    "KNeighborsClassifier", "KNeighborsRegressor", "KernelPCA", "Lasso", "LinearRegression",
    "LinearSVC", "LogisticRegression", "MultinomialNB", "RandomForestClassifier",
    "RandomForestRegressor", "RandomizedSVD", "Ridge", "TruncatedSVD",
]  # fmt: skip

_EXTRA = {"bootstrap": False, "random_thresholds": True}
_ALL = {"num_components": None}  # as many as there can be
_TWO = {"num_components": 2}

LinearRegression = make("LinearRegression", linear_regression, "regressor")
Ridge = make("Ridge", ridge, "regressor")
ElasticNet = make("ElasticNet", elastic_net, "regressor", defaults={"l1": 0.5, "l2": 0.5})
Lasso = make("Lasso", elastic_net, "regressor", defaults={"l1": 1.0})
HuberRegressor = make("HuberRegressor", huber, "regressor")
BayesianRidge = make("BayesianRidge", bayesian_ridge, "regressor")
GradientDescentRegressor = make("GradientDescentRegressor", linear_descent, "regressor")
LogisticRegression = make("LogisticRegression", logistic, "classifier")

LinearSVC = make("LinearSVC", linear_svm, "classifier")
SVC = make(
    "SVC",
    svm_classifier,
    "classifier",
    optional={"predict_proba": ("num_folds", "links")},
)
SVR = make("SVR", svm_regressor, "regressor")

DecisionTreeClassifier = make("DecisionTreeClassifier", tree_classifier, "classifier")
DecisionTreeRegressor = make("DecisionTreeRegressor", tree_regressor, "regressor")
RandomForestClassifier = make("RandomForestClassifier", forest_classifier, "classifier")
RandomForestRegressor = make("RandomForestRegressor", forest_regressor, "regressor")
ExtraTreesClassifier = make(
    "ExtraTreesClassifier", forest_classifier, "classifier", defaults=_EXTRA
)
ExtraTreesRegressor = make("ExtraTreesRegressor", forest_regressor, "regressor", defaults=_EXTRA)
GradientBoostingClassifier = make("GradientBoostingClassifier", boosting_classifier, "classifier")
GradientBoostingRegressor = make("GradientBoostingRegressor", boosting_regressor, "regressor")
AdaBoostClassifier = make("AdaBoostClassifier", adaboost, "classifier")

GaussianNB = make("GaussianNB", gaussian_nb, "classifier")
MultinomialNB = make("MultinomialNB", multinomial_nb, "classifier", is_positive=True, is_poor=True)
BernoulliNB = make("BernoulliNB", bernoulli_nb, "classifier", is_poor=True)

KNeighborsClassifier = make("KNeighborsClassifier", knn_classifier, "classifier")
KNeighborsRegressor = make("KNeighborsRegressor", knn_regressor, "regressor")

KMeans = make("KMeans", kmeans, "clusterer", defaults={"num_clusters": 8})
DBSCAN = make("DBSCAN", dbscan, "clusterer")
GaussianMixture = make("GaussianMixture", gaussian_mixture, "mixture", defaults={"num_clusters": 1})

PCA = make("PCA", pca, "transformer", defaults=_ALL)
TruncatedSVD = make("TruncatedSVD", truncated_svd, "transformer", defaults=_TWO)
RandomizedSVD = make(
    "RandomizedSVD", randomized_svd, "transformer", verbs=truncated_svd, defaults=_TWO
)
KernelPCA = make("KernelPCA", kernel_pca, "transformer", bound=("kernel",), defaults=_TWO)
TSNE = make("TSNE", tsne, "embedding")
