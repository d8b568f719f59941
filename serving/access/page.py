"""What a browser gets in place of the documents where a key is wanted: a form for it.

Its script and its style are files of ours, and nothing else may run there or be sent anywhere.
"""

import functools
import pathlib

from litestar.types import HTTPScope, Send

__all__ = ["is_for", "send_page"]

PLACE = "/docs"
FILE = pathlib.Path(__file__).parents[1] / "static" / "login" / "index.html"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = [
    (b"content-type", b"text/html; charset=utf-8"),
    (b"content-security-policy", POLICY.encode()),
    (b"cache-control", b"no-store"),
    (b"vary", b"accept"),
]


def is_for(scope: HTTPScope) -> bool:
    """Say whether a browser asks for the documents, to show them to somebody."""
    if scope["method"] != "GET" or scope["path"].rstrip("/") != PLACE:
        return False
    return any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])


async def send_page(send: Send, status: int) -> None:
    """Send the form."""
    content = _content()
    headers = [*HEADERS, (b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content, "more_body": False})


@functools.cache
def _content() -> bytes:
    return FILE.read_bytes()
