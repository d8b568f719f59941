"""What a server is told of access, and who it is open to at its start."""

import ipaddress
import os
import pathlib
from collections.abc import Sequence

import msgspec

from mastery_jax.workflow.errors import ConfigError

__all__ = ["Access", "check", "default_file", "is_loopback", "networks", "settle"]


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """Whose requests are answered, and how many at a time."""

    keys: pathlib.Path | None = None  # the file of keys; None: whoever reaches the port may ask
    public_metrics: bool = False  # /metrics asks for no key
    proxies: tuple[str, ...] = ()  # addresses or networks whose X-Forwarded-For is believed
    max_in_flight: int = 1024  # requests at the same time; health and metrics are not counted
    key_share: float = 0.5  # of these, for one key: the others always find room
    logins: int = 10  # a minute from one address
    session_seconds: int = 12 * 60 * 60


def default_file() -> pathlib.Path:
    """Return where keys are kept: ``mastery_jax/keys.json`` in the user's config folder."""
    base = os.environ.get("XDG_CONFIG_HOME") or pathlib.Path.home() / ".config"
    return pathlib.Path(base) / "mastery_jax" / "keys.json"


def is_loopback(host: str) -> bool:
    """Say whether an address is reached from this machine alone; of names, localhost alone is."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def settle(host: str, keys: pathlib.Path | None, *, is_open: bool) -> pathlib.Path | None:
    """Return the file of the keys that a server asks for, ``None`` where it asks for none.

    Args:
        host: The address that it listens at.
        keys: The file that was named, if one was.
        is_open: No keys are wanted.

    Raises:
        ConfigError: no keys are wanted where others than this machine's users may ask, or they
            are both named and not wanted.
    """
    if is_open and keys is not None:
        raise ConfigError(f"keys: {keys} came with --no-keys; give one of them")
    if is_open and not is_loopback(host):
        raise ConfigError(
            f"host: {host} is reached from other machines, so --no-keys (--open) is refused; "
            "`mastery keys add` makes a key"
        )
    if is_open:
        return None
    if keys is not None or not is_loopback(host):
        return keys or default_file()
    found = default_file()
    try:
        return found if found.exists() else None
    except OSError as error:
        raise ConfigError(f"keys: {found} cannot be read: {error.strerror or error}") from None


def networks(
    proxies: Sequence[str],
) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    """Return the networks of trusted proxies.

    Raises:
        ConfigError: one is neither an address nor a network.
    """
    found = []
    for proxy in proxies:
        try:
            found.append(ipaddress.ip_network(proxy, strict=False))
        except ValueError:
            raise ConfigError(
                f"proxies: {proxy!r} is no address or network, such as 10.0.0.7 or 10.0.0.0/8"
            ) from None
    return tuple(found)


def check(access: Access, host: str) -> None:
    """Refuse terms that no server can start with.

    Raises:
        ConfigError: the field, what it holds, and what was wanted.
    """
    if access.keys is None and not is_loopback(host):
        raise ConfigError(f"keys: there are none, and {host} is reached from other machines")
    if access.max_in_flight < 1:
        raise ConfigError(f"max_in_flight: {access.max_in_flight} is below 1")
    if not 0 < access.key_share <= 1:
        raise ConfigError(f"key_share: {access.key_share:g} is not above 0 and at most 1")
    if access.logins < 1:
        raise ConfigError(f"logins: {access.logins} is below 1")
    if access.session_seconds < 1:
        raise ConfigError(f"session_seconds: {access.session_seconds} is below 1")
    networks(access.proxies)
