"""The commands that only read; they never import jax."""

import contextlib
import math
import pathlib
import tempfile
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import rich_click as click

from mastery_jax.commands import output
from mastery_jax.commands.options import JSON, RUNS
from mastery_jax.workflow.errors import RunError

if TYPE_CHECKING:
    from mastery_jax.workflow.compare.members import Member
    from mastery_jax.workflow.compare.table import Table

__all__ = ["compare", "configs", "ls", "show"]


class Seconds(click.ParamType):
    """A positive number of seconds, or none at all."""

    name = "seconds"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Read it."""
        try:
            found = float(value)
        except ValueError:
            self.fail(
                f"{value} is no number of seconds; write what to compare before --watch", param, ctx
            )
        if not 0 < found < math.inf:
            self.fail(f"{value} is not more than 0 seconds", param, ctx)
        return found


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="RUN_OR_SWEEP...")
@click.option("--where", multiple=True, help="Only what has FIELD=VALUE; also != < > 'a in 1,2'.")
@click.option("--by", multiple=True, help="Group by this field; by default by all that differ.")
@click.option("--over", default="seed", show_default=True, help="The field of repetitions.")
@click.option("metrics", "--metric", multiple=True, help="NAME, NAME:max or NAME:min.")
@click.option("--best", default="", metavar="METRIC", help="The best groups first, by NAME:max.")
@click.option("--top", type=click.IntRange(1), help="Only so many rows.")
@click.option("--pareto", metavar="METRICS", help="Several objectives, as a:max,b:min.")
@click.option("--test", type=click.Choice(["paired"]), help="p of each difference, after Holm.")
@click.option("--include-stopped", is_flag=True, help="Let lanes stopped early count in means.")
@click.option("csv", "--csv", metavar="FILE", help="Write the table as CSV; - is standard output.")
@click.option("json", "--json", metavar="FILE", help="The same as JSON.")
@click.option("--plots", type=click.Path(path_type=pathlib.Path), help="Draw PNGs into a folder.")
@click.option("--html", metavar="FILE", help="Write a report in one file, with pictures.")
@click.option(
    "--watch",
    type=Seconds(),
    is_flag=False,
    flag_value=2.0,
    metavar="[SECONDS]",
    help="Follow what still runs; every 2 seconds unless told.",
)
@RUNS
def compare(
    sources: tuple[str, ...],
    top: int | None,
    csv: str | None,
    json: str | None,
    plots: pathlib.Path | None,
    html: str | None,
    watch: float | None,
    runs: pathlib.Path,
    **asked: Any,
) -> int:
    """Compare runs and the lanes of sweeps: means, 95 % intervals, paired differences."""
    from mastery_jax.workflow.compare import gaps, members, pictures, report, table, text
    from mastery_jax.workflow.compare import watch as watching

    found = [members.find(source, runs) for source in sources]
    if watch is not None:
        try:
            found = watching.watch(found, lambda these: _so_far(these, **asked), seconds=watch)
        except KeyboardInterrupt:
            return 0
    runs_of = list({run.folder: run for run, _ in found}.values())
    lacking = gaps.notes(runs_of)
    for note in lacking:
        click.echo(f"note: {note}", err=True)
    compared, whole = _compared(members.gather(found), **asked)
    made = table.top(whole, top) if top else whole
    if "-" not in (csv, json):
        output.show(text.text(made))
    made = made._replace(notes=(*lacking, *made.notes))
    if csv:
        _write(csv, text.to_csv(made))
    if json:
        _write(json, output.json(text.to_json(made)))
    drawn = []
    if plots:
        with _writing(plots):
            drawn = pictures.draw(whole, compared, plots)
        for file in drawn:
            click.echo(f"drawn: {file}", err=True)
    if html:
        with tempfile.TemporaryDirectory() as folder:
            drawn = drawn or pictures.draw(whole, compared, pathlib.Path(folder))
            _write(html, report.report(made, runs_of, drawn))
    return 0


def _so_far(found: "Sequence[Member]", *, best: str, **asked: Any) -> "Table":
    """Return the table of what is over, the best first by whichever metric tells."""
    from mastery_jax.workflow.compare import metrics

    if found and not best:
        first = metrics.choose(found, asked["metrics"])[1][0]
        best = f"{first.name}:{first.mode}" if first.mode else ""
    return _compared(found, best=best, **asked)[1]


def _compared(
    found: "Sequence[Member]",
    *,
    where: tuple[str, ...],
    by: tuple[str, ...],
    over: str,
    metrics: tuple[str, ...],
    best: str,
    pareto: str | None,
    test: str | None,
    include_stopped: bool,
) -> "tuple[list[Member], Table]":
    """Return what is left of the members, and their table."""
    from mastery_jax.workflow.compare import table as comparing
    from mastery_jax.workflow.compare import where as conditions

    asked = [conditions.condition(text) for text in where]
    kept = conditions.keep(found, asked)
    made = comparing.table(
        kept,
        by=by,
        over=over,
        metrics=metrics,
        best=best,
        objectives=pareto.replace(" ", "").split(",") if pareto else (),
        test=test == "paired",
        include_stopped=include_stopped or conditions.names_stopped(asked),
    )
    return kept, made


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

    with _writing(file):
        files.write_text(pathlib.Path(file), text.rstrip() + "\n")


@contextlib.contextmanager
def _writing(where: str | pathlib.Path) -> Iterator[None]:
    """Turn a failure to write what was asked for into one sentence.

    Raises:
        RunError: The disk is full, or it cannot be written there.
    """
    try:
        yield
    except OSError as error:
        raise RunError(f"{where} cannot be written: {error.strerror or error}") from None
