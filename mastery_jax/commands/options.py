"""Options and arguments that commands share."""

import pathlib
from typing import Any

import rich_click as click

__all__ = [
    "CHANGES",
    "JSON",
    "KEYS",
    "MODELS",
    "QUIET",
    "RUNS",
    "STORE",
    "TRACK",
    "store",
    "trackers",
]

RUNS = click.option(
    "--runs",
    type=click.Path(path_type=pathlib.Path),
    default="runs",
    show_default=True,
    help="Where the folders of runs are kept.",
)
MODELS = click.option(
    "--models",
    type=click.Path(path_type=pathlib.Path),
    default="models",
    show_default=True,
    help="Where exported models are kept.",
)
STORE = click.option(
    "--store",
    metavar="URL",
    envvar="MASTERY_STORE",
    help="The database of predictions, sqlite:///FILE or postgresql://USER@HOST/DATABASE; "
    "by default predictions.sqlite3 beside the models. MASTERY_STORE may hold it.",
)
KEYS = click.option(
    "--keys",
    metavar="FILE",
    type=click.Path(path_type=pathlib.Path, dir_okay=False),
    help="The file of keys; by default mastery_jax/keys.json in the user's config folder.",
)
QUIET = click.option("--quiet", "-q", is_flag=True, help="No progress; print the folder only.")
JSON = click.option("as_json", "--json", is_flag=True, help="Print one JSON object.")
CHANGES = click.argument("changes", nargs=-1, metavar="[FIELD=VALUE]...")


def store(url: str | None, models: pathlib.Path) -> str:
    """Return the URL of the database of predictions."""
    return url or f"sqlite:///{models / 'predictions.sqlite3'}"


def trackers(context: Any, parameter: Any, value: str | None) -> tuple[str, ...] | None:
    """Return the trackers that an option names, before anything is run."""
    from mastery_jax.workflow.track import tracker

    if value is None:
        return None
    found = tracker.check(name.strip() for name in value.split(",") if name.strip())
    if not found:
        raise click.BadParameter("name at least one tracker.", context, parameter)
    return found


TRACK = click.option(
    "--track",
    metavar="TRACKER[,...]",
    callback=trackers,
    help="Feed mlflow, tensorboard, trackio, wandb; none of them can stop the run.",
)
