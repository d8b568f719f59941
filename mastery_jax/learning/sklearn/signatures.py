"""What a ``fit`` says of its parameters, for a constructor and a docstring to be made of.

A parameter whose annotation has a number's array in it is traced, so that another value needs no
other program; any other is static. What is neither is of the data and comes with them.

Source: Buitinck et al. (2013), *API design for machine learning software*, arXiv:1309.0238,
section 2.2 (constructors take parameters, ``fit`` takes data).
"""

import inspect
import operator
import re
import types
import typing
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import AbstractArray

__all__ = ["Parameter", "about", "parameters", "settle", "takes"]

# Of the data, of an earlier fit, or of the machine: no constructor's business.
_NO_PARAMETER = frozenset(
    {"weights", "is_held_out", "num_classes", "rows_per_class", "missing", "coefs", "state", "mesh"}
)


class Parameter(NamedTuple):
    """One parameter of a constructor."""

    name: str
    default: object  # ``inspect.Parameter.empty`` where the function has none
    is_traced: bool
    kinds: tuple[object, ...]  # members of the annotation: classes and strings


def takes(function: Callable[..., object]) -> frozenset[str]:
    """Return the names of a function's parameters."""
    return frozenset(inspect.signature(function).parameters)


def parameters(function: Callable[..., object]) -> tuple[Parameter, ...]:
    """Return what a user may choose, in the order of the function's signature."""
    return tuple(
        Parameter(p.name, p.default, _is_traced(p.annotation), _kinds(p.annotation))
        for p in inspect.signature(function).parameters.values()
        if p.kind is p.KEYWORD_ONLY and p.name not in _NO_PARAMETER
    )


def settle(parameter: Parameter, value: Any, dtype: np.dtype, *, where: str) -> object:
    """Return a value as the function wants it: a number in the precision of the data, or as it is.

    Raises:
        ValueError: the value is none of the parameter's kinds.
    """
    said = f"{where}: {parameter.name} is {value!r}"
    if value is None:
        if type(None) not in parameter.kinds:
            raise ValueError(f"{said}, which it may not be")
        return None
    if parameter.is_traced and any(getattr(kind, "dims", ()) for kind in parameter.kinds):
        is_row = np.ndim(value) == 1 and np.asarray(value).dtype.kind in "iu"
        if not is_row:
            raise ValueError(f"{said}, not a row of integers")
        return np.asarray(value, np.int32)
    if parameter.is_traced:
        is_number = np.ndim(value) == 0 and np.asarray(value).dtype.kind in "iuf"
        if not is_number:
            raise ValueError(f"{said}, not a number")
        return np.asarray(value, dtype)
    words = [kind for kind in parameter.kinds if isinstance(kind, str)]
    if words:
        if not (isinstance(value, str) and value in words):
            raise ValueError(f"{said}, not one of {', '.join(words)}")
        return str(value)
    if bool in parameter.kinds:
        if not isinstance(value, bool | np.bool_):
            raise ValueError(f"{said}, neither True nor False")
        return bool(value)
    if any(typing.get_origin(kind) is tuple for kind in parameter.kinds):
        if np.ndim(value) != 1 or not all(map(_is_integer, value)):
            raise ValueError(f"{said}, not a tuple of integers")
        return tuple(map(operator.index, value))
    if not _is_integer(value):
        raise ValueError(f"{said}, not an integer")
    return operator.index(value)


def about(function: Callable[..., object]) -> dict[str, str]:
    """Return what a docstring in Google's form says of each argument."""
    doc = inspect.getdoc(function) or ""
    found = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", doc, re.MULTILINE | re.DOTALL)
    entries = re.split(r"^ {4}(?=\w+: )", found[1] if found else "", flags=re.MULTILINE)[1:]
    split = (entry.partition(": ") for entry in entries)
    return {name: " ".join(text.split()) for name, _, text in split}


def _is_integer(value: object) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, bool | np.bool_)


def _members(hint: object) -> tuple[object, ...]:
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return typing.get_args(hint) if is_union else (hint,)


def _is_traced(hint: object) -> bool:
    return any(
        isinstance(kind, type) and issubclass(kind, AbstractArray) for kind in _members(hint)
    )


def _kinds(hint: object) -> tuple[object, ...]:
    """Return the members of a union, a ``Literal`` by its words."""
    kinds: list[object] = []
    for member in _members(hint):
        is_literal = typing.get_origin(member) is typing.Literal
        kinds.extend(typing.get_args(member) if is_literal else (member,))
    return tuple(kinds)
