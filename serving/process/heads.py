"""Clients that never finish the head of a request, or never take their answer.

The body of a request has a deadline of its own (``body_seconds``); of the head, uvicorn knows
none, and no size either, and what a client does not read it keeps for ever. A connection here must
have sent a whole head in ``head_seconds``, and in at most ``MOST`` bytes, and must have taken
something of its answer in ``head_seconds``. Nothing is scheduled for a request: a head notes when
it began, and one sweep a second looks at all connections.
"""

import asyncio
import json

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

__all__ = ["MOST", "Heads", "sweep"]

MOST = 2**16  # bytes of a head
LONG = 431, f"the head of the request is above {MOST} bytes"
NONE = 400, "what came is no HTTP request"
PHRASES = {
    400: b"Bad Request",
    408: b"Request Timeout",
    431: b"Request Header Fields Too Large",
}


class Heads(HttpToolsProtocol):
    """A connection that knows since when it waits for its client."""

    since: float | None = None  # for a head
    _has_begun = False  # a head, which has not ended
    _parsed = 0  # bytes of its lines
    _read = 0  # bytes that came while it did not end; a body may be before it where it begins
    _refusal: tuple[int, str] | None = None  # what is no request; nothing is read any more
    _unsent = 0  # bytes that the client had not taken when it was last looked
    _unsent_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait."""
        super().connection_made(transport)  # pyright: ignore[reportArgumentType]
        self.since = self.loop.time()

    def on_message_begin(self) -> None:
        """Begin to wait for the rest of a head."""
        super().on_message_begin()
        self.since = self.loop.time()
        self._has_begun, self._parsed, self._read = True, 0, 0

    def on_url(self, url: bytes) -> None:
        """Take a part of the address."""
        super().on_url(url)
        self._parse(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a line of a head."""
        super().on_header(name, value)
        self._parse(len(name) + len(value))

    def _parse(self, size: int) -> None:
        self._parsed += size
        if self._parsed > MOST:
            raise ValueError("the head is too long")  # the parser ends

    def on_headers_complete(self) -> None:
        """Wait no more."""
        self.since, self._has_begun = None, False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Parse; refuse a head that does not end."""
        if self._refusal is not None:
            return
        had_begun = self._has_begun
        super().data_received(data)
        if had_begun and self._has_begun:
            self._read += len(data)
            if self._read > MOST:
                self.refuse(*LONG)

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser does not take."""
        self.refuse(*(LONG if self._parsed > MOST else NONE))

    def on_response_complete(self) -> None:
        """Go on with what came behind the request that has its answer now."""
        super().on_response_complete()
        if self._refusal is not None and self.cycle.response_complete:
            self._write(*self._refusal)

    def refuse(self, status: int, detail: str) -> None:
        """Answer what is no request, and close: once the requests before it have their answers."""
        self.since, self._has_begun = None, False
        self._refusal = status, detail
        is_owed = self.cycle is not None and not self.cycle.response_complete
        if not is_owed or (self.cycle.more_body and not self.pipeline):  # its own body is broken
            self._write(status, detail)

    def _write(self, status: int, detail: str) -> None:
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

    def look(self, now: float, seconds: float) -> None:
        """Close a connection whose client has let the server wait for more than ``seconds``."""
        unsent = self.transport.get_write_buffer_size()
        if unsent != self._unsent or not unsent:
            self._unsent, self._unsent_since = unsent, now
        elif now - self._unsent_since > seconds:
            self.transport.abort()
        if self.since is None or now - self.since <= seconds:
            return
        if self.flow.read_paused:  # it is the server that does not read
            self.since = now
        elif self._has_begun:
            self.refuse(408, f"the head of the request did not come in {seconds:g} s")
        else:
            self.transport.close()


async def sweep(state: ServerState, seconds: float) -> None:
    """Look at all connections again and again, until it is cancelled."""
    clock = asyncio.get_running_loop().time
    while True:
        await asyncio.sleep(min(seconds / 4, 1.0))
        now = clock()
        for connection in list(state.connections):
            if isinstance(connection, Heads):
                connection.look(now, seconds)
