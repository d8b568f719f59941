"""Options and arguments that commands share."""

import pathlib

import rich_click as click

__all__ = ["CHANGES", "JSON", "MODELS", "QUIET", "RUNS"]

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
QUIET = click.option("--quiet", "-q", is_flag=True, help="No progress; print the folder only.")
JSON = click.option("as_json", "--json", is_flag=True, help="Print one JSON object.")
CHANGES = click.argument("changes", nargs=-1, metavar="[FIELD=VALUE]...")
