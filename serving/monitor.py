"""Health, request ids and Prometheus metrics."""

import http
import itertools
import re
import secrets
import time
from collections.abc import Callable, Iterator

from litestar import Response, get
from litestar.datastructures import State
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import CounterMetricFamily
from prometheus_client.registry import Collector

from serving.compiles import compiles
from serving.registry import Registry
from serving.wire import Health

__all__ = ["Metrics", "Monitor", "health", "metrics"]

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
UNMATCHED = "<unmatched>"  # one label for every path that is no route: a client may send any
METHODS = frozenset(method.value for method in http.HTTPMethod)
REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")


class Recompiles(Collector):
    """The compilations since the server's start that no warm-up asked for."""

    def __init__(self) -> None:
        self.before = compiles().unexpected

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Give the one counter."""
        yield CounterMetricFamily(
            "ml_recompiles",
            "Programs compiled while requests were answered; a fault when it is not 0",
            value=compiles().unexpected - self.before,
        )


class Metrics:
    """The metrics of one application, each label's child looked up once."""

    def __init__(self, models: Registry) -> None:
        disable_created_metrics()  # a second series for each one, that nobody reads
        self.registry = CollectorRegistry()
        labels = ("method", "endpoint")
        self._requests = Counter(
            "http_requests", "Requests answered", (*labels, "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "http_request_duration_seconds",
            "Time from the request's head to its answer's end",
            labels,
            buckets=SECONDS,
            registry=self.registry,
        )
        self.predictions = Counter(
            "ml_predictions", "Rows answered by a model", ("model",), registry=self.registry
        )
        loaded = Gauge("ml_models_loaded_total", "Models that answer", registry=self.registry)
        loaded.set_function(lambda: len(models.snapshot.models))
        self.registry.register(Recompiles())
        self._bound: dict[tuple[str, str, int], Callable[[float], None]] = {}

    def observe(self, method: str, endpoint: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        key = (method, endpoint, status)
        observe = self._bound.get(key)
        if observe is None:
            observe = self._bound[key] = self._bind(*key)
        observe(seconds)

    def _bind(self, method: str, endpoint: str, status: int) -> Callable[[float], None]:
        count = self._requests.labels(method, endpoint, str(status)).inc
        time_it = self._seconds.labels(method, endpoint).observe

        def observe(seconds: float) -> None:
            count()
            time_it(seconds)

        return observe


class Monitor:
    """The outermost ASGI layer: it sees what routing refuses, and every answer's status."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics
        self._prefix = secrets.token_hex(6)  # of this start; a random id a request costs a syscall
        self._numbers = itertools.count()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, with an id; count and time its answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start = time.perf_counter()
        own = f"{self._prefix}-{next(self._numbers):x}"
        request_id = given_id(scope["headers"]) or own.encode()
        scope["state"]["request_id"] = request_id.decode()
        status = 0

        async def stamped(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
            await send(message)

        await self.app(scope, receive, stamped)
        if status:  # none: the client went away
            method = scope["method"] if scope["method"] in METHODS else "OTHER"
            endpoint = scope.get("path_template", UNMATCHED)
            self.metrics.observe(method, endpoint, status, time.perf_counter() - start)


def given_id(headers: list[tuple[bytes, bytes]]) -> bytes | None:
    """Return the client's own request id when it is fit for a header and a log."""
    for name, value in headers:
        if name == b"x-request-id" and REQUEST_ID.fullmatch(value):
            return value
    return None


@get("/health", tags=["monitor"], sync_to_thread=False)
def health(state: State) -> Health:
    """Say that the server is alive, and how many models answer."""
    return Health("healthy", len(state.registry.snapshot.models), time.time())


@get("/metrics", tags=["monitor"], sync_to_thread=False)
def metrics(state: State) -> Response[bytes]:
    """Give the Prometheus metrics as text."""
    media_type = CONTENT_TYPE_LATEST.partition("; charset")[0]  # Litestar adds the charset
    return Response(generate_latest(state.metrics.registry), media_type=media_type)
