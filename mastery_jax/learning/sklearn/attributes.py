"""What a fitted estimator shows under scikit-learn's names, where it means the same there.

A field is known by its name and the axes of its annotation: ``weights`` of features are
coefficients, ``weights`` of clusters are shares.

Source: Buitinck et al. (2013), *API design for machine learning software*, arXiv:1309.0238,
section 2.2 (what is learned ends in an underscore).
"""

import typing
from typing import Any

import numpy as np

__all__ = ["NAMES", "axes", "shown", "width"]

# field, its axes: what scikit-learn calls it
_OF_STATE = {
    ("weights", "d"): "coef_",
    ("weights", "outputs d"): "coef_",
    ("weights", "k"): "weights_",
    ("importances", "d"): "feature_importances_",
    ("rank", ""): "rank_",
    ("noise_precision", ""): "alpha_",
    ("weight_precision", ""): "lambda_",
    ("cov", "d d"): "sigma_",
    ("scale", ""): "scale_",
    ("centers", "k d"): "cluster_centers_",
    ("means", "k d"): "means_",
    ("means", "classes d"): "theta_",
    ("labels", "n"): "labels_",
    ("mean", "d"): "mean_",
    ("components", "k d"): "components_",
    ("singular_values", "k"): "singular_values_",
    ("explained_variance", "k"): "explained_variance_",
    ("explained_variance_ratio", "k"): "explained_variance_ratio_",
    ("eigenvalues", "k"): "eigenvalues_",
    ("embedding", "n k"): "embedding_",
    ("counts", "classes"): "class_count_",
}
_OF_INFO = {
    ("num_steps", ""): "n_iter_",
    ("inertia", ""): "inertia_",
    ("divergence", ""): "kl_divergence_",
    ("log_likelihood", ""): "lower_bound_",
    ("is_outlier", "n"): "outliers_",
    ("out_of_bag", "n classes"): "oob_decision_function_",
    ("out_of_bag", "n"): "oob_prediction_",
}
NAMES = frozenset((*_OF_STATE.values(), *_OF_INFO.values(), "intercept_", "core_sample_indices_"))


def axes(hint: object) -> str | None:
    """Return the axes of an annotation, of a union's first array; None where it has none."""
    members = (hint, *typing.get_args(hint))
    found = (getattr(member, "dim_str", None) for member in members)
    return next((text.strip() for text in found if text is not None), None)


def shown(state: Any, info: Any) -> dict[str, object]:
    """Return the attributes of an estimator, arrays of NumPy and plain numbers."""
    found = _named(state, _OF_STATE)
    if "coef_" in found and "bias" in state._fields:
        found["intercept_"] = _plain(state._asdict()["bias"])
    if "is_core" in state._fields:
        found["core_sample_indices_"] = np.flatnonzero(state._asdict()["is_core"])
    return found if info is None else found | _named(info, _OF_INFO)


def width(state: Any, axis: str) -> int:
    """Return the length of an axis of the state, by the first field that has it.

    Raises:
        ValueError: no field has that axis.
    """
    hints = typing.get_type_hints(type(state))
    for name, value in state._asdict().items():
        named = (axes(hints[name]) or "").split()
        if axis in named:
            return np.shape(value)[named.index(axis)]
    raise ValueError(f"attributes.width: no field of {type(state).__module__} has an axis {axis}")


def _named(values: Any, names: dict[tuple[str, str], str]) -> dict[str, object]:
    hints = typing.get_type_hints(type(values))
    return {
        names[field, where]: _plain(value)
        for field, value in values._asdict().items()
        if (where := axes(hints[field])) is not None
        and (field, where) in names
        and value is not None
    }


def _plain(value: object) -> object:
    array = np.asarray(value)
    return array.item() if array.ndim == 0 else array
