"""The commands that run; jax is imported when one of them runs, after ``launch.prepare``."""

import pathlib

import rich_click as click

from mastery_jax.commands import ending, output
from mastery_jax.commands.options import CHANGES, JSON, QUIET, RUNS, TRACK
from mastery_jax.commands.where import Chosen, where

__all__ = ["resume", "run"]


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
    folder = runner.run(loaded, runs=runs, progress=ending.progress(quiet), track=track or ())
    return ending.finish(folder, quiet, as_json)


@click.command()
@click.argument("source", metavar="RUN_OR_SWEEP")
@click.option("--force", is_flag=True, help="Go on with what has changed; the record will say so.")
@where
@TRACK
@RUNS
@QUIET
@JSON
def resume(
    source: str,
    force: bool,
    where: Chosen,
    track: tuple[str, ...] | None,
    runs: pathlib.Path,
    quiet: bool,
    as_json: bool,
) -> int:
    """Go on with a run or a sweep that was interrupted or killed, to the same result.

    It is refused where the config, the data, the code or a package is not what it began with.
    """
    from mastery_jax.workflow import launch, records

    found = records.find(source, runs)
    if found.kind == "run":
        records.refuse_finished(found.folder)  # before jax is imported, which takes seconds
        from mastery_jax.workflow import run as runner

        launch.prepare()
        folder = runner.resume(
            found.folder, progress=ending.progress(quiet), track=track, force=force
        )
        return ending.finish(folder, quiet, as_json)
    from mastery_jax.workflow.sweep import driver, sound, store

    if sound.is_over(found.folder):
        return ending.finish(found.folder, quiet, as_json)
    engine = where.enter(store.how(found.folder)["strategy"])
    folder = driver.resume(
        found.folder,
        where=engine,
        track=track,
        progress=ending.progress(quiet or not where.is_first()),
        force=force,
    )
    return ending.finish(folder, quiet, as_json, is_first=where.is_first())
