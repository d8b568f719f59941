"""Runs, their details and their comparison as text for a terminal, a pipe or a file."""

import collections
import csv
import datetime
import io
import json
import math
import shutil
import sys
from collections.abc import Sequence
from typing import Any

from mastery_jax.workflow import files, records
from mastery_jax.workflow.compare.table import Estimate, Table
from mastery_jax.workflow.convert import show
from mastery_jax.workflow.errors import RunError
from mastery_jax.workflow.progress import duration, number
from mastery_jax.workflow.records import Run
from mastery_jax.workflow.sweep import store

__all__ = ["comparison", "details", "grid", "headline", "listing", "to_csv", "to_json"]

_SHOWN = 3  # metrics of one run in a listing
_UNBOUNDED = 10_000  # columns of a pipe: nothing is folded or cut
_STYLES = {"finished": "green", "running": "cyan", "failed": "red", "damaged": "red"}


Cell = str | tuple[str, str]  # a text, or a text and rich's style


def grid(
    columns: Sequence[str], rows: Sequence[Sequence[Cell]], *, names: int = 1, numbers: int = 0
) -> str:
    """Lay out a table; on a terminal it is folded to its width.

    Args:
        columns: Heads.
        rows: Cells.
        names: How many columns at the beginning are never folded.
        numbers: How many columns at the end stand to the right.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table as Grid
    from rich.text import Text

    live = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if live else _UNBOUNDED
    console = Console(file=io.StringIO(), width=width, force_terminal=live, highlight=False)
    table = Grid(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
    for index, name in enumerate(columns):
        side = "right" if index >= len(columns) - numbers else "left"
        table.add_column(name, justify=side, overflow="fold", no_wrap=index < names)
    for row in rows:
        table.add_row(*(Text(*(cell if isinstance(cell, tuple) else (cell,))) for cell in row))
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def _done(run: Run) -> str:
    """Return how far a run or sweep is."""
    done, whole = ("lanes_done", "num_lanes") if run.kind == "sweep" else ("step", "num_steps")
    return f"{run.status.get(done, 0)}/{run.status.get(whole, '?')}"


def _age(id: str, now: datetime.datetime) -> str:
    try:
        began = datetime.datetime.strptime(id[:15], "%Y%m%d-%H%M%S")
    except ValueError:
        return ""
    seconds = (now - began).total_seconds()
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return "now"


def _news(run: Run) -> str:
    """Return what went wrong, or else some metrics, those of test data first."""
    if run.state in ("failed", "damaged"):
        return run.status.get("reason", "")
    metrics = run.status.get("metrics", {})
    tested = {name: x for name, x in metrics.items() if name.startswith("test_")} or metrics
    return ", ".join(f"{name} {number(x)}" for name, x in list(tested.items())[:_SHOWN])


def listing(runs: Sequence[Run], now: datetime.datetime) -> str:
    """Return one line a run or sweep."""
    rows = [
        (
            run.id,
            run.name,
            (run.state, _STYLES.get(run.state, "yellow")),
            "" if run.state == "damaged" else _done(run),
            _age(run.id, now),
            _news(run),
        )
        for run in runs
    ]
    return grid(("id", "config", "state", "done", "age", "metrics"), rows, names=5)


def headline(run: Run) -> str:
    """Return how a run or a sweep stands, its newest metrics, and what to do next."""
    seconds = run.status.get("seconds")
    took = f", {duration(seconds)}" if seconds is not None else ""
    unit = "lanes" if run.kind == "sweep" else "steps"
    lines = [f"{run.kind} {run.name}/{run.id}: {run.state}, {_done(run)} {unit}{took}"]
    if run.status.get("reason"):
        lines.append(f"reason: {run.status['reason']}")
    lines += [f"{name}: {number(x)}" for name, x in run.status.get("metrics", {}).items()]
    lines.append(f"folder: {run.folder}")
    if run.state in ("interrupted", "killed"):
        lines.append(f"to go on: mastery resume {run.folder}")
    elif run.kind == "sweep" and run.state == "finished":
        lines.append(f"to compare its lanes: mastery compare {run.folder}")
    return "\n".join(lines)


def details(run: Run) -> str:
    """Return all that a folder says in short: state, config, environment, metrics, files.

    Raises:
        RunError: A file is damaged.
    """
    head = records.head(run)
    blocks = {
        head.name: head.read_text().splitlines(),
        "environment": _environment(run),
        "metrics": _lanes(run) if run.kind == "sweep" else _last(run),
        "files": _files(run),
    }
    texts = ("\n  ".join((f"{title}:", *body)) for title, body in blocks.items())
    return "\n\n".join((headline(run), *texts))


def _environment(run: Run) -> list[str]:
    """Return what most often explains a difference."""
    try:
        found = files.read_json(run.folder / "environment.json")
    except RunError as error:
        return [str(error)]
    devices, git = found.get("devices", {}), found.get("git", {})
    packages = ", ".join(f"{name} {version}" for name, version in found.get("packages", {}).items())
    dirty = " with changes" if git.get("is_dirty") else ""
    return [
        f"devices: {devices.get('count', '?')} x {devices.get('kind', '?')}",
        f"python {found.get('python', '?')}, {packages}",
        f"git: {git.get('revision') or 'none'}{dirty}",
        f"command: {' '.join(found.get('command', []))}",
    ]


def _last(run: Run) -> list[str]:
    found = records.series(records.metrics(run.folder))
    width = max(map(len, found), default=0)
    return [f"{n:<{width}}  {number(v[-1]):>8}  at step {s[-1]}" for n, (s, v) in found.items()]


def _lanes(run: Run) -> list[str]:
    """Count how the lanes of a sweep ended."""
    if run.state in ("running", "killed"):
        return ["lanes.csv is written when the sweep ends"]
    states = collections.Counter(lane["state"] for lane in store.lanes(run.folder))
    counts = ", ".join(f"{count} {state}" for state, count in states.items())
    return [f"lanes: {counts or 'none'}"]


def _files(run: Run) -> list[str]:
    """Return the entries of the folder: bytes of a file, number of entries of a folder."""
    entries = sorted(path for path in run.folder.iterdir() if not path.name.startswith("."))
    return [
        f"{path.name}/  {len(list(path.iterdir()))} entries"
        if path.is_dir()
        else f"{path.name}  {path.stat().st_size:,} bytes"
        for path in entries
    ]


def _interval(found: Estimate | None, *, sign: str = "") -> str:
    """Return mean ± half the interval, the half with two digits and the mean to its place."""
    if found is None or not found.n:
        return "-"
    half = (found.high - found.low) / 2
    if math.isnan(half):
        return f"{found.mean:{sign}.4g}"
    places = 1 - math.floor(math.log10(half)) if 0 < half < math.inf else -1
    if not 0 <= places <= 8:
        return f"{found.mean:{sign}.4g} ± {half:.2g}"
    return f"{found.mean:{sign}.{places}f} ± {half:.{places}f}"


def comparison(made: Table) -> str:
    """Return one line a group, the best one bold, and the notes below."""
    many = len(made.rows) > 1
    heads = [*made.by, f"{made.over}s"]
    for name, mode in made.metrics:
        heads += [name, f"minus {'best' if mode else 'first'}"] if many else [name]
    rows = []
    for index, row in enumerate(made.rows):
        cells: list[Cell] = [x if isinstance(x, str) else show(x) for x in row.fields.values()]
        broken = f" ({row.num_broken} broken)" if row.num_broken else ""
        cells.append(f"{max(found.n for found in row.estimates.values())}{broken}")
        for name, mode in made.metrics:
            is_reference = many and made.reference[name] == index
            text = _interval(row.estimates[name])
            cells.append((text, "bold") if is_reference and mode else text)
            if is_reference:
                cells.append("best" if mode else "first")
            elif many:
                cells.append(_interval(row.differences.get(name), sign="+"))
        rows.append(cells)
    legend = f"mean ± half of the 95 % interval over {made.over}s (Student's t)"
    if many:
        legend += f"; differences are paired by {made.over}"
    table = grid(heads, rows, names=0, numbers=len(heads) - len(made.by))
    return "\n".join((table, "", legend, *(f"note: {note}" for note in made.notes)))


def to_csv(made: Table) -> str:
    """Return one line a group; an absent value is an empty cell."""
    rows = []
    for index, row in enumerate(made.rows):
        cells: dict[str, Any] = {**row.fields, "num_broken": row.num_broken}
        for name, _ in made.metrics:
            difference = row.differences.get(name, Estimate(math.nan, math.nan, math.nan, 0))
            cells |= {f"{name}_{part}": x for part, x in row.estimates[name]._asdict().items()}
            cells[f"{name}_is_reference"] = made.reference[name] == index
            cells |= {f"{name}_difference_{part}": x for part, x in difference._asdict().items()}
        rows.append({name: _cell(x) for name, x in cells.items()})
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if isinstance(value, float) and math.isnan(value) else json.dumps(value)


def to_json(made: Table) -> dict[str, Any]:
    """Return a table as plain data, NaN as NaN, which msgspec writes as null."""
    return {
        "by": made.by,
        "over": made.over,
        "metrics": dict(made.metrics),
        "notes": made.notes,
        "rows": [
            {
                "fields": dict(row.fields),
                "members": row.members,
                "num_broken": row.num_broken,
                "is_reference": [name for name, at in made.reference.items() if at == index],
                "values": {
                    name: {str(seed): x for seed, x in seeds.items()}
                    for name, seeds in row.values.items()
                },
                "estimates": {name: x._asdict() for name, x in row.estimates.items()},
                "differences": {name: x._asdict() for name, x in row.differences.items()},
            }
            for index, row in enumerate(made.rows)
        ],
    }
