"""The routes, put together."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

from litestar import Litestar
from litestar.datastructures import State

from serving import catalog, docs, monitor, predict
from serving.errors import problem
from serving.model import load
from serving.registry import Registry
from serving.settings import Settings, check

__all__ = ["create_app"]

WORKERS = 2  # requests that compute for long at the same time; the others of them wait


def create_app(settings: Settings) -> Litestar:
    """Return the application; its start loads and compiles every model, and then it is ready.

    Raises:
        ConfigError: no server can start with these settings.
    """
    check(settings)
    loader, workers = ThreadPoolExecutor(1, "reload"), ThreadPoolExecutor(WORKERS, "compute")
    load_compiled = functools.partial(load, buckets=settings.buckets)
    registry = Registry(settings.models, load_compiled, loader)
    metrics = monitor.Metrics(registry)

    @contextlib.asynccontextmanager
    async def loaded(_: Litestar) -> AsyncIterator[None]:
        with loader, workers:
            await asyncio.wrap_future(registry.reload())
            yield

    app = Litestar(
        [
            catalog.welcome,
            monitor.health,
            predict.predict,
            predict.predict_batch,
            predict.call,
            catalog.models,
            catalog.model,
            catalog.reload,
            monitor.metrics,
            docs.static(),
        ],
        lifespan=[loaded],
        openapi_config=docs.openapi(),
        exception_handlers={Exception: problem},
        state=State(
            {"settings": settings, "registry": registry, "metrics": metrics, "workers": workers}
        ),
        logging_config=None,
    )
    app.asgi_handler = monitor.Monitor(app.asgi_handler, metrics)
    return app
