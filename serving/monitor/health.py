"""Alive, ready, and the metrics' route."""

import time

from litestar import Response, get
from litestar.datastructures import State
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from serving.wire import Health

__all__ = ["ROUTES", "is_ready"]

TEXT = CONTENT_TYPE_LATEST.partition("; charset")[0]  # Litestar adds the charset


def is_ready(state: State) -> bool:
    """Say whether requests should be sent here: there is a model, and each one answers."""
    models = state.registry.snapshot.models.values()
    return bool(models) and all(served.default.is_sound for served in models)


@get("/health", tags=["monitor"], sync_to_thread=False)
def health(state: State) -> Health:
    """Say that the server is alive, and how many models answer."""
    return Health("healthy", len(state.registry.snapshot.models), time.time())


@get("/metrics", tags=["monitor"], sync_to_thread=False, media_type=TEXT)
def metrics(state: State) -> Response[bytes]:
    """Give the Prometheus metrics as text."""
    return Response(generate_latest(state.metrics.registry), media_type=TEXT)


ROUTES = (health, metrics)
