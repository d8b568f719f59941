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
from typing import NamedTuple

import numpy as np

from mastery_jax.workflow.stablehlo import Arrays
from serving.engine.circuit import REST, Circuit
from serving.engine.hand import Hand
from serving.engine.pace import Pace
from serving.engine.part import Outputs, Part, Times, split
from serving.engine.tally import Tally
from serving.errors import late, overloaded

__all__ = ["LONG", "Batcher", "Limits", "Outputs", "Times"]

LOG = logging.getLogger(__name__)
LONG = 2e-3  # seconds of computing that are worth a thread
ALONE = 16  # turns in sequence with one request each, before the next is not kept for others
clock = time.monotonic


class Limits(NamedTuple):
    """What may wait for one method at the same time."""

    rows: int = 4096
    bytes: int = 64 * 2**20
    step_seconds: float = 30.0  # a batch that takes longer is stuck, and nobody is sent after it


class Batcher:
    """The queue before one program; the event loop alone calls it.

    Args:
        run: Computes the outputs of so many rows.
        name: ``model/version/method``, in messages.
        most: Rows of the largest batch.
        seconds: Gives how long so many rows take.
        size: Gives how many rows are computed for so many.
        is_merging: Whether rows of several requests may share a batch.
        is_counted: Whether its time does not depend on its numbers; if it does, a thread computes.
        tally: Where it counts.
        limits: What may wait.
        golden: A row that is known to be good, with which a broken program is tried.
    """

    def __init__(
        self,
        run: Callable[[Arrays, int], Outputs],
        *,
        name: str,
        most: int,
        seconds: Callable[[int], float],
        size: Callable[[int], int],
        is_merging: bool,
        is_counted: bool = True,
        tally: Tally,
        limits: Limits,
        golden: Arrays | None = None,
    ) -> None:
        self.name, self.tally, self.limits = name, tally, limits
        self.circuit = Circuit(limits.step_seconds)
        self._run, self._most, self._seconds, self._size = run, most, seconds, size
        self._pace = Pace(seconds, most)
        self._is_merging, self._is_counted, self._golden = is_merging, is_counted, golden
        self._hand = Hand()
        self._queue: collections.deque[Part] = collections.deque()
        self._rows = self._bytes = 0  # in the queue
        self._is_due = False  # the loop will call _turn
        self._alone = 0  # turns in sequence with one request each
        self._running = 0  # rows of the batch that a thread computes
        self.observe: Callable[[Arrays, Outputs], None] | None = None  # is shown every batch
        # Where requests are traced: whom to tell the times of a part that comes now.
        self.follow: Callable[[], Callable[[Times], None] | None] | None = None

    @property
    def depth(self) -> int:
        """Rows that wait."""
        return self._rows

    def is_long(self, rows: int) -> bool:
        """Say whether a thread computes so many rows."""
        return not self._is_counted or self._seconds(rows) >= LONG

    @property
    def is_sound(self) -> bool:
        """Whether batches come back, and not as faults."""
        return not (self.circuit.is_stuck or self.circuit.is_broken)

    def wait(self, more: int = 0) -> float:
        """Return the seconds until what has come, and more, will have been computed, about."""
        queued, began = self._pace.all(self._rows + more), self.circuit.began
        if began is None:
            return queued
        return queued + max(began + self._pace.batch(self._running) - clock(), 0.0)

    def submit(
        self, x: Arrays, rows: int, deadline: float, *, is_shadow: bool = False
    ) -> asyncio.Future[Outputs]:
        """Take the rows of one request, which have been checked; the answer comes later.

        Args:
            x: The inputs.
            rows: How many, from 1 to the largest batch.
            deadline: On the monotonic clock.
            is_shadow: Its rows are counted apart.

        Raises:
            HTTPException: 503, the queue is full, or takes too long, or the model is broken.
        """
        part = Part(x, rows, deadline, asyncio.get_running_loop().create_future())
        part.is_shadow = is_shadow
        self._admit(part)
        if self.follow is not None:
            part.tell = self.follow()
        self._put(part)
        if self._alone < ALONE or self._is_due or self.is_long(rows):
            self._look()
        elif self.circuit.began is None:
            self._start()
            self._plan()  # whoever comes in this turn all the same is a crowd
        return part.future

    def _put(self, part: Part) -> None:
        self._queue.append(part)
        self._rows += part.rows
        self._bytes += part.size

    def _pop(self) -> Part:
        part = self._queue.popleft()
        self._rows -= part.rows
        self._bytes -= part.size
        return part

    def _admit(self, part: Part) -> None:
        refusal = self.circuit.refusal()
        if refusal is not None:
            self._refuse(*refusal)
        if self._rows + part.rows > self.limits.rows or self._bytes + part.size > self.limits.bytes:
            self._refuse("queue_full", f"{self._rows} rows wait already", self.wait())
        wait = self.wait(part.rows)
        if part.came + wait > part.deadline:
            self._refuse("too_late", f"with the rows before it, it takes some {wait:.2g} s", wait)

    def _refuse(self, reason: str, why: str, seconds: float) -> None:
        self.tally.refused[reason] += 1
        raise overloaded(f"{self.name}: {why}", seconds)

    def _look(self) -> None:
        if self._queue and not self._is_due and self.circuit.began is None:
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
        if not (batch := self._form()):
            return
        start = clock()
        for part in batch:
            self.tally.queue.add(start - part.came)
        rows = sum(part.rows for part in batch)
        if not self.is_long(rows):
            self._deliver(batch, self._compute(batch), clock() - start)
            self._look()
            return
        self.circuit.began, self._running = start, rows
        job = self._hand.do(functools.partial(self._compute, batch))
        loop = asyncio.get_running_loop()
        watch = loop.call_later(self.limits.step_seconds, self._give_up, batch)
        job.add_done_callback(functools.partial(self._finish, batch, start, watch))

    def _form(self) -> list[Part]:
        """Take parts from the queue until a batch is full; drop those nobody waits for."""
        batch, rows, now = [], 0, clock()
        whole = self._rows if self._is_merging else 0
        while self._queue:
            part = self._queue[0]
            # What cannot be there in time is not begun: it would take the time of others.
            end = now + self._pace.batch(max(part.rows, whole))
            is_owed = not part.future.done() and part.deadline >= end
            if is_owed and batch and (not self._is_merging or rows + part.rows > self._most):
                break
            self._pop()
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

    def _finish(
        self, batch: Sequence[Part], start: float, watch: asyncio.Handle, job: asyncio.Future
    ) -> None:
        self.circuit.began, self.circuit.is_stuck = None, False
        watch.cancel()
        if not job.cancelled():  # the loop ends
            error = job.exception()
            found = [error] * len(batch) if error else job.result()
            self._deliver(batch, found, clock() - start)
            self._look()

    def _give_up(self, batch: Sequence[Part]) -> None:
        """Answer those whose batch does not end, and those who wait behind it."""
        seconds, self.circuit.is_stuck = self.limits.step_seconds, True
        for part in batch:
            if not part.future.done():
                self.tally.refused["stuck"] += 1
                part.future.set_exception(late(f"{self.name}: it takes more than {seconds:g} s"))
        while self._queue:
            part = self._pop()
            if not part.future.done():
                self.tally.refused["stuck"] += 1
                part.future.set_exception(overloaded(f"{self.name}: a batch does not end", seconds))

    def _deliver(self, batch: Sequence[Part], found: Sequence, seconds: float) -> None:
        tally, rows = self.tally, sum(part.rows for part in batch)
        tally.executed(rows, self._size(rows) - rows, seconds)
        self._pace.note(rows, seconds)
        faults = 0
        for part, answer in zip(batch, found, strict=True):
            if isinstance(answer, Exception):
                faults += 1
                tally.failed.add(clock() - part.came, times=int(not part.is_trial))
            elif not part.is_trial:
                tally.answered(part.rows, is_shadow=part.is_shadow)
            if part.tell is not None:
                ended = clock()
                part.tell((part.came, ended - seconds, ended))
            if part.future.done():  # the client went away meanwhile
                continue
            if isinstance(answer, Exception):
                part.future.set_exception(answer)
            else:
                part.future.set_result(answer)
        self.circuit.note(has_failed=faults == len(batch))
        if self.circuit.is_broken:
            asyncio.get_running_loop().call_later(REST, self._try_again)

    def _try_again(self) -> None:
        """Send a broken program a row that is known to be good, where nobody else asks."""
        is_idle = self.circuit.began is None and not self._queue
        if not self.circuit.is_broken or not is_idle or self._golden is None:
            return
        future = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda trial: trial.cancelled() or trial.exception())
        part = Part(self._golden, 1, float("inf"), future)
        part.is_trial = True
        self._put(part)
        self._look()
