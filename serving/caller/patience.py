"""How long, and how often, a request is sent.

A plan is a generator: it yields what is to be done (a request to send, seconds to wait), gets what
came of it, and returns the answer. So one text serves a client that blocks and one that awaits.

A request is sent again where the server said that it has not been computed (503, 429), where no
connection came about, and where the connection broke if twice is as good as once. The pauses are
drawn from [0, 0.1 s x 2^n], so that clients that were refused together do not come back together;
``Retry-After`` goes before them.
"""

import email.utils
import math
import random
import secrets
import time
from collections.abc import Generator, Mapping
from typing import NamedTuple, TypeVar

import httpx

from serving.caller.ask import Ask, ServingError

__all__ = ["Call", "Plan", "Send", "Wait", "send"]

T = TypeVar("T")

FIRST, LONGEST = 0.1, 5.0  # seconds: bounds of the first pause, and of every later one
AGAIN = frozenset({429, 503})  # nothing has been computed
LEAST_MS, MOST_MS = 1, 86_400_000  # what the server takes for a patience
CLOCK = time.monotonic
DRAW = random.Random()  # of pauses: from the clock, so that no two clients draw the same


class Send(NamedTuple):
    """A request to send now."""

    verb: str
    path: str
    content: bytes | None
    headers: Mapping[str, str]
    timeout: float | None  # seconds


class Wait(NamedTuple):
    """A pause."""

    seconds: float


Came = httpx.Response | httpx.RequestError | None
Plan = Generator[Send | Wait, Came, T]


class Call(NamedTuple):
    """One call of a client: what bounds all requests that it takes."""

    url: str  # of the server, in messages
    end: float  # on the monotonic clock; infinity: no bound
    retries: int
    request_id: str
    headers: Mapping[str, str]

    @property
    def left(self) -> float:
        """Seconds until the end."""
        return max(self.end - CLOCK(), 0.0)

    @classmethod
    def begin(
        cls, url: str, timeout: float | None, retries: int, headers: Mapping[str, str]
    ) -> "Call":
        """Begin one now."""
        end = math.inf if timeout is None else CLOCK() + timeout
        return cls(url, end, retries, secrets.token_hex(8), headers)


def send(ask: Ask[T], call: Call) -> Plan[T]:
    """Send a request until it is answered, or refused for good.

    Raises:
        ServingError: it is refused, nobody answers, or the time is over.
    """
    attempt = 0
    while True:
        came = yield _sent(ask, call)
        if isinstance(came, httpx.Response):
            if came.status_code not in AGAIN:
                return ask.read(came)
            asked_for = _retry_after(came.headers.get("retry-after", ""))
        else:
            asked_for = 0.0
        pause = asked_for + DRAW.uniform(0.0, min(FIRST * 2**attempt, LONGEST))
        if attempt >= call.retries or pause >= call.left or not _may_repeat(ask, came):
            break
        attempt += 1
        yield Wait(pause)
    if isinstance(came, httpx.Response):
        return ask.read(came)
    raise _unanswered(call, came)


def _sent(ask: Ask, call: Call) -> Send:
    headers = {**call.headers, **ask.headers, "X-Request-ID": call.request_id}
    if math.isinf(call.end):
        return Send(ask.verb, ask.path, ask.content, headers, None)
    left = call.left
    patience = min(max(math.floor(left * 1000), LEAST_MS), MOST_MS)
    headers["X-Request-Timeout-Ms"] = str(patience)
    return Send(ask.verb, ask.path, ask.content, headers, max(left, 1e-3))


def _may_repeat(ask: Ask, came: Came) -> bool:
    """Say whether the request was not computed, or may be once more, and came to nothing."""
    never_left = isinstance(came, httpx.Response | httpx.ConnectError | httpx.PoolTimeout)
    return never_left or (ask.is_repeatable and isinstance(came, httpx.TransportError))


def _retry_after(value: str) -> float:
    """Return the seconds that a server asks for: a number, or a date."""
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        when = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    return max(when.timestamp() - time.time(), 0.0)


def _unanswered(call: Call, error: httpx.RequestError | None) -> ServingError:
    """Return the error for a server that did not answer, or not so that it can be read."""
    if isinstance(error, httpx.ConnectError):
        return ServingError(None, f"no server answers at {call.url}; `mastery serve` starts one")
    why = str(error) or type(error).__name__
    if not isinstance(error, httpx.TransportError):
        detail = f"{call.url} does not answer as a mastery_jax server does: {why}"
        return ServingError(None, detail)
    return ServingError(None, f"the server at {call.url} did not answer: {why}")
