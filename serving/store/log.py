"""What a request pays for its record: a few microseconds, and never a wait."""

import collections
import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
from litestar.exceptions import HTTPException

from mastery_jax.workflow.stablehlo import Arrays
from serving.engine.model import Model
from serving.errors import overloaded
from serving.models.served import GOLDEN, Served
from serving.store.names import Names

__all__ = ["CHUNK", "Bounds", "Job", "Log", "Waiting", "unreachable"]

CHUNK = 500  # records that are written together
SMALL = 4096  # bytes of a record that are not counted: there are not so many of them
JOBS = 256  # questions that may wait for the database

T = TypeVar("T")


class Bounds(NamedTuple):
    """What may wait to be written."""

    records: int = 10_000
    bytes: int = 64 * 2**20  # of those above 4 KiB each


class Job(NamedTuple):
    """A question to the database, and the answer that is owed."""

    run: Callable  # of a connection
    reads: bool  # and writes nothing
    future: Future


def unreachable() -> HTTPException:
    """Return the refusal while the database cannot be had; the log has the reason."""
    return overloaded("the record of predictions cannot be reached now", 1)


class Waiting:
    """What waits for the writer: records, and questions.

    The event loop puts small records in without a lock: appending to a deque is whole, and the
    number of them is the bound. Large ones are rare, and pay for a lock.
    """

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.wake = threading.Event()
        self.jobs: collections.deque[Job] = collections.deque()
        self.dropped = 0
        self._records: collections.deque[tuple] = collections.deque()
        self._bytes = 0  # of large records that wait, or are being written
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._records)

    def has_room(self, size: int) -> bool:
        """Say whether a record may come, and keep its place; count it if it may not."""
        if len(self._records) < self.bounds.records:
            if size <= SMALL:
                return True
            with self._lock:
                if self._bytes + size <= self.bounds.bytes:
                    self._bytes += size
                    return True
        self.drop(1)
        return False

    def put(self, record: tuple) -> None:
        """Take a record that has a place."""
        self._records.append(record)
        if len(self._records) == CHUNK:
            self.wake.set()

    def take(self) -> list[tuple]:
        """Return the oldest records, as many as are written together."""
        found = []
        while len(found) < CHUNK and self._records:
            found.append(self._records.popleft())
        return found

    def free(self, sizes: list[int]) -> None:
        """Give the places of large records back, once they are written or lost."""
        with self._lock:
            self._bytes -= sum(size for size in sizes if size > SMALL)

    def drop(self, count: int) -> None:
        """Count records that are lost."""
        with self._lock:
            self.dropped += count


def own(arrays: Arrays) -> Arrays:
    """Return arrays that keep little in memory beside themselves.

    They may be rows of a large batch, or a piece of a request's whole body.
    """
    if any(held(array) > SMALL + 2 * array.nbytes for array in arrays.values()):
        return {name: array.copy() for name, array in arrays.items()}
    return arrays


def held(array: np.ndarray) -> int:
    """Return the bytes that an array keeps in memory."""
    base: Any = array
    while isinstance(base, np.ndarray) and base.base is not None:
        base = base.base
    if isinstance(base, memoryview):
        base = base.obj
    return len(base) if isinstance(base, bytes | bytearray) else getattr(base, "nbytes", 0)


class Log:
    """The predictions of one server, from its start to its end.

    Args:
        url: Of the database.
        keep_days: How long a record is kept.
        bounds: Of what waits.

    Raises:
        ConfigError: the URL is none, or its driver is missing.
    """

    def __init__(self, url: str, *, keep_days: float = 30.0, bounds: Bounds | None = None) -> None:
        from serving.store.writer import Writer  # with the library of databases

        self.waiting = Waiting(bounds or Bounds())
        self.writer = Writer(url, self.waiting, keep_days=keep_days)
        self._names, self._turns = Names(), itertools.count()

    def __enter__(self) -> Self:
        self.writer.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Write what waits, for some seconds at most."""
        self.writer.close()

    def record(
        self,
        served: Served,
        model: Model,
        method: str,
        request_id: str,
        rows: int,
        x: Arrays,
        outputs: Arrays,
    ) -> str | None:
        """Have an answer recorded, if its model's policy says so and there is room.

        Returns:
            The id under which it will be found; None where it is not recorded.
        """
        share = served.policy.log
        if (share < 1 and next(self._turns) * GOLDEN % 1 >= share) or not rows:
            return None
        size = rows * model.methods[method].row_bytes
        waiting = self.waiting
        if not waiting.has_room(size):
            return None
        name = next(self._names)
        x, outputs = own(x), own(outputs)
        now = time.time()
        waiting.put(
            (name, now, model.name, model.version, method, request_id, rows, x, outputs, size)
        )
        return name

    def ask(self, run: Callable[..., T], *, reads: bool = False) -> "Future[T]":
        """Have the writer ask the database, once all that was recorded so far is there.

        Args:
            run: Of a connection in a transaction.
            reads: It writes nothing.

        Returns:
            What ``run`` returns or raises; an HTTPException, 503, where there is no database.
        """
        future: Future[T] = Future()
        if len(self.waiting.jobs) >= JOBS:
            future.set_exception(overloaded(f"{JOBS} questions wait already", 1))
            return future
        self.waiting.jobs.append(Job(run, reads, future))
        self.waiting.wake.set()
        return future
