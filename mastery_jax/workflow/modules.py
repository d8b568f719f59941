"""Experiments as modules: found by path, and what each must declare.

The contract is ``workflow.experiment``; here is what is said of a module that does not keep it.
"""

import importlib
import importlib.util
import pkgutil
import re
import types
from collections.abc import Callable
from typing import Any

from mastery_jax.workflow import spelling
from mastery_jax.workflow.errors import ConfigError
from mastery_jax.workflow.experiment import RunConfig

__all__ = ["load", "rules", "short"]

RESERVED = ("experiment", "sweep", "search")  # keys of a config file that are no fields


def load(name: str) -> types.ModuleType:
    """Import an experiment's module.

    Raises:
        ConfigError: There is none, or it is no experiment.
    """
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", name):
        raise ConfigError(
            f"experiment must be a module's path like experiments.classify, got {name}"
        )
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # a module that the experiment itself needs
        raise ConfigError(f"experiment: no module is named {name}{_similar(name)}") from None
    declared = getattr(module, "Config", None)
    if not (isinstance(declared, type) and issubclass(declared, RunConfig)):
        raise ConfigError(f"experiment: {name} has no Config, so it is no experiment")
    if not callable(getattr(module, "build", None)):
        raise ConfigError(f"experiment: {name} has no build(config, spec), so it is no experiment")
    for key in RESERVED:
        if key in declared.__struct_fields__:
            raise ConfigError(
                f"experiment: {name}'s Config has a field {key}, which is a key of every config "
                "file: give it another name"
            )
    return module


def short(experiment: str) -> str:
    """Return the name of an experiment, for messages."""
    return experiment.rpartition(".")[2]


def rules(experiment: str) -> Callable[[Any], None] | None:
    """Return an experiment's rules across fields, where it has any."""
    return getattr(load(experiment), "check", None)


def _similar(name: str) -> str:
    parent = name.rpartition(".")[0] or "experiments"
    try:
        spec = importlib.util.find_spec(parent)
    except ModuleNotFoundError:
        return spelling.hint(name, ["experiments"])
    folders = (spec and spec.submodule_search_locations) or []
    return spelling.hint(
        name, [f"{parent}.{found.name}" for found in pkgutil.iter_modules(folders)]
    )
