"""The routes, put together."""

import contextlib
import functools
import pathlib
import typing
import weakref
from collections.abc import AsyncIterator, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from litestar import Litestar
from litestar.datastructures import State

from serving import docs
from serving.access import login
from serving.access.gate import Gate
from serving.access.guard import Guard
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
from serving.predict.bodiless import Bodiless
from serving.predict.shortcut import Shortcut
from serving.process.team import Question, Team
from serving.settings import Settings, check
from serving.store import routes as store
from serving.store.collector import Records
from serving.store.log import Log
from serving.v2 import about, infer, repository, statistics

if typing.TYPE_CHECKING:
    from serving.monitor.spans import Tracing

__all__ = ["create_app"]

ROOMS = (catalog, health, report, simple, about, statistics, infer, repository, store, login)
ROUTES = tuple(route for room in ROOMS for route in room.ROUTES)
LARGEST = 4  # bodies of the largest size, at the same time
WORKERS = 2  # large bodies and answers that are read and written at the same time


class Parts(NamedTuple):
    """What a server is made of; the routes find it in the application's state."""

    settings: Settings
    team: Team  # this process among other workers
    workers: ThreadPoolExecutor  # for large bodies and answers
    registry: Registry
    metrics: Metrics
    drift: MutableMapping[Model, Watch]
    cache: Cache
    log: Log | None  # of predictions
    traces: "Tracing | None"
    guard: Guard | None  # of keys; None where none are asked for


def create_app(settings: Settings, team: Team | None = None) -> Litestar:
    """Return the application; its start loads and compiles every model, and then it is ready.

    Args:
        settings: What it is told.
        team: This process among other workers; alone by default.

    Raises:
        ConfigError: no server can start with these settings.
    """
    check(settings)
    parts = make(settings, team or Team())
    app = Litestar(
        [*ROUTES, docs.static()],
        lifespan=[lambda _: running(parts)],
        openapi_config=docs.openapi(is_keyed=parts.guard is not None),
        exception_handlers={Exception: problem},
        state=State(parts._asdict()),
        logging_config=None,
    )
    by_path = {**simple.BY_PATH, **infer.BY_PATH}
    routes = Shortcut(app, Bodiless(app.asgi_handler), by_path)
    most_bytes = LARGEST * max(settings.max_body, settings.max_binary)
    gate = Gate(routes, settings.access, parts.guard, parts.metrics.refused, most_bytes)
    access, team = Access(settings.slow_seconds), parts.team
    app.asgi_handler = Monitor(gate, parts.metrics, access, lambda: team.is_draining)
    if parts.traces is not None:
        app.asgi_handler = parts.traces.wrap(app.asgi_handler)
    return app


def make(settings: Settings, team: Team) -> Parts:
    """Return the parts of a server; none of them works yet."""
    workers = ThreadPoolExecutor(WORKERS, "bodies")
    tallies: Tallies = {}
    load_compiled = functools.partial(
        load,
        buckets=settings.buckets,
        limits=settings.limits,
        tallies=tallies,
        is_tried=settings.is_tried,
    )
    traces = tracing.start(settings.otel)
    watches: weakref.WeakKeyDictionary[Model, Watch] = weakref.WeakKeyDictionary()
    load_watched = watched(load_compiled, watches, settings.drift_rows, traces)
    registry = Registry(settings.models, load_watched)
    metrics = Metrics(registry)
    metrics.ready(team.is_ready)
    metrics.registry.register(Exposition(registry, watches))
    log = None if settings.store is None else Log(settings.store, keep_days=settings.keep_days)
    if log is not None:
        metrics.registry.register(Records(log))
    cache = Cache(settings.cache_bytes, settings.cache)
    access = settings.access
    guard = None if access.keys is None else Guard(access, settings.host, team.folder)
    return Parts(settings, team, workers, registry, metrics, watches, cache, log, traces, guard)


@contextlib.asynccontextmanager
async def running(parts: Parts) -> AsyncIterator[None]:
    """Load the models, and let the parts work until the server stops."""
    nothing = contextlib.nullcontext()
    with parts.log or nothing, parts.guard or nothing, parts.registry, parts.workers:
        async with (
            contextlib.aclosing(parts.cache),
            parts.team.joined(parts.registry, questions(parts)),
        ):
            yield
    if parts.traces is not None:
        await parts.traces.stop()


def questions(parts: Parts) -> dict[str, Question]:
    """Return what workers ask each other, and what answers it."""

    async def metrics(_: str) -> str:
        return parts.metrics.text()

    async def done(name: str) -> str:
        return statistics.told(parts.registry, name)

    async def seen(name: str) -> str:
        return report.told(parts.registry, parts.drift, name)

    async def record(_: str) -> str:
        await store.flush(parts.log)
        return ""

    return {"metrics": metrics, "statistics": done, "drift": seen, "record": record}


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
