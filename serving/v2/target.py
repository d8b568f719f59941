"""Which method of which version a request means.

A model answers under its own name by the method that predicts (or its first one). Every other
method has a name of its own, ``digits:sample``. The version in a path is a number or a label.
"""

from typing import NamedTuple

from litestar.datastructures import State

from serving.engine.method import Method
from serving.engine.model import Model
from serving.models.served import Served

__all__ = ["SEPARATOR", "Target", "find"]

SEPARATOR = ":"  # digits:sample is a method of digits


class Target(NamedTuple):
    """The model, the version that answers, and the method."""

    served: Served
    model: Model
    name: str  # of the method
    method: Method


def find(state: State, model: str, version: str | None = None, key: str | None = None) -> Target:
    """Return what is meant.

    Args:
        state: The application's.
        model: ``digits``, or ``digits:sample``.
        version: A number or a label.
        key: Who asks, for traffic that sticks.

    Raises:
        NotFoundException: there is no such model, version or method.
    """
    name, _, method = model.partition(SEPARATOR)
    served, found = state.registry.find(name, version, key)
    method = method or found.default
    return Target(served, found, method, found.method(method))
