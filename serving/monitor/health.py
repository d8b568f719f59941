"""Alive, ready, and the metrics' route."""

import time

from litestar import Response, get
from litestar.datastructures import State
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from serving.process import metrics as merging
from serving.wire import Health

__all__ = ["ROUTES"]

TEXT = CONTENT_TYPE_LATEST.partition("; charset")[0]  # Litestar adds the charset


@get("/health", tags=["monitor"], sync_to_thread=False)
def health(state: State) -> Health:
    """Say that the server is alive, and how many models answer."""
    return Health("healthy", len(state.registry.snapshot.models), time.time())


@get("/metrics", tags=["monitor"], media_type=TEXT)
async def metrics(state: State) -> Response[str]:
    """Give the Prometheus metrics as text: those of all workers, where there are several."""
    texts = await state.team.everyone("metrics")
    text = merging.merge(texts) if state.team.count > 1 else texts[0]
    return Response(text, media_type=TEXT)


ROUTES = (health, metrics)
