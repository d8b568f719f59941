"""A comparison that follows what still runs: how far it is, the best so far, the first rows.

On a terminal a frame is redrawn in place; in a pipe or a file a line follows when something has
changed. A record is read again only when its file has changed.
"""

import collections
import math
import re
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from typing import TextIO

from rich.cells import cell_len

from mastery_jax.workflow import records
from mastery_jax.workflow.compare import members, text
from mastery_jax.workflow.compare.lanes import Memory
from mastery_jax.workflow.compare.members import Member
from mastery_jax.workflow.compare.table import Table, top
from mastery_jax.workflow.errors import RunError
from mastery_jax.workflow.progress import number
from mastery_jax.workflow.records import Run

__all__ = ["best", "counts", "watch"]

ROWS = 10  # of a frame; fewer where the terminal is low
_AROUND = 12  # lines of a frame that are no rows
_STYLE = re.compile(r"\x1b\[[0-9;]*m")

Sources = Sequence[tuple[Run, int | None]]


def counts(runs: Sequence[Run], compared: Sequence[Member]) -> str:
    """Return one line: how many lanes or runs there are, and how the ones that are over ended."""
    whole = sum(run.status.get("num_lanes", 0) if run.kind == "sweep" else 1 for run in runs)
    found = collections.Counter(member.state for member in compared)
    going = found.pop("running", 0)
    over = sum(found.values())
    parts = [f"{count} {state}" for state, count in sorted(found.items())]
    rest = max(whole - over, going)
    parts += [f"{rest} running or waiting"] if rest else []
    return f"{over}/{max(whole, over)} over: {', '.join(parts) or 'none'}"


def best(made: Table) -> str:
    """Return the best group so far in each metric whose direction is known."""
    found = []
    for name, mode in made.metrics:
        row = made.rows[made.reference[name]]
        if mode and row.estimates[name].n:
            where = ", ".join(f"{path} {number(value)}" for path, value in row.fields.items())
            found.append(
                f"best {name} {number(row.estimates[name].mean)}{where and f' at {where}'}"
            )
    return "; ".join(found)


def watch(
    sources: Sources,
    compare: Callable[[list[Member]], Table],
    *,
    seconds: float,
    stream: TextIO | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Sources:
    """Show how the sources stand until none of them runs any more.

    Args:
        sources: As ``members.find`` finds them.
        compare: Makes the table of the members.
        seconds: Between two looks.
        stream: Where to write; standard output by default.
        sleep: Waits.

    Returns:
        The sources as they are in the end.

    Raises:
        RunError: A file is damaged.
    """
    out: TextIO = stream or sys.stdout
    memory, before = Memory(), ""
    while True:
        sources = [(records.read(run.folder), lane) for run, lane in sources]
        runs = list({run.folder: run for run, _ in sources}.values())
        if not any(run.state == "running" for run in runs):
            _draw(out, "", before)
            return sources
        frame = _frame(runs, compare, memory, is_live=out.isatty())
        if frame != before:
            _draw(out, frame, before)
        before = frame
        sleep(seconds)


def _frame(
    runs: Sequence[Run],
    compare: Callable[[list[Member]], Table],
    memory: Memory,
    *,
    is_live: bool,
) -> str:
    """Return what is shown: one line in a pipe, also a table on a terminal."""
    compared = members.gather([(run, None) for run in runs], memory)
    line = counts(runs, compared)
    try:
        made = compare(compared)
    except RunError as error:  # there are no lanes or metrics yet
        return f"{line}; {error}"
    line = "; ".join(filter(None, (line, best(made))))
    if not is_live:
        return line
    room = max(1, min(ROWS, shutil.get_terminal_size().lines - _AROUND))
    return f"{line}\n\n{text.text(top(made, room)._replace(objectives=()))}"


def _draw(stream: TextIO, frame: str, before: str) -> None:
    """Write a frame in the place of the one before, or below it where nothing can be redrawn."""
    if stream.isatty():
        up = _height(before)
        stream.write((f"\x1b[{up}A" if up else "") + "\r\x1b[J")
    stream.write(f"{frame}\n" if frame else "")
    stream.flush()


def _height(frame: str) -> int:
    """Return how many lines of the terminal a frame takes, without counting its styles."""
    columns = shutil.get_terminal_size().columns
    lines = _STYLE.sub("", frame).splitlines()
    return sum(max(1, math.ceil(cell_len(line) / columns)) for line in lines)
