"""A part of a sweep as a piece of work for another process: plain data in, news out.

The other process imports the experiment and loads the data itself, so that both must be where the
driver has them: installed, or in a folder that it shares. It compiles once for all parts that it is
given.
"""

import functools
import os
import pickle
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from mastery_jax.workflow.stops import Interrupt
from mastery_jax.workflow.sweep.ledger import Entry, Listener
from mastery_jax.workflow.sweep.plan import Lane
from mastery_jax.workflow.sweep.strategies import Due, Here

__all__ = ["How", "News", "Part", "Reporter", "deal", "pack", "tell", "work"]


class How(NamedTuple):
    """How the lanes of all parts are run."""

    experiment: str
    strategy: str
    width: int
    threads: int


class Part(NamedTuple):
    """Lanes of one program."""

    how: How
    until: int
    keeps_states: bool
    path: tuple[str, ...]  # where modules are looked for
    numbers: tuple[int, ...]  # of the lanes
    entries: bytes  # a pickle: it holds the experiment's own types


class News(NamedTuple):
    """That a lane is over, or has come to a step."""

    number: int
    step: int | None  # None: it is over
    rows: list[dict[str, Any]]
    state: bytes | None
    fields: dict[str, Any]


def pack(entries: Sequence[Entry], how: How, until: int, keeps_states: bool) -> Part:
    """Return lanes of one group as a part."""
    return Part(
        how=how,
        until=until,
        keeps_states=keeps_states,
        path=tuple(map(os.path.abspath, sys.path)),
        numbers=tuple(entry.lane.number for entry in entries),
        entries=pickle.dumps([entry._replace(state=entry.content()) for entry in entries]),
    )


def deal(due: Due, count: int) -> list[list[Entry]]:
    """Cut groups into about ``count`` pieces of neighbors, each of one group, the largest first."""
    whole = sum(len(entries) for _, entries in due)
    size = max(1, -(-whole // max(1, count)))
    pieces = [
        list(entries[first : first + size])
        for _, entries in due
        for first in range(0, len(entries), size)
    ]
    return sorted(pieces, key=len, reverse=True)


class Reporter:
    """A listener that passes on what it is told."""

    def __init__(self, report: Callable[[News], None], keeps_states: bool) -> None:
        self._report, self.keeps_states = report, keeps_states

    def pause(self, lane: Lane, step: int, rows: list[dict[str, Any]], state: bytes) -> None:
        """Say that a lane has come to a step."""
        self._report(News(lane.number, step, rows, state, lane.fields))

    def end(self, lane: Lane, rows: list[dict[str, Any]]) -> None:
        """Say that a lane is over."""
        self._report(News(lane.number, None, rows, None, lane.fields))


def tell(news: News, lane: Lane, listener: Listener) -> None:
    """Tell a listener what another process has said of a lane."""
    lane = lane._replace(fields=news.fields)
    if news.step is None or news.state is None:
        listener.end(lane, news.rows)
    else:
        listener.pause(lane, news.step, news.rows, news.state)


def work(
    part: Part,
    report: Callable[[News], None],
    *,
    known: dict[int, News] | None = None,
    is_stopping: Callable[[], bool] = lambda: False,
) -> list[str]:
    """Run a part in this process.

    Args:
        part: From :func:`pack`.
        report: Called with every piece of news, perhaps from several threads.
        known: The newest of each lane, where the part was begun before: lanes that are over are
            left out, others go on from there.
        is_stopping: Asked once a second; then lanes are paused and this returns.

    Returns:
        ``program.Program.digest`` of what was compiled, for the record.
    """
    from mastery_jax.workflow import launch

    if "jax" not in sys.modules:  # a worker is used again
        launch.prepare(
            host_devices=part.how.threads if part.how.strategy in ("vmap", "map") else None
        )
    sys.path.extend(path for path in part.path if path not in sys.path)
    reporter = Reporter(report, part.keeps_states)
    left = _left(part, known or {}, reporter)
    if not left:
        return []
    interrupt, over = Interrupt(), threading.Event()

    def watch() -> None:
        while not over.wait(1.0):
            interrupt.asked = interrupt.asked or is_stopping()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        place, group = _prepared(part.how, left)
        if not interrupt.asked:  # before anything is compiled
            place.advance([(group, left)], part.until, reporter, interrupt)
        return place.digests()
    finally:
        over.set()
        watcher.join()


def _left(part: Part, known: dict[int, News], reporter: Reporter) -> list[Entry]:
    """Return the lanes that are to go on, as far as they are known to be.

    Of a lane that was lost before it could be ended, that is made up for.
    """
    left = []
    for entry in pickle.loads(part.entries):
        news = known.get(entry.lane.number)
        if news is not None and news.step is None:
            continue
        if news is not None:
            entry = entry._replace(step=news.step, rows=news.rows, state=news.state)
        if entry.is_over:
            reporter.end(entry.lane, entry.rows)
        elif not entry.step or entry.step < part.until:
            left.append(entry)
    return left


@functools.cache
def _places(how: How, program: str) -> Here:
    """Return a place, the same one for the same program."""
    rest = {"strategy": how.strategy, "width": how.width, "threads": how.threads}
    return Here(how.experiment, **rest, say=lambda line: None)


def _prepared(how: How, entries: Sequence[Entry]) -> tuple[Here, Any]:
    """Return what runs the entries, and their group; nothing is compiled or traced twice."""
    from mastery_jax.workflow import config

    lane = entries[0].lane
    lanes = set(config.lane_paths(lane.value))
    constants = repr({k: v for k, v in config.flatten(lane.value).items() if k not in lanes})
    return _places(how, constants), _group(how.experiment, constants, lane)


_GROUPS: dict[tuple[str, str], Any] = {}


def _group(experiment: str, constants: str, lane: Lane) -> Any:
    """Return the group of a lane, traced once a process."""
    from mastery_jax.workflow.config import Loaded
    from mastery_jax.workflow.sweep import plan
    from mastery_jax.workflow.sweep.search import Search

    key = (experiment, constants)
    if key not in _GROUPS:
        loaded = Loaded(experiment, experiment, lane.value)
        (traced,) = plan.lay(loaded, [lane], Search())
        _GROUPS[key] = traced.group
    return _GROUPS[key]
