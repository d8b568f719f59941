"""Rows of many requests through one program; nobody waits who need not.

There is no timer. A batch starts in the turn of the event loop after its first request came, with
all rows that have come by then, and while it is computed the next one gathers. Where requests have
come one at a time, the next is computed as it comes. What is short is computed by the loop itself,
because a thread costs more; what is long goes to one, and the loop goes on. Deadlines and clients
that went away are looked at when a batch is formed, before anything is computed for them.
"""

import asyncio
import collections
import functools
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import NamedTuple

import numpy as np

from mastery_jax.workflow.stablehlo import Arrays
from serving.engine.tally import Tally
from serving.errors import late, overloaded

__all__ = ["LONG", "Batcher", "Limits", "Outputs", "Part", "Times"]

LOG = logging.getLogger(__name__)
LONG = 2e-3  # seconds of computing that are worth a thread
FAULTS = 5  # batches in sequence that failed, before the model counts as broken
REST = 1.0  # seconds before a broken model is tried again
ALONE = 16  # turns in sequence with one request each, before the next is not kept for others

Outputs = dict[str, np.ndarray]
Times = tuple[float, float, float]  # it came, its batch began and ended, on the monotonic clock
clock = time.monotonic


class Limits(NamedTuple):
    """What may wait for one method at the same time."""

    rows: int = 4096
    bytes: int = 64 * 2**20
    step_seconds: float = 30.0  # a batch that takes longer is stuck, and nobody is sent after it


class Part:
    """Rows of one request, at most the largest batch, and the answer that is owed."""

    __slots__ = ("came", "deadline", "future", "is_shadow", "rows", "size", "tell", "x")

    def __init__(self, x: Arrays, rows: int, deadline: float, future: asyncio.Future) -> None:
        self.x, self.rows, self.deadline, self.future = x, rows, deadline, future
        self.size = sum(array.nbytes for array in x.values())
        self.came = clock()
        self.is_shadow = False  # nobody gets the answer
        self.tell: Callable[[Times], None] | None = None  # who wants to know its times


class Batcher:
    """The queue before one program; the event loop alone calls it."""

    def __init__(
        self,
        run: Callable[[Arrays, int], Outputs],
        *,
        name: str,
        most: int,
        seconds: Callable[[int], float],
        size: Callable[[int], int],
        is_merging: bool,
        tally: Tally,
        workers: Executor,
        limits: Limits,
    ) -> None:
        self.name, self.tally, self.limits = name, tally, limits
        self.is_merging = is_merging  # rows of several requests may share a batch
        self._run, self._most, self._seconds, self._size = run, most, seconds, size
        self._is_long = seconds(most) >= LONG
        self._workers = workers
        self._queue: collections.deque[Part] = collections.deque()
        self._rows = self._bytes = 0  # in the queue
        self._is_due = False  # the loop will call _turn
        self._alone = 0  # turns in sequence with one request each
        self._began: float | None = None  # when the batch began that a thread computes
        self._running = 0  # its rows
        self._faults, self._broke = 0, 0.0
        self.observe: Callable[[Arrays, Outputs], None] | None = None  # is shown every batch
        # Where requests are traced: gives whom to tell the times of a part that comes now.
        self.follow: Callable[[], Callable[[Times], None] | None] | None = None

    @property
    def depth(self) -> int:
        """Rows that wait."""
        return self._rows

    @property
    def is_long(self) -> bool:
        """Whether a thread computes the largest batches, so that a request may wait for one."""
        return self._is_long

    @property
    def is_sound(self) -> bool:
        """Whether batches come back, and not as faults."""
        return not self._is_stuck and self._faults < FAULTS

    @property
    def _is_stuck(self) -> bool:
        return self._began is not None and clock() - self._began > self.limits.step_seconds

    def wait(self) -> float:
        """Return the seconds until what has come will have been computed, about."""
        parts, rest = divmod(self._rows, self._most)
        queued = parts * self._seconds(self._most) + (self._seconds(rest) if rest else 0.0)
        if self._began is None:
            return queued
        return queued + max(self._began + self._seconds(self._running) - clock(), 0.0)

    def submit(
        self, x: Arrays, rows: int, deadline: float, *, is_shadow: bool = False
    ) -> asyncio.Future[Outputs]:
        """Take the rows of one request, which have been checked; the answer comes later.

        Args:
            x: The inputs.
            rows: How many, from 1 to the largest batch.
            deadline: On the monotonic clock; what has not begun by then never will.
            is_shadow: Its rows are no prediction for anybody, and counted apart.

        Raises:
            HTTPException: 503, the queue is full, or would take beyond the deadline, or the
                model is broken.
        """
        part = Part(x, rows, deadline, asyncio.get_running_loop().create_future())
        part.is_shadow = is_shadow
        self._admit(part)
        if self.follow is not None:
            part.tell = self.follow()
        self._queue.append(part)
        self._rows += rows
        self._bytes += part.size
        if self._alone < ALONE or self._is_due or self._seconds(rows) >= LONG:
            self._look()
        elif self._began is None:
            self._start()
            self._plan()  # whoever comes in this turn all the same is a crowd
        return part.future

    def _admit(self, part: Part) -> None:
        wait = self.wait()
        if self._rows + part.rows > self.limits.rows or self._bytes + part.size > self.limits.bytes:
            self._refuse("queue_full", f"{self._rows} rows wait already", wait)
        if part.came + wait + self._seconds(part.rows) > part.deadline:
            self._refuse("too_late", f"the rows before it take some {wait:.2g} s", wait)
        if self._is_stuck:
            self._refuse("stuck", "a batch does not end", self.limits.step_seconds)
        if self._faults >= FAULTS and part.came - self._broke < REST:
            self._refuse("broken", f"its last {self._faults} batches failed", REST)

    def _refuse(self, reason: str, why: str, seconds: float) -> None:
        self.tally.refused[reason] += 1
        raise overloaded(f"{self.name}: {why}", seconds)

    def _look(self) -> None:
        if self._queue and not self._is_due and self._began is None:
            self._plan()

    def _plan(self) -> None:
        self._is_due = True
        asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        """Begin with what has come since the last turn of the loop."""
        self._is_due = False
        came = len(self._queue)
        if came:
            self._alone = self._alone + 1 if came == 1 and self._alone < ALONE else 0
            self._start()

    def _start(self) -> None:
        """Form a batch, and compute it or have it computed."""
        batch = self._form()
        if not batch:
            return
        start = clock()
        for part in batch:
            self.tally.queue.add(start - part.came)
        rows = sum(part.rows for part in batch)
        if self._seconds(rows) >= LONG:
            self._began, self._running = start, rows
            job = asyncio.get_running_loop().run_in_executor(
                self._workers, functools.partial(self._compute, batch)
            )
            job.add_done_callback(functools.partial(self._finish, batch, start))
        else:
            self._deliver(batch, self._compute(batch), clock() - start)
            self._look()

    def _form(self) -> list[Part]:
        """Take parts from the queue until a batch is full; drop those nobody waits for."""
        batch, rows, now = [], 0, clock()
        while self._queue:
            part = self._queue[0]
            # What cannot be there in time is not begun: it would take the time of others.
            is_owed = not part.future.done() and part.deadline >= now + self._seconds(part.rows)
            if is_owed and batch and (not self.is_merging or rows + part.rows > self._most):
                break
            self._queue.popleft()
            self._rows -= part.rows
            self._bytes -= part.size
            if is_owed:
                batch.append(part)
                rows += part.rows
            elif part.future.done():
                self.tally.cancelled += 1
            else:
                self.tally.refused["expired"] += 1
                part.future.set_exception(late(f"{self.name}: it would have come too late"))
        return batch

    def _compute(self, batch: Sequence[Part]) -> list[Outputs | Exception]:
        """Return what each part gets; a fault is found by computing each one alone."""
        if len(batch) == 1:
            return [self._try(batch[0])]
        rows = sum(part.rows for part in batch)
        try:
            x = {name: np.concatenate([part.x[name] for part in batch]) for name in batch[0].x}
            outputs = self._run(x, rows)
        except Exception:
            LOG.exception("%s: a batch of %d requests failed; each is tried alone", self.name, rows)
            return [self._try(part) for part in batch]
        if self.observe is not None:
            self.observe(x, outputs)
        return list(split(outputs, [part.rows for part in batch]))

    def _try(self, part: Part) -> Outputs | Exception:
        try:
            outputs = self._run(part.x, part.rows)
        except Exception as error:
            return error
        if self.observe is not None:
            self.observe(part.x, outputs)
        return outputs

    def _finish(self, batch: Sequence[Part], start: float, job: asyncio.Future) -> None:
        self._began = None
        seconds = clock() - start
        error = None if job.cancelled() else job.exception()
        if job.cancelled() or error is not None:  # the workers have gone
            self._deliver(batch, [error or RuntimeError("the server stops")] * len(batch), seconds)
        else:
            self._deliver(batch, job.result(), seconds)
        self._look()

    def _deliver(self, batch: Sequence[Part], found: Sequence, seconds: float) -> None:
        tally, rows = self.tally, sum(part.rows for part in batch)
        tally.executed(rows, self._size(rows) - rows, seconds)
        tally.since = time.time()
        faults = 0
        for part, answer in zip(batch, found, strict=True):
            if isinstance(answer, Exception):
                faults += 1
                tally.failed.add(clock() - part.came)
            elif part.is_shadow:
                tally.shown += part.rows
            else:
                tally.requests += 1
                tally.rows += part.rows
            if part.tell is not None:
                ended = clock()
                part.tell((part.came, ended - seconds, ended))
            if part.future.done():  # the client went away meanwhile
                continue
            if isinstance(answer, Exception):
                part.future.set_exception(answer)
            else:
                part.future.set_result(answer)
        if faults == len(batch):
            self._faults, self._broke = self._faults + 1, clock()
        else:
            self._faults = 0


def split(outputs: Outputs, counts: Sequence[int]) -> Sequence[Outputs]:
    """Return the outputs of each part of a batch."""
    found, start = [], 0
    for count in counts:
        end = start + count
        found.append({name: out[start:end] for name, out in outputs.items()})
        start = end
    return found
