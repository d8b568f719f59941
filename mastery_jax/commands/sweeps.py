"""The command that runs many lanes."""

import pathlib
from typing import Any

import rich_click as click

from mastery_jax.commands import ending, output
from mastery_jax.commands.options import CHANGES, JSON, QUIET, RUNS, TRACK
from mastery_jax.commands.where import Chosen, where

__all__ = ["asked", "sweep"]


@click.command()
@click.argument("config")
@CHANGES
@click.option("--plan", "only_plan", is_flag=True, help="Say what would be run, and stop.")
@click.option("has_probe", "--probe", is_flag=True, help="Compile too: FLOPs, memory, time.")
@click.option("--num-samples", type=click.IntRange(min=1), help="Points to draw of distributions.")
@click.option("--metric", multiple=True, metavar="NAME:max|min", help="What stops and chooses.")
@click.option(
    "--strategy",
    type=click.Choice(["auto", "loop", "vmap", "map"]),
    default="auto",
    show_default=True,
    help="How lanes share a program; auto is loop on a CPU and vmap elsewhere.",
)
@click.option("--exact", is_flag=True, help="Every lane equal to its own run, bit for bit: loop.")
@click.option("--width", type=click.IntRange(min=1), help="Lanes in one program of vmap or map.")
@click.option("--yes", is_flag=True, help="Run more than 100,000 lanes.")
@where
@TRACK
@RUNS
@QUIET
@JSON
def sweep(
    config: str,
    changes: tuple[str, ...],
    only_plan: bool,
    has_probe: bool,
    num_samples: int | None,
    metric: tuple[str, ...],
    strategy: Any,
    exact: bool,
    width: int | None,
    yes: bool,
    where: Chosen,
    track: tuple[str, ...] | None,
    runs: pathlib.Path,
    quiet: bool,
    as_json: bool,
) -> int:
    """Run every combination of the values that fields are given, or points drawn of their space.

    What is asked beside the space: `search.sampler=tpe|gp|cma|nsga` chooses points by what was
    measured, and `search.stop=halving|median|population` who goes on; both need `--metric`.
    Their fields, such as `search.stop.min_steps=20`, are in `mastery run CONFIG --schema`.

    `mastery sweep digits_mlp 'optimizer.learning_rate=log(1e-4,1e-1,16)' seed=0,1,2`
    """
    from mastery_jax.workflow import config as configs
    from mastery_jax.workflow.sweep import driver as sweeps

    if exact and strategy not in ("auto", "loop"):
        raise click.UsageError(f"--exact is --strategy loop, so --strategy {strategy} cannot be.")
    strategy = "loop" if exact else strategy
    engine = where.enter(strategy)
    changes += asked(num_samples, metric)
    progress = ending.progress(quiet or not where.is_first())
    swept = configs.load_sweep(config, changes, many=yes, say=progress.say)
    if only_plan or has_probe:
        return _plan(swept, strategy, width, has_probe, as_json)
    folder = sweeps.sweep(
        swept,
        runs=runs,
        strategy=strategy,
        width=width,
        where=engine,
        track=track or (),
        progress=progress,
    )
    return ending.finish(folder, quiet, as_json, is_first=where.is_first())


def asked(num_samples: int | None, metric: tuple[str, ...]) -> tuple[str, ...]:
    """Return the options that are short for a change of ``search`` as such changes."""
    samples = (f"search.num_samples={num_samples}",) if num_samples else ()
    return (*samples, f"search.metrics=[{','.join(metric)}]") if metric else samples


def _plan(swept: Any, strategy: Any, width: int | None, has_probe: bool, as_json: bool) -> int:
    """Say what would be run."""
    from mastery_jax.workflow.sweep import driver, probe

    made = driver.planned(swept, strategy=strategy, width=width)
    if not has_probe:
        return output.show(made.to_json() if as_json else made.describe())
    found = probe.probe(made)
    if as_json:
        return output.show(made.to_json() | {"probe": found.to_json()})
    return output.show(f"{made.describe()}\n{found.describe()}")
