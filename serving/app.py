"""The routes, put together."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

from litestar import Litestar
from litestar.datastructures import State

from serving import docs
from serving.access import login
from serving.access.gate import Gate
from serving.access.guard import Guard
from serving.engine.model import Tallies, load
from serving.errors import problem
from serving.models import catalog
from serving.models.registry import Registry
from serving.monitor import health
from serving.monitor.metrics import Metrics
from serving.monitor.middleware import Monitor
from serving.predict import simple
from serving.settings import Settings, check
from serving.v2 import about, infer, repository

__all__ = ["create_app"]

ROUTES = tuple(
    route
    for room in (catalog, health, simple, about, infer, repository, login)
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
    terms = settings.access
    guard = None if terms.keys is None else Guard(terms, settings.host)

    @contextlib.asynccontextmanager
    async def loaded(_: Litestar) -> AsyncIterator[None]:
        with registry, workers, guard or contextlib.nullcontext():
            await asyncio.wrap_future(registry.reload())
            yield

    app = Litestar(
        [*ROUTES, docs.static()],
        lifespan=[loaded],
        openapi_config=docs.openapi(is_keyed=guard is not None),
        exception_handlers={Exception: problem},
        state=State(
            {
                "settings": settings,
                "registry": registry,
                "metrics": metrics,
                "workers": workers,
                "guard": guard,
            }
        ),
        logging_config=None,
    )
    app.asgi_handler = Monitor(Gate(app.asgi_handler, terms, guard, metrics.refused), metrics)
    return app
