"""The bytes of all bodies that are under way: so many requests of the largest size are not held.

A body is counted as it comes and given back when its request ends. What a small one takes is
bounded by the number of requests, so it is not counted, and always let in.
"""

from collections.abc import Callable

from litestar.types import Receive, ReceiveMessage

from serving.access.refusal import Refusal

__all__ = ["SMALL", "Bodies", "Body"]

SMALL = 2**16  # bytes of a body that is not counted


class Bodies:
    """What the bodies of one process take.

    Args:
        most: Bytes, at least those of the largest body.
        refused: Counts a body that there was no room for.
    """

    def __init__(self, most: int, refused: Callable[[], None]) -> None:
        self.most, self.refused = most, refused
        self.held = 0


class Body:
    """What the body of one request takes; its ``receive`` is in place of the server's."""

    __slots__ = ("_behind", "_bodies", "_came", "_held")

    def __init__(self, bodies: Bodies, behind: Receive) -> None:
        self._bodies, self._behind = bodies, behind
        self._came = self._held = 0

    async def receive(self) -> ReceiveMessage:
        """Return the next part of the body.

        Raises:
            Refusal: as :meth:`take`.
        """
        message = await self._behind()
        if message["type"] == "http.request":
            self.take(len(message.get("body", b"")))
        return message

    def take(self, size: int) -> None:
        """Count what has come, or what it has become once it is decompressed.

        Raises:
            Refusal: 503, there is no room for it now.
        """
        self._came += size
        if self._came <= SMALL:
            return
        more = self._came - self._held
        if self._bodies.held + more > self._bodies.most:
            self._bodies.refused()
            detail = f"the bodies under way have {self._bodies.held} bytes already"
            raise Refusal(503, "room", detail, {"Retry-After": "1", "Connection": "close"})
        self._bodies.held += more
        self._held = self._came

    def give_back(self) -> None:
        """Count it no more."""
        self._bodies.held -= self._held
        self._held = 0
