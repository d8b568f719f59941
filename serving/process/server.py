"""uvicorn, the HTTP server, and how it ends.

The first SIGTERM (or Ctrl-C) ends readiness; ``drain`` seconds later no connection is taken any
more, the requests under way and in the queues are answered, and the process ends with status 0.
The second one ends it at once.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import time
from collections.abc import Iterator
from typing import Any

import uvicorn
from litestar import Litestar

from serving.process.heads import Heads, sweep
from serving.process.team import Team
from serving.settings import Settings

__all__ = ["GRACE", "STOPS", "TWICE", "Server", "serve"]

LOG = logging.getLogger(__name__)
GRACE = 10  # seconds for the requests under way when it is told to stop
STOPS = (signal.SIGTERM, signal.SIGINT)
TWICE = "told to stop twice: requests under way are dropped"


class Server(uvicorn.Server):
    """A server that says that it will stop before it does."""

    def __init__(self, config: uvicorn.Config, team: Team, settings: Settings) -> None:
        super().__init__(config)
        self._team, self._settings = team, settings
        self._end: float | None = None  # on the monotonic clock

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Stop in a while; at the second time, now."""
        if not self.started:  # there is no request that could be finished
            os._exit(0)
        if self._end is not None:
            LOG.warning(TWICE)
            os._exit(128 + sig)
        self._team.is_draining = True
        self._end = time.monotonic() + self._settings.drain
        self.should_exit = self._settings.drain == 0

    async def on_tick(self, counter: int) -> bool:
        """Say whether it is time to stop."""
        if self._end is not None and time.monotonic() >= self._end:
            self.should_exit = True
        return await super().on_tick(counter)

    async def main_loop(self) -> None:
        """Answer, and watch the connections."""
        sweeper = asyncio.ensure_future(sweep(self.server_state, self._settings.head_seconds))
        try:
            await super().main_loop()
        finally:
            sweeper.cancel()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take the signals for good: what comes after the end must not change the status."""
        for number in STOPS:
            signal.signal(number, self.handle_exit)
        yield
        for number in STOPS:
            signal.signal(number, signal.SIG_IGN)


def serve(app: Litestar, door: socket.socket, team: Team, settings: Settings) -> int:
    """Answer at ``door`` until it is told to stop; return the exit status."""
    config = uvicorn.Config(
        app,
        http=Heads,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=GRACE,
    )
    server = Server(config, team, settings)
    server.run(sockets=[door])
    return 0 if server.started else 1
