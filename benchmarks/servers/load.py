"""A closed-loop load generator: as many connections as told, each with one request under way.

    python load.py PORT CONNECTIONS SECONDS REQUESTS

REQUESTS is a file of whole requests, each after a line with its length; they are sent in turn.
Prints one JSON object: requests answered with 200, other answers, seconds, and the median and the
99th percentile of the latency in milliseconds.
"""

import asyncio
import json
import pathlib
import sys
import time

import uvloop


def read(path: str) -> list[bytes]:
    """Return the requests of a file."""
    requests, rest = [], pathlib.Path(path).read_bytes()
    while rest:
        size, _, rest = rest.partition(b"\n")
        requests.append(rest[: int(size)])
        rest = rest[int(size) :]
    return requests


def quantile(values: list[float], share: float) -> float:
    """Return a quantile of what was measured; NaN of nothing."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def length(head: bytes) -> int:
    """Return how long the body after a head is."""
    _, _, rest = head.lower().partition(b"content-length:")
    return int(rest.partition(b"\r\n")[0])


class Connection(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, requests: list[bytes], first: int, end: float) -> None:
        self.requests, self.next, self.end = requests, first, end
        self.buffer = b""
        self.good, self.bad, self.latencies = 0, 0, []
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        """Ask the first question."""
        self.transport = transport
        self.send()

    def send(self):
        """Ask the next question."""
        self.sent = time.perf_counter()
        self.transport.write(self.requests[self.next % len(self.requests)])
        self.next += 1

    def data_received(self, data):
        """Take in an answer; once it is whole, ask again."""
        self.buffer += data
        head, separator, body = self.buffer.partition(b"\r\n\r\n")
        if not separator or len(body) < length(head):
            return
        self.buffer = b""
        now = time.perf_counter()
        self.latencies.append(now - self.sent)
        if head.startswith(b"HTTP/1.1 200"):
            self.good += 1
        else:
            self.bad += 1
        if now < self.end:
            self.send()
        else:
            self.transport.close()

    def connection_lost(self, error):
        """Say that this connection is done."""
        self.closed.set_result(None)


async def main(port: int, connections: int, seconds: float, requests: list[bytes]) -> dict:
    """Keep every connection busy; return what came back."""
    loop, start = asyncio.get_running_loop(), time.perf_counter()
    clients = []
    for first in range(connections):
        _, client = await loop.create_connection(
            lambda first=first: Connection(requests, first, start + seconds), "127.0.0.1", port
        )
        clients.append(client)
    await asyncio.gather(*(client.closed for client in clients))
    took = time.perf_counter() - start
    latencies = [1e3 * t for client in clients for t in client.latencies]
    return {
        "good": sum(client.good for client in clients),
        "bad": sum(client.bad for client in clients),
        "seconds": took,
        "p50": quantile(latencies, 0.5),
        "p99": quantile(latencies, 0.99),
    }


if __name__ == "__main__":
    port, connections, seconds, path = sys.argv[1:]
    asked = main(int(port), int(connections), float(seconds), read(path))
    print(json.dumps(uvloop.run(asked)))
