"""The methods of an estimator: scikit-learn's, for the functions that its module has.

Source: Buitinck et al. (2013), *API design for machine learning software*, arXiv:1309.0238,
sections 2.2-2.4 (estimators, predictors, transformers).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.utils import check_array
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from mastery_jax.learning.sklearn import attributes, validation
from mastery_jax.learning.sklearn.base import FLOATS, Plan

__all__ = ["ABOUT", "ADDED", "SHOWN", "of", "tags_of"]

# Parameters that no module has, and what they are.
ABOUT = {
    "class_weight": "Weights of classes by label, or ``balanced``: all classes count alike.",
    "validation_fraction": "Share of the rows that is held out to stop early; none where None.",
    "random_state": "Gives the key: an int, a ``RandomState``, or None for another at every fit.",
}
ADDED = frozenset(ABOUT)
SHOWN = {
    "state_": "The module's State, in arrays of NumPy.",
    "info_": "Its Info, or None where the answer is in closed form.",
    "n_features_in_": "Number of features.",
    "feature_names_in_": "Their names, where X has names.",
}

# The methods that ask a function of the State about rows, and what that function is called.
_ASKED = {
    "predict": "predict",
    "predict_std": "predict_std",
    "predict_proba": "predict_proba",
    "predict_log_proba": "predict_log_proba",
    "decision_function": "decision_function",
    "transform": "transform",
    "score_samples": "log_prob",
    "aic": "aic",
    "bic": "bic",
}


def of(plan: Plan) -> dict[str, Any]:
    """Return the methods of one class, by name."""
    made: dict[str, Any] = {"fit": _fit_of(plan)}
    for method, verb in _ASKED.items():
        if verb in plan.verbs and plan.kind != "embedding":
            made[method] = _asking(method, plan.verbs[verb], plan)
    if "inverse_transform" in plan.verbs:
        made["inverse_transform"] = _inverse_of(plan.verbs["inverse_transform"])
    if "kneighbors" in plan.verbs:
        made["kneighbors"] = _kneighbors
    if "update" in plan.verbs:
        made["partial_fit"] = _partial_fit
    if plan.kind == "embedding":
        made["fit_transform"] = _fit_transform
    if plan.kind == "mixture":
        made |= {"fit_predict": _fit_predict, "score": _score}
    if plan.kind == "clusterer" and "transform" in plan.verbs:
        made["score"] = _score_of_distances
    if plan.kind == "embedding" or "transform" in plan.verbs:
        made["_n_features_out"] = property(_num_features_out)
    return made


def tags_of(made: type) -> Callable[[Any], Any]:
    """Return the method of ``made`` that says what it takes, over what its mixins say."""

    def __sklearn_tags__(self: Any) -> Any:
        tags = super(made, self).__sklearn_tags__()  # pyright: ignore[reportAttributeAccessIssue]
        tags.input_tags.allow_nan = "missing" in self._plan.takes
        tags.input_tags.positive_only = self._plan.is_positive
        tags.input_tags.pairwise = getattr(self, "kernel", None) == "precomputed"
        if tags.classifier_tags is not None:
            tags.classifier_tags.poor_score = self._plan.is_poor
        if tags.transformer_tags is not None:
            tags.transformer_tags.preserves_dtype = [np.dtype(kind).name for kind in FLOATS]
        return tags

    return __sklearn_tags__


def _fit_of(plan: Plan) -> Callable[..., Any]:
    """Return ``fit``, with y where there are targets, and weights where the module takes them."""
    if plan.kind in ("classifier", "regressor"):
        return _fit_targets if "weights" in plan.takes else _fit_targets_alike
    return _fit_rows if "weights" in plan.takes else _fit_rows_alike


def _fit_targets(self: Any, X: Any, y: Any, sample_weight: Any = None) -> Any:
    """Fit to rows, their targets and their weights, and return the estimator."""
    X, y = self._read_both(X, y, reset=True)
    if self._plan.kind == "regressor":
        self._learn(X, [y.astype(X.dtype, copy=False)], self._weights(X, sample_weight))
        return self
    check_classification_targets(y)
    self.classes_, codes = np.unique(y, return_inverse=True)
    codes = codes.astype(np.int32)
    self._learn(X, [codes], self._weights(X, sample_weight, codes))
    return self


def _fit_targets_alike(self: Any, X: Any, y: Any) -> Any:
    """Fit to rows and their targets, and return the estimator."""
    return _fit_targets(self, X, y)


def _fit_rows(self: Any, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """Fit to rows and their weights, and return the estimator; y is not read."""
    X = self._read(X, reset=True)
    self._learn(X, [], self._weights(X, sample_weight))
    if self._plan.kind == "clusterer" and "predict" in self._plan.verbs:
        self.labels_ = self._call(self._plan.verbs["predict"], self.state_, X, dtype=X.dtype)
    return self


def _fit_rows_alike(self: Any, X: Any, y: Any = None) -> Any:
    """Fit to rows, and return the estimator; y is not read."""
    return _fit_rows(self, X)


def _partial_fit(self: Any, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Any:
    """Learn from further rows; the first call must say which classes there are."""
    if isinstance(getattr(self, "class_weight", None), str):
        raise ValueError(
            f"{self._plan.name}: class_weight is {self.class_weight!r}, which needs all rows "
            "at once, not partial_fit"
        )
    is_first = not hasattr(self, "state_")
    known = None if is_first else self.classes_
    self.classes_ = validation.classes(classes, known)
    X, y = self._read_both(X, y, reset=is_first)
    codes = validation.codes(y, self.classes_)
    weights = self._weights(X, sample_weight, codes, is_part=True)
    if is_first:
        self._learn(X, [codes], weights)
        return self
    update, given = self._plan.verbs["update"], {"weights": weights}
    self._keep(self._call(update, self.state_, X, codes, given=given, dtype=X.dtype), None, X)
    return self


def _asking(method: str, function: Callable[..., Any], plan: Plan) -> Any:
    """Return a method that asks ``function`` about rows."""

    def ask(self: Any, X: Any) -> Any:
        answer = self._ask(function, X)
        if plan.kind == "classifier" and method == "predict":
            if (answer < 0).any():
                row = int((answer < 0).argmax())
                raise ValueError(f"{plan.name}: row {row} of X has no class: nothing is likeliest")
            return self.classes_[answer]
        if method == "decision_function" and len(self.classes_) == 2 and answer.ndim == 2:
            return answer[:, -1] - (answer[:, 0] if answer.shape[1] == 2 else 0)
        return answer.item() if answer.ndim == 0 else answer

    ask.__name__, ask.__qualname__ = method, f"{plan.name}.{method}"
    ask.__doc__ = function.__doc__
    if method not in plan.optional:
        return ask
    parameter, _ = plan.optional[method]
    return available_if(lambda self: _has(self, parameter, method))(ask)


def _has(self: Any, parameter: str, method: str) -> bool:
    if not getattr(self, parameter):
        name, value = self._plan.name, getattr(self, parameter)
        raise AttributeError(f"{name}: {parameter} is {value!r}, with which there is no {method}")
    return True


def _inverse_of(function: Callable[..., Any]) -> Callable[..., Any]:
    def inverse_transform(self: Any, X: Any) -> Any:
        check_is_fitted(self, "state_")
        wanted: Any = list(FLOATS)
        Z = check_array(X, dtype=wanted, estimator=self).astype(self._dtype(), copy=False)
        if Z.shape[1] != (wide := attributes.width(self.state_, "k")):
            raise ValueError(
                f"X has {Z.shape[1]} features, but {type(self).__name__}.inverse_transform is "
                f"expecting {wide} components"
            )
        return self._call(function, self.state_, Z, dtype=Z.dtype)

    inverse_transform.__doc__ = function.__doc__
    return inverse_transform


def _kneighbors(self: Any, X: Any, n_neighbors: int | None = None) -> tuple[Any, Any]:
    """Return the distances to the nearest rows of the fit, and their positions there."""
    check_is_fitted(self, "state_")
    given = {"k": self.num_neighbors if n_neighbors is None else n_neighbors}
    X = self._read(X, reset=False)
    found = self._call(self._plan.verbs["kneighbors"], self.state_, X, given=given, dtype=X.dtype)
    return found.distances, found.indices


def _fit_transform(self: Any, X: Any, y: Any = None) -> Any:
    """Fit to rows, and return where they were put."""
    return self.fit(X).embedding_


def _fit_predict(self: Any, X: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """Fit to rows, and return the likeliest component of each."""
    return self.fit(X, sample_weight=sample_weight).predict(X)


def _score(self: Any, X: Any, y: Any = None) -> float:
    """Return the mean log-density of rows, in nats."""
    return float(self.score_samples(X).mean())


def _score_of_distances(self: Any, X: Any, y: Any = None) -> float:
    """Return minus the sum of squared distances to the nearest centers; y is not read."""
    return -float((self.transform(X).min(axis=1) ** 2).sum())


def _num_features_out(self: Any) -> int:
    return attributes.width(self.state_, "k")
