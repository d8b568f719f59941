"""OpenTelemetry: a span a request, and in it those of the queue and the computation.

It is imported where traces are wanted: a server without them pays nothing. Names are those of the
semantic conventions for HTTP servers. A query is not recorded, since it may hold a key.
"""

import asyncio
import contextvars
import http
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send
from opentelemetry import propagate, trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

import mastery_jax
from serving.engine.batcher import Batcher, Times

__all__ = ["MOST_PARTS", "Tracing", "exporter"]

LOG = logging.getLogger(__name__)
MOST_PARTS = 16  # of a request, that have spans: one of 65,536 rows has a thousand
STOP_SECONDS = 2.0  # for spans that are still to be sent
STEP = 0.02  # seconds between looks whether they are
PATH = "/v1/traces"
LONGEST = 500  # characters of an attribute that a client chose
ASKED = ("model", "version", "method")  # as the queue is named
METHODS = frozenset(method.value for method in http.HTTPMethod)

_parts: contextvars.ContextVar[list[Times] | None] = contextvars.ContextVar("parts", default=None)


def exporter(url: str | None) -> SpanExporter:
    """Return what sends spans by OTLP over HTTP.

    Args:
        url: The collector, as ``http://127.0.0.1:4318``; None for what OTEL_* variables say.
    """
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    if url is None:
        return OTLPSpanExporter()
    url = url.rstrip("/")
    return OTLPSpanExporter(endpoint=url if url.endswith(PATH) else url + PATH)


class Tracing:
    """The spans of one application.

    Args:
        to: Where they go.
    """

    def __init__(self, to: SpanExporter) -> None:
        resource = Resource.create({"service.version": mastery_jax.__version__})
        if str(resource.attributes["service.name"]).startswith("unknown_service"):
            resource = resource.merge(Resource({"service.name": "mastery_jax"}))
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(BatchSpanProcessor(to))
        self._tracer = self._provider.get_tracer("serving", mastery_jax.__version__)

    def follow(self, batcher: Batcher) -> None:
        """Have the times of a queue and its computations in the spans of requests."""
        batcher.follow = _follower

    def wrap(self, app: ASGIApp) -> ASGIApp:
        """Return an application whose requests have spans."""
        return Traced(app, self._tracer)

    def flush(self) -> None:
        """Send what there is, now."""
        self._provider.force_flush()

    async def stop(self) -> None:
        """Send what is left, if that takes no longer than a moment."""
        # A daemon: nobody waits a second time for a collector that hangs, as for an executor's.
        stopping = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        stopping.start()
        end = time.monotonic() + STOP_SECONDS
        while stopping.is_alive() and time.monotonic() < end:
            await asyncio.sleep(STEP)
        if stopping.is_alive():
            LOG.warning("the collector of traces does not answer; the last spans are lost")


def _follower() -> Callable[[Times], None] | None:
    """Return what is told the times of one part of the request under way."""
    parts = _parts.get()
    return None if parts is None or len(parts) >= MOST_PARTS else parts.append


class Traced:
    """The outermost layer where requests are traced."""

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self.app, self._tracer = app, tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        wanted = propagate.get_global_textmap().fields
        headers = [(name.decode("latin-1"), value) for name, value in scope["headers"]]
        carrier = {name: value.decode("latin-1") for name, value in headers if name in wanted}
        method = scope["method"] if scope["method"] in METHODS else "HTTP"
        span = self._tracer.start_span(
            method, propagate.extract(carrier), SpanKind.SERVER, attributes(scope)
        )
        epoch = time.time_ns() - time.monotonic_ns()  # from one clock to the other
        parts: list[Times] = []
        token = _parts.set(parts)
        status = 0

        async def seen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, seen)
        except BaseException as error:
            span.record_exception(error)
            span.set_attribute("error.type", type(error).__qualname__)
            span.set_status(Status(StatusCode.ERROR))
            raise
        finally:
            _parts.reset(token)
            if span.is_recording():
                close(span, scope, method, status)
                self._parts(span, parts, epoch)
            span.end()

    def _parts(self, span: Span, parts: list[Times], epoch: int) -> None:
        """Make the child spans, when it is known that somebody will read them."""
        inside = trace.set_span_in_context(span)
        for times in parts:
            came, began, ended = (epoch + int(1e9 * at) for at in times)
            self._tracer.start_span("queue", inside, start_time=came).end(began)
            self._tracer.start_span("compute", inside, start_time=began).end(ended)


def attributes(scope: HTTPScope) -> dict[str, Any]:
    """Return what is known of a request when it comes."""
    found: dict[str, Any] = {
        "http.request.method": scope["method"] if scope["method"] in METHODS else "_OTHER",
        "url.path": scope["path"][:LONGEST],
        "url.scheme": scope["scheme"],
        "network.protocol.version": scope["http_version"],
    }
    if scope["method"] not in METHODS:
        found["http.request.method_original"] = scope["method"][:LONGEST]
    for name, address in (("server", scope.get("server")), ("client", scope.get("client"))):
        if address:
            found[f"{name}.address"], found[f"{name}.port"] = address[0], address[1] or 0
    for name, value in scope["headers"]:
        if name == b"user-agent":
            found["user_agent.original"] = value.decode("latin-1")[:LONGEST]
    return found


def close(span: Span, scope: HTTPScope, method: str, status: int) -> None:
    """Set what is known of a request when it is over."""
    route, state = scope.get("path_template"), scope["state"]
    if route:
        span.set_attribute("http.route", route)
        span.update_name(f"{method} {route}")
    if status:
        span.set_attribute("http.response.status_code", status)
    if status >= 500:
        span.set_attribute("error.type", str(status))
        span.set_status(Status(StatusCode.ERROR))
    span.set_attribute("mastery.request_id", state.get("request_id", ""))
    if "asked" in state:
        for name, value in zip(ASKED, state["asked"].split("/"), strict=True):
            span.set_attribute(f"mastery.{name}", value)
