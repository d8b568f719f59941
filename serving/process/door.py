"""The address that a server listens at."""

import contextlib
import socket
from collections.abc import Iterator

from mastery_jax.workflow.errors import ConfigError

__all__ = ["address_of", "listen"]


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
