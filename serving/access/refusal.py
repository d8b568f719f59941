"""Why a request is refused before it is read, for its client and for the count of refusals."""

import math

from litestar.exceptions import HTTPException

__all__ = ["REASONS", "Refusal", "forbidden", "in_query", "too_many", "unknown"]

# key_in_query  a key came where logs keep it
# unknown       no key, or none that is good
# forbidden     the key lacks the scope, or a session its second token
# rate          a key asks faster than it may
# share         a key has too many requests under way
# room          the server has
# login         an address tries too many keys
REASONS = ("key_in_query", "unknown", "forbidden", "rate", "share", "room", "login")


class Refusal(HTTPException):
    """A refusal that is counted by its reason."""

    def __init__(
        self, status: int, reason: str, detail: str, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(detail, status_code=status, headers=headers)
        self.reason = reason


def in_query() -> Refusal:
    """Return the refusal of a key in the address, which it does not repeat."""
    detail = (
        "a key came in the query string, where logs keep it: send it as Authorization: Bearer or "
        "X-API-Key, and replace it by a new one"
    )
    return Refusal(400, "key_in_query", detail)


def unknown() -> Refusal:
    """Return the refusal of who is not known; it says not which part was wrong."""
    detail = "a key that is good is wanted, as Authorization: Bearer or X-API-Key"
    return Refusal(401, "unknown", detail, {"WWW-Authenticate": 'Bearer realm="mastery_jax"'})


def forbidden(detail: str) -> Refusal:
    """Return the refusal of what the key is not for."""
    return Refusal(403, "forbidden", detail)


def too_many(reason: str, detail: str, seconds: float, status: int = 429) -> Refusal:
    """Return the refusal of what may be asked again in so many seconds."""
    return Refusal(status, reason, detail, {"Retry-After": str(max(math.ceil(seconds), 1))})
