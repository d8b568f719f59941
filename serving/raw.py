"""The adapter that makes a typed route cheap.

A handler stays an ordinary Litestar function (its annotations make the documentation, its route
answers OPTIONS and 405), but the body goes straight from the socket through a strict decoder to
the function, and its struct straight to the socket. That costs less than half of the
framework's own path, and the decoder takes no ``"1"`` for a number, which the framework's does.

The event loop does what is short itself, because a thread costs more; what is long goes to one,
so that nobody else waits for it.
"""

import asyncio
import functools
import typing
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
from litestar import post
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Receive, Scope, Send

from serving.errors import REFUSALS, malformed, unread

__all__ = ["Work", "raw_post"]

LARGE = 2**18  # bytes of a body that is worth a thread: decoding it holds the loop for some 3 ms
LONG = 2e-3  # seconds of computing that are worth a thread

T = TypeVar("T")
encode = msgspec.json.Encoder().encode


class Work(NamedTuple, Generic[T]):
    """An answer that is still to be computed."""

    seconds: float  # that it takes, about
    finish: Callable[[], T]


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes | None:
    """Return the request's body, or ``None`` when the client went away.

    Raises:
        HTTPException: 413 as soon as more than ``limit`` bytes are announced or have come; 415
            for a compressed body.
    """
    too_large = f"the body is above {limit} bytes"
    for name, value in scope["headers"]:
        if name == b"content-length" and int(value) > limit:
            raise unread(413, too_large)
        if name == b"content-encoding" and value != b"identity":
            raise unread(415, "Content-Encoding: only identity is read")
    chunks, size = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > limit:
            raise unread(413, too_large)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def turn(is_long: bool, workers: Executor, fn: Callable[[], T]) -> T:
    """Call ``fn`` here, or in a thread where it would hold the event loop."""
    if not is_long:
        return fn()
    return await asyncio.get_running_loop().run_in_executor(workers, fn)


class Raw:
    """An ASGI application that stands in place of Litestar's handling of one route."""

    def __init__(self, fn: Callable[..., Work[Any]], app: ASGIApp) -> None:
        hints = typing.get_type_hints(fn)
        self.fn = fn
        self.decode = msgspec.json.Decoder(hints.pop("data")).decode

    def begin(self, body: bytes, state: State, path_params: dict[str, Any]) -> Work[Any]:
        """Decode, and call the function."""
        try:
            data = self.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise malformed(error) from None
        return self.fn(data=data, state=state, **path_params)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        state = scope["litestar_app"].state
        settings, workers = state.settings, state.workers
        try:
            async with asyncio.timeout(settings.body_seconds):
                body = await read_body(scope, receive, settings.max_body)
        except TimeoutError:
            raise unread(408, f"the body did not come in {settings.body_seconds:g} s") from None
        if body is None:
            return
        begin = functools.partial(self.begin, body, state, scope["path_params"])
        work = await turn(len(body) >= LARGE, workers, begin)
        answer = await turn(work.seconds >= LONG, workers, lambda: encode(work.finish()))
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(answer)),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer, "more_body": False})


def raw_post(path: str) -> Callable[[Callable[..., Any]], HTTPRouteHandler]:
    """Make a POST route of ``fn(data, state, ...) -> Work[Struct]``, answered with status 200.

    ``data`` is annotated with the struct of the body; further arguments are those of the path.
    """

    def decorate(fn: Callable[..., Any]) -> HTTPRouteHandler:
        # The documents are of what goes over the wire.
        (fn.__annotations__["return"],) = typing.get_args(fn.__annotations__["return"])
        route = post(
            path,
            status_code=200,
            sync_to_thread=False,
            tags=["predict"],
            middleware=[functools.partial(Raw, fn)],
            responses=REFUSALS,
        )
        return route(fn)

    return decorate
