"""What scikit-learn's public validation leaves to an estimator: weights, labels, words for faults.

Its sentences are scikit-learn's, which users and its own checks know.

Source: Buitinck et al. (2013), *API design for machine learning software*, arXiv:1309.0238,
section 2.2; scikit-learn, *Developing scikit-learn estimators*, 2024 (what must be refused).
"""

import numbers
from typing import Any

import numpy as np
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import check_array
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from sklearn.utils.validation import check_non_negative

__all__ = ["classes", "codes", "column_of", "weights"]


def weights(given: Any, num_rows: int, dtype: np.dtype) -> np.ndarray:
    """Return one weight a row, of a number or a row of them.

    Raises:
        ValueError: not one finite number ≥ 0 a row, or all are 0.
    """
    if isinstance(given, numbers.Number):
        given = np.full(num_rows, given)
    found = check_array(given, ensure_2d=False, dtype=dtype.name, input_name="sample_weight")
    if found.ndim != 1:
        raise ValueError(f"Sample weights must be 1D array or scalar, got {found.ndim}D array")
    if len(found) != num_rows:
        raise ValueError(f"sample_weight.shape == {found.shape}, expected {(num_rows,)}!")
    check_non_negative(found, "`sample_weight`")
    if not found.any():
        raise ValueError("Sample weights must contain at least one non-zero number.")
    return found


def codes(y: Any, known: np.ndarray) -> np.ndarray:
    """Return the place of every label among the classes that are known.

    Raises:
        ValueError: y is not of labels, or has one that is not known.
    """
    check_classification_targets(y)
    encoder = LabelEncoder()
    encoder.classes_ = known
    return encoder.transform(y).astype(np.int32)


def classes(given: Any, known: np.ndarray | None) -> np.ndarray:
    """Return the classes of an estimator that learns in parts.

    Raises:
        ValueError: none are given at first, or others than are known.
    """
    if given is None:
        if known is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        return known
    found = unique_labels(given)
    if known is not None and not np.array_equal(known, found):
        raise ValueError(
            f"`classes={given!r}` is not the same as on last call to partial_fit, was: {known!r}"
        )
    return found


def column_of(X: Any, *, is_nan_allowed: bool) -> str:
    """Return words for the first column of a table that holds NaN or infinity, or none."""
    try:
        values = np.asarray(X, np.double)
    except (TypeError, ValueError):
        return ""
    is_bad = np.isinf(values) if is_nan_allowed else ~np.isfinite(values)
    if values.ndim != 2 or not is_bad.any():
        return ""
    row, column = np.argwhere(is_bad)[0]
    names = getattr(X, "columns", None)
    name = column if names is None else repr(names[column])
    return f" The first is {values[row, column]} in row {row}, column {name}."
