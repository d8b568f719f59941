"""A thread for what is long."""

import asyncio
import concurrent.futures
import functools
import os
import queue
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["Hand", "busy"]

NICER = 5  # than the event loop
T = TypeVar("T")
Job = tuple[concurrent.futures.Future, Callable[[], Any]]

BUSY: set[int] = set()  # threads of this process that compute now; adding and taking is whole


def busy() -> int:
    """Return how many hands of this process compute now."""
    return len(BUSY)


class Hand:
    """One thread, begun when there is something to do.

    The process does not wait for it at its end: what it computes may never come back.
    """

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        weakref.finalize(self, self._jobs.put, None)

    def do(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Have something done; for the event loop to call."""
        if self._thread is None:
            self._thread = threading.Thread(target=_work, args=(self._jobs,), daemon=True)
            self._thread.start()
        future: concurrent.futures.Future[T] = concurrent.futures.Future()
        self._jobs.put((future, work))
        return asyncio.wrap_future(future)


def _work(jobs: queue.SimpleQueue[Job | None]) -> None:
    _yield_to_the_loop()
    while (job := jobs.get()) is not None:
        future, work = job
        if future.set_running_or_notify_cancel():
            _do(future, work)
        del job, future, work  # what waits for the next one holds nothing of the last


def _do(future: concurrent.futures.Future, work: Callable[[], Any]) -> None:
    BUSY.add(threading.get_ident())
    try:
        result = work()
    except Exception as error:
        tell = functools.partial(future.set_exception, error)
    else:
        tell = functools.partial(future.set_result, result)
    BUSY.discard(threading.get_ident())  # before anybody knows that it is done
    tell()


def _yield_to_the_loop() -> None:
    """Let the event loop, which all wait for, come before what some wait for."""
    if sys.platform == "linux":  # where a thread has a priority of its own
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + NICER)
