"""How far each lane of a sweep is, in memory and in its folder.

A lane that is over has its record; one that waits at a rung, or was interrupted, a ``.state`` file
beside it; any other begins at its first step. Nothing else decides what is run, so that a sweep
that was killed goes on with what its folder shows.
"""

import pathlib
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from mastery_jax.workflow import config, records
from mastery_jax.workflow.errors import RunError
from mastery_jax.workflow.sweep import states, store
from mastery_jax.workflow.sweep.plan import Lane
from mastery_jax.workflow.track import writer

__all__ = ["Entry", "Ledger", "Listener"]


class Entry(NamedTuple):
    """A lane that is to go on."""

    lane: Lane
    step: int  # steps done
    rows: list[dict[str, Any]]  # what they measured
    state: bytes | pathlib.Path | None  # its state file, read or not; None: it begins

    @property
    def is_over(self) -> bool:
        """Say whether nothing is left to run, though a kill came before it was ended."""
        has_failed = bool(self.rows) and "reason" in self.rows[-1]
        return has_failed or 0 < self.lane.value.num_steps <= self.step

    def content(self) -> bytes | None:
        """Return the content of its state file; there may be more lanes than fit into memory."""
        return self.state.read_bytes() if isinstance(self.state, pathlib.Path) else self.state


class Listener(Protocol):
    """What is told how far lanes are; its methods may be called from several threads."""

    keeps_states: bool  # whether a lane that is over is to be paused first, at its last step

    def pause(self, lane: Lane, step: int, rows: list[dict[str, Any]], state: bytes) -> None:
        """Keep a lane that is to go on later; ``state`` is from ``states.dump``."""
        ...

    def end(self, lane: Lane, rows: list[dict[str, Any]]) -> None:
        """Keep a lane that is over."""
        ...


class Ledger:
    """The lanes of one sweep; every method may be called from several threads."""

    def __init__(
        self,
        folder: pathlib.Path,
        *,
        say: Callable[[str], None],
        changed: Callable[[int], None] = lambda count: None,
        tracked: writer.Tracked = writer.NOBODY,
        keeps_states: bool = False,
        fault: Callable[[pathlib.Path], str] = lambda path: "",
    ) -> None:
        """Read which lanes are over.

        Args:
            folder: The sweep's.
            say: Where to say that a file is damaged.
            changed: Called with the number of lanes that are over, whenever it grows.
            tracked: What is told of every line and every end.
            keeps_states: Keep the last state of every lane: where it cannot be had by running the
                lane alone.
            fault: What is wrong with a record; a lane whose record is not sound is not over.
        """
        self._folder, self._say, self._changed = folder, say, changed
        self._tracked, self.keeps_states, self._fault = tracked, keeps_states, fault
        self._handles: dict[int, writer.Lane] = {}
        self._lock = threading.Lock()
        self._rows: dict[int, list[dict[str, Any]]] = {}  # of every lane that has any
        self.over: set[int] = set()
        (folder / "lanes").mkdir(exist_ok=True)
        for path in (folder / "lanes").glob("*.jsonl"):
            self._read(path)

    def _read(self, path: pathlib.Path) -> None:
        if found := self._fault(path):
            self._say(f"warning: {path} {found}; the lane is run again")
            return
        try:
            rows = records.metrics(path)
            number, _ = store.lane_fields(path)
        except RunError as error:
            self._say(f"warning: {error}; the lane is run again")
            return
        if rows:
            self.over.add(number)
            self._rows[number] = rows

    def entries(self, lanes: Iterable[Lane]) -> list[Entry]:
        """Return those of ``lanes`` that are not over, as far as they are."""
        return [self._entry(lane) for lane in lanes if lane.number not in self.over]

    def _entry(self, lane: Lane) -> Entry:
        path = store.state(self._folder, lane.number)
        try:
            with path.open("rb") as file:
                said = states.head(file)
        except FileNotFoundError:
            return Entry(lane, 0, [], None)
        except ValueError as error:
            self._say(f"warning: {path} is damaged ({error}); the lane begins anew")
            return Entry(lane, 0, [], None)
        self._rows[lane.number] = said.rows
        return Entry(_changed(lane, said.fields), said.step, said.rows, path)

    def pause(self, lane: Lane, step: int, rows: list[dict[str, Any]], state: bytes) -> None:
        """Keep a lane that is to go on later; ``state`` is from ``states.dump``."""
        store.write_state(self._folder, lane.number, state)
        with self._lock:
            self._follow(lane, rows)
            self._rows[lane.number] = list(rows)  # the caller's goes on growing

    def end(self, lane: Lane, rows: list[dict[str, Any]]) -> None:
        """Keep a lane that is over."""
        store.write_lane(self._folder, lane.number, lane.fields, rows)
        if not self.keeps_states:
            store.state(self._folder, lane.number).unlink(missing_ok=True)
        with self._lock:
            self._follow(lane, rows, is_over=True)
            self._rows[lane.number] = rows
            self.over.add(lane.number)
            self._changed(len(self.over))

    def _follow(self, lane: Lane, rows: list[dict[str, Any]], *, is_over: bool = False) -> None:
        """Tell the trackers what is new of a lane."""
        before = self._rows.get(lane.number, [])
        first = before[-1]["step"] if before else 0
        if lane.number not in self._handles:
            begun = self._tracked.lane(lane.number, lane.value, first=first)
            self._handles[lane.number] = begun
        handle = self._handles[lane.number]
        handle.log(rows[len(before) :])
        if is_over:
            handle.finish(*store.ending(rows))

    def stop(self, lane: Lane, step: int, reason: str) -> None:
        """End a lane before its last step."""
        self.end(lane, [*self._rows[lane.number], {"step": step, "stopped": reason}])

    def look(self, lanes: Iterable[Lane]) -> None:
        """Find the lanes that another process has ended since."""
        before = len(self.over)
        for lane in lanes:
            path = store.record(self._folder, lane.number)
            if lane.number in self.over or not path.exists():
                continue
            with self._lock:
                known = self._rows.get(lane.number, [])
                self._read(path)
                if lane.number in self.over:
                    if not self.keeps_states:
                        store.state(self._folder, lane.number).unlink(missing_ok=True)
                    now = self._rows[lane.number]
                    self._rows[lane.number] = known
                    self._follow(lane, now, is_over=True)
                    self._rows[lane.number] = now
        if len(self.over) > before:
            self._changed(len(self.over))

    def rows(self, number: int) -> list[dict[str, Any]]:
        """Return what a lane has measured so far."""
        return self._rows.get(number, [])


def _changed(lane: Lane, fields: Mapping[str, Any]) -> Lane:
    """Return a lane with the numbers that it has by now: a population changes them."""
    new = {k: fields[k] for k in config.lane_paths(lane.value) if fields.get(k) is not None}
    new = {path: number for path, number in new.items() if number != lane.fields[path]}
    if not new:
        return lane
    return lane._replace(fields=lane.fields | new, value=config.replace(lane.value, new))
