"""The commands that run; jax is imported when one of them runs, after ``launch.prepare``."""

import pathlib
from typing import Any

import rich_click as click

from mastery_jax.commands import output
from mastery_jax.commands.options import CHANGES, JSON, QUIET, RUNS, TRACK

__all__ = ["resume", "run", "sweep"]

FAILED, LANES_FAILED, INTERRUPTED = 1, 3, 75


@click.command()
@click.argument("config")
@CHANGES
@RUNS
@click.option("--print-config", is_flag=True, help="Print the whole config and stop.")
@click.option("--schema", is_flag=True, help="Print the config's JSON schema and stop.")
@TRACK
@QUIET
@JSON
def run(
    config: str,
    changes: tuple[str, ...],
    runs: pathlib.Path,
    print_config: bool,
    schema: bool,
    track: tuple[str, ...] | None,
    quiet: bool,
    as_json: bool,
) -> int:
    """Run a config: a name that `mastery configs` lists, or a YAML file.

    `mastery run digits_mlp optimizer.learning_rate=0.01 seed=3`
    """
    from mastery_jax.workflow import config as configs
    from mastery_jax.workflow import launch
    from mastery_jax.workflow import run as runner

    launch.prepare()
    loaded = configs.load(config, changes)
    if schema:
        return output.show(configs.schema(loaded))
    if print_config:
        return output.show(configs.to_yaml(loaded).rstrip())
    folder = runner.run(loaded, runs=runs, progress=_progress(quiet), track=track or ())
    return _finish(folder, quiet, as_json)


@click.command()
@click.argument("config")
@CHANGES
@click.option("--plan", "only_plan", is_flag=True, help="Say what would be run, and stop.")
@click.option(
    "--strategy",
    type=click.Choice(["auto", "loop", "vmap", "map"]),
    default="auto",
    show_default=True,
    help="How lanes share a program; auto is loop on a CPU and vmap elsewhere.",
)
@click.option("--exact", is_flag=True, help="Every lane equal to its own run, bit for bit: loop.")
@click.option("--width", type=click.IntRange(min=1), help="Lanes in one program of vmap or map.")
@RUNS
@QUIET
@JSON
def sweep(
    config: str,
    changes: tuple[str, ...],
    only_plan: bool,
    strategy: Any,
    exact: bool,
    width: int | None,
    runs: pathlib.Path,
    quiet: bool,
    as_json: bool,
) -> int:
    """Run every combination of the values that fields are given.

    `mastery sweep digits_mlp optimizer.learning_rate=0.001,0.01,0.1 seed=0,1,2`
    """
    from mastery_jax.workflow import config as configs
    from mastery_jax.workflow.sweep import driver as sweeps
    from mastery_jax.workflow.sweep import plan as plans

    if exact and strategy not in ("auto", "loop"):
        raise click.UsageError(f"--exact is --strategy loop, so --strategy {strategy} cannot be.")
    strategy = "loop" if exact else strategy
    _prepare(strategy)
    swept = configs.load_sweep(config, changes)
    if only_plan:
        made = plans.plan(swept, strategy=strategy)
        return output.show(made.to_json() if as_json else made.describe())
    folder = sweeps.sweep(
        swept, runs=runs, strategy=strategy, width=width, progress=_progress(quiet)
    )
    return _finish(folder, quiet, as_json)


@click.command()
@click.argument("source", metavar="RUN_OR_SWEEP")
@click.option("--force", is_flag=True, help="Go on with what has changed; the record will say so.")
@RUNS
@QUIET
@JSON
def resume(source: str, force: bool, runs: pathlib.Path, quiet: bool, as_json: bool) -> int:
    """Go on with a run or a sweep that was interrupted or killed, to the same result.

    It is refused where the config, the data, the code or a package is not what it began with.
    """
    from mastery_jax.workflow import files, launch, records

    found = records.find(source, runs)
    if found.kind == "sweep":
        from mastery_jax.workflow.sweep import driver as runner

        _prepare(files.read_json(found.folder / "plan.json")["strategy"])
    else:
        from mastery_jax.workflow import run as runner

        launch.prepare()
    folder = runner.resume(found.folder, progress=_progress(quiet), force=force)
    return _finish(folder, quiet, as_json)


def _prepare(strategy: str) -> None:
    """Split the CPU only for programs that hold several lanes: `loop` uses threads."""
    from mastery_jax.workflow import launch

    launch.prepare(host_devices=launch.cores() if strategy in ("vmap", "map") else None)


def _progress(quiet: bool) -> Any:
    from mastery_jax.workflow.progress import Progress

    return Progress(quiet)


def _finish(folder: pathlib.Path, quiet: bool, as_json: bool) -> int:
    """Say how a run or a sweep ended, and return the exit code of that."""
    from mastery_jax.workflow import records, tables
    from mastery_jax.workflow.sweep import store

    found = records.read(folder)
    if as_json:
        output.show(output.summary(found))
    else:
        output.show(str(folder) if quiet else tables.headline(found))
    if found.state == "interrupted":
        if quiet or as_json:
            click.echo(f"mastery resume {folder}", err=True)
        return INTERRUPTED
    if found.state != "finished":
        return FAILED
    is_sweep = found.kind == "sweep"
    broken = is_sweep and any(lane["state"] != "done" for lane in store.lanes(folder))
    return LANES_FAILED if broken else 0
