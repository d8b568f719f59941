"""Where a request comes from, through the proxies that are trusted."""

import ipaddress

from litestar.types import Scope

from serving.access.terms import networks

__all__ = ["Addresses"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
HOME = 64  # bits of an IPv6 address that one subscriber has; the others are free to choose


class Addresses:
    """Reads a client's address; ``X-Forwarded-For`` counts only where a listed proxy sends it."""

    def __init__(self, proxies: tuple[str, ...]) -> None:
        self.proxies = networks(proxies)

    def of(self, scope: Scope) -> str:
        """Return the client's address, or of IPv6 its network: one limit for both."""
        peer = scope.get("client")
        name = peer[0] if peer else ""
        found = _address(name)
        if found is None or not self._is_trusted(found):
            return name if found is None else _home(found)
        lines = [value for key, value in scope["headers"] if key == b"x-forwarded-for"]
        for part in reversed(b",".join(lines).decode("latin-1").split(",")):
            before = _address(part.strip())
            if before is None:  # what is left of it may be anything
                break
            found = before
            if not self._is_trusted(found):
                break
        return _home(found)

    def _is_trusted(self, address: Address) -> bool:
        return any(address in network for network in self.proxies)


def _address(text: str) -> Address | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return found if mapped is None else mapped


def _home(address: Address) -> str:
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(ipaddress.ip_network((address, HOME), strict=False))
