"""The options that say where the lanes of a sweep are run."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import rich_click as click

__all__ = ["Chosen", "where"]


class Chosen(NamedTuple):
    """What the options say."""

    engine: Any
    address: str | None
    resources: Mapping[str, float | str]
    jobs: int
    process: tuple[int, int] | None

    def enter(self, strategy: str) -> Any:
        """Make this process ready, meet others where there are any, and return the engine.

        A CPU is split only for programs that hold several lanes: ``loop`` uses threads.
        """
        from mastery_jax.workflow import launch
        from mastery_jax.workflow.sweep import places, processes

        launch.prepare(host_devices=launch.cores() if strategy in ("vmap", "map") else None)
        if self.engine == "hosts":
            processes.join(
                self.address, self.process, lambda line: click.echo(f"mastery: {line}", err=True)
            )
        return places.Where(self.engine, self.address, self.resources, self.jobs)

    def is_first(self) -> bool:
        """Say whether this process speaks for all."""
        from mastery_jax.workflow.sweep import processes

        return self.engine != "hosts" or processes.is_first()


def _resources(context: Any, parameter: Any, values: tuple[str, ...]) -> dict[str, float | str]:
    found: dict[str, float | str] = {}
    for text in values:
        name, sign, value = text.partition("=")
        if not (name and sign and value):
            raise click.BadParameter(f"{text} is not NAME=VALUE.", context, parameter)
        try:
            number = float(value)
            found[name] = int(number) if number.is_integer() else number
        except ValueError:
            found[name] = value
    return found


def _process(context: Any, parameter: Any, value: str | None) -> tuple[int, int] | None:
    if value is None:
        return None
    number, _, count = value.partition("/")
    if not (number.isdigit() and count.isdigit() and int(number) < int(count)):
        raise click.BadParameter(
            f"{value} is not NUMBER/COUNT, as in 0/2 and 1/2.", context, parameter
        )
    return int(number), int(count)


_OPTIONS = (
    click.option(
        "--engine",
        type=click.Choice(["here", "ray", "slurm", "hosts"]),
        default="here",
        show_default=True,
        help="What runs lanes: this process, a cluster, a queue, or processes started alike.",
    ),
    click.option(
        "--address",
        help="Of a Ray cluster that runs; of the first of hosts; slurm or local for a queue.",
    ),
    click.option(
        "resources",
        "--resource",
        multiple=True,
        metavar="NAME=VALUE",
        callback=_resources,
        help="Of a task of Ray (CPU=2, GPU=1) or a job (timeout_min=60, slurm_partition=gpu).",
    ),
    click.option(
        "--jobs",
        type=click.IntRange(min=1),
        default=8,
        show_default=True,
        help="Jobs of SLURM that lanes are dealt to.",
    ),
    click.option(
        "--process",
        metavar="NUMBER/COUNT",
        callback=_process,
        help="Which of the hosts this is; where SLURM, Open MPI or a TPU says it, leave it away.",
    ),
)


def where(command: Callable[..., int]) -> Callable[..., int]:
    """Add the options to a command, and give it what they say as ``where``."""

    @functools.wraps(command)
    def with_where(
        *args: Any, engine: Any, address: Any, resources: Any, jobs: Any, process: Any, **rest: Any
    ) -> int:
        chosen = Chosen(engine, address, resources, jobs, process)
        return command(*args, where=chosen, **rest)

    for option in reversed(_OPTIONS):
        with_where = option(with_where)
    return with_where
