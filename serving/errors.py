"""One shape for every refusal: RFC 9457 problem details.

A refusal names the field, what came and what was wanted. A fault of the server says nothing of
its reason: that is in the log, under the request's id.
"""

import http
import logging
import math
import re
from collections.abc import Callable, Mapping

import msgspec
from litestar import Request, Response
from litestar.exceptions import ClientException, HTTPException, ValidationException
from litestar.openapi.datastructures import ResponseSpec
from litestar.types import Scope, Send

from mastery_jax.workflow import spelling
from serving.wire import Problem

__all__ = [
    "REFUSALS",
    "encoded",
    "late",
    "malformed",
    "only",
    "overloaded",
    "problem",
    "refusals",
    "send_problem",
    "shown",
    "unread",
]

LOG = logging.getLogger(__name__)
LONG = 64  # characters of a name that are quoted, or compared with others
LONGEST = 500  # characters of a detail: a refusal may quote what came, which has no bound
MEDIA_TYPE = "application/problem+json"

REASONS = {
    400: "The body is not what the method takes",
    401: "A key is wanted",
    403: "The key lacks the scope",
    404: "There is no such model, or no such method",
    408: "The body did not come in time",
    409: "The folder of models is not as it should be; what answered goes on",
    413: "The body is too large, or has too many rows",
    415: "The body is compressed",
    429: "The key asks too much; Retry-After says when to ask again",
    503: "There is no room for it, or no model; Retry-After says when to ask again",
    504: "The time that the client gave was over",
}


def refusals(*statuses: int) -> dict[int, ResponseSpec]:
    """Return how the documents describe the refusals of a route."""
    return {
        status: ResponseSpec(
            Problem, description=REASONS[status], media_type=MEDIA_TYPE, generate_examples=False
        )
        for status in statuses
    }


REFUSALS = refusals(400, 401, 403, 404, 408, 413, 415, 429, 503, 504)  # of a route that computes


def shown(name: str) -> str:
    """Return a name that came from outside, quoted, escaped and cut."""
    return repr(name if len(name) <= LONG else name[:LONG] + "…")


def malformed(
    error: Exception, where: str = "", *, body: bytes | None = None, kind: type | None = None
) -> ClientException:
    """Return the refusal for what a decoder would not take.

    Args:
        error: The decoder's.
        where: The field that it read; by default the whole body.
        body: What came, where it is the whole.
        kind: The struct that was wanted.
    """
    if isinstance(error, RecursionError):
        return ClientException("the body is nested too deeply")
    fields = () if kind is None else msgspec.structs.fields(kind)
    names = [each.encode_name for each in sorted(fields, key=lambda each: not each.required)]
    if body is not None and not body.strip():
        return ClientException(f"the body is empty, wanted JSON with {', '.join(names)}")
    message, _, path = str(error).partition(" - at `$")
    field = where + path.rstrip("`") if path else where
    unknown = re.search(r"unknown field `(.*)`", message)
    if unknown and not path and names:
        message += f", wanted {', '.join(names)}{spelling.hint(unknown[1][:LONG], names)}"
    elif message == "Expected `float`, got `null`" or (body and _is_no_number(message, body)):
        message += "; NaN and infinities have no word in JSON, and are refused"
    elif body and re.search("[<>]", message) and re.fullmatch(r"\.\w+", field):  # a bound
        message += f", and {msgspec.json.decode(body)[field[1:]]} came"
    return ClientException(f"{field.lstrip('.') or 'the body'}: {message}")


def _is_no_number(message: str, body: bytes) -> bool:
    """Say whether a decoder has met what other programs write for a NaN or an infinity."""
    place = re.search(r"\(byte (\d+)\)", message)
    return bool(place) and body.startswith((b"NaN", b"Infinity", b"-Infinity"), int(place[1]))


def unread(status: int, detail: str) -> HTTPException:
    """Return the refusal of a body whose rest nobody will read: the connection ends with it."""
    return HTTPException(detail, status_code=status, headers={"Connection": "close"})


def overloaded(detail: str, seconds: float) -> HTTPException:
    """Return the refusal of what there is no room for now, but will be in so many seconds."""
    wait = {"Retry-After": str(max(math.ceil(seconds), 1))}
    return HTTPException(detail, status_code=503, headers=wait)


def late(detail: str) -> HTTPException:
    """Return the refusal of what was not there in the time that the client gave."""
    return HTTPException(detail, status_code=504)


def encoded(scope: Scope, status: int, detail: str) -> bytes:
    """Return the body of a refusal."""
    body = Problem(
        type="about:blank",
        title=http.HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        instance=scope["path"][:LONGEST],
        request_id=scope["state"].get("request_id"),
        error=detail,
    )
    return msgspec.json.encode(body)


async def send_problem(
    send: Send, status: int, content: bytes, headers: Mapping[str, str] | None
) -> None:
    """Send a refusal outside of the framework."""
    lines = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", b"%d" % len(content)),
        *((name.lower().encode(), value.encode()) for name, value in (headers or {}).items()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": content, "more_body": False})


def only(*known: str) -> Callable[[Request], None]:
    """Return what refuses a request whose query has other parameters."""

    def check(request: Request) -> None:
        for name in request.query_params:
            if name not in known:
                raise ClientException(
                    f"{shown(name)} is no parameter of this route, wanted {', '.join(known)}"
                    f"{spelling.hint(name[:LONG], known)}"
                )

    return check


def _refused(request: Request, each: Mapping[str, str]) -> str:
    """Say what the framework found wrong with a parameter, and what came."""
    name = each.get("key", "")
    came = request.query_params.get(name)
    return f"{name}: {each['message']}" + ("" if came is None else f", and {shown(came)} came")


def problem(request: Request, error: Exception) -> Response[bytes]:
    """Answer an exception; its headers (``Allow``) go with it."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    title = http.HTTPStatus(status).phrase
    request_id = request.scope["state"].get("request_id")
    if not isinstance(error, HTTPException) or status == 500:
        LOG.error("request %s failed", request_id, exc_info=error)
        detail = "the server failed; its log has the reason under this request_id"
    elif isinstance(error, ValidationException) and isinstance(error.extra, list):
        detail = "; ".join(_refused(request, each) for each in error.extra)
    elif error.detail == title:  # routing says no more
        detail = f"{request.method} {shown(request.scope['path'])} is not served"
        allowed = (error.headers or {}).get("allow", "").split(", ")
        wanted = " or ".join(sorted({*allowed} - {"", "OPTIONS"}))
        detail += f", {wanted} is wanted" if wanted else ""
    else:
        detail = error.detail[:LONGEST]
    return Response(
        encoded(request.scope, status, detail),
        status_code=status,
        headers=getattr(error, "headers", None),
        media_type=MEDIA_TYPE,
    )
