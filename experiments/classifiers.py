"""Classifiers that are fitted in one go: what a config may say of each, its fit, its answer.

The features come standardized, so that penalties and widths mean the same on any data.
"""

from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
from msgspec import Meta

from experiments.blocks import Count, Depth, Fitted, Leaf, OneGo, ended, insist_at_most
from mastery_jax.learning.linear import logistic
from mastery_jax.learning.naive_bayes import gaussian_nb
from mastery_jax.learning.neighbors import knn_classifier
from mastery_jax.learning.svm import svm_classifier
from mastery_jax.learning.trees import (
    adaboost,
    boosting_classifier,
    forest_classifier,
    tree_classifier,
)

__all__ = [
    "AdaBoost",
    "Boosting",
    "Classifier",
    "Forest",
    "Knn",
    "Logistic",
    "NaiveBayes",
    "Svm",
    "Tree",
]


class Classifier(OneGo, frozen=True, kw_only=True):
    """What ``classify`` asks of a model that is fitted in one go."""

    def fit(self, key: Any, X: jax.Array, labels: jax.Array, num_classes: int) -> Fitted:
        """Return the fitted model, and what the fit says of itself."""
        raise NotImplementedError

    def proba(self, model: Any, X: jax.Array) -> jax.Array:
        """Return the probability of each class."""
        raise NotImplementedError

    def log_proba(self, model: Any, X: jax.Array) -> jax.Array:
        """Return logarithms of the probabilities, nats; of none, that of the least that counts."""
        probabilities = self.proba(model, X)
        return jnp.log(jnp.maximum(probabilities, jnp.finfo(probabilities.dtype).eps))

    def predict(self, model: Any, X: jax.Array) -> jax.Array:
        """Return the code of each row's likeliest class."""
        return self.proba(model, X).argmax(axis=1)


class Logistic(Classifier, frozen=True, kw_only=True, tag="logistic"):
    """Logistic regression, to convergence."""

    l2: Annotated[float, Meta(gt=0, description="penalty on the squared weights, per row")] = 1e-3

    def fit(self, key: Any, X: jax.Array, labels: jax.Array, num_classes: int) -> Fitted:
        """Return the weights."""
        model, info = logistic.fit(X, labels, num_classes=num_classes, l2=self.l2)
        return model, ended(info)

    def proba(self, model: Any, X: jax.Array) -> jax.Array:
        """Return the probability of each class."""
        return logistic.predict_proba(model, X)

    def log_proba(self, model: Any, X: jax.Array) -> jax.Array:
        """Return the log probability of each class, nats."""
        return logistic.predict_log_proba(model, X)


class Svm(Classifier, frozen=True, kw_only=True, tag="svm"):
    """Support vectors; the class is the one that wins most pairs, probabilities are Platt's."""

    kernel: Literal["linear", "rbf", "poly"] = "rbf"
    C: Annotated[float, Meta(gt=0, description="price of a row on the wrong side")] = 1.0
    gamma: Annotated[float, Meta(gt=0)] | None = None
    degree: Annotated[int, Meta(ge=1, description="of poly")] = 3
    num_folds: Annotated[int, Meta(ge=2, description="for the probabilities")] = 5

    def check(self, num_rows: int, num_features: int) -> None:
        """Refuse more folds than rows."""
        insist_at_most("num_folds", self.num_folds, num_rows, "training rows")

    def fit(self, key: Any, X: jax.Array, labels: jax.Array, num_classes: int) -> Fitted:
        """Return the support vectors and their coefficients."""
        model, info = svm_classifier.fit(
            X, labels, num_classes=num_classes, kernel=self.kernel, C=self.C, gamma=self.gamma,
            degree=self.degree, num_folds=self.num_folds,
        )  # fmt: skip
        return model, {**ended(info), "num_support": info.num_support.sum()}

    def proba(self, model: Any, X: jax.Array) -> jax.Array:
        """Return the probability of each class."""
        return svm_classifier.predict_proba(model, X)

    def predict(self, model: Any, X: jax.Array) -> jax.Array:
        """Return the class by the decisions, which may not be the likeliest."""
        return svm_classifier.predict(model, X)


class Knn(Classifier, frozen=True, kw_only=True, tag="knn"):
    """The vote of the nearest rows."""

    num_neighbors: Count = 5
    power: Annotated[float, Meta(ge=0, description="votes count 1 / distance to this power")] = 0.0
    metric: Annotated[
        Literal["euclidean", "manhattan", "cosine"], Meta(description="of standardized features")
    ] = "euclidean"

    def check(self, num_rows: int, num_features: int) -> None:
        """Refuse more neighbors than rows."""
        insist_at_most("num_neighbors", self.num_neighbors, num_rows, "training rows")

    def fit(self, key: Any, X: jax.Array, labels: jax.Array, num_classes: int) -> Fitted:
        """Return the rows."""
        model = knn_classifier.fit(
            X, labels, num_classes=num_classes, num_neighbors=self.num_neighbors, power=self.power,
            metric=self.metric,
        )  # fmt: skip
        return model, {}

    def proba(self, model: Any, X: jax.Array) -> jax.Array:
        """Return the share of each class in the vote."""
        return knn_classifier.predict_proba(model, X)


class NaiveBayes(Classifier, frozen=True, kw_only=True, tag="naive_bayes"):
    """Features that are normal and independent within a class."""

    smoothing: Annotated[float, Meta(ge=0, description="added to variances, share of largest")] = (
        1e-9
    )

    def fit(self, key: Any, X: jax.Array, labels: jax.Array, num_classes: int) -> Fitted:
        """Return the moments of every class."""
        model = gaussian_nb.fit(X, labels, num_classes=num_classes, smoothing=self.smoothing)
        return model, {}

    def proba(self, model: Any, X: jax.Array) -> jax.Array:
        """Return the probability of each class."""
        return gaussian_nb.predict_proba(model, X)


class Tree(Classifier, frozen=True, kw_only=True, tag="tree"):
    """One tree."""

    criterion: Literal["gini", "entropy"] = "gini"
    max_depth: Depth | None = None
    min_samples_leaf: Leaf = 1.0

    def fit(self, key: Any, X: jax.Array, labels: jax.Array, num_classes: int) -> Fitted:
        """Return the tree."""
        model, _ = tree_classifier.fit(
            X, labels, num_classes=num_classes, criterion=self.criterion, max_depth=self.max_depth,
            min_samples_leaf=self.min_samples_leaf, missing="right",
        )  # fmt: skip
        return model, {}

    def proba(self, model: Any, X: jax.Array) -> jax.Array:
        """Return the share of each class in the leaf."""
        return tree_classifier.predict_proba(model, X)


class Forest(Classifier, frozen=True, kw_only=True, tag="forest"):
    """Random forest; extra trees without ``bootstrap``, with ``random_thresholds``."""

    num_trees: Count = 100
    criterion: Literal["gini", "entropy"] = "gini"
    max_depth: Depth | None = None
    max_features: (
        Annotated[int, Meta(ge=1, description="that a node looks at; null: √d")] | None
    ) = None
    min_samples_leaf: Leaf = 1.0
    bootstrap: bool = True
    random_thresholds: bool = False

    def check(self, num_rows: int, num_features: int) -> None:
        """Refuse more features for a node than there are."""
        insist_at_most("max_features", self.max_features, num_features, "features")

    def fit(self, key: Any, X: jax.Array, labels: jax.Array, num_classes: int) -> Fitted:
        """Return the trees; where rows are drawn, the accuracy on those that a tree did not see."""
        model, info = forest_classifier.fit(
            key, X, labels, num_classes=num_classes, num_trees=self.num_trees,
            criterion=self.criterion, max_depth=self.max_depth, max_features=self.max_features,
            min_samples_leaf=self.min_samples_leaf, bootstrap=self.bootstrap,
            random_thresholds=self.random_thresholds, out_of_bag=self.bootstrap, missing="right",
        )  # fmt: skip
        if info.out_of_bag is None:
            return model, {}
        is_known = jnp.isfinite(info.out_of_bag[:, 0])  # some tree has not seen the row
        is_right = is_known & (info.out_of_bag.argmax(axis=1) == labels)
        return model, {"out_of_bag_accuracy": is_right.sum() / is_known.sum()}

    def proba(self, model: Any, X: jax.Array) -> jax.Array:
        """Return the mean share of each class in the leaves."""
        return forest_classifier.predict_proba(model, X)


class Boosting(Classifier, frozen=True, kw_only=True, tag="boosting"):
    """Gradient boosting."""

    num_rounds: Count = 100
    learning_rate: Annotated[float, Meta(gt=0, description="share of a tree's step")] = 0.1
    max_depth: Depth = 3
    l2: Annotated[float, Meta(ge=0, description="penalty on the squared leaves")] = 1.0
    min_child_weight: Annotated[float, Meta(ge=0, description="curvature of a child")] = 1.0

    def fit(self, key: Any, X: jax.Array, labels: jax.Array, num_classes: int) -> Fitted:
        """Return the trees."""
        model, _ = boosting_classifier.fit(
            key, X, labels, num_classes=num_classes, num_rounds=self.num_rounds,
            learning_rate=self.learning_rate, max_depth=self.max_depth, l2=self.l2,
            min_child_weight=self.min_child_weight, missing="right",
        )  # fmt: skip
        return model, {}

    def proba(self, model: Any, X: jax.Array) -> jax.Array:
        """Return the probability of each class."""
        return boosting_classifier.predict_proba(model, X)


class AdaBoost(Classifier, frozen=True, kw_only=True, tag="adaboost"):
    """Trees that attend to what was got wrong."""

    num_rounds: Count = 50
    learning_rate: Annotated[float, Meta(gt=0, description="share of a tree's say")] = 1.0
    max_depth: Depth = 1

    def fit(self, key: Any, X: jax.Array, labels: jax.Array, num_classes: int) -> Fitted:
        """Return the trees."""
        model, info = adaboost.fit(
            X, labels, num_classes=num_classes, num_rounds=self.num_rounds,
            learning_rate=self.learning_rate, max_depth=self.max_depth, missing="right",
        )  # fmt: skip
        return model, {"rounds_kept": info.num_steps}

    def proba(self, model: Any, X: jax.Array) -> jax.Array:
        """Return the probability of each class."""
        return adaboost.predict_proba(model, X)
