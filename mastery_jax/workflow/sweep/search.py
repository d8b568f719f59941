"""What is asked of a sweep beside its space: how it is drawn, what it seeks, which lanes go on.

The block ``search`` of a config file, or ``search.num_samples=64`` on the line.
"""

import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from mastery_jax.workflow.convert import show
from mastery_jax.workflow.errors import ConfigError

__all__ = ["Halving", "Median", "Population", "Sampler", "Search", "Stop", "refuse"]

Sampler = Literal["tpe", "gp", "cma", "nsga"]


class Halving(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag="halving",
    tag_field="kind",
):
    """After ``min_steps``, and again after ``eta`` times as many, the best 1/``eta`` go on."""

    eta: Annotated[int, Meta(ge=2, description="one lane of so many goes on")] = 3
    min_steps: Annotated[int, Meta(ge=1, description="steps before the first cut")]


class Median(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag="median",
    tag_field="kind",
):
    """Every ``every`` steps, lanes whose best is worse than the median of running means stop."""

    every: Annotated[int, Meta(ge=1, description="steps between two looks")]
    min_steps: Annotated[int, Meta(ge=0, description="steps before the first look")] = 0
    min_lanes: Annotated[int, Meta(ge=1, description="lanes that are never gone below")] = 3


class Population(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag="population",
    tag_field="kind",
):
    """Every ``every`` steps the worst lanes take the states and fields of the best, changed."""

    every: Annotated[int, Meta(ge=1, description="steps between two exchanges")]
    fraction: Annotated[float, Meta(gt=0, le=0.5, description="share that is replaced")] = 0.25
    factor: Annotated[float, Meta(gt=1, description="fields are multiplied or divided by it")] = 1.2


Stop = Halving | Median | Population


class Search(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the space is covered."""

    metrics: Annotated[
        tuple[str, ...], Meta(description="METRIC:max or METRIC:min; several for a Pareto table")
    ] = ()
    num_samples: Annotated[
        int, Meta(ge=0, description="points to draw from what is no list; 0: there is none")
    ] = 0
    draw: Annotated[
        Literal["sobol", "random"], Meta(description="how they are drawn without a sampler")
    ] = "sobol"
    seed: Annotated[int, Meta(ge=0, lt=2**32, description="of draws and samplers")] = 0
    stop: Annotated[Stop | None, Meta(description="which lanes go on")] = None
    sampler: Annotated[
        Sampler | None, Meta(description="draw by what was found before, with Optuna")
    ] = None
    batch: Annotated[
        int, Meta(ge=1, description="points that a sampler is asked for at a time")
    ] = 16


def refuse(search: Search) -> None:
    """Refuse what no type can: rules across the fields of a search.

    Raises:
        ConfigError: A metric is not METRIC:max or METRIC:min, or is named twice; something decides
            by a metric and none is named; or a population is asked of a sampler.
    """
    names = []
    for number, metric in enumerate(search.metrics):
        if not (found := re.fullmatch(r"(.*\S.*):(max|min)", metric)):
            raise ConfigError(
                f"search.metrics.{number} is {show(metric)}, wanted METRIC:max or METRIC:min"
            )
        names.append(found[1])
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"search.metrics names {name} twice")
    if (search.stop or search.sampler) and not names:
        decides = "search.stop" if search.stop else f"search.sampler={search.sampler}"
        raise ConfigError(
            f"{decides}: which metric decides? write search.metrics=[val_accuracy:max]"
        )
    if search.sampler and isinstance(search.stop, Population):
        raise ConfigError(
            "search.stop=population changes the fields of a lane while it runs, so that "
            "search.sampler would be told of points that it did not choose: leave one of them out"
        )
