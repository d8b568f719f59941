"""A thread for what is long."""

import asyncio
import concurrent.futures
import queue
import threading
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["Hand", "busy"]

T = TypeVar("T")
Job = tuple[concurrent.futures.Future, Callable[[], Any]]

_lock = threading.Lock()
_busy = 0


def busy() -> int:
    """Return how many hands of this process compute now."""
    return _busy


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
    while (job := jobs.get()) is not None:
        future, work = job
        _count(1)
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)
        finally:
            _count(-1)
        del job, future, work  # what waits for the next one holds nothing of the last


def _count(change: int) -> None:
    global _busy
    with _lock:
        _busy += change
