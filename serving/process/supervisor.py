"""Several workers behind one address, started again when they die.

All workers accept from the one socket that is inherited: a connection in its queue is lost with
no worker, since another one takes it. Each worker's standard input is a pipe that ends when the
supervisor does, however it does, so that none is left behind. A worker whose event loop goes
round no more (it is stopped, or computes for ever) is killed, and started again like one that died.
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
from serving.process.team import beat_of
from serving.process.worker import pack
from serving.settings import Settings

__all__ = ["supervise"]

LOG = logging.getLogger(__name__)
STOPS = (signal.SIGTERM, signal.SIGINT)
# Seconds beyond the drain for workers to end: they take 10 for the last requests, 5 for what the
# database has not yet, 2 for traces.
GRACE = 20.0
YOUNG = 60.0  # seconds; what ends before is not started again at once
FIRST, LONGEST = 0.1, 30.0  # seconds before a new start, at first and at most
TICK = 0.05  # seconds between two looks
SILENCE = 600  # looks without a sign of life, 30 seconds: a supervisor that was frozen counts none


class Worker:
    """One place among the workers, and the process that has it now."""

    def __init__(
        self, index: int, command: list[str], door: socket.socket, said: bytes, beat: pathlib.Path
    ) -> None:
        self.index = index
        self._command, self._door, self._said, self._beat = command, door, said, beat
        self.starts = 0
        self.due = 0.0  # when to start, on the monotonic clock
        self.born = 0.0
        self.process: subprocess.Popen | None = None
        self._heard: int | None = None  # when it last gave a sign of life, by the file's clock
        self._silence = 0  # looks since

    def start(self) -> None:
        """Start a process in a group of its own: Ctrl-C is for the supervisor alone."""
        self.starts, self.born = self.starts + 1, time.monotonic()
        self._beat.unlink(missing_ok=True)  # of the one before
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
        elif self._is_silent():
            LOG.error("worker %d does nothing for %g s, and is killed", self.index, SILENCE * TICK)
            self.send(signal.SIGKILL)
            self._silence = 0
        return status

    def _is_silent(self) -> bool:
        """Say whether a process that has been ready gives no sign of life."""
        try:
            heard = self._beat.stat().st_mtime_ns
        except OSError:  # it loads yet, for as long as it takes
            heard = None
        self._silence = self._silence + 1 if heard is not None and heard == self._heard else 0
        self._heard = heard
        return self._silence >= SILENCE

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
        command = [*program, *map(str, numbers)]
        yield Worker(index, command, door, pack(settings), beat_of(folder, index))


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
