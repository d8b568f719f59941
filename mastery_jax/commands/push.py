"""Sending what is on disk to trackers; jax is never imported."""

import pathlib

import rich_click as click

from mastery_jax.commands import options, output

__all__ = ["push"]


@click.command()
@click.argument("source", metavar="RUN_OR_SWEEP")
@click.option(
    "--to",
    metavar="TRACKER[,...]",
    required=True,
    callback=options.trackers,
    help="mlflow, tensorboard, trackio, wandb.",
)
@options.RUNS
@options.QUIET
@options.JSON
def push(source: str, to: tuple[str, ...], runs: pathlib.Path, quiet: bool, as_json: bool) -> int:
    """Send a run, or the lanes of a sweep, to trackers, from its files.

    `mastery push c10b3f --to tensorboard`
    """
    from mastery_jax.workflow import records
    from mastery_jax.workflow.progress import Progress
    from mastery_jax.workflow.track import replay

    found = records.find(source, runs)
    count = replay.replay(found, to, progress=Progress(quiet))
    if as_json:
        return output.show({"folder": str(found.folder), "to": list(to), "sent": count})
    what = "run" if found.kind == "run" else "lane" if count == 1 else "lanes"
    return output.show(f"{count} {what} of {found.name}/{found.id} sent to {', '.join(to)}")
