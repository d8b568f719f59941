"""What is measured, handed to trackers without ever waiting for one.

Each tracker has a thread and a bounded queue of its own, so that a slow one takes no rows from
another. Where a queue is full rows are dropped and counted; a tracker that is absent, raises or
hangs is given up, which is said once. Nothing of this reaches the run: its files have it all, and
``mastery push`` sends them later.
"""

import contextlib
import importlib
import math
import pathlib
import queue
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from mastery_jax.workflow.fields import flatten
from mastery_jax.workflow.track.tracker import Row, Scalar, Session, Tracker, Whole, check

__all__ = ["NOBODY", "Lane", "Tracked", "open"]

SECONDS_TO_CLOSE = 30.0  # that the end of a run waits for its trackers
SECONDS_TO_SAY = 2.0  # that it waits before it says so
MOST_ROWS = 100_000  # that wait for one tracker: some 40 MB

_OPEN_STATE = {KeyboardInterrupt: "interrupted", type(None): "interrupted"}  # of lanes left open


class Speaker(Protocol):
    """What says a line to the user: a ``Progress``."""

    def say(self, line: str) -> None:
        """Say it."""
        ...


class _Call(NamedTuple):
    verb: str
    number: int | None
    args: tuple[Any, ...]
    num_rows: int


class _Feed:
    """One tracker: its thread, its queue, and what became of it."""

    def __init__(self, name: str, whole: Whole, speaker: Speaker, most: int, is_patient: bool):
        self.name, self.problem = name, ""
        self._whole, self._speaker = whole, speaker
        self._most, self._is_patient = most, is_patient
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._room = threading.Condition()
        self._waiting = self._dropped = 0  # rows
        self.opened = threading.Event()  # or given up
        self._thread = threading.Thread(target=self._work, name=f"track {name}", daemon=True)
        self._thread.start()

    def put(self, verb: str, number: int | None, *args: Any, num_rows: int = 0) -> None:
        """Have something done; of rows that find no room, nothing."""
        with self._room:
            if self._is_patient:
                self._room.wait_for(lambda: self.problem or self._has_room(num_rows))
            if self.problem:
                return
            if not self._has_room(num_rows):
                self._dropped += num_rows
                return
            self._waiting += num_rows
            self._calls.put(_Call(verb, number, args, num_rows))

    def end(self, state: str) -> None:
        """Have it end once everything is done."""
        self.put("close", None, state)
        self._calls.put(None)

    def wait(self, deadline: float, timeout: float) -> None:
        """Wait until it has ended, or no longer."""
        with contextlib.suppress(KeyboardInterrupt):  # pressed while nothing else is left to do
            left = math.inf if self._is_patient else max(0.0, deadline - time.monotonic())
            self._thread.join(min(left, SECONDS_TO_SAY))
            if self._thread.is_alive() and SECONDS_TO_SAY < left < math.inf:
                most = f"at most {timeout:g} s; Ctrl-C ends it"
                self._speaker.say(f"waiting for {self.name} to take everything ({most})")
            self._thread.join(None if left == math.inf else max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            self._give_up(f"did not take everything within {timeout:g} s")
        elif self._dropped:
            self._give_up(f"was too slow for {self._dropped:,} rows")

    def _has_room(self, num_rows: int) -> bool:
        return not (num_rows and self._waiting) or self._waiting + num_rows <= self._most

    def _work(self) -> None:
        lanes: dict[int | None, Tracker] = {}
        session: Session | None = None
        try:
            module = importlib.import_module(f"mastery_jax.workflow.track.{self.name}")
            session = module.open(self._whole)
            self.opened.set()
            for call in iter(self._calls.get, None):
                self._do(session, lanes, call)
        except ModuleNotFoundError as error:
            install = f"pip install 'mastery-jax[{self.name}]'"
            self._give_up(f"gets nothing: it needs {error.name}, which is not here: {install}", "")
        except BaseException as error:  # a library may even exit
            self._give_up(f"gets nothing more ({type(error).__name__}: {_first_line(error)})")
            self._abandon(session, lanes)

    def _do(self, session: Any, lanes: dict[int | None, Tracker], call: _Call) -> None:
        verb, number, args, num_rows = call
        if verb == "close":
            session.close(*args)
            return
        if verb == "start":
            lanes[number] = session.lane(number)
            args = (_scalars(args[0]), args[1])
        elif verb == "log":
            args = (_numbers(args[0]),)
        if verb != "log" or args[0]:
            getattr(lanes[number], verb)(*args)
        if verb == "finish":
            del lanes[number]
        if num_rows:
            with self._room:
                self._waiting -= num_rows
                self._room.notify()

    def _abandon(self, session: Session | None, lanes: dict[int | None, Tracker]) -> None:
        """End what was begun, as far as that can be, and forget what waits."""
        while not self._calls.empty():
            self._calls.get()
        for lane in lanes.values():
            with contextlib.suppress(BaseException):
                lane.finish("failed", {})
        if session:
            with contextlib.suppress(BaseException):
                session.close("failed")

    def _give_up(self, what: str, remedy: str | None = None) -> None:
        """Take nothing more, and say why, once."""
        with self._room:
            is_news, self.problem = not self.problem, self.problem or f"{self.name} {what}"
            self._room.notify_all()
        self.opened.set()
        if remedy is None:
            remedy = f"; to send it later: mastery push {self._whole.folder} --to {self.name}"
        if is_news:
            with contextlib.suppress(Exception):  # standard error may be closed
                self._speaker.say(f"warning: {self.problem}{remedy}")


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "")


def _scalars(value: Any) -> dict[str, Scalar]:
    """Return a config as trackers take it: text for what is no number and no text."""
    return {path: _scalar(leaf) for path, leaf in flatten(value).items()}


def _scalar(leaf: Any) -> Scalar:
    if isinstance(leaf, tuple | list):
        return "[" + ",".join(map(str, leaf)) + "]"
    return "null" if leaf is None else leaf if isinstance(leaf, int | float | str) else str(leaf)


def _numbers(rows: Sequence[Row]) -> list[Row]:
    """Return what can be drawn: rows that hold a number, without texts."""
    kept = [{k: x for k, x in row.items() if isinstance(x, int | float)} for row in rows]
    return [row for row in kept if len(row) > 1]


class Lane:
    """A run, or a lane, in every tracker; calls cost a microsecond and never wait."""

    def __init__(self, tracked: "Tracked", number: int | None):
        self._tracked, self._number = tracked, number

    def log(self, rows: Sequence[Row]) -> None:
        """Hand over rows, as they are in ``metrics.jsonl``; the dicts must not change later."""
        if rows:
            self._tracked.put("log", self._number, tuple(rows), num_rows=len(rows))

    def artifact(self, path: pathlib.Path) -> None:
        """Hand over a file."""
        self._tracked.put("artifact", self._number, path)

    def finish(self, state: str, metrics: Mapping[str, float]) -> None:
        """Say how it ended, with its last evaluation."""
        self._tracked.end(self._number, state, metrics)


class Tracked:
    """A run or a sweep in every tracker that was asked for; any thread may call it."""

    def __init__(self, feeds: Sequence[_Feed]):
        self._feeds = feeds
        self._open: dict[int | None, None] = {}  # lanes, in the order of their starts
        self._state = "finished"

    @property
    def problems(self) -> dict[str, str]:
        """Return why each tracker that did not take everything did not."""
        return {feed.name: feed.problem for feed in self._feeds if feed.problem}

    def wait_open(self) -> bool:
        """Wait until each tracker takes something or is given up; return whether any takes it."""
        for feed in self._feeds:
            feed.opened.wait()
        return len(self.problems) < len(self._feeds)

    def lane(self, number: int | None, config: Any, *, first: int = 0) -> Lane:
        """Begin a lane, or go on with one.

        Args:
            number: Of the lane in its sweep; ``None`` for a run.
            config: Its config, as a struct or by dotted path.
            first: The steps that were done before, by a run that is resumed.
        """
        self._open[number] = None
        self.put("start", number, config, first)
        return Lane(self, number)

    def end(self, number: int | None, state: str, metrics: Mapping[str, float]) -> None:
        """End a lane that is open."""
        if number in self._open:
            del self._open[number]
            self.put("finish", number, state, dict(metrics))

    def finish(self, state: str) -> None:
        """Say how the whole ends, where that is not ``finished``."""
        self._state = state

    def put(self, verb: str, number: int | None, *args: Any, num_rows: int = 0) -> None:
        """Have every tracker do something."""
        for feed in self._feeds:
            feed.put(verb, number, *args, num_rows=num_rows)

    def close(self, error: BaseException | None, timeout: float) -> None:
        """End what is open, and wait a while for the trackers."""
        is_whole = error is None and not self._open
        state = self._state if is_whole else _OPEN_STATE.get(type(error), "failed")
        for number in list(self._open):
            self.end(number, state, {})
        deadline = time.monotonic() + timeout
        for feed in self._feeds:  # all of them, before one is waited for that may hang
            feed.end(state)
        for feed in self._feeds:
            feed.wait(deadline, timeout)


NOBODY = Tracked([])


@contextlib.contextmanager
def open(
    names: Iterable[str],
    *,
    folder: pathlib.Path,
    progress: Speaker,
    is_sweep: bool = False,
    is_patient: bool = False,
    timeout: float = SECONDS_TO_CLOSE,
    most: int = MOST_ROWS,
) -> Iterator[Tracked]:
    """Feed some trackers until the block ends; with no names nothing is done or imported.

    Args:
        names: Of trackers: see :func:`tracker.check`.
        folder: Of the run or the sweep, ``<config name>/<id>``.
        progress: Where to say which tracker failed.
        is_sweep: Whether lanes will come, by number.
        is_patient: Wait for room and for the end, however long: for who does nothing else.
        timeout: Seconds that the end waits for all trackers together.
        most: Rows that may wait for one tracker.

    Raises:
        ConfigError: There is no such tracker.
    """
    whole = Whole(folder.resolve(), is_sweep)
    tracked = Tracked([_Feed(name, whole, progress, most, is_patient) for name in check(names)])
    error: BaseException | None = None
    try:
        yield tracked
    except BaseException as raised:
        error = raised
        raise
    finally:
        tracked.close(error, timeout)
