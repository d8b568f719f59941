"""Imported trees: the models of scikit-learn, XGBoost and LightGBM in the form of the house.

    margin(x) = bias + Σ_t v_t(leaf of tree t that x falls into),    answer = link⁻¹(margin)

Nothing is executed that a file says, and no peer is needed to read its file. Every comparison is
kept exactly: what goes left there goes left here, missing, unknown and categorical values too.
What a forest averages is divided by the number of its trees, so that the sum is its answer.

Source: XGBoost (2025), 3.1, *Introduction to model IO* (JSON schema); LightGBM (2025), 4.6,
``include/LightGBM/tree.h`` (bits of ``decision_type``).
"""

import json
import math
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mastery_jax.learning.trees import imported_sklearn
from mastery_jax.learning.trees.ensemble import Trees
from mastery_jax.learning.trees.imported_nodes import Nodes, assemble, bits, exchange
from mastery_jax.learning.trees.imported_sklearn import Link, Read

__all__ = ["Imported", "from_lightgbm", "from_sklearn", "from_xgboost"]


class Imported(NamedTuple):
    """A peer's model; ``ensemble.evaluate(trees, X) + bias[None]`` is its margin."""

    trees: Trees
    bias: Float[Array, " outputs"]  # unit of the margin
    link: Link  # what makes an answer of a margin; of "sigmoid", log odds of the second class


def from_sklearn(model: Any) -> Imported:
    """Read a fitted model of scikit-learn, on the host. O(trees nodes).

    Args:
        model: ``DecisionTree``, ``ExtraTree``, ``RandomForest``, ``ExtraTrees``,
            ``GradientBoosting`` or ``HistGradientBoosting``, each ``…Classifier`` or
            ``…Regressor``, or of a subclass; other ensembles need not add their trees up.

    Returns:
        The trees, in jax's default precision. The margin of trees and forests is their answer: a
        number, or one probability a class. Of boosting it is ``decision_function``, twice that for
        the exponential loss, which learns half of the log odds.

    Raises:
        ValueError: the model is none of these or not fitted, classifies more than one target,
            starts from another model, or has categories that are not codes ≥ 0.

    Example:
        >>> from sklearn.tree import DecisionTreeRegressor
        >>> from mastery_jax.learning.trees import ensemble
        >>> X, y = np.arange(4.0)[:, None], np.array([1.0, 1.0, 5.0, 5.0])
        >>> found = from_sklearn(DecisionTreeRegressor().fit(X, y))
        >>> ensemble.evaluate(found.trees, X.astype(np.single))[:, 0].tolist()
        [1.0, 1.0, 5.0, 5.0]
    """
    return _finish(imported_sklearn.read(model))


def from_xgboost(text: str) -> Imported:
    """Read a model that XGBoost saved as JSON, on the host. O(trees nodes).

    Args:
        text: What ``Booster.save_raw("json")`` gives, decoded. All of its trees are taken, also
            those after an early stop.

    Returns:
        The trees, in jax's default precision; the margin is ``predict(output_margin=True)``.

    Raises:
        ValueError: the text is no such file, its booster is not made of trees, or a leaf holds
            more than one number.

    Example:
        >>> from_xgboost("{}")
        Traceback (most recent call last):
        ValueError: imported.from_xgboost: text has no field 'learner'
    """
    try:
        return _finish(_xgboost(json.loads(text)["learner"]))
    except KeyError as error:
        raise ValueError(f"imported.from_xgboost: text has no field {error}") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"imported.from_xgboost: text is no JSON: {error}") from None


def from_lightgbm(text: str) -> Imported:
    """Read a model that LightGBM saved as text, on the host. O(trees nodes).

    Args:
        text: What ``Booster.model_to_string()`` gives.

    Returns:
        The trees, in jax's default precision; the margin is ``predict(raw_score=True)``,
        of a forest ``predict()``.

    Raises:
        ValueError: the text is no such file, its leaves are linear models, or it takes zero for
            missing, which no single test of a node can.

    Example:
        >>> from_lightgbm("tree")
        Traceback (most recent call last):
        ValueError: imported.from_lightgbm: text has no field 'num_tree_per_iteration'
    """
    try:
        return _finish(_lightgbm(text))
    except KeyError as error:
        raise ValueError(f"imported.from_lightgbm: text has no field {error}") from None


def _finish(read: Read) -> Imported:
    trees = assemble(read.trees, is_single=read.is_single)
    return Imported(trees, jnp.asarray(read.bias, trees.value.dtype), read.link)


def _xgboost(learner: dict[str, Any]) -> Read:
    where = "imported.from_xgboost"
    objective, booster = learner["objective"]["name"], learner["gradient_booster"]
    weights = booster.get("weight_drop")
    if booster["name"] == "dart":
        booster = booster["gbtree"]
    elif booster["name"] != "gbtree":
        raise ValueError(f"{where}: booster is {booster['name']!r}, not 'gbtree' or 'dart'")
    model = booster["model"]
    if not model["trees"]:
        raise ValueError(f"{where}: trees is empty")
    params = learner["learner_model_param"]
    outputs = max(int(params["num_class"]), int(params.get("num_target", 1)), 1)
    scales = weights or [1.0] * len(model["trees"])
    trees = [
        _xgboost_nodes(tree, scale * np.eye(outputs)[output])
        for tree, output, scale in zip(model["trees"], model["tree_info"], scales, strict=True)
    ]
    link: Link = "identity"
    score = np.array(json.loads(params["base_score"]), np.double).reshape(-1)
    if objective in ("binary:logistic", "reg:logistic", "binary:logitraw"):
        link = "identity" if objective == "binary:logitraw" else "sigmoid"
        score = np.log(score) - np.log1p(-score)
    elif objective in ("count:poisson", "reg:gamma", "reg:tweedie", "survival:cox", "survival:aft"):
        link, score = "exp", np.log(score)
    elif objective.startswith("multi:"):
        link = "softmax"
    return Read(trees, np.broadcast_to(score, (outputs,)), link, True)


def _xgboost_nodes(tree: dict[str, Any], output: Any) -> Nodes:
    if int(tree["tree_param"]["size_leaf_vector"]) > 1:
        raise ValueError("imported.from_xgboost: size_leaf_vector is not 1: leaves hold vectors")
    left = np.array(tree["left_children"])
    condition = np.array(tree["split_conditions"], np.single)
    is_set = np.array(tree.get("split_type", np.zeros(len(left))), int) == 1
    left_set: list[Any] = [None] * len(left)
    parts = (tree[f"categories_{name}"] for name in ("nodes", "segments", "sizes"))
    for node, start, size in zip(*parts, strict=True):
        left_set[node] = bits(tree["categories"][start : start + size])
    before = np.nextafter(condition, np.single(-np.inf)).astype(np.double)
    nodes = Nodes(
        feature=np.array(tree["split_indices"]),
        threshold=np.where(is_set, np.nan, before),
        left=left,
        right=np.array(tree["right_children"]),
        missing_left=np.array(tree["default_left"], bool),
        value=condition[:, None].astype(np.double) * output,
        cover=np.array(tree["sum_hessian"]),
        gain=np.array(tree["loss_changes"]),
        left_set=left_set,
    )
    # Its sets name what goes right, and all else goes left.
    return exchange(nodes, is_set & (left >= 0))


def _lightgbm(text: str) -> Read:
    head, *rest = text.partition("\nend of trees")[0].split("\nTree=")
    fields = _fields(head)
    outputs = int(fields["num_tree_per_iteration"])
    if not rest:
        raise ValueError("imported.from_lightgbm: text has no trees")
    is_average = "average_output" in head.splitlines()
    scale = outputs / len(rest) if is_average else 1.0
    trees = [
        _lightgbm_nodes(_fields(part), scale * np.eye(outputs)[index % outputs])
        for index, part in enumerate(rest)
    ]
    name, *options = (fields.get("objective") or "none").split()
    link: Link = "identity"
    if name in ("binary", "multiclassova", "cross_entropy"):
        link = "sigmoid"
        # Of sigmoid:s the log odds are s times the score.
        steep = [float(option[8:]) for option in options if option.startswith("sigmoid:")]
        if steep and not math.isclose(steep[0], 1.0):
            raise ValueError(f"imported.from_lightgbm: sigmoid is {steep[0]}, not 1")
    elif name == "multiclass":
        link = "softmax"
    elif name in ("poisson", "gamma", "tweedie"):
        link = "exp"
    return Read(trees, np.zeros(outputs), link, False)


def _fields(part: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in part.splitlines() if "=" in line)
    return {name: value for name, _, value in pairs}


def _lightgbm_nodes(fields: dict[str, str], output: Any) -> Nodes:
    def numbers(name: str, kind: Any = np.double) -> Any:
        return np.array(fields[name].split(), np.double).astype(kind)

    if fields.get("is_linear", "0") == "1":
        raise ValueError("imported.from_lightgbm: is_linear is 1: leaves are linear models")
    num_leaves = int(fields["num_leaves"])
    leaf = numbers("leaf_value")
    if num_leaves == 1:
        none = np.zeros(1)
        return Nodes(none, none, none - 1, none - 1, none == 0, leaf[:, None] * output, none, none)
    kind, threshold = numbers("decision_type", int), numbers("threshold")
    is_set, missing = kind % 2 == 1, kind // 4
    # A leaf is ~place there; here leaves stand after the inner nodes.
    left, right = (
        np.where(side < 0, num_leaves - 1 + ~side, side)
        for side in (numbers("left_child", int), numbers("right_child", int))
    )
    zero_left = ~is_set & (threshold >= 0)
    default_left = kind // 2 % 2 == 1
    if np.any((missing == 1) & (is_set | (default_left != zero_left))):
        raise ValueError("imported.from_lightgbm: zero_as_missing is set, which is not followed")
    # Where nothing was missing while it learned, NaN is read as zero; a set never holds it.
    missing_left = ~is_set & np.where(missing == 2, default_left, zero_left)
    none, inner = np.zeros(num_leaves), num_leaves - 1
    left_set: list[Any] = [None] * (inner + num_leaves)
    if is_set.any():
        bounds, words = numbers("cat_boundaries", int), numbers("cat_threshold", np.uint32)
        for node in np.flatnonzero(is_set):
            place = int(threshold[node])
            left_set[node] = words[bounds[place] : bounds[place + 1]]
    return Nodes(
        feature=np.concatenate([numbers("split_feature", int), none.astype(int)]),
        threshold=np.concatenate([np.where(is_set, np.nan, threshold), none]),
        left=np.concatenate([left, none.astype(int) - 1]),
        right=np.concatenate([right, none.astype(int) - 1]),
        missing_left=np.concatenate([missing_left, none == 0]),
        value=np.concatenate([np.zeros(inner), leaf])[:, None] * output,
        cover=np.concatenate([numbers("internal_count"), numbers("leaf_count")]),
        gain=np.concatenate([numbers("split_gain"), none]),
        left_set=left_set,
    )
