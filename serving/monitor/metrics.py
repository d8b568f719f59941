"""Prometheus metrics: of HTTP, bound once a label; of models, read from their tallies."""

from collections.abc import Callable, Iterator

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from serving.engine.batcher import Batcher
from serving.engine.compiles import compiles
from serving.engine.tally import SECONDS, Spread, Tally
from serving.models.registry import Registry
from serving.monitor import logs

__all__ = ["Metrics"]

LABELS = ("model", "version", "method")

COUNTERS: dict[str, tuple[str, Callable[[Tally], float]]] = {
    "ml_predictions": ("Rows answered", lambda t: t.rows),
    "ml_inference_count": ("Requests answered; a long one in several parts", lambda t: t.requests),
    "ml_execution_count": ("Batches computed", lambda t: t.compute.count),
    "ml_padding_rows": ("Rows computed to fill up batches", lambda t: t.padding),
    "ml_requests_failed": ("Requests whose computation failed", lambda t: t.failed.count),
    "ml_requests_cancelled": ("Requests whose client went away", lambda t: t.cancelled),
    "ml_cache_hits": ("Requests answered from memory", lambda t: t.hits.count),
    "ml_cache_misses": ("Requests that were not there, and computed", lambda t: t.misses.count),
    "ml_nonfinite_outputs": ("Answers refused for a NaN or infinity", lambda t: t.nonfinite),
    "ml_shadow_rows": ("Rows computed as a shadow, for nobody", lambda t: t.shown),
    "ml_shadow_agreed_rows": ("Rows that a shadow predicts alike", lambda t: t.agreed),
    "ml_shadow_differing_rows": ("Rows that a shadow predicts otherwise", lambda t: t.differed),
}
MEMORY = {"bytes_in_use": "used", "peak_bytes_in_use": "peak", "bytes_limit": "limit"}
SPREADS: dict[str, tuple[str, Callable[[Tally], Spread]]] = {
    "ml_queue_seconds": ("Time before a request's batch began", lambda t: t.queue),
    "ml_compute_seconds": ("Time of a batch", lambda t: t.compute),
    "ml_batch_size": ("Rows of a batch", lambda t: t.sizes),
}


class Models(Collector):
    """What the versions that answer have done, and how those are that do not."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.before = compiles().unexpected

    def collect(self) -> Iterator[Metric]:
        """Give all metrics of models."""
        yield CounterMetricFamily(
            "ml_recompiles",
            "Programs compiled while requests were answered; a fault when it is not 0",
            value=compiles().unexpected - self.before,
        )
        reloads = CounterMetricFamily("ml_reload", "Looks at the folder", labels=["result"])
        for result, count in self.registry.reloads.items():
            reloads.add_metric([result], count)
        yield reloads
        yield from self._states()
        yield from _machine()
        batchers = [
            ((name, str(version), method), run.batcher)
            for name, served in self.registry.snapshot.models.items()
            for version, model in served.versions.items()
            for method, run in model.methods.items()
        ]
        yield from _counted(batchers)

    def _states(self) -> Iterator[Metric]:
        state = GaugeMetricFamily(
            "ml_model_state", "1: the version is in this state", labels=(*LABELS[:2], "state")
        )
        took = GaugeMetricFamily(
            "ml_model_load_seconds", "Time to load and compile", labels=LABELS[:2]
        )
        snapshot = self.registry.snapshot
        for name, served in snapshot.models.items():
            for version, model in served.versions.items():
                found = "ready" if model.is_sound else "broken"
                state.add_metric([name, str(version), found], 1)
                took.add_metric([name, str(version)], model.load_seconds)
        for name, failures in snapshot.failed.items():
            for version in {failure.version for failure in failures} - {None}:
                state.add_metric([name, str(version), "failed"], 1)
        yield state
        yield took


def _machine() -> Iterator[Metric]:
    """Give what is of this process and its devices, beyond the process's own metrics."""
    import jax  # which is there long since: models are loaded

    yield CounterMetricFamily(
        "log_lines_dropped",
        "Lines of the log that were dropped, because nobody reads them fast enough",
        value=logs.dropped(),
    )
    memory = GaugeMetricFamily(
        "ml_device_memory_bytes",
        "Memory of an accelerator, where it says so",
        labels=("device", "kind"),
    )
    for device in jax.local_devices():
        for key, value in (device.memory_stats() or {}).items():
            if key in MEMORY:
                memory.add_metric((f"{device.platform}:{device.id}", MEMORY[key]), value)
    yield memory


def _counted(batchers: list[tuple[tuple[str, str, str], Batcher]]) -> Iterator[Metric]:
    for name, (text, read) in COUNTERS.items():
        counter = CounterMetricFamily(name, text, labels=LABELS)
        for labels, batcher in batchers:
            counter.add_metric(labels, read(batcher.tally))
        yield counter
    for name, (text, spread) in SPREADS.items():
        histogram = HistogramMetricFamily(name, text, labels=LABELS)
        for labels, batcher in batchers:
            values = spread(batcher.tally)
            histogram.add_metric(labels, values.cumulative(), values.total)
        yield histogram
    depth = GaugeMetricFamily("ml_queue_depth", "Rows that wait", labels=LABELS)
    refused = CounterMetricFamily(
        "ml_requests_rejected", "Requests refused by a queue", labels=(*LABELS, "reason")
    )
    for labels, batcher in batchers:
        depth.add_metric(labels, batcher.depth)
        for reason, count in batcher.tally.refused.items():
            refused.add_metric((*labels, reason), count)
    yield depth
    yield refused


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
        loaded = Gauge("ml_models_loaded_total", "Models that answer", registry=self.registry)
        loaded.set_function(lambda: len(models.snapshot.models))
        self._ready = Gauge("ml_ready", "1: requests should be sent here", registry=self.registry)
        self._refused = Counter(
            "ml_requests_refused", "Requests refused unread", ("reason",), registry=self.registry
        )
        self.registry.register(Models(models))
        ProcessCollector(registry=self.registry)
        self._bound: dict[tuple[str, str, int], Callable[[float], None]] = {}

    def text(self) -> str:
        """Return all metrics as Prometheus reads them."""
        return generate_latest(self.registry).decode()

    def ready(self, is_ready: Callable[[], bool]) -> None:
        """Take what says whether requests should be sent here."""
        self._ready.set_function(lambda: float(is_ready()))

    def observe(self, method: str, endpoint: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        key = (method, endpoint, status)
        observe = self._bound.get(key)
        if observe is None:
            observe = self._bound[key] = self._bind(*key)
        observe(seconds)

    def refused(self, reason: str) -> Callable[[], None]:
        """Return what counts one request that was refused for a reason."""
        return self._refused.labels(reason).inc

    def _bind(self, method: str, endpoint: str, status: int) -> Callable[[float], None]:
        count = self._requests.labels(method, endpoint, str(status)).inc
        time_it = self._seconds.labels(method, endpoint).observe

        def observe(seconds: float) -> None:
            count()
            time_it(seconds)

        return observe
