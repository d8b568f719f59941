"""The lanes of a sweep that are over: from its table, or from their records while it runs."""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from mastery_jax.workflow import records
from mastery_jax.workflow.sweep import sound, store

__all__ = ["Lane", "Memory", "read"]

_APART = {"lane", "state", "step"}  # columns of the table that are no metrics


class Lane(NamedTuple):
    """A lane that is over."""

    number: int
    state: str
    fields: Mapping[str, Any]  # what it changes, by dotted path
    metrics: Mapping[str, float]  # of its last step


class Memory:
    """What was read of files, kept as long as their size and time of change stay the same."""

    def __init__(self):
        """Remember nothing yet."""
        self._kept: dict[pathlib.Path, tuple[tuple[int, int], Any]] = {}

    def read(self, path: pathlib.Path, parse: Callable[[pathlib.Path], Any]) -> Any:
        """Return ``parse(path)``, which is called only where the file is another than before."""
        found = path.stat()
        mark = (found.st_mtime_ns, found.st_size)
        if path not in self._kept or self._kept[path][0] != mark:
            self._kept[path] = (mark, parse(path))
        return self._kept[path][1]


def read(folder: pathlib.Path, memory: Memory, *, is_over: bool) -> list[Lane]:
    """Return the lanes that are over, in their order. Cost: O(lanes).

    While a sweep runs, and where it was killed, there is no table yet, or that of an interruption
    before. Then each lane's own record is read: once, as long as it does not change. One that is
    not sound is left out: ``gaps`` has a note of it.

    Args:
        folder: A sweep.
        memory: What was read of it before.
        is_over: Whether the sweep came to its end, and so has a table.

    Raises:
        RunError: A file is damaged.
    """
    points = store.written_points(folder)
    if is_over and store.has_table(folder, len(points)):
        return _of_table(folder, points)
    fault = sound.promise(folder).fault
    paths = sorted((folder / "lanes").glob("*.jsonl"))
    found = [
        lane
        for path in paths
        if (lane := memory.read(path, lambda path: None if fault(path) else _of_record(path)))
    ]
    return sorted(found, key=lambda lane: lane.number)


def _of_record(path: pathlib.Path) -> Lane:
    """Read the record of one lane."""
    rows = records.metrics(path)
    number, fields = store.lane_fields(path)
    state, last = store.ending(rows)
    return Lane(number, state, fields, _numbers(last, _APART))


def _of_table(folder: pathlib.Path, points: Mapping[int, Mapping[str, Any]]) -> list[Lane]:
    swept = {path for fields in points.values() for path in fields} | _APART
    return [
        Lane(cells["lane"], cells["state"], points[cells["lane"]], _numbers(cells, swept))
        for cells in store.lanes(folder)
    ]


def _numbers(cells: Mapping[str, Any], apart: set[str]) -> dict[str, float]:
    """Return the metrics of a row."""
    return {k: x for k, x in cells.items() if k not in apart and isinstance(x, float | int)}
