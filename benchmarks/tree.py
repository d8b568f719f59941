"""What a command takes together with all that it starts, daemons among them.

What ``wait`` adds up leaves out a process that outlives its parent, and the children of one that
ignores how they end: Ray's raylet and its workers are such. So this process adopts orphans
(``PR_SET_CHILD_SUBREAPER``): whatever the command starts stays among our descendants, and their
times are read from /proc every ``INTERVAL`` seconds. The last reading of each counts; what a
process computes after it, at most one interval, is not seen, to the peer's advantage. The command
itself and orphans are read once more when they have ended. :func:`check` holds this against a
daemon and a child that it ignores, which compute for a known time.
"""

import contextlib
import ctypes
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.harness import Cost

__all__ = ["check", "measure"]

INTERVAL = 0.1  # seconds between two readings
GRACE = 20.0  # seconds that daemons may live on after the command
SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of <sys/prctl.h>
BURNS = (1.0, 0.5)  # CPU-s of the ignored child, and of the daemon
DAEMON = f"""
import os, signal, time
def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
if not os.fork():
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    child = os.fork()
    burn({BURNS[0]} if not child else {BURNS[1]})
    if child:
        try:
            os.waitpid(child, 0)
        except ChildProcessError:
            pass
    os._exit(0)
"""


def measure(command: Sequence[Any], *, seconds: float = 600.0, **keywords: Any) -> Cost:
    """Run a command until it and all that it started have ended; wall time is its own.

    Args:
        command: What to run.
        seconds: After which it is stopped.
        keywords: Of ``subprocess.Popen``.

    Raises:
        subprocess.CalledProcessError: It fails.
        TimeoutError: It takes longer than ``seconds``.
    """
    _adopt()
    seen: dict[Any, float] = {}
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, **keywords)
    try:
        wall = _follow(process.pid, begun, seconds, seen)
        _read(seen)
        status = process.wait()
        _outlive(seen)
    finally:
        _end(process)
    if status:
        raise subprocess.CalledProcessError(status, [str(word) for word in command])
    return Cost(sum(seen.values()), wall)


def check() -> str:
    """Measure a daemon and its ignored child; return a sentence on what was seen.

    Raises:
        RuntimeError: A tenth of what they compute is missing, or as much too many.
    """
    found, burnt = measure([sys.executable, "-S", "-c", DAEMON]).cpu, sum(BURNS)
    if not 0.9 * burnt < found < 1.1 * burnt + 0.1:  # the interpreter's own start is in it
        raise RuntimeError(f"tree.check: saw {found:.2f} CPU-s of {burnt}")
    return f"A daemon and a child that it ignored computed {burnt} CPU-s; {found:.2f} were seen."


def _adopt() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def _follow(pid: int, begun: float, seconds: float, seen: dict[Any, float]) -> float:
    """Read times until the process is over, and return its wall time; it is not waited for."""
    door = os.pidfd_open(pid)
    try:
        watch = select.poll()
        watch.register(door, select.POLLIN)
        while not watch.poll(1e3 * INTERVAL):
            _read(seen)
            if time.perf_counter() - begun > seconds:
                raise TimeoutError(f"not over after {seconds:g} s")
        return time.perf_counter() - begun
    finally:
        os.close(door)


def _read(seen: dict[Any, float]) -> None:
    """Write down what every descendant has computed so far."""
    import psutil

    for one in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            seen[one] = sum(one.cpu_times()[:2])


def _outlive(seen: dict[Any, float]) -> None:
    """Read times until the orphans have ended, too."""
    import psutil

    end = time.perf_counter() + GRACE
    while time.perf_counter() < end:
        _read(seen)
        for one in psutil.Process().children():
            with contextlib.suppress(psutil.NoSuchProcess, ChildProcessError):
                if one.status() == psutil.STATUS_ZOMBIE:
                    seen[one] = sum(one.cpu_times()[:2])
                    os.waitpid(one.pid, 0)
        if not psutil.Process().children():
            return
        time.sleep(INTERVAL)


def _end(process: subprocess.Popen) -> None:
    """End what is left of a command."""
    import psutil

    for one in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    process.wait()
    for one in psutil.Process().children():
        with contextlib.suppress(ChildProcessError):
            os.waitpid(one.pid, 0)
