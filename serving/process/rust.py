"""granian, the other HTTP server: its sockets and its parser are Rust's.

It has a deadline for heads of its own, and stops at the same words. One of its workers runs in
this process, at the address that is taken already; the supervisor is ours.
"""

import asyncio
import logging
import os
import signal
import socket

from litestar import Litestar

from serving.process.heads import MOST
from serving.process.server import GRACE, STOPS, TWICE
from serving.process.team import Team
from serving.settings import Settings

__all__ = ["serve"]

LOG = logging.getLogger(__name__)
BACKLOG = 2048


def serve(app: Litestar, door: socket.socket, team: Team, settings: Settings) -> int:
    """Answer at ``door`` until it is told to stop; return the exit status."""
    from granian.constants import HTTPModes, Interfaces
    from granian.http import HTTP1Settings
    from granian.net import SocketHolder  # pyright: ignore[reportPrivateImportUsage]
    from granian.server.embed import Server

    port = door.getsockname()[1]
    holder = door.detach()  # from here on it is granian's to close

    class Embedded(Server):
        """A server at a socket that is bound already."""

        def _init_shared_socket(self) -> None:
            self._ssp = None
            self._shd = SocketHolder(holder, False, BACKLOG)  # pyright: ignore[reportCallIssue]

    async def run() -> int:
        server = Embedded(
            app,
            address=settings.host,  # in its log alone: the socket is there
            port=port,
            interface=Interfaces.ASGI,
            http=HTTPModes.http1,
            websockets=False,
            http1_settings=HTTP1Settings(
                header_read_timeout=int(1000 * settings.head_seconds), max_buffer_size=MOST
            ),
            # It sets levels only: what is not incremental closes every handler that there is.
            log_dictconfig={"incremental": True, "handlers": {}, "loggers": {}},
        )
        server.workers_kill_timeout = GRACE
        loop, told = asyncio.get_running_loop(), []

        def stop(number: int) -> None:
            if told:
                LOG.warning(TWICE)
                os._exit(128 + number)
            told.append(number)
            team.is_draining = True
            loop.call_later(settings.drain, server.stop)

        for number in STOPS:
            loop.add_signal_handler(number, stop, number)
        await server.serve()
        return 0 if told else 1

    return _loop_of(run)


def _loop_of(run) -> int:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        status = runner.run(run())
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)
    return status
