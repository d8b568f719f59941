"""The command that does over what was done, and says whether it comes out the same."""

import os
import pathlib

import rich_click as click

from mastery_jax.commands import output
from mastery_jax.commands.options import JSON, QUIET, RUNS

__all__ = ["reproduce"]

DIFFERS, INTERRUPTED = 4, 75


@click.command()
@click.argument("source", metavar="RUN_OR_SWEEP#LANE")
@RUNS
@QUIET
@JSON
def reproduce(source: str, runs: pathlib.Path, quiet: bool, as_json: bool) -> int:
    """Run a run again from its record, or a lane of a sweep, and compare every number.

    `mastery reproduce c10b3f`, or `mastery reproduce sweep-a75820#7`. The exit code is 4 where a
    number differs.
    """
    from mastery_jax.workflow import launch
    from mastery_jax.workflow import reproduce as again
    from mastery_jax.workflow.progress import Progress

    found = again.find(source, runs)
    for name, value in again.settings(found).items():
        os.environ.setdefault(name, value)
    launch.prepare()
    report = again.reproduce(found, runs=runs, progress=Progress(quiet))
    output.show(report.to_json() if as_json else report.describe())
    if not report.is_equal:
        return DIFFERS
    return INTERRUPTED if report.is_cut else 0
