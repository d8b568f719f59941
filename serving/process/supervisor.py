"""Several workers behind one address, started again when they die.

All workers accept from the one socket that is inherited: a connection in its queue is lost with
no worker, since another one takes it. Each worker's standard input is a pipe that ends when the
supervisor does, however it does, so that none is left behind.
"""

import contextlib
import logging
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from serving.monitor import logs
from serving.process.worker import pack
from serving.settings import Settings

__all__ = ["supervise"]

LOG = logging.getLogger(__name__)
STOPS = (signal.SIGTERM, signal.SIGINT)
GRACE = 15.0  # seconds beyond the drain for workers to end; they take 10 for the last requests
YOUNG = 60.0  # seconds; what ends before is not started again at once
FIRST, LONGEST = 0.1, 30.0  # seconds before a new start, at first and at most
TICK = 0.05  # seconds between two looks


class Worker:
    """One place among the workers, and the process that has it now."""

    def __init__(self, index: int, command: list[str], door: socket.socket, said: bytes) -> None:
        self.index = index
        self._command, self._door, self._said = command, door, said
        self.starts = 0
        self.due = 0.0  # when to start, on the monotonic clock
        self.born = 0.0
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        """Start a process in a group of its own: Ctrl-C is for the supervisor alone."""
        self.starts, self.born = self.starts + 1, time.monotonic()
        self.process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            pass_fds=[self._door.fileno()],
            process_group=0,
        )
        with contextlib.suppress(OSError):  # it died at once, and will be seen to have
            pipe = self.process.stdin
            if pipe is not None:
                pipe.write(self._said)
                pipe.flush()

    def look(self) -> int | None:
        """Start the process when it is time; return its status when it has ended."""
        now = time.monotonic()
        if self.process is None:
            if now >= self.due:
                self.start()
            return None
        status = self.process.poll()
        if status is not None:
            is_young = now - self.born < YOUNG
            self.starts = self.starts if is_young else 0
            self.due = now + min(FIRST * 2**self.starts, LONGEST)
            self.let_go()
        return status

    def send(self, number: int) -> None:
        """Send a signal to the process, if there is one."""
        if self.process is not None:
            self.process.send_signal(number)

    def let_go(self) -> None:
        """Forget a process that has ended."""
        if self.process is not None and self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
        self.process = None


def supervise(settings: Settings, door: socket.socket) -> int:
    """Keep ``settings.workers`` processes answering at ``door``; return the exit status."""
    logs.start(settings.log_format, settings.log_level)
    told: list[int] = []
    for number in STOPS:
        signal.signal(number, lambda number, _: told.append(number))
    with tempfile.TemporaryDirectory(prefix="mastery-") as folder:
        workers = list(_workers(settings, door, pathlib.Path(folder)))
        try:
            while not told:
                for worker in workers:
                    status = worker.look()
                    if status is None:
                        continue
                    if status > 0 and worker.starts == 1:  # it could not begin: nor will others
                        return status
                    LOG.error("worker %d ended (status %d); it starts again", worker.index, status)
                time.sleep(TICK)
            door.close()  # the workers go on with it as long as they take connections
            return _stop(workers, settings.drain + GRACE, told)
        finally:
            for worker in workers:
                worker.send(signal.SIGKILL)
                if worker.process is not None:
                    worker.process.wait()
                worker.let_go()


def _workers(settings: Settings, door: socket.socket, folder: pathlib.Path) -> Iterator[Worker]:
    program = [sys.executable, "-m", "serving.process.worker"]
    for index in range(settings.workers):
        numbers = [index, settings.workers, door.fileno(), os.fspath(folder)]
        yield Worker(index, [*program, *map(str, numbers)], door, pack(settings))


def _stop(workers: list[Worker], seconds: float, told: list[int]) -> int:
    """Let every worker finish; kill what does not, or all at the second word."""
    for worker in workers:
        worker.send(signal.SIGTERM)
    end = time.monotonic() + seconds
    while any(w.process is not None and w.process.poll() is None for w in workers):
        if len(told) > 1:
            return 128 + told[-1]
        if time.monotonic() > end:
            LOG.error("a worker did not end in %g s, and is killed", seconds)
            return 1
        time.sleep(TICK)
    return int(any(w.process is not None and w.process.returncode for w in workers))
