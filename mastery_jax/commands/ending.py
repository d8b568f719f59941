"""How a run or a sweep is watched, and what is said and returned when it ends."""

import pathlib
from typing import Any

import rich_click as click

from mastery_jax.commands import output

__all__ = ["FAILED", "INTERRUPTED", "LANES_FAILED", "finish", "progress"]

FAILED, LANES_FAILED, INTERRUPTED = 1, 3, 75


def progress(quiet: bool) -> Any:
    """Return where to say how far it is."""
    from mastery_jax.workflow.progress import Progress

    return Progress(quiet)


def finish(folder: pathlib.Path, quiet: bool, as_json: bool, *, is_first: bool = True) -> int:
    """Say how a run or a sweep ended, and return the exit code of that.

    Args:
        folder: Of the run or the sweep.
        quiet: Print its folder only.
        as_json: Print one JSON object.
        is_first: Of several processes one alone speaks.
    """
    from mastery_jax.workflow import records, tables
    from mastery_jax.workflow.sweep import store

    found = records.read(folder)
    if is_first and as_json:
        output.show(output.summary(found))
    elif is_first:
        output.show(str(folder) if quiet else tables.headline(found))
    if found.state == "interrupted":
        if is_first and (quiet or as_json):
            click.echo(f"mastery resume {folder}", err=True)
        return INTERRUPTED
    if found.state != "finished":
        return FAILED
    is_sweep = found.kind == "sweep"
    sound = ("done", "stopped")
    broken = is_sweep and any(lane["state"] not in sound for lane in store.lanes(folder))
    return LANES_FAILED if broken else 0
