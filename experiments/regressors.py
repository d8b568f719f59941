"""Regressors that are fitted in one go: what a config may say of each, its fit, its answer.

Features and target come in units of their spread, so that penalties and widths mean the same on
any data.
"""

from typing import Annotated, Any, Literal

import jax
from msgspec import Meta

from experiments.blocks import Count, Depth, Fitted, Leaf, OneGo, ended, insist_at_most
from mastery_jax.learning.linear import (
    bayesian_ridge,
    elastic_net,
    huber,
    linear_regression,
    ridge,
)
from mastery_jax.learning.neighbors import knn_regressor
from mastery_jax.learning.svm import svm_regressor
from mastery_jax.learning.trees import boosting_regressor, forest_regressor, tree_regressor

__all__ = [
    "BayesianRidge",
    "Boosting",
    "ElasticNet",
    "Forest",
    "Huber",
    "Knn",
    "LinearRegression",
    "Regressor",
    "Ridge",
    "Svm",
    "Tree",
]


class Regressor(OneGo, frozen=True, kw_only=True):
    """What ``regress`` asks of a model that is fitted in one go."""

    def fit(self, key: Any, X: jax.Array, y: jax.Array) -> Fitted:
        """Return the fitted model, and what the fit says of itself."""
        raise NotImplementedError

    def predict(self, model: Any, X: jax.Array) -> jax.Array:
        """Return what is expected of each row, in the unit of ``y``."""
        raise NotImplementedError


class LinearRegression(Regressor, frozen=True, kw_only=True, tag="linear_regression"):
    """Least squares, by QR."""

    def fit(self, key: Any, X: jax.Array, y: jax.Array) -> Fitted:
        """Return the weights, and how nearly the features depend on each other."""
        model = linear_regression.fit(X, y)
        return model, {"rank": model.rank, "condition": model.condition}

    def predict(self, model: Any, X: jax.Array) -> jax.Array:
        """Return what is expected of each row."""
        return linear_regression.predict(model, X)


class Ridge(Regressor, frozen=True, kw_only=True, tag="ridge"):
    """Ridge regression, in closed form."""

    l2: Annotated[float, Meta(gt=0, description="penalty on the squared weights, per row")] = 1e-3

    def fit(self, key: Any, X: jax.Array, y: jax.Array) -> Fitted:
        """Return the weights."""
        return ridge.fit(X, y, l2=self.l2), {}

    def predict(self, model: Any, X: jax.Array) -> jax.Array:
        """Return what is expected of each row."""
        return ridge.predict(model, X)


class ElasticNet(Regressor, frozen=True, kw_only=True, tag="elastic_net"):
    """Absolute and squared penalties: the LASSO where ``l2`` is 0."""

    l1: Annotated[float, Meta(gt=0, description="penalty on absolute weights, per row")] = 1e-2
    l2: Annotated[float, Meta(ge=0, description="penalty on the squared weights, per row")] = 0.0

    def fit(self, key: Any, X: jax.Array, y: jax.Array) -> Fitted:
        """Return the weights, and how many of them are not 0."""
        model, info = elastic_net.fit(X, y, l1=self.l1, l2=self.l2)
        return model, {**ended(info), "num_nonzero": (model.weights != 0).sum()}

    def predict(self, model: Any, X: jax.Array) -> jax.Array:
        """Return what is expected of each row."""
        return elastic_net.predict(model, X)


class Huber(Regressor, frozen=True, kw_only=True, tag="huber"):
    """Squares near, absolute values far."""

    threshold: Annotated[float, Meta(gt=1, description="an outlier is off by more, in σ")] = 1.35
    l2: Annotated[float, Meta(ge=0, description="penalty on the squared weights")] = 0.0

    def fit(self, key: Any, X: jax.Array, y: jax.Array) -> Fitted:
        """Return the weights, and how many rows are outliers."""
        model, info = huber.fit(X, y, threshold=self.threshold, l2=self.l2)
        return model, {**ended(info), "num_outliers": info.is_outlier.sum()}

    def predict(self, model: Any, X: jax.Array) -> jax.Array:
        """Return what is expected of each row."""
        return huber.predict(model, X)


class BayesianRidge(Regressor, frozen=True, kw_only=True, tag="bayesian_ridge"):
    """Ridge regression whose penalty is learned."""

    def fit(self, key: Any, X: jax.Array, y: jax.Array) -> Fitted:
        """Return the weights, and how many of them the data know."""
        model, info = bayesian_ridge.fit(X, y)
        return model, {**ended(info), "num_known": info.num_known}

    def predict(self, model: Any, X: jax.Array) -> jax.Array:
        """Return what is expected of each row."""
        return bayesian_ridge.predict(model, X)


class Svm(Regressor, frozen=True, kw_only=True, tag="svm"):
    """A tube of half width ``epsilon`` about the targets."""

    kernel: Literal["linear", "rbf", "poly"] = "rbf"
    C: Annotated[float, Meta(gt=0, description="price of a row outside")] = 1.0
    epsilon: Annotated[float, Meta(ge=0, description="errors free of cost, in spreads of y")] = 0.1
    gamma: Annotated[float, Meta(gt=0)] | None = None
    degree: Annotated[int, Meta(ge=1, description="of poly")] = 3

    def fit(self, key: Any, X: jax.Array, y: jax.Array) -> Fitted:
        """Return the support vectors and their coefficients."""
        model, info = svm_regressor.fit(
            X, y, kernel=self.kernel, C=self.C, epsilon=self.epsilon, gamma=self.gamma,
            degree=self.degree,
        )  # fmt: skip
        return model, {**ended(info), "num_support": info.num_support}

    def predict(self, model: Any, X: jax.Array) -> jax.Array:
        """Return what is expected of each row."""
        return svm_regressor.predict(model, X)


class Knn(Regressor, frozen=True, kw_only=True, tag="knn"):
    """The mean of the nearest rows."""

    num_neighbors: Count = 5
    power: Annotated[float, Meta(ge=0, description="a row counts 1 / distance to this power")] = 0.0
    metric: Annotated[
        Literal["euclidean", "manhattan", "cosine"], Meta(description="of standardized features")
    ] = "euclidean"

    def check(self, num_rows: int, num_features: int) -> None:
        """Refuse more neighbors than rows."""
        insist_at_most("num_neighbors", self.num_neighbors, num_rows, "training rows")

    def fit(self, key: Any, X: jax.Array, y: jax.Array) -> Fitted:
        """Return the rows."""
        model = knn_regressor.fit(
            X, y, num_neighbors=self.num_neighbors, power=self.power, metric=self.metric
        )
        return model, {}

    def predict(self, model: Any, X: jax.Array) -> jax.Array:
        """Return what is expected of each row."""
        return knn_regressor.predict(model, X)


class Tree(Regressor, frozen=True, kw_only=True, tag="tree"):
    """One tree."""

    max_depth: Depth | None = None
    min_samples_leaf: Leaf = 1.0

    def fit(self, key: Any, X: jax.Array, y: jax.Array) -> Fitted:
        """Return the tree."""
        model, _ = tree_regressor.fit(
            X, y, max_depth=self.max_depth, min_samples_leaf=self.min_samples_leaf, missing="right"
        )
        return model, {}

    def predict(self, model: Any, X: jax.Array) -> jax.Array:
        """Return what is expected of each row."""
        return tree_regressor.predict(model, X)


class Forest(Regressor, frozen=True, kw_only=True, tag="forest"):
    """Random forest; extra trees without ``bootstrap``, with ``random_thresholds``."""

    num_trees: Count = 100
    max_depth: Depth | None = None
    max_features: (
        Annotated[int, Meta(ge=1, description="that a node looks at; null: all")] | None
    ) = None
    min_samples_leaf: Leaf = 1.0
    bootstrap: bool = True
    random_thresholds: bool = False

    def check(self, num_rows: int, num_features: int) -> None:
        """Refuse more features for a node than there are."""
        insist_at_most("max_features", self.max_features, num_features, "features")

    def fit(self, key: Any, X: jax.Array, y: jax.Array) -> Fitted:
        """Return the trees."""
        model, _ = forest_regressor.fit(
            key, X, y, num_trees=self.num_trees, max_depth=self.max_depth,
            max_features=self.max_features, min_samples_leaf=self.min_samples_leaf,
            bootstrap=self.bootstrap, random_thresholds=self.random_thresholds, missing="right",
        )  # fmt: skip
        return model, {}

    def predict(self, model: Any, X: jax.Array) -> jax.Array:
        """Return what is expected of each row."""
        return forest_regressor.predict(model, X)


class Boosting(Regressor, frozen=True, kw_only=True, tag="boosting"):
    """Gradient boosting of the mean, or of a quantile."""

    loss: Literal["squared_error", "quantile"] = "squared_error"
    quantile: Annotated[float, Meta(gt=0, lt=1, description="share of targets below")] = 0.5
    num_rounds: Count = 100
    learning_rate: Annotated[float, Meta(gt=0, description="share of a tree's step")] = 0.1
    max_depth: Depth = 3
    l2: Annotated[float, Meta(ge=0, description="penalty on the squared leaves")] = 1.0
    min_child_weight: Annotated[float, Meta(ge=0, description="rows of a child")] = 1.0

    def fit(self, key: Any, X: jax.Array, y: jax.Array) -> Fitted:
        """Return the trees."""
        model, _ = boosting_regressor.fit(
            key, X, y, loss=self.loss, quantile=self.quantile, num_rounds=self.num_rounds,
            learning_rate=self.learning_rate, max_depth=self.max_depth, l2=self.l2,
            min_child_weight=self.min_child_weight, missing="right",
        )  # fmt: skip
        return model, {}

    def predict(self, model: Any, X: jax.Array) -> jax.Array:
        """Return what is expected of each row."""
        return boosting_regressor.predict(model, X)
