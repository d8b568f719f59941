"""Shapes and dtypes written in annotations are made true, once, while tracing."""

import functools
import inspect
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import jax
from jaxtyping import AbstractArray, Array, Float, jaxtyped

__all__ = ["Scalar", "checked"]

F = TypeVar("F", bound=Callable[..., Any])

Scalar = float | Float[Array, ""]
"""One number of a hyperparameter: traced, so that ``vmap`` can sweep it."""


def checked(fn: F) -> F:
    """Insist that the arrays given to ``fn`` match its jaxtyping annotations.

    One name is one size across all arguments, and across the fields of an argument that
    is a NamedTuple. Written under ``jax.jit`` it runs while tracing: compiled calls pay
    nothing. Arguments without an array annotation are left alone. Where ``float`` is
    written, a Python integer is taken as the float of that value.

    Raises:
        ValueError: from the decorated function, naming the argument that does not fit.
    """
    signature = inspect.signature(fn)
    where = f"{fn.__module__.rpartition('.')[2]}.{fn.__name__}"

    @functools.wraps(fn)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        hints = {name: signature.parameters[name].annotation for name in bound.arguments}
        for name, value in bound.arguments.items():
            if float in _members(hints[name]) and _is_weak_integer(value):
                bound.arguments[name] = value * 1.0
        arrays = [
            found
            for name, value in bound.arguments.items()
            for found in _arrays(where, name, value, hints[name])
        ]
        with jaxtyped("context"):
            for name, value, hint in arrays:
                if not isinstance(value, hint):
                    rest = ", ".join(f"{n}: {_show(v)}" for n, v, _ in arrays if n != name)
                    given = f"; given {rest}" if rest else ""
                    raise ValueError(
                        f"{where}: {name} is {_show(value)}, not {_wanted(hint)}{given}"
                    )
        return fn(*bound.args, **bound.kwargs)

    return typing.cast(F, wrapper)


def _arrays(where: str, name: str, value: Any, hint: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield every (name, value, hint) below ``value`` whose hint describes an array."""
    if hasattr(hint, "_fields"):
        if not isinstance(value, hint):
            wanted = f"{hint.__module__}.{hint.__name__}"
            raise ValueError(f"{where}: {name} is {_show(value)}, not a {wanted}")
        hints = typing.get_type_hints(hint)
        for field in hint._fields:
            yield from _arrays(where, f"{name}.{field}", getattr(value, field), hints[field])
    elif any(isinstance(h, type) and issubclass(h, AbstractArray) for h in _members(hint)):
        yield name, value, hint


def _members(hint: Any) -> tuple[Any, ...]:
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return typing.get_args(hint) if is_union else (hint,)


def _is_weak_integer(value: Any) -> bool:
    """Say whether a value is a Python integer, or one that ``jax.jit`` has already lifted."""
    if isinstance(value, int):
        return not isinstance(value, bool)
    return (
        getattr(value, "weak_type", False)
        and value.ndim == 0
        and jax.numpy.issubdtype(value.dtype, jax.numpy.integer)
    )


def _wanted(hint: Any) -> str:
    text = str(getattr(hint, "__name__", hint))
    return text.replace("jaxlib._jax.", "").replace("jaxtyping.", "")


def _show(value: Any) -> str:
    return jax.typeof(value).str_short() if hasattr(value, "dtype") else repr(value)
