"""Which lanes of a sweep have a sound record.

A record is written whole or not at all. One that is not whole, or not of its lane, was damaged
later: cut off, lost, or exchanged for that of another lane or sweep.
"""

import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from mastery_jax.workflow import files, records
from mastery_jax.workflow.sweep import store

__all__ = ["Promise", "is_over", "lost", "promise"]

_LINE = msgspec.json.Decoder(dict[str, Any])


class Promise(NamedTuple):
    """What the records of a sweep must say."""

    folder: pathlib.Path
    num_lanes: int
    num_steps: int  # of a lane whose fields do not say it
    fields: Mapping[int, Mapping[str, Any]]  # of each lane; of a population, which moves them, none

    def fault(self, path: pathlib.Path) -> str:
        """Return what is wrong with a record, as the end of a sentence; nothing if it is sound.

        Of the lines between the first and the last only the shape is looked at. Cost: O(bytes).
        """
        try:
            head, end, body = path.read_bytes().partition(b"\n")
        except FileNotFoundError:
            return "is missing"
        try:
            named = store.named(head)
        except msgspec.DecodeError:
            return "is damaged: its first line does not name its lane"
        if path.name != store.record(self.folder, named.lane).name:
            return f"is that of another lane, {named.lane}"
        fields = self.fields.get(named.lane, named.fields)
        if fields != named.fields:
            return f"is that of another sweep: it has {named.fields}, and the lane {fields}"
        if not self._is_ended(body, fields):
            return "is damaged: it is cut off"
        count = body.count(b"\n")
        is_whole = (end + body).count(b'\n{"step":') == body.count(b"}\n") == count
        return "" if is_whole else "is damaged: a line is no object with a step"

    def _is_ended(self, body: bytes, fields: Mapping[str, Any]) -> bool:
        """Say whether the last line is whole, and the last of a lane."""
        line = body[body.rfind(b"\n", 0, -1) + 1 :]
        try:
            last = _LINE.decode(line)
            is_last = last["step"] >= fields.get("num_steps", self.num_steps)
        except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError):
            return False
        return line.endswith(b"\n") and (is_last or "reason" in last or "stopped" in last)

    def faults(self) -> dict[int, str]:
        """Return what is wrong with the record of each lane, of those where anything is."""
        paths = {n: store.record(self.folder, n) for n in range(self.num_lanes)}
        return {n: found for n, path in paths.items() if (found := self.fault(path))}


def promise(folder: pathlib.Path) -> Promise:
    """Return what the records of a sweep must say, as its other files tell.

    Raises:
        RunError: One of them cannot be read.
    """
    config, _ = records.config(records.Run(folder, "", "", "sweep", {}))
    search = config.get("search")
    stop = search.get("stop") if isinstance(search, dict) else None
    moves = isinstance(stop, dict) and stop.get("kind") == "population"
    points = store.written_points(folder)
    steps, count = config.get("num_steps"), records.status(folder, {}).get("num_lanes", len(points))
    return Promise(folder, count, steps if isinstance(steps, int) else 0, {} if moves else points)


def lost(folder: pathlib.Path) -> dict[int, str]:
    """Return what is wrong with the lanes of a sweep that is finished: see :func:`promise`."""
    return promise(folder).faults()


def is_over(folder: pathlib.Path) -> bool:
    """Say whether a sweep is finished and all that it lacked was its table, written again here.

    Returns:
        Whether nothing is left to be done; where it is not, there are lanes to run.

    Raises:
        RunError: It is finished and lacks nothing; or a file cannot be read.
    """
    if records.status(folder, missing={}).get("state") != "finished" or lost(folder):
        return False
    if store.has_table(folder, promise(folder).num_lanes):
        records.refuse_finished(folder)
    with files.writing(folder), files.lock(folder):
        store.write_table(folder)
    return True
