"""Functions that are handed on, with options that jax cannot trace.

    Partial(fit, num_classes=3, l2=0.1)    →    num_classes is fixed, l2 is traced

``jax.jit`` traces every keyword of a ``Partial``, and cannot trace what sets a size or chooses a
branch. So what is not made of floats and arrays is bound to the function instead, and two Partials
of equal options share a program.

Source: https://docs.jax.dev/en/latest/_autosummary/jax.tree_util.Partial.html
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
from jax.tree_util import Partial

__all__ = ["Bound", "takes"]

F = TypeVar("F", bound=Callable[..., Any])


class Bound(NamedTuple):
    """A function with options that are not traced; equal ones share a program."""

    function: Callable[..., Any]
    options: tuple[tuple[str, Any], ...]

    def __call__(self, *args: Any, **traced: Any) -> Any:
        """Call it with these options."""
        return self.function(*args, **{**dict(self.options), **traced})


def takes(*names: str) -> Callable[[F], F]:
    """Let a compiled function take Partials, by these keywords, that have options of any kind.

    Raises:
        ValueError: from the decorated function, where one of them is not a Partial, or has an
            option that has no hash.
    """

    def decorate(fn: F) -> F:
        compiled: Any = fn
        where = f"{fn.__module__.rpartition('.')[2]}.{fn.__name__}"

        def through(method: Callable[..., Any]) -> Any:
            @functools.wraps(method)
            def call(*args: Any, **given: Any) -> Any:
                held = {name: _bound(where, name, given[name]) for name in names if name in given}
                return method(*args, **{**given, **held})

            return call

        call = through(compiled)
        call.lower, call.trace = through(compiled.lower), through(compiled.trace)
        return call

    return decorate


def _bound(where: str, name: str, value: Any) -> Partial:
    if not isinstance(value, Partial):
        shown = getattr(value, "__name__", type(value).__name__)
        raise ValueError(f"{where}: {name} is {shown}, not a jax.tree_util.Partial: Partial(f)")
    fixed = {key: each for key, each in value.keywords.items() if not _is_traced(each)}
    if not fixed:
        return value
    for key, each in fixed.items():
        try:
            hash(each)
        except TypeError:
            problem = f"the option {key} of {name} is {each!r}, not a value that has a hash"
            raise ValueError(f"{where}: {problem}") from None
    traced = {key: each for key, each in value.keywords.items() if key not in fixed}
    return Partial(Bound(value.func, tuple(sorted(fixed.items()))), *value.args, **traced)


def _is_traced(value: Any) -> bool:
    kinds = (float, complex, jax.Array, np.ndarray, np.floating)
    return all(isinstance(leaf, kinds) for leaf in jax.tree.leaves(value))
