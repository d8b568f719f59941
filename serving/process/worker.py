"""One process that answers."""

import gc
import logging
import os
import pathlib
import signal
import socket
import sys
import threading
from typing import Any

import msgspec

from mastery_jax.workflow import launch
from mastery_jax.workflow.errors import UserError
from serving.process.door import address_of
from serving.process.team import Team
from serving.settings import Settings

__all__ = ["main", "pack", "serve"]

LOG = logging.getLogger("serving.process.worker")  # it may be run as __main__
STOPS = (signal.SIGTERM, signal.SIGINT)
MISTAKE = 2  # the exit status of what a user can mend


def serve(settings: Settings, door: socket.socket, team: Team) -> int:
    """Answer requests at ``door`` until it is told to stop; return the exit status.

    Raises:
        ArtifactError: the folder has gone since it was checked.
    """
    for number in STOPS:  # until there is a server, there is nothing to finish
        signal.signal(number, lambda *_: os._exit(0))
    # The programs are many and small; compiling them again costs more than keeping them.
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    launch.prepare(sync_dispatch=True)
    from mastery_jax.workflow import artifact
    from serving.app import create_app
    from serving.engine import hand
    from serving.models.folder import lack
    from serving.monitor import logs
    from serving.process import rust, server

    logs.start(settings.log_format, settings.log_level)
    found, unreadable = artifact.versions(settings.models)  # said before it starts, if it is wrong
    if team.index == 0 and not found and not unreadable:
        LOG.warning("models: %s", lack(settings.models))
    app = create_app(settings, team)
    url = f"http://{address_of(settings.host, door.getsockname()[1])}"
    if team.index == 0:
        said = "%s answers, its documents are at %s/docs"
        app.on_startup.append(lambda: LOG.info(said, url, url))
    app.on_startup.append(settle)
    run = {"uvicorn": server.serve, "granian": rust.serve}[settings.server]
    status = run(app, door, team, settings)
    if hand.busy():
        LOG.warning("the process ends in the middle of a computation that does not")
        logging.shutdown()
        os._exit(status)
    return status


def settle() -> None:
    """Take what is there for good out of the collector's sight.

    A full collection of a process with jax in it stops the event loop for a quarter of a second.
    """
    gc.collect()
    gc.freeze()


def pack(settings: Settings) -> bytes:
    """Return settings as one line."""
    return msgspec.json.encode(settings, enc_hook=os.fspath) + b"\n"


def unpack(line: bytes) -> Settings:
    """Return the settings of a line."""

    def path(kind: type, value: Any) -> pathlib.Path:
        return pathlib.Path(value)

    return msgspec.json.decode(line, type=Settings, dec_hook=path)


def main() -> int:
    """Work for a supervisor: the settings come over standard input, which ends when it does."""
    index, count, number, folder = sys.argv[1:]
    line = b""
    while not line.endswith(b"\n"):
        more = os.read(0, 2**16)
        if not more:
            return 0
        line += more
    threading.Thread(target=_end_with_the_supervisor, daemon=True).start()
    team = Team(pathlib.Path(folder), int(index), int(count))
    with socket.socket(fileno=int(number)) as door:
        try:
            return serve(unpack(line), door, team)
        except UserError as error:
            sys.stderr.write(f"mastery: {error}\n")
            return MISTAKE


def _end_with_the_supervisor() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
