"""One shape for every refusal: RFC 9457 problem details.

A refusal names the field, what came and what was wanted. A fault of the server says nothing of
its reason: that is in the log, under the request's id.
"""

import http
import logging
import math
from collections.abc import Mapping

import msgspec
from litestar import Request, Response
from litestar.exceptions import ClientException, HTTPException, ValidationException
from litestar.openapi.datastructures import ResponseSpec
from litestar.types import Scope, Send

from serving.wire import Problem

__all__ = [
    "REFUSALS",
    "encoded",
    "late",
    "malformed",
    "overloaded",
    "problem",
    "refusals",
    "send_problem",
    "shown",
    "unread",
]

LOG = logging.getLogger(__name__)
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
    return repr(name if len(name) <= 64 else name[:64] + "…")


def malformed(error: Exception, where: str = "") -> ClientException:
    """Return the refusal for a body that a decoder would not take."""
    if isinstance(error, RecursionError):
        return ClientException("the body is nested too deeply")
    message, _, path = str(error).partition(" - at `$")
    field = where + path.rstrip("`") if path else where
    return ClientException(f"{field.lstrip('.') or 'the body'}: {message}")


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


def problem(request: Request, error: Exception) -> Response[bytes]:
    """Answer an exception; its headers (``Allow``) go with it."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    title = http.HTTPStatus(status).phrase
    request_id = request.scope["state"].get("request_id")
    if not isinstance(error, HTTPException) or status == 500:
        LOG.error("request %s failed", request_id, exc_info=error)
        detail = "the server failed; its log has the reason under this request_id"
    elif isinstance(error, ValidationException) and isinstance(error.extra, list):
        detail = "; ".join(f"{each.get('key')}: {each['message']}" for each in error.extra)
    elif error.detail == title:  # routing says no more
        detail = f"{request.method} {shown(request.scope['path'])} is not served"
    else:
        detail = error.detail[:LONGEST]
    return Response(
        encoded(request.scope, status, detail),
        status_code=status,
        headers=getattr(error, "headers", None),
        media_type=MEDIA_TYPE,
    )
