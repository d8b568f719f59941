"""The contract between an experiment and the runner.

A module ``experiments.<name>`` holds ``Config`` (a frozen subclass of :class:`RunConfig`), an
optional ``check(config)`` for rules across fields, and ``build(config, spec) -> Experiment``.
``build`` is called *inside* the compiled program: every float of the config and the seed are
arrays there (lanes of a sweep), every int, bool, str and None is a constant of the program.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple

import msgspec

__all__ = ["Experiment", "RunConfig", "Spec", "Static"]

Static = msgspec.Meta(extra={"static": True})
"""Marks a float of a config as a constant of the program: ``Annotated[float, Static]``."""


class RunConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fields that the runner itself reads; every experiment's Config has them."""

    seed: Annotated[int, msgspec.Meta(ge=0, lt=2**32, description="all randomness of the run")] = 0
    num_steps: Annotated[
        int, msgspec.Meta(ge=0, lt=2**31, description="steps in the whole run")
    ] = 0
    evaluate_every: Annotated[
        int, msgspec.Meta(ge=0, description="steps between evaluations; 0: only at the end")
    ] = 0
    save_every: Annotated[
        int,
        msgspec.Meta(ge=0, description="steps between checkpoints; 0: every minute and at the end"),
    ] = 0
    best: Annotated[
        str, msgspec.Meta(description="keep the best checkpoint too: METRIC:max or METRIC:min")
    ] = ""


class Spec(NamedTuple):
    """What is known of the data while a program is traced."""

    arrays: Any  # the tree of the data, a jax.ShapeDtypeStruct in place of each array
    features: tuple[str, ...]  # column names, in the order of the last axis of X
    classes: tuple[str, ...]  # label names in the order of their codes; empty without classes


Metrics = Mapping[str, Any]  # name -> scalar array


class Experiment(NamedTuple):
    """Pure functions; each works in a fresh program without the others having run.

    Keys: ``init_key, run_key = split(key(seed))``; ``init`` gets the first, step t gets
    ``fold_in(run_key, t)`` with t counted from the start of the run.
    """

    init: Callable[[Any, Any], Any]  # (key, data) -> state
    # A metric named ``loss`` that is not finite ends the run as failed.
    step: Callable[[Any, Any, Any], tuple[Any, Metrics]]  # (key, state, data) -> (state, metrics)
    evaluate: Callable[[Any, Any], Metrics]  # (state, data) -> scalars in named units
    methods: Mapping[str, Callable[[Any, Any], Any]]  # name -> (state, x) -> outputs, dicts
    example: Callable[[Any], Any]  # data -> x: a few real rows
