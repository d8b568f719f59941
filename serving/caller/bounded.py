"""A deadline for all that a blocking client does at its sockets.

httpx bounds each read and each write: a server that sends a byte from time to time is read to its
end, whenever that is. Here a socket waits no longer than until the deadline of the call.
"""

import contextlib
import contextvars
import math
import ssl
import time
from collections.abc import Iterable, Iterator
from typing import Any

import httpcore
import httpx

__all__ = ["Backend", "bound", "within"]

PART = 2**16  # bytes that a socket is given at a time, so that the deadline is looked at
_END = contextvars.ContextVar("end", default=math.inf)  # on the monotonic clock


@contextlib.contextmanager
def within(seconds: float | None) -> Iterator[None]:
    """Let sockets of bound clients wait so long, all in all; None: no limit."""
    token = _END.set(math.inf if seconds is None else time.monotonic() + seconds)
    try:
        yield
    finally:
        _END.reset(token)


def bound(client: httpx.Client) -> httpx.Client:
    """Have a client keep the deadline, through proxies too.

    httpx has no other way to its pools, which know the proxies of the environment.
    """
    for transport in (client._transport, *client._mounts.values()):
        pool = getattr(transport, "_pool", None)
        if pool is not None:
            pool._network_backend = Backend(pool._network_backend)
    return client


class Backend(httpcore.NetworkBackend):
    """Opens connections that keep the deadline."""

    def __init__(self, backend: httpcore.NetworkBackend) -> None:
        self._backend = backend

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Open a connection."""
        left = _left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._backend.connect_tcp(host, port, left, local_address, socket_options))


class _Stream(httpcore.NetworkStream):
    """A connection that keeps the deadline."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream
        self.close = stream.close
        self.get_extra_info = stream.get_extra_info

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), PART):
            part = buffer[start : start + PART]
            self._stream.write(part, _left(timeout, httpcore.WriteTimeout))

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left = _left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left))


def _left(timeout: float | None, late: type[Exception]) -> float | None:
    """Return the seconds that a socket may wait.

    Raises:
        Exception: of the kind ``late``: the time is over.
    """
    left = _END.get() - time.monotonic()
    if left <= 0:
        raise late("timed out")
    return min(left, math.inf if timeout is None else timeout) if math.isfinite(left) else timeout
