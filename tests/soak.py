"""A long run of mixed traffic against one ``mastery serve``: nothing may fail, and nothing grow.

    python -m tests.soak [--seconds 600]

Clients ask for one row, for rows, by the Open Inference Protocol in JSON and in binary; others ask
for what must be refused, or reset their connections in the middle; every few seconds a version
comes or goes. The run fails on an answer that is not the one that was wanted, and so on every 5xx;
on memory that grows by more than 5 % after the warm-up; and on descriptors that are left open.
"""

import argparse
import asyncio
import contextlib
import os
import pathlib
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import NamedTuple

from tests.serving import served
from tests.serving.visitors import Tally, get, once, reload, visit

SECONDS = 600.0
WARM, WARM_MOST = 0.4, 60.0  # of the run, and seconds at most: until every path has been taken
CLIENTS = 8
GROWTH = 1.05  # of memory after the warm-up
SAMPLE = 0.5  # seconds between two looks at the process
PATIENCE = 90.0  # seconds for the start
MASTERY = [sys.executable, "-c", "from mastery_jax.cli import main; main()"]


class Process:
    """A server, as the system sees it."""

    def __init__(self, process: subprocess.Popen, port: int) -> None:
        self.process, self.port = process, port
        self.files = pathlib.Path(f"/proc/{process.pid}")

    @property
    def address(self) -> str:
        """Where it answers."""
        return f"127.0.0.1:{self.port}"

    def memory(self) -> float:
        """Return the resident MiB."""
        pages = int((self.files / "statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def descriptors(self) -> int:
        """Return how many files and sockets are open."""
        return len(list((self.files / "fd").iterdir()))


@contextlib.contextmanager
def serving(models: pathlib.Path) -> Iterator[Process]:
    """Run ``mastery serve`` in a process of its own."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        port = door.getsockname()[1]
    command = [*MASTERY, "serve", "--models", str(models), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield Process(process, port)
        process.send_signal(signal.SIGTERM)
        status = process.wait(timeout=30)
        if status:
            raise RuntimeError(f"the server ended with status {status}")
    finally:
        process.kill()
        process.wait()


class Found(NamedTuple):
    """What a run came to."""

    tally: Tally
    memory: list[float]  # MiB, after the warm-up
    descriptors: tuple[int, int]  # after the warm-up and at the end, when nobody asks
    seconds: float

    @property
    def growth(self) -> float:
        """The memory of the last fifth over that of the first one."""
        part = max(len(self.memory) // 5, 1)
        return statistics.median(self.memory[-part:]) / statistics.median(self.memory[:part])

    @property
    def faults(self) -> list[str]:
        """What must not be."""
        before, after = self.descriptors
        found = list(self.tally.faults)
        if self.growth > GROWTH:
            found.append(f"memory grew by {self.growth - 1:.1%}, from {self.memory[0]:.0f} MiB")
        if after > before:
            found.append(f"{after} descriptors are open, {before} were after the warm-up")
        return found


async def ready(server: Process) -> None:
    """Wait until the server answers.

    Raises:
        RuntimeError: it does not.
    """
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and server.process.poll() is None:
        with contextlib.suppress(OSError):
            status, _ = await once(server.address, get("/v2/health/ready"))
            if status == 200:
                return
        await asyncio.sleep(0.1)
    raise RuntimeError("the server does not answer")


async def busy(server: Process, seconds: float, models: pathlib.Path, tally: Tally) -> list[float]:
    """Let all clients ask for a while; return the memory meanwhile."""
    until, memory = time.monotonic() + seconds, []
    tasks = [
        asyncio.ensure_future(visit(server.address, until, tally, random.Random(number)))
        for number in range(CLIENTS)
    ]
    tasks.append(asyncio.ensure_future(reload(server.address, until, models, tally)))
    while time.monotonic() < until:
        memory.append(server.memory())
        await asyncio.sleep(SAMPLE)
    await asyncio.gather(*tasks)
    return memory


async def idle(server: Process) -> int:
    """Return the open descriptors, once those of clients that left are closed."""
    least = server.descriptors()
    for _ in range(20):
        await asyncio.sleep(0.1)
        least = min(least, server.descriptors())
    return least


async def session(server: Process, seconds: float, models: pathlib.Path) -> Found:
    """Warm up, measure, ask for the rest of the time, and measure again."""
    await ready(server)
    tally, warm = Tally(), min(WARM * seconds, WARM_MOST)
    await busy(server, warm, models, tally)
    before = await idle(server)
    memory = await busy(server, seconds - warm, models, tally)
    return Found(tally, memory, (before, await idle(server)), seconds)


def soak(seconds: float) -> Found:
    """Publish two versions, serve them, and let the clients in."""
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        models = folder / "models"
        for scale in (1.0, 2.0):
            served.put(models, "line", served.LINE, scale=scale)
        (models / "line" / "2").rename(folder / "spare")
        served.put(models, "flower", served.CLASSIFIER, classes=("red", "blue"))
        with serving(models) as server:
            return asyncio.run(session(server, seconds, models))


def table(found: Found) -> Iterator[str]:
    """Give the lines of what is printed."""
    yield f"{'what':20} {'requests':>9} {'p50 ms':>8} {'p99 ms':>8}  answers"
    for name, times in sorted(found.tally.seconds.items()):
        ordered = sorted(1e3 * t for t in times)
        p50, p99 = (ordered[min(int(q * len(ordered)), len(ordered) - 1)] for q in (0.5, 0.99))
        statuses = ", ".join(f"{n} x {s}" for s, n in sorted(found.tally.statuses[name].items()))
        yield f"{name:20} {len(times):9} {p50:8.2f} {p99:8.2f}  {statuses}"
    before, after = found.descriptors
    yield (
        f"memory {found.memory[0]:.0f} to {found.memory[-1]:.0f} MiB ({found.growth - 1:+.1%} "
        f"after the warm-up); descriptors {before} to {after}; {found.seconds:g} s"
    )


def main() -> None:
    """Run, print the table, and fail on what must not be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    found = soak(parser.parse_args().seconds)
    print(*table(found), sep="\n")
    if found.faults:
        sys.exit(
            "\n".join(["", f"{len(found.faults)} faults, the first of them:", *found.faults[:10]])
        )


if __name__ == "__main__":
    main()
