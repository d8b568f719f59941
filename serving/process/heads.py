"""Clients that never finish the head of a request.

The body of a request has a deadline of its own (``body_seconds``); of the head, uvicorn knows
none, and no size either. A connection here must have sent a whole head in ``head_seconds``, and
in at most ``MOST`` bytes. Nothing is scheduled for a request: a head notes when it began, and one
sweep a second looks at all connections.
"""

import asyncio
import json

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

__all__ = ["Heads", "sweep"]

MOST = 2**16  # bytes of a head
PHRASES = {408: b"Request Timeout", 431: b"Request Header Fields Too Large"}


class Heads(HttpToolsProtocol):
    """A connection that knows since when it waits for a head; None while it waits for none."""

    since: float | None = None
    _bytes = 0
    _has_begun = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait."""
        super().connection_made(transport)  # pyright: ignore[reportArgumentType]
        self.since = self.loop.time()

    def on_message_begin(self) -> None:
        """Begin to wait for the rest of a head."""
        super().on_message_begin()
        self.since = self.loop.time()
        self._has_begun, self._bytes = True, 0

    def on_headers_complete(self) -> None:
        """Wait no more."""
        self.since, self._has_begun = None, False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Parse; refuse a head that does not end."""
        super().data_received(data)
        if self._has_begun:
            self._bytes += len(data)
            if self._bytes > MOST:
                self.refuse(431, f"the head of the request is above {MOST} bytes")

    def refuse(self, status: int, detail: str) -> None:
        """Answer what is no request yet, and close."""
        self.since, self._has_begun = None, False
        if self.transport.is_closing():
            return
        title = PHRASES[status]
        problem = {
            **{"type": "about:blank", "title": title.decode(), "status": status},
            **{"detail": detail, "instance": "", "request_id": None, "error": detail},
        }
        body = json.dumps(problem).encode()
        self.transport.write(
            b"HTTP/1.1 %d %b\r\ncontent-type: application/problem+json\r\n"
            b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (status, title, len(body), body)
        )
        self.transport.close()

    def give_up(self, seconds: float) -> None:
        """Close a connection whose head has not come."""
        if self._has_begun and (self.cycle is None or self.cycle.response_complete):
            self.refuse(408, f"the head of the request did not come in {seconds:g} s")
        else:
            self.transport.close()


async def sweep(state: ServerState, seconds: float) -> None:
    """Close the connections whose heads take more than ``seconds``, until it is cancelled."""
    clock = asyncio.get_running_loop().time
    while True:
        await asyncio.sleep(min(seconds / 4, 1.0))
        oldest = clock() - seconds
        for connection in list(state.connections):
            since = getattr(connection, "since", None)
            if since is not None and since < oldest and isinstance(connection, Heads):
                connection.give_up(seconds)
