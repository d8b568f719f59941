"""A browser's key for a while: a signed cookie, so that no script of a page ever holds the key.

The cookie is a JSON Web Token of the key's name. It is good while its time has not passed and its
key is in the file. A browser sends it with whatever a page of the same site asks, so what changes
or computes must also send the second token, which only the page that logged in can read.
"""

import hmac
import logging
import secrets
import time
from typing import Any

from litestar.types import HTTPScope

from serving.access import keys
from serving.access.refusal import forbidden
from serving.access.ring import Holder, Ring
from serving.access.terms import Access

__all__ = ["COOKIE", "CSRF_COOKIE", "CSRF_HEADER", "Sessions"]

LOG = logging.getLogger(__name__)
COOKIE, CSRF_COOKIE = "mastery_session", "mastery_csrf"
CSRF_HEADER = b"x-csrf-token"
ALGORITHM = "HS256"  # the only one that is read: a token does not choose how it is checked
CLAIMS = ["exp", "iat", "sub", "kid", "csrf"]
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
LONGEST = 2048  # bytes of a cookie that is worth checking


class Sessions:
    """Signs and reads the cookies of one server."""

    def __init__(self, ring: Ring, access: Access) -> None:
        """Read the secret.

        Raises:
            ConfigError: it is damaged, or others may read it.
        """
        self.ring = ring
        self.seconds = access.session_seconds
        try:
            self._secret = keys.secret(ring.path)
        except keys.UnwritableError as error:  # keys may be given to be read only
            LOG.warning("%s; sessions end with this process", error)
            self._secret = secrets.token_bytes(keys.SECRET_BYTES)

    def begin(self, holder: Holder) -> tuple[str, str]:
        """Return the token of a new session, and the second token beside it."""
        import jwt

        now, csrf = int(time.time()), secrets.token_urlsafe(16)
        claims = {
            "sub": holder.name,
            "kid": _mark(holder),
            "csrf": csrf,
            "iat": now,
            "exp": now + self.seconds,
        }
        return jwt.encode(claims, self._secret, ALGORITHM), csrf

    def holder(self, scope: HTTPScope) -> Holder | None:
        """Return whose session a request belongs to; ``None`` where it has none that is good.

        Raises:
            Refusal: 403, the second token is not there.
        """
        token = cookie(scope, COOKIE.encode())
        claims = None if token is None else self._read(token)
        holder = None if claims is None else self.ring.named(claims["sub"])
        if claims is None or holder is None:
            return None
        if not hmac.compare_digest(claims["kid"].encode(), _mark(holder).encode()):
            return None  # another key has the name now
        if scope["method"] not in SAFE:
            sent = next((v for name, v in scope["headers"] if name == CSRF_HEADER), b"")
            if not hmac.compare_digest(sent, claims["csrf"].encode()):
                raise forbidden("X-CSRF-Token: the token that came with the session is wanted")
        return holder

    def _read(self, token: bytes) -> dict[str, Any] | None:
        """Return what a token says, if this server signed it and its time has not passed."""
        import jwt

        try:
            claims = jwt.decode(
                token, self._secret, algorithms=[ALGORITHM], options={"require": CLAIMS}
            )
        except (jwt.InvalidTokenError, ValueError):
            return None
        are_texts = all(isinstance(claims[name], str) for name in ("sub", "kid", "csrf"))
        return claims if are_texts else None


def cookie(scope: HTTPScope, name: bytes) -> bytes | None:
    """Return a cookie of a request."""
    for key, line in scope["headers"]:
        if key != b"cookie":
            continue
        for part in line.split(b";"):
            found, _, value = part.strip().partition(b"=")
            if found == name and len(value) <= LONGEST:
                return value
    return None


def _mark(holder: Holder) -> str:
    """Return what tells a key from a later one of the same name, and nothing of the key."""
    return keys.digest(holder.digest).hex()[:16]
