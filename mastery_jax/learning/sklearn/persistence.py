"""Saving an estimator without pickle, and loading it.

    folder/estimator.json         class, parameters, labels, names of features, and the shape of
                                  the State: which NamedTuples, with which arrays
    folder/arrays.safetensors     the arrays

Nothing of a file is run: a class is looked up in the table of estimators, the types of a State in
the annotations of its module.

Source: the form is https://github.com/huggingface/safetensors, ``format.md``.
"""

import hashlib
import inspect
import json
import pathlib
import shutil
import tempfile
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays
from sklearn.utils.validation import check_is_fitted

from mastery_jax import __version__
from mastery_jax.learning.sklearn import estimators
from mastery_jax.learning.sklearn.base import Estimator

__all__ = ["SavedEstimatorError", "load", "save"]

_FORMAT = 1
_TEXT, _ARRAYS = "estimator.json", "arrays.safetensors"
# Attributes that do not follow from the State and the Info.
_BESIDE = ("labels_", "classes_", "feature_names_in_", "n_features_in_", "_bound")


class SavedEstimatorError(ValueError):
    """A folder does not hold an estimator that can be loaded, or must not be written."""


def save(estimator: Estimator, folder: str | pathlib.Path, *, overwrite: bool = False) -> None:
    """Write a fitted estimator to a folder of its own, whole or not at all.

    Args:
        estimator: Fitted, of this package; a ``Pipeline`` is saved step by step.
        folder: Made here.
        overwrite: Whether a folder that holds a saved estimator is replaced.

    Raises:
        SavedEstimatorError: the folder is there, the estimator is not of this package, or a
            parameter or label has no form in JSON.

    Example:
        >>> import tempfile
        >>> model = estimators.Ridge(l2=0.5).fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(model, folder + "/model")
        ...     load(folder + "/model").predict([[3.0]]) == model.predict([[3.0]])
        array([ True])
    """
    target = pathlib.Path(folder)
    name = type(estimator).__name__
    if type(estimator) is not getattr(estimators, name, None):
        raise SavedEstimatorError(f"save: a {name} is no estimator of {estimators.__name__}")
    check_is_fitted(estimator, "state_")
    is_ours = (target / _TEXT).is_file()
    if target.exists() and not (overwrite and is_ours):
        how = "holds a saved estimator: say overwrite=True" if is_ours else "is there already"
        raise SavedEstimatorError(f"save: {target} {how}")
    arrays: dict[str, np.ndarray] = {}
    beside = {key: vars(estimator)[key] for key in _BESIDE if key in vars(estimator)}
    text: dict[str, Any] = {
        "format": _FORMAT,
        "version": __version__,
        "class": name,
        "parameters": {
            key: _said(value, f"{name}: {key}") for key, value in estimator.get_params().items()
        },
        "beside": {key: _said(value, f"{name}: {key}") for key, value in beside.items()},
        "state": _taken_apart(estimator.state_, "state", arrays),
        "info": _taken_apart(estimator.info_, "info", arrays),
    }
    packed = save_arrays(arrays)
    text["sha256"] = _digest(text, packed)
    target.parent.mkdir(parents=True, exist_ok=True)
    made = pathlib.Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        (made / "new").mkdir()
        (made / "new" / _ARRAYS).write_bytes(packed)
        (made / "new" / _TEXT).write_text(json.dumps(text, indent=1) + "\n")
        _put(made / "new", target, aside=made / "old")
    finally:
        shutil.rmtree(made)


def load(folder: str | pathlib.Path) -> Estimator:
    """Return the estimator that a folder holds, as it was when it was saved.

    Args:
        folder: Written by :func:`save`.

    Raises:
        SavedEstimatorError: a file is missing, damaged, or of another form or version.
    """
    source = pathlib.Path(folder)
    text = _text_of(source)
    try:
        name = text["class"]
        made = getattr(estimators, name) if name in estimators.__all__ else None
        if made is None:
            raise SavedEstimatorError(f"load: {source} holds a {name}, which is not in the table")
        packed = (source / _ARRAYS).read_bytes()
        if _digest(text, packed) != text["sha256"]:
            raise SavedEstimatorError(f"load: {source} is not what was written")
        arrays = load_arrays(packed)
        answer = inspect.signature(made._plan.fit).return_annotation
        types = {_name_of(kind): kind for kind in _types_of(answer)}
        parameters = {key: _meant(value) for key, value in text["parameters"].items()}
        estimator = made(**parameters)
        state = _put_together(text["state"], arrays, types)
        info = _put_together(text["info"], arrays, types)
        estimator._show(state, info)
        for key in _BESIDE:
            if key in text["beside"]:
                setattr(estimator, key, _meant(text["beside"][key]))
    except SavedEstimatorError:
        raise
    except (OSError, KeyError, TypeError, ValueError, AttributeError, SafetensorError) as error:
        version = text.get("version")
        raise SavedEstimatorError(
            f"load: {source} was written by version {version} and cannot be read by {__version__}: "
            f"{type(error).__name__}: {error}"
        ) from error
    return estimator


def _put(new: pathlib.Path, target: pathlib.Path, *, aside: pathlib.Path) -> None:
    """Move a folder to where another may be, which comes back if that fails."""
    if not target.exists():
        new.rename(target)
        return
    target.rename(aside)
    try:
        new.rename(target)
    except OSError:
        aside.rename(target)
        raise


def _digest(text: Mapping[str, Any], packed: bytes) -> str:
    """Return the fingerprint of all that is written, but for itself."""
    said = json.dumps({key: text[key] for key in sorted(text) if key != "sha256"}, sort_keys=True)
    return hashlib.sha256(said.encode() + packed).hexdigest()


def _text_of(source: pathlib.Path) -> dict[str, Any]:
    path = source / _TEXT
    try:
        text = json.loads(path.read_text())
    except OSError as error:
        raise SavedEstimatorError(f"load: {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise SavedEstimatorError(f"load: {path} is no JSON: {error}") from error
    if not isinstance(text, dict) or text.get("format") != _FORMAT:
        came = text.get("format") if isinstance(text, dict) else None
        raise SavedEstimatorError(f"load: {path} has format {came!r}, not {_FORMAT}")
    return text


def _name_of(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _types_of(hint: Any) -> Iterator[type]:
    """Yield every NamedTuple that an annotation speaks of, at any depth."""
    if hasattr(hint, "_fields"):
        yield hint
        for inner in typing.get_type_hints(hint).values():
            yield from _types_of(inner)
    else:
        for inner in typing.get_args(hint):
            yield from _types_of(inner)


def _taken_apart(value: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    """Return the form of a tree, whose arrays are put aside by name."""
    if value is None:
        return None
    if hasattr(value, "_fields"):
        fields = {
            field: _taken_apart(inner, f"{name}/{field}", arrays)
            for field, inner in value._asdict().items()
        }
        return {"type": _name_of(type(value)), "fields": fields}
    arrays[name] = np.ascontiguousarray(value).reshape(np.shape(value))
    return name


def _put_together(form: Any, arrays: Mapping[str, np.ndarray], types: Mapping[str, type]) -> Any:
    if form is None:
        return None
    if isinstance(form, str):
        return arrays[form]
    kind = types[form["type"]]
    fields = {key: _put_together(inner, arrays, types) for key, inner in form["fields"].items()}
    return kind(**fields)


def _said(value: Any, what: str) -> Any:
    """Return a value in JSON's terms, with what JSON does not tell apart."""
    if isinstance(value, np.ndarray) and value.ndim:
        items = [_said(item, what) for item in value.tolist()]
        return {"array": items, "dtype": value.dtype.str}
    if isinstance(value, np.generic | np.ndarray):
        return _said(value.item(), what)
    if isinstance(value, Mapping):
        return {"pairs": [[_said(k, what), _said(v, what)] for k, v in value.items()]}
    if isinstance(value, tuple | list):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [_said(item, what) for item in value]}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise SavedEstimatorError(f"save: {what} has {value!r}, which has no form in JSON")


def _meant(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return np.asarray([_meant(item) for item in value["array"]], np.dtype(value["dtype"]))
    for kind in (tuple, list):
        if kind.__name__ in value:
            return kind(_meant(item) for item in value[kind.__name__])
    return {_meant(key): _meant(inner) for key, inner in value["pairs"]}
