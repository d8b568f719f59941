"""Trees of scikit-learn as lists of nodes: single trees, forests, and both kinds of boosting.

    forest    f(x) = Σ_t v_t(x) / T            boosting    f(x) = f₀ + ν Σ_t v_t(x)

The step ν is folded into the leaves, as is 1/T. Trees and forests compare single(x) with double
thresholds; the boosting on histograms compares double(x). Of the latter nothing public tells the
trees, their start, or the codes behind categories: what is private is read of it, and of no other.

Source: scikit-learn (2025), 1.7, *Developer's guide* and ``sklearn/tree/_tree.pyx`` (``Tree``),
``sklearn/ensemble/_hist_gradient_boosting/predictor.py`` (``TreePredictor``).
"""

from typing import Any, Literal, NamedTuple

import numpy as np

from mastery_jax.learning.trees.imported_nodes import Nodes, bits, exchange

__all__ = ["Link", "Read", "read"]

Link = Literal["identity", "sigmoid", "softmax", "exp"]
WHERE = "imported.from_sklearn"
AVERAGED = ("DecisionTree", "ExtraTree", "RandomForest", "ExtraTrees")


class Read(NamedTuple):
    """What was read of a peer's model."""

    trees: list[Nodes]
    bias: Any  # (outputs,)
    link: Link
    is_single: bool  # the peer rounds x to single precision


def read(model: Any) -> Read:
    """Return the nodes of a fitted model of scikit-learn. O(trees nodes).

    Args:
        model: A fitted tree, forest, or boosting of either kind.

    Returns:
        Its trees, whose sum and the bias are the model's margin.

    Raises:
        ValueError: the model is of none of these classes or their subclasses, is not fitted, or
            has more than one target.
    """
    if _is_a(model, "HistGradientBoosting") and hasattr(model, "_predictors"):
        return _histogram_boosting(model)
    if _is_a(model, "GradientBoosting") and hasattr(model, "estimators_"):
        return _boosting(model, model.estimators_)
    if _is_a(model, *AVERAGED) and (hasattr(model, "tree_") or hasattr(model, "estimators_")):
        return _averaged([model] if hasattr(model, "tree_") else model.estimators_, model)
    kind = type(model).__name__
    raise ValueError(f"{WHERE}: model is a {kind}, not a fitted tree or ensemble of trees")


def _is_a(model: Any, *kinds: str) -> bool:
    """Say whether a model is of scikit-learn's class of a name or of a subclass; none is loaded."""
    names = {kind + side for kind in kinds for side in ("Classifier", "Regressor")}
    return any(
        base.__name__ in names and base.__module__.startswith("sklearn.")
        for base in type(model).__mro__
    )


def _averaged(members: list[Any], model: Any) -> Read:
    if hasattr(model, "classes_") and model.n_outputs_ > 1:
        raise ValueError(f"{WHERE}: model has {model.n_outputs_} targets of classes, not one")
    trees = []
    for member in members:
        value = member.tree_.value
        if hasattr(model, "classes_"):
            value = value[:, 0] / value[:, 0].sum(axis=1, keepdims=True)
        else:
            value = value[:, :, 0]
        trees.append(_nodes(member.tree_, value / len(members)))
    return Read(trees, np.zeros(trees[0].value.shape[1]), "identity", True)


def _nodes(tree: Any, value: Any) -> Nodes:
    left, right = tree.children_left, tree.children_right
    total = tree.impurity * tree.weighted_n_node_samples
    gain = np.where(left < 0, 0, total - total[left] - total[right])
    return Nodes(
        feature=tree.feature,
        threshold=tree.threshold,
        left=left,
        right=right,
        missing_left=tree.missing_go_to_left.astype(bool),
        value=value,
        cover=tree.weighted_n_node_samples,
        gain=gain,
    )


def _boosting(model: Any, members: Any) -> Read:
    init = model.init_
    if init != "zero" and not type(init).__name__.startswith("Dummy"):
        raise ValueError(f"{WHERE}: init is a {type(init).__name__}, which is no constant")
    rows, outputs = np.zeros((1, model.n_features_in_), np.single), members.shape[1]
    is_classifier = hasattr(model, "classes_")
    raw = np.reshape(model.decision_function(rows) if is_classifier else model.predict(rows), -1)
    steps = [[member.predict(rows)[0] for member in row] for row in members]
    bias = raw - model.learning_rate * np.sum(steps, axis=0)
    # The exponential loss learns half of the log odds.
    times = 2.0 if model.loss == "exponential" else 1.0
    trees = [
        _nodes(
            member.tree_,
            times * model.learning_rate * member.tree_.value[:, :, 0] * np.eye(outputs)[output],
        )
        for row in members
        for output, member in enumerate(row)
    ]
    link: Link = "identity"
    if is_classifier:
        link = "sigmoid" if outputs == 1 else "softmax"
    return Read(trees, times * bias, link, True)


def _histogram_boosting(model: Any) -> Read:
    outputs = model.n_trees_per_iteration_
    places, known = _columns(model)
    trees = [
        _histogram_nodes(predictor, places, known, np.eye(outputs)[output])
        for iteration in model._predictors
        for output, predictor in enumerate(iteration)
    ]
    link: Link = "identity" if model.loss not in ("poisson", "gamma") else "exp"
    if hasattr(model, "classes_"):
        link = "sigmoid" if outputs == 1 else "softmax"
    return Read(trees, np.reshape(model._baseline_prediction, -1), link, False)


def _columns(model: Any) -> tuple[Any, dict[int, Any]]:
    """Return the column of X behind each column of the trees, and the categories of those."""
    is_set = model.is_categorical_
    if is_set is None or not np.any(is_set):
        return np.arange(model.n_features_in_), {}
    places = np.concatenate([np.flatnonzero(is_set), np.flatnonzero(~is_set)])
    found = model._preprocessor.named_transformers_["encoder"].categories_
    for place, values in zip(places, found, strict=False):
        codes = np.asarray([value for value in values if value == value])
        is_code = codes.dtype.kind in "iuf" and (codes >= 0).all() and (codes % 1 == 0).all()
        if not is_code:
            raise ValueError(
                f"{WHERE}: categories of feature {place} are {codes[:3].tolist()} …, not codes ≥ 0"
            )
    return places, {
        index: np.asarray([value for value in values if value == value]).astype(int)
        for index, values in enumerate(found)
    }


def _histogram_nodes(predictor: Any, places: Any, known: dict[int, Any], output: Any) -> Nodes:
    rows = predictor.nodes
    is_leaf = rows["is_leaf"].astype(bool)
    is_set = rows["is_categorical"].astype(bool) & ~is_leaf
    missing_left = rows["missing_go_to_left"].astype(bool)
    column = np.where(is_leaf, 0, rows["feature_idx"])
    left_set: list[Any] = [None] * len(rows)
    for node in np.flatnonzero(is_set):
        words = predictor.raw_left_cat_bitsets[rows["bitset_idx"][node]]
        codes = known[column[node]]
        place = np.arange(len(codes))
        is_left = words[place // 32] >> (place % 32).astype(words.dtype) & 1 == 1
        # What is unknown is missing to it: that side must be our right one.
        left_set[node] = bits((codes[~is_left] if missing_left[node] else codes[is_left]).tolist())
    nodes = Nodes(
        feature=np.where(is_leaf, 0, places[column]),
        threshold=np.where(is_set, np.nan, rows["num_threshold"]),
        left=np.where(is_leaf, -1, rows["left"].astype(int)),
        right=np.where(is_leaf, -1, rows["right"].astype(int)),
        missing_left=missing_left,
        value=rows["value"][:, None] * output,
        cover=rows["count"].astype(np.double),
        gain=np.where(is_leaf, 0, rows["gain"]),
        left_set=left_set,
    )
    return exchange(nodes, is_set & missing_left)
