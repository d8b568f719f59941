"""The commands that only read; they never import jax."""

import pathlib

import rich_click as click

from mastery_jax.commands import output
from mastery_jax.commands.options import JSON, RUNS
from mastery_jax.workflow.errors import RunError

__all__ = ["compare", "configs", "ls", "show"]


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="RUN_OR_SWEEP...")
@click.option("--by", multiple=True, help="Group by this field; by default by all that differ.")
@click.option("--over", default="seed", show_default=True, help="The field of repetitions.")
@click.option("--metric", multiple=True, help="NAME, NAME:max or NAME:min.")
@click.option("csv", "--csv", metavar="FILE", help="Write the table as CSV; - is standard output.")
@click.option("json", "--json", metavar="FILE", help="The same as JSON.")
@click.option("--plots", type=click.Path(path_type=pathlib.Path), help="Draw PNGs into a folder.")
@RUNS
def compare(
    sources: tuple[str, ...],
    by: tuple[str, ...],
    over: str,
    metric: tuple[str, ...],
    csv: str | None,
    json: str | None,
    plots: pathlib.Path | None,
    runs: pathlib.Path,
) -> int:
    """Compare runs and the lanes of sweeps: means, 95 % intervals, paired differences."""
    from mastery_jax.workflow import records, tables
    from mastery_jax.workflow.compare import members, pictures
    from mastery_jax.workflow.compare import table as comparing

    compared = [m for source in sources for m in members.members(records.find(source, runs))]
    made = comparing.table(compared, by=by, over=over, metrics=metric)
    if "-" not in (csv, json):
        output.show(tables.comparison(made))
    try:
        if csv:
            _write(csv, tables.to_csv(made))
        if json:
            _write(json, output.json(tables.to_json(made)))
        if plots:
            for file in pictures.draw(made, compared, plots):
                click.echo(f"drawn: {file}", err=True)
    except OSError as error:
        raise RunError(f"{error.filename} cannot be written: {error.strerror}") from None
    return 0


@click.command()
@RUNS
@JSON
def ls(runs: pathlib.Path, as_json: bool) -> int:
    """List runs and sweeps, newest first."""
    import datetime

    from mastery_jax.workflow import records, tables

    found = records.ls(runs)
    if as_json:
        return output.show({"runs": [output.summary(each) for each in found]})
    if not found:
        return output.show(f"no runs below {runs}")
    return output.show(tables.listing(found, datetime.datetime.now()))


@click.command()
@click.argument("source", metavar="RUN_OR_SWEEP")
@RUNS
@JSON
def show(source: str, runs: pathlib.Path, as_json: bool) -> int:
    """Show one run or sweep: config, environment, metrics, files."""
    from mastery_jax.workflow import records, tables

    found = records.find(source, runs)
    return output.show(output.summary(found) if as_json else tables.details(found))


@click.command()
@JSON
def configs(as_json: bool) -> int:
    """List the configs that can be named."""
    from mastery_jax.workflow import config, tables

    found = config.names()
    return output.show(dict(found) if as_json else tables.grid(("config", "what it is"), found))


def _write(file: str, text: str) -> None:
    if file == "-":
        click.echo(text.rstrip())
        return
    from mastery_jax.workflow import files

    files.write_text(pathlib.Path(file), text.rstrip() + "\n")
