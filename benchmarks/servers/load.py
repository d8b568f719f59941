"""A closed-loop load generator: as many connections as told, each with one request under way.

    python load.py PORT CONNECTIONS SECONDS BODIES.json

BODIES.json is a list of request bodies for ``POST /predict``, sent in turn. Prints one JSON object:
requests answered with 200, other answers, seconds, and the median latency in milliseconds.
"""

import asyncio
import json
import pathlib
import statistics
import sys
import time

import uvloop


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


def length(head: bytes) -> int:
    _, _, rest = head.lower().partition(b"content-length:")
    return int(rest.partition(b"\r\n")[0])


async def main(port: int, connections: int, seconds: float, bodies: list[str]) -> dict:
    requests = [
        b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(body), body.encode())
        for body in bodies
    ]
    loop, start = asyncio.get_running_loop(), time.perf_counter()
    clients = []
    for first in range(connections):
        _, client = await loop.create_connection(
            lambda first=first: Connection(requests, first, start + seconds), "127.0.0.1", port
        )
        clients.append(client)
    await asyncio.gather(*(client.closed for client in clients))
    took = time.perf_counter() - start
    return {
        "good": sum(client.good for client in clients),
        "bad": sum(client.bad for client in clients),
        "seconds": took,
        "p50_ms": 1e3 * statistics.median(t for client in clients for t in client.latencies),
    }


if __name__ == "__main__":
    port, connections, seconds, bodies = sys.argv[1:]
    arguments = int(port), int(connections), float(seconds)
    bodies = json.loads(pathlib.Path(bodies).read_text())
    print(json.dumps(uvloop.run(main(*arguments, bodies))))
