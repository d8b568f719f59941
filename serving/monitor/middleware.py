"""The outermost ASGI layer: it sees what routing refuses, and every answer's status."""

import http
import itertools
import secrets
import time
from collections.abc import Callable

from litestar.types import ASGIApp, Message, Receive, Scope, Send

from serving.monitor.access import Access
from serving.monitor.metrics import Metrics
from serving.predict import head

__all__ = ["Monitor"]

UNMATCHED = "<unmatched>"  # one label for every path that is no route: a client may send any
CLOSE = (b"connection", b"close")
METHODS = frozenset(method.value for method in http.HTTPMethod)


class Monitor:
    """Reads the head of each request, gives it an id, counts and times its answer.

    Args:
        app: What is behind.
        metrics: Where it counts.
        access: What writes lines of requests.
        is_draining: Says whether the server stops soon: connections end with their next answer.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        access: Access,
        is_draining: Callable[[], bool],
    ) -> None:
        self.app = app
        self.is_draining = is_draining
        self.metrics = metrics
        self.access = access
        self._prefix = secrets.token_hex(6)  # of this start; a random id a request costs a syscall
        self._numbers = itertools.count()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = time.perf_counter()
        asked = head.read(scope["headers"])
        request_id = asked.request_id or f"{self._prefix}-{next(self._numbers):x}".encode()
        state = scope["state"]
        state["head"] = asked
        state["request_id"] = request_id.decode()
        status = 0

        async def stamped(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message["headers"], (b"x-request-id", request_id)]
                if self.is_draining() and CLOSE not in headers:
                    headers.append(CLOSE)
                message["headers"] = headers
            await send(message)

        await self.app(scope, receive, stamped)
        seconds = time.perf_counter() - start
        method = scope["method"] if scope["method"] in METHODS else "OTHER"
        endpoint = scope.get("path_template", UNMATCHED)
        if status:  # none: the client went away
            self.metrics.observe(method, endpoint, status, seconds)
        self.access(scope, method, endpoint, status, seconds)
