"""Runs and their details as text for a terminal or a pipe."""

import collections
import datetime
import io
import shutil
import sys
from collections.abc import Sequence

from mastery_jax.workflow import files, records
from mastery_jax.workflow.errors import RunError
from mastery_jax.workflow.progress import duration, number
from mastery_jax.workflow.records import Run
from mastery_jax.workflow.sweep import store

__all__ = ["Cell", "details", "environment", "grid", "headline", "listing"]

_SHOWN = 3  # metrics of one run in a listing
_LONG = 200  # rows; more are laid out without rich, which takes a millisecond a row
_STYLES = {"finished": "green", "running": "cyan", "failed": "red", "damaged": "red"}


Cell = str | tuple[str, str]  # a text, or a text and rich's style


def grid(
    columns: Sequence[str], rows: Sequence[Sequence[Cell]], *, names: int = 1, numbers: int = 0
) -> str:
    """Lay out a table; on a terminal it is folded to its width, unless it is very long.

    Args:
        columns: Heads.
        rows: Cells.
        names: How many columns at the beginning are never folded.
        numbers: How many columns at the end stand to the right.
    """
    if not sys.stdout.isatty() or len(rows) > _LONG:
        return _plain(columns, rows, numbers)
    from rich import box
    from rich.console import Console
    from rich.table import Table as Grid
    from rich.text import Text

    width = shutil.get_terminal_size().columns
    console = Console(file=io.StringIO(), width=width, force_terminal=True, highlight=False)
    table = Grid(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
    for index, name in enumerate(columns):
        side = "right" if index >= len(columns) - numbers else "left"
        table.add_column(name, justify=side, overflow="fold", no_wrap=index < names)
    for row in rows:
        table.add_row(*(Text(*(cell if isinstance(cell, tuple) else (cell,))) for cell in row))
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def _plain(columns: Sequence[str], rows: Sequence[Sequence[Cell]], numbers: int) -> str:
    """Lay out a table without styles, one line a row. Cost: O(cells)."""
    from rich.cells import cell_len

    def size(text: str) -> int:
        return len(text) if text.isascii() else cell_len(text)

    texts = [[cell if isinstance(cell, str) else cell[0] for cell in row] for row in rows]
    lines = [[" ".join(text.splitlines()) for text in row] for row in (columns, *texts)]
    widths = [max(map(size, column)) for column in zip(*lines, strict=True)]
    left = len(columns) - numbers
    found = []
    for line in lines:
        cells = []
        for index, (text, width) in enumerate(zip(line, widths, strict=True)):
            space = " " * (width - size(text))
            cells.append(text + space if index < left else space + text)
        found.append("  ".join(cells).rstrip())
    return "\n".join((found[0], "─" * (sum(widths) + 2 * len(widths) - 2), *found[1:]))


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
        "environment": environment(run),
        "metrics": _lanes(run) if run.kind == "sweep" else _last(run),
        "files": _files(run),
    }
    texts = ("\n  ".join((f"{title}:", *body)) for title, body in blocks.items())
    return "\n\n".join((headline(run), *texts))


def environment(run: Run) -> list[str]:
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
