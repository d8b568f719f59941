"""The lines of requests in the log: of those that failed or were slow, and at DEBUG of each one.

A line has what says where to look, and nothing that a client keeps secret: no body, no query, no
header but the request's id.
"""

import logging
import time

from litestar.types import Scope

__all__ = ["FIELDS", "MOST", "Access"]

LOG = logging.getLogger(__name__)
MOST = 100  # lines a second: a server that refuses thousands must not spend its time on saying so

FIELDS = (
    "request_id",
    "method",
    "route",
    "status",
    "milliseconds",
    "model",
    "version",
    "function",
    "left_out",
)


class Access:
    """Writes a line where one is due.

    Args:
        slow: Seconds; what takes longer has a line.
    """

    def __init__(self, slow: float) -> None:
        self._slow = slow
        self._second, self._lines, self._left_out = 0, 0, 0

    def __call__(self, scope: Scope, method: str, route: str, status: int, seconds: float) -> None:
        """See a request that is over; a status of 0 says that the client went away."""
        if status >= 500 or seconds > self._slow:
            if self._has_room():
                self._write(logging.WARNING, scope, method, route, status, seconds)
        elif LOG.isEnabledFor(logging.DEBUG):
            self._write(logging.DEBUG, scope, method, route, status, seconds)

    def _has_room(self) -> bool:
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._lines = second, 0
        self._lines += 1
        self._left_out += self._lines > MOST
        return self._lines <= MOST

    def _write(
        self, level: int, scope: Scope, method: str, route: str, status: int, seconds: float
    ) -> None:
        state = scope["state"]
        said = {
            "request_id": state.get("request_id"),
            "method": method,
            "route": route,
            "status": status or None,
            "milliseconds": round(1000 * seconds, 3),
        }
        if "asked" in state:  # model/version/method, as the queue is named
            said["model"], said["version"], said["function"] = state["asked"].split("/")
        if self._left_out:  # lines since the last one
            said["left_out"], self._left_out = self._left_out, 0
        LOG.log(level, "%s %s %s", method, route, status or "went away", extra=said)
