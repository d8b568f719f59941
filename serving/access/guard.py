"""Who asks: by a key, or by a session that a key began."""

import pathlib
import re
from typing import Self

from litestar.types import HTTPScope

from serving.access.address import Addresses
from serving.access.bucket import Buckets
from serving.access.refusal import in_query, unknown
from serving.access.ring import Holder, Ring
from serving.access.session import Sessions
from serving.access.terms import Access, is_loopback
from serving.predict.head import Head

__all__ = ["Guard"]

BEARER = b"bearer "
# A parameter that is named for a key, or any whose value looks like one.
LEAK = re.compile(
    rb"(^|[&;])(x-)?(api[-_]?key|access[-_]token|authorization)=|mastery_[\w-]{43}", re.IGNORECASE
)


class Guard:
    """The keys and the sessions of a server that asks for them."""

    def __init__(self, access: Access, host: str, folder: pathlib.Path | None = None) -> None:
        """Read the keys.

        Args:
            access: The terms.
            host: Where the server listens.
            folder: What its workers share; None where there is one process.

        Raises:
            ConfigError: the file of keys is damaged, or others may read or change it.
        """
        if access.keys is None:
            raise ValueError("a guard needs the file of keys")
        self.ring = Ring(access.keys, folder)
        self.sessions = Sessions(self.ring, access)
        self.addresses = Addresses(access.proxies)
        self.logins = Buckets(access.logins / 60, access.logins)
        # A proxy on this machine speaks TLS to the others.
        self.is_secure = not is_loopback(host) or bool(access.proxies)

    def __enter__(self) -> Self:
        """Begin to look whether the file changes."""
        self.ring.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.ring.__exit__()

    def check_query(self, query: bytes) -> None:
        """Refuse a key in an address.

        Raises:
            Refusal: 400.
        """
        if LEAK.search(query):
            raise in_query()

    def holder(self, scope: HTTPScope, asked: Head) -> Holder:
        """Return who asks.

        Raises:
            Refusal: 401, nobody who is known; 403, a session without its second token.
        """
        sent = asked.fields.get(b"authorization", b"")
        if sent[:7].lower() == BEARER:
            found = self.ring.find(sent[7:])
        else:
            key = asked.fields.get(b"x-api-key")
            found = self.sessions.holder(scope) if key is None else self.ring.find(key)
        if found is None:
            raise unknown()
        return found
