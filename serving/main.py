"""One process that serves a folder of models until it is told to stop."""

import contextlib
import logging
import os
import pathlib
import signal
import socket
import sys
from collections.abc import Iterator

from mastery_jax.workflow import launch
from mastery_jax.workflow.errors import ConfigError
from serving.access import keys
from serving.access.terms import Access
from serving.settings import Settings, check

__all__ = ["run"]

LOG = logging.getLogger(__name__)
GRACE = 10  # seconds for the requests under way when it is told to stop


def run(
    models: pathlib.Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    access: Access | None = None,
) -> None:
    """Serve ``models`` until SIGTERM or Ctrl-C; finish the requests under way; return.

    Raises:
        ConfigError: the folder is missing, or the address cannot be had.
    """
    terms = access or Access()
    settings = Settings(models=models, host=host, port=port, is_tried=True, access=terms)
    check(settings)
    with listen(host, port) as door:
        make_first_key(terms)
        serve(settings, door)


def make_first_key(access: Access) -> None:
    """Make a key where keys are asked for and there is none; say it once, and to no log.

    Raises:
        ConfigError: the file of keys cannot be read or written.
    """
    key = None if access.keys is None else keys.first(access.keys)
    if key is not None:
        sys.stderr.write(f"the first key, for everything, shown only now: {key}\n")
        sys.stderr.flush()


@contextlib.contextmanager
def listen(host: str, port: int) -> Iterator[socket.socket]:
    """Take the address before the models take their time; who comes early waits.

    Raises:
        ConfigError: it is taken, or not ours.
    """
    try:
        family, kind, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        door = socket.socket(family, kind)
    except OSError as error:
        raise ConfigError(f"host: {host}: {error.strerror}") from None
    except UnicodeError as error:  # a part of the name is empty or too long
        raise ConfigError(f"host: {host}: {error}") from None
    with door:
        try:
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            door.bind(address)
            door.listen()
        except OSError as error:
            where = address_of(host, port)
            raise ConfigError(f"port: {where} cannot be had: {error.strerror}") from None
        yield door


def address_of(host: str, port: int) -> str:
    """Return an address as a URL writes it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def serve(settings: Settings, door: socket.socket) -> None:
    """Answer requests at ``door``.

    Raises:
        ArtifactError: the folder has gone since it was checked.
    """
    # The programs are many and small; compiling them again costs more than keeping them.
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    launch.prepare(sync_dispatch=True)
    import uvicorn
    from uvicorn.config import LOGGING_CONFIG

    from mastery_jax.workflow import artifact
    from serving.app import create_app

    artifact.versions(settings.models)  # what is wrong with the folder is said before it starts
    app = create_app(settings)
    url = f"http://{address_of(settings.host, door.getsockname()[1])}"
    app.on_startup.append(lambda: LOG.info("%s answers, its documents are at %s/docs", url, url))
    loggers = LOGGING_CONFIG["loggers"] | {"serving": {"handlers": ["default"], "level": "INFO"}}
    config = uvicorn.Config(
        app,
        log_config=LOGGING_CONFIG | {"loggers": loggers},
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
    )
    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises them again when it is done
        signal.signal(number, signal.SIG_IGN)
    uvicorn.Server(config).run(sockets=[door])
