"""The routes, put together."""

import contextlib
import functools
import pathlib
import typing
import weakref
from collections.abc import AsyncIterator, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor

from litestar import Litestar
from litestar.datastructures import State

from serving import docs
from serving.cache.cache import Cache
from serving.drift import report
from serving.drift.exposition import Exposition
from serving.drift.watch import Watch
from serving.engine.model import Model, Tallies, load
from serving.errors import problem
from serving.models import catalog
from serving.models.registry import Registry
from serving.monitor import health, tracing
from serving.monitor.access import Access
from serving.monitor.metrics import Metrics
from serving.monitor.middleware import Monitor
from serving.predict import simple
from serving.process.team import Team
from serving.settings import Settings, check
from serving.store import routes as store
from serving.store.collector import Records
from serving.store.log import Log
from serving.v2 import about, infer, repository

if typing.TYPE_CHECKING:
    from serving.monitor.spans import Tracing

__all__ = ["create_app"]

ROUTES = tuple(
    route
    for room in (catalog, health, report, simple, about, infer, repository, store)
    for route in room.ROUTES
)
WORKERS = 2  # requests that compute for long at the same time; the others of them wait


def create_app(settings: Settings, team: Team | None = None) -> Litestar:
    """Return the application; its start loads and compiles every model, and then it is ready.

    Args:
        settings: What it is told.
        team: This process among other workers; alone by default.

    Raises:
        ConfigError: no server can start with these settings.
    """
    check(settings)
    team = team or Team()
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
    traces = tracing.start(settings.otel)
    watches: weakref.WeakKeyDictionary[Model, Watch] = weakref.WeakKeyDictionary()

    load_watched = watched(load_compiled, watches, settings.drift_rows, traces)
    registry = Registry(settings.models, load_watched)
    metrics = Metrics(registry)
    metrics.registry.register(Exposition(registry, watches))
    cache = Cache(settings.cache_bytes, settings.cache)
    log = None if settings.store is None else Log(settings.store, keep_days=settings.keep_days)
    if log is not None:
        metrics.registry.register(Records(log))

    @contextlib.asynccontextmanager
    async def loaded(_: Litestar) -> AsyncIterator[None]:
        with log or contextlib.nullcontext(), registry, workers:
            async with contextlib.aclosing(cache), team.joined(registry, metrics.text):
                yield
        if traces is not None:
            await traces.stop()

    state = {
        "settings": settings,
        "registry": registry,
        "metrics": metrics,
        "workers": workers,
        "drift": watches,
        "traces": traces,
        "team": team,
        "log": log,
        "cache": cache,
    }
    app = Litestar(
        [*ROUTES, docs.static()],
        lifespan=[loaded],
        openapi_config=docs.openapi(),
        exception_handlers={Exception: problem},
        state=State(state),
        logging_config=None,
    )
    metrics.ready(team.is_ready)
    app.asgi_handler = Monitor(app.asgi_handler, metrics, Access(settings.slow_seconds))
    if traces is not None:
        app.asgi_handler = traces.wrap(app.asgi_handler)
    return app


def watched(
    load: Callable[[pathlib.Path], Model],
    watches: MutableMapping[Model, Watch],
    rows: int,
    traces: "Tracing | None",
) -> Callable[[pathlib.Path], Model]:
    """Return what loads a version whose batches are shown to a watch, their times to traces."""

    def load_watched(folder: pathlib.Path) -> Model:
        model = load(folder)
        watches[model] = Watch(model, rows)
        for method in model.methods.values():
            method.batcher.observe = watches[model].observe
            if traces is not None:
                traces.follow(method.batcher)
        return model

    return load_watched
