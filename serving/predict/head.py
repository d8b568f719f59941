"""What the headers of a request say: read once, when it comes."""

import math
import re
import time
from collections.abc import Iterable
from typing import NamedTuple

from litestar.exceptions import ClientException
from litestar.types import Scope

from serving.errors import shown

__all__ = ["Head", "head", "read"]

FIELDS = frozenset(
    {
        b"accept-encoding",
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"inference-header-content-length",
        b"x-api-key",
        b"x-request-id",
        b"x-request-timeout-ms",
        b"x-routing-key",
    }
)
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
LONGEST = 256  # bytes of a routing key
DAY_MS = 86_400_000
WAY, LONGEST_WAY = 0.05, 0.05  # of a client's time, or seconds, for the way to here and back


class Head(NamedTuple):
    """The headers that this server reads, and when they came."""

    fields: dict[bytes, bytes]
    came: float  # on the monotonic clock

    @property
    def request_id(self) -> bytes | None:
        """The client's own id where it is fit for a header and a log."""
        value = self.fields.get(b"x-request-id", b"")
        return value if REQUEST_ID.fullmatch(value) else None

    @property
    def deadline(self) -> float:
        """The end of the client's patience, on the monotonic clock; infinity where none is said.

        Raises:
            ClientException: what is said is no number of milliseconds.
        """
        value = self.fields.get(b"x-request-timeout-ms")
        if value is None:
            return math.inf
        if not value.isdigit() or len(value) > 8 or not 0 < int(value) <= DAY_MS:
            came = shown(value.decode("latin-1"))
            raise ClientException(
                f"X-Request-Timeout-Ms: {came} came, wanted milliseconds from 1 to {DAY_MS}"
            )
        return self.end(int(value) / 1000)

    def end(self, seconds: float) -> float:
        """Return when an answer must be sent, so that it is with its client in so many seconds."""
        return self.came + seconds - min(WAY * seconds, LONGEST_WAY)

    @property
    def routing_key(self) -> str | None:
        """Who asks, for traffic that sticks to a version."""
        value = self.fields.get(b"x-routing-key")
        return None if value is None else value[:LONGEST].decode("latin-1")


def read(headers: Iterable[tuple[bytes, bytes]]) -> Head:
    """Return the head of a request that comes now."""
    return Head({name: value for name, value in headers if name in FIELDS}, time.monotonic())


def head(scope: Scope) -> Head:
    """Return the head of a request."""
    return scope["state"]["head"]
