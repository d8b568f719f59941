"""The files of a sweep that hold its lanes.

points.jsonl      one line a lane: its number and its fields; written before a lane begins, for all
                  at once or, in a search, batch by batch
lanes/0007.jsonl  the record of a lane that is over: number and fields, then its lines of metrics,
                  the last with ``reason`` where it failed and ``stopped`` where it was stopped
lanes.csv         the table, one row a lane; it can always be made from the records
"""

import contextlib
import csv
import io
import math
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from mastery_jax.workflow import files, records
from mastery_jax.workflow.errors import RunError

__all__ = [
    "append_points",
    "ending",
    "has_table",
    "how",
    "lane_fields",
    "lane_rows",
    "lanes",
    "named",
    "points",
    "record",
    "show",
    "state",
    "write_lane",
    "write_points",
    "write_state",
    "write_table",
    "written_points",
]

_NUMBER = re.compile(r"-?((0|[1-9]\d*)(\.\d+)?(e[+-]?\d+)?|inf)|nan")
_ENDS = {"reason": "failed", "stopped": "stopped"}  # what a lane's last line says -> its state


class _Named(msgspec.Struct):
    """The first line of a lane's record, and a line of ``points.jsonl``."""

    lane: int
    fields: dict[str, Any]


_NAMED = msgspec.json.Decoder(_Named)
named = _NAMED.decode  # the first line of a record, or msgspec.DecodeError


def record(folder: pathlib.Path, number: int) -> pathlib.Path:
    """Return where the record of a lane is kept."""
    return folder / "lanes" / f"{number:04d}.jsonl"


def write_points(
    folder: pathlib.Path, points: Iterable[Mapping[str, Any]] | Mapping[int, Mapping[str, Any]]
) -> None:
    """Write the fields of every lane, in order or by their numbers, before the first begins."""
    files.write_lines(folder / "points.jsonl", _lines(points))


def append_points(folder: pathlib.Path, points: Mapping[int, Mapping[str, Any]]) -> None:
    """Write the fields of further lanes by their numbers; a kill may cut the last line off."""
    files.append_lines(folder / "points.jsonl", _lines(points))


def _lines(
    points: Iterable[Mapping[str, Any]] | Mapping[int, Mapping[str, Any]],
) -> list[dict[str, Any]]:
    numbered = points.items() if isinstance(points, Mapping) else enumerate(points)
    return [{"lane": number, "fields": fields} for number, fields in numbered]


def write_lane(
    folder: pathlib.Path, number: int, fields: Mapping[str, Any], rows: list[dict[str, Any]]
) -> None:
    """Write the record of a lane that is over, whole or not at all."""
    named = {"lane": number, "fields": dict(fields)}
    files.write_lines(record(folder, number), [named, *rows], sync=False)


def state(folder: pathlib.Path, number: int) -> pathlib.Path:
    """Return where the state of a lane is kept that is to go on: see ``states``."""
    return record(folder, number).with_suffix(".state")


def write_state(folder: pathlib.Path, number: int, content: bytes) -> None:
    """Write the state of a lane, whole or not at all."""
    files.write_bytes(state(folder, number), content, sync=False)


def write_table(folder: pathlib.Path) -> None:
    """Write ``lanes.csv`` from the records of the lanes."""
    rows = [{k: show(v) for k, v in row.items()} for row in lane_rows(folder)]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    files.write_text(folder / "lanes.csv", text.getvalue())


def lanes(folder: pathlib.Path) -> list[dict[str, Any]]:
    """Return one dict a lane: ``lanes.csv``, or where there is no sound one the lanes' records.

    A number is a number, an empty cell is NaN. A sweep that goes on has the lanes that are over.

    Raises:
        RunError: A record is damaged.
    """
    if (found := _table(folder)) is None:
        return lane_rows(folder)
    head, rows = found
    return [{k: _cell(k, text) for k, text in zip(head, row, strict=True)} for row in rows]


def has_table(folder: pathlib.Path, num_lanes: int) -> bool:
    """Say whether there is a sound ``lanes.csv`` with a row for each lane."""
    found = _table(folder)
    return found is not None and {row[0] for row in found[1]} == set(map(str, range(num_lanes)))


def _table(folder: pathlib.Path) -> tuple[list[str], list[list[str]]] | None:
    """Return the head and the rows of ``lanes.csv``, ``None`` where there is no sound one."""
    try:
        with (folder / "lanes.csv").open(newline="") as file:
            head, *rows = csv.reader(file)
    except (OSError, ValueError):
        return None
    is_sound = head[:2] == ["lane", "state"] and all(len(row) == len(head) for row in rows)
    return (head, rows) if is_sound else None


def lane_rows(folder: pathlib.Path) -> list[dict[str, Any]]:
    """Return one row a lane that is over, from its own record: fields, last step and metrics.

    Its state is ``done``, ``failed`` or ``stopped``.

    Raises:
        RunError: A record is damaged.
    """
    found = []
    for path in sorted((folder / "lanes").glob("*.jsonl")):
        if rows := records.metrics(path):
            state, ended = ending(rows)
            number, fields = lane_fields(path)
            shown = {path: _cell(path, show(value)) for path, value in fields.items()}
            found.append({"lane": number, "state": state} | shown | ended)
    return sorted(found, key=lambda row: row["lane"])


def ending(rows: Sequence[Mapping[str, Any]]) -> tuple[str, dict[str, Any]]:
    """Return how a lane ended, and its last step with all that was measured there."""
    last = [row for row in rows if row["step"] == rows[-1]["step"]]
    ended = {name: value for row in last for name, value in row.items()}
    state = next((state for why, state in _ENDS.items() if why in ended), "done")
    return state, {k: v for k, v in ended.items() if k not in _ENDS}


def lane_fields(path: pathlib.Path) -> tuple[int, dict[str, Any]]:
    """Return the number and the fields of a lane, from the first line of its record.

    Raises:
        RunError: It is damaged.
    """
    with path.open("rb") as file:
        line = file.readline()
    try:
        found = named(line)
    except msgspec.DecodeError:
        raise RunError(f"{path}, line 1 is damaged: it does not name its lane") from None
    return found.lane, found.fields


def how(folder: pathlib.Path) -> dict[str, Any]:
    """Return what ``plan.json`` says of a sweep, among it its ``strategy`` and ``width``.

    Raises:
        RunError: It is missing or damaged.
    """
    found: Any = None
    with contextlib.suppress(RunError):
        found = files.read_json(folder / "plan.json")
    if not isinstance(found, dict) or not {"strategy", "width"} <= found.keys():
        raise RunError(
            f"{folder / 'plan.json'} is missing or damaged, so how {folder.name} runs its lanes is "
            f"not known; put it back, or run the sweep anew: mastery sweep {folder / 'sweep.yaml'}"
        )
    return found


def points(folder: pathlib.Path) -> dict[int, dict[str, Any]]:
    """Return the fields of every lane of a sweep by its number, from ``points.jsonl``.

    A last line that is cut off is left out. Where the file is missing or damaged, the lanes that
    have a record are found by it.

    Raises:
        RunError: A record is damaged.
    """
    if found := written_points(folder):
        return found
    return dict(lane_fields(path) for path in sorted((folder / "lanes").glob("*.jsonl")))


def written_points(folder: pathlib.Path) -> dict[int, dict[str, Any]]:
    """Return what ``points.jsonl`` says; nothing where it is missing or damaged."""
    try:
        *lines, _ = (folder / "points.jsonl").read_bytes().split(b"\n")
        return {each.lane: each.fields for each in map(named, lines)}
    except (OSError, msgspec.DecodeError):
        return {}


def _cell(column: str, text: str) -> Any:
    """Read a cell: a number as Python writes one, or text, as a state is always."""
    if column == "state":
        return text
    if not text:
        return math.nan
    if not _NUMBER.fullmatch(text):
        return text
    return int(text) if text.lstrip("-").isdigit() else float(text)


def show(value: Any) -> str:
    """Return a swept value as a user would write it."""
    return "[" + ",".join(map(str, value)) + "]" if isinstance(value, tuple | list) else str(value)
