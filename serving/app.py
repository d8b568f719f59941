"""The routes, put together."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

from litestar import Litestar
from litestar.datastructures import State

from serving import docs
from serving.cache.cache import Cache
from serving.engine.model import Tallies, load
from serving.errors import problem
from serving.models import catalog
from serving.models.registry import Registry
from serving.monitor import health
from serving.monitor.metrics import Metrics
from serving.monitor.middleware import Monitor
from serving.predict import simple
from serving.settings import Settings, check
from serving.store import routes as store
from serving.store.collector import Records
from serving.store.log import Log
from serving.v2 import about, infer, repository

__all__ = ["create_app"]

ROUTES = tuple(
    route
    for room in (catalog, health, simple, about, infer, repository, store)
    for route in room.ROUTES
)
WORKERS = 2  # requests that compute for long at the same time; the others of them wait


def create_app(settings: Settings) -> Litestar:
    """Return the application; its start loads and compiles every model, and then it is ready.

    Raises:
        ConfigError: no server can start with these settings.
    """
    check(settings)
    workers = ThreadPoolExecutor(WORKERS, "compute")
    tallies: Tallies = {}
    load_compiled = functools.partial(
        load,
        buckets=settings.buckets,
        workers=workers,
        limits=settings.limits,
        tallies=tallies,
        is_tried=settings.is_tried,
    )
    registry = Registry(settings.models, load_compiled)
    metrics = Metrics(registry)
    cache = Cache(settings.cache_bytes, settings.cache)
    log = None if settings.store is None else Log(settings.store, keep_days=settings.keep_days)
    if log is not None:
        metrics.registry.register(Records(log))

    @contextlib.asynccontextmanager
    async def loaded(_: Litestar) -> AsyncIterator[None]:
        with log or contextlib.nullcontext(), registry, workers:
            async with contextlib.aclosing(cache):
                await asyncio.wrap_future(registry.reload())
                yield

    app = Litestar(
        [*ROUTES, docs.static()],
        lifespan=[loaded],
        openapi_config=docs.openapi(),
        exception_handlers={Exception: problem},
        state=State(
            {
                "settings": settings,
                "registry": registry,
                "metrics": metrics,
                "workers": workers,
                "log": log,
                "cache": cache,
            }
        ),
        logging_config=None,
    )
    app.asgi_handler = Monitor(app.asgi_handler, metrics)
    return app
