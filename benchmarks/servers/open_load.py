"""An open-loop load generator: requests come when they come, whatever becomes of those before.

    python open_load.py PORT RATE SECONDS DEADLINE_MS REQUESTS

Requests start at the moments of a Poisson process. Each takes a connection that is idle, or a new
one; latency counts from the moment at which it was due, so that a generator that is held up hides
nothing. Prints one JSON object: by status how many answers came and the quantiles of their
latency in milliseconds; how many with 200 came within the deadline; how many requests were never
sent, lost or not answered; and how late the generator itself was.
"""

import asyncio
import collections
import json
import random
import sys
import time

import uvloop
from load import length, quantile, read

OPEN = 256  # connections at the start
MOST = 4096  # at any time; what would need more is counted as not sent
TICK = 5e-4  # seconds between two looks at the clock
PATIENCE = 5.0  # seconds for the last answers


class Connection(asyncio.Protocol):
    """One keep-alive connection; it goes back to the idle ones after each answer."""

    def __init__(self, load: "Load") -> None:
        self.load, self.buffer = load, b""
        self.due = None  # when the request under way should have been sent

    def connection_made(self, transport):
        """Keep the socket."""
        self.transport = transport

    def send(self, content, due):
        """Ask a question."""
        self.due = due
        self.transport.write(content)

    def data_received(self, data):
        """Take in an answer."""
        self.buffer += data
        head, separator, body = self.buffer.partition(b"\r\n\r\n")
        if not separator or len(body) < length(head):
            return
        self.buffer = b""
        self.load.answers[int(head[9:12])].append(time.perf_counter() - self.due)
        self.due = None
        self.load.idle.append(self)

    def connection_lost(self, error):
        """Count a request that will not be answered."""
        self.load.connections -= 1
        self.load.lost += self.due is not None
        self.due = None
        self.transport = None


class Load:
    """Requests at a rate."""

    def __init__(self, port: int, rate: float, seconds: float, requests: list[bytes]) -> None:
        self.port, self.requests = port, requests
        self.idle: collections.deque[Connection] = collections.deque()
        self.answers: dict[int, list[float]] = collections.defaultdict(list)
        self.late: list[float] = []
        self.sent, self.unsent, self.lost, self.connections = 0, 0, 0, 0
        dice, moment, self.moments = random.Random(0), 0.0, []
        while (moment := moment + dice.expovariate(rate)) < seconds:
            self.moments.append(moment)
        self.opening: set[asyncio.Task] = set()

    async def open(self) -> Connection:
        """Open a connection."""
        self.connections += 1
        loop = asyncio.get_running_loop()
        _, one = await loop.create_connection(lambda: Connection(self), "127.0.0.1", self.port)
        return one

    async def send_on_a_new_one(self, content: bytes, due: float) -> None:
        """Open a connection for a request that found none idle."""
        try:
            one = await self.open()
        except OSError:
            self.connections -= 1
            self.lost += 1
        else:
            one.send(content, due)

    def send(self, due: float) -> None:
        """Send one request."""
        content = self.requests[self.sent % len(self.requests)]
        while self.idle:
            one = self.idle.popleft()
            if one.transport is not None:
                one.send(content, due)
                break
        else:
            if self.connections >= MOST:
                self.unsent += 1
                return
            task = asyncio.ensure_future(self.send_on_a_new_one(content, due))
            self.opening.add(task)
            task.add_done_callback(self.opening.discard)
        self.sent += 1
        self.late.append(time.perf_counter() - due)

    @property
    def owed(self) -> int:
        """How many answers have not come."""
        return self.sent - self.lost - sum(map(len, self.answers.values()))

    async def run(self) -> None:
        """Send everything at its moment; wait for the answers."""
        self.idle.extend(await asyncio.gather(*(self.open() for _ in range(OPEN))))
        start = time.perf_counter()
        for moment in self.moments:
            while time.perf_counter() < start + moment:
                await asyncio.sleep(min(TICK, max(start + moment - time.perf_counter(), 0.0)))
            self.send(start + moment)
            if self.sent % 16 == 0:
                await asyncio.sleep(0)  # answers come in even when the generator is behind
        end = time.perf_counter() + PATIENCE
        while self.owed and time.perf_counter() < end:
            await asyncio.sleep(0.02)


def told(load: Load, seconds: float, deadline: float) -> dict:
    """Return what became of the requests."""
    milliseconds = {status: [1e3 * t for t in each] for status, each in load.answers.items()}
    return {
        "asked": len(load.moments),
        "seconds": seconds,
        "within": sum(t <= deadline for t in milliseconds.get(200, ())),
        "unsent": load.unsent,
        "lost": load.lost,
        "owed": load.owed,
        "behind": 1e3 * quantile(load.late, 0.99),
        "answers": {
            status: {
                "count": len(each),
                "p50": quantile(each, 0.5),
                "p99": quantile(each, 0.99),
                "max": max(each),
            }
            for status, each in milliseconds.items()
        },
    }


if __name__ == "__main__":
    port, rate, seconds, deadline, path = sys.argv[1:]
    load = Load(int(port), float(rate), float(seconds), read(path))
    uvloop.run(load.run())
    print(json.dumps(told(load, float(seconds), float(deadline))))
