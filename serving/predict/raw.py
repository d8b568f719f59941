"""The adapter that makes a typed route cheap.

A handler stays an ordinary Litestar function (its annotations make the documentation, its route
answers OPTIONS and 405), but the body goes straight from the socket through a strict decoder to
the function, and its struct straight to the socket. That costs less than half of the
framework's own path, and the decoder takes no ``"1"`` for a number, which the framework's does.

What the event loop does itself is short; a large body, and a long computation, go to a thread,
so that nobody else waits for them.
"""

import asyncio
import functools
import time
import typing
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
from litestar import post
from litestar.handlers import HTTPRouteHandler
from litestar.types import Receive, Scope, Send

from mastery_jax.workflow.stablehlo import Arrays
from serving.cache.remembered import Remembered
from serving.engine.batcher import Outputs
from serving.engine.method import Method
from serving.errors import REFUSALS, late, malformed, unread
from serving.predict.head import Head, head
from serving.predict.patience import within

__all__ = ["JSON", "RAW", "Work", "finish", "raw_post", "read_body", "respond", "turn", "weight"]

# Bytes of a body, or of outputs, that are worth a thread: decoding or encoding them holds the loop
# for some 3 ms.
LARGE = 2**18
BUFFER = 2**16  # bytes that the HTTP server sends without waiting for the client

T = TypeVar("T")
encode = msgspec.json.Encoder().encode


class Work(NamedTuple, Generic[T]):
    """An answer that is still to be computed."""

    method: Method | Remembered
    x: Arrays
    rows: int
    answer: Callable[[Outputs], T]  # what to make of the outputs
    then: Callable[[Outputs], None] | None = None  # what is done once the answer is sent


async def read_body(receive: Receive, asked: Head, limit: int, seconds: float) -> bytes | None:
    """Return the request's body, or ``None`` when the client went away.

    Raises:
        HTTPException: 413 as soon as more than ``limit`` bytes are announced or have come; 408
            if it has not come within ``seconds``.
    """
    announced = asked.fields.get(b"content-length")
    if announced is not None and (len(announced) > 18 or int(announced) > limit):
        raise unread(413, f"the body is above {limit} bytes")
    try:
        return await within(seconds, _gather(receive, limit))
    except TimeoutError:
        raise unread(408, f"the body did not come in {seconds:g} s") from None


async def _gather(receive: Receive, limit: int) -> bytes | None:
    chunks, size = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > limit:
            raise unread(413, f"the body is above {limit} bytes")
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def turn(is_long: bool, workers: Executor, fn: Callable[[], T]) -> T:
    """Call ``fn`` here, or in a thread where it would hold the event loop."""
    if not is_long:
        return fn()
    return await asyncio.get_running_loop().run_in_executor(workers, fn)


def weight(arrays: Arrays) -> int:
    """Return how many bytes arrays have."""
    return sum(array.nbytes for array in arrays.values())


async def finish(work: Work[Any], deadline: float, receive: Receive) -> Outputs | None:
    """Return the outputs, or ``None`` when the client went away before they were there.

    Raises:
        HTTPException: 503, there is no room or no time for it; 504, the deadline is over.
    """
    answering = work.method.answer(work.x, work.rows, deadline)
    if not work.method.is_long(work.rows):
        return await answering
    tasks = asyncio.ensure_future(answering), asyncio.ensure_future(_leave(receive))
    left = None if deadline == float("inf") else max(deadline - time.monotonic(), 0.0)
    try:
        await asyncio.wait(tasks, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        if tasks[0].done():
            return tasks[0].result()
        if tasks[1].done():
            return None
        raise late(f"{work.method.name}: the time was over before the answer was there")
    finally:
        for task in tasks:
            task.cancel()


async def _leave(receive: Receive) -> None:
    """Return when the client goes away."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def respond(send: Send, content: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    """Send an answer with status 200; a large one is over once its client has taken it."""
    headers = [*headers, (b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    is_kept = len(content) > BUFFER
    await send({"type": "http.response.body", "body": content, "more_body": is_kept})
    if is_kept:
        await send({"type": "http.response.body", "body": b"", "more_body": False})


RAW = "raw"  # where a handler's options hold what answers in its place
JSON = [(b"content-type", b"application/json")]


class Raw:
    """An ASGI application that stands in place of Litestar's handling of one route."""

    def __init__(self, fn: Callable[..., Work[Any]]) -> None:
        hints = typing.get_type_hints(fn)
        self.fn = fn
        self.kind = hints.pop("data")
        self.decode = msgspec.json.Decoder(self.kind).decode

    def begin(self, body: bytes, scope: Scope) -> Work[Any]:
        """Decode, and call the function."""
        try:
            data = self.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise malformed(error, body=body, kind=self.kind) from None
        state = scope["litestar_app"].state
        return self.fn(data=data, state=state, scope=scope, **scope["path_params"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        state, asked = scope["litestar_app"].state, head(scope)
        settings, workers = state.settings, state.workers
        if asked.fields.get(b"content-encoding", b"identity") != b"identity":
            raise unread(415, "Content-Encoding: only identity is read")
        deadline = asked.deadline
        body = await read_body(receive, asked, settings.max_body, settings.body_seconds)
        if body is None:
            return
        begin = functools.partial(self.begin, body, scope)
        work = await turn(len(body) >= LARGE, workers, begin)
        scope["state"]["asked"] = work.method.name  # for the log and the traces
        outputs = await finish(work, deadline, receive)
        if outputs is None:
            return
        is_large = weight(outputs) >= LARGE
        content = await turn(is_large, workers, lambda: encode(work.answer(outputs)))
        await respond(send, content, JSON)
        if work.then is not None:
            work.then(outputs)


def raw_post(path: str) -> Callable[[Callable[..., Any]], HTTPRouteHandler]:
    """Make a POST route of ``fn(data, state, scope, ...) -> Work[Struct]``, answered with 200.

    ``data`` is annotated with the struct of the body; further arguments are those of the path.
    """

    def decorate(fn: Callable[..., Any]) -> HTTPRouteHandler:
        # The documents are of what goes over the wire.
        raw = Raw(fn)
        (fn.__annotations__["return"],) = typing.get_args(fn.__annotations__["return"])
        route = post(
            path,
            status_code=200,
            sync_to_thread=False,
            tags=["predict"],
            middleware=[lambda app: raw],
            opt={RAW: raw},
            responses=REFUSALS,
        )
        return route(fn)

    return decorate
