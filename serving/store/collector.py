"""The metrics of the record of predictions."""

from collections.abc import Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.store.log import Log

__all__ = ["Records"]

LABELS = ("model", "version")


class Records(Collector):
    """What was recorded, what was lost, and how often models were right."""

    def __init__(self, log: Log) -> None:
        self.log = log

    def collect(self) -> Iterator[Metric]:
        """Give all of them."""
        yield CounterMetricFamily(
            "ml_prediction_log_dropped",
            "Predictions not recorded for want of room, or of a database",
            value=self.log.waiting.dropped,
        )
        yield CounterMetricFamily(
            "ml_prediction_log_written", "Predictions recorded", value=self.log.writer.written
        )
        yield GaugeMetricFamily(
            "ml_prediction_log_depth",
            "Predictions that wait to be recorded",
            value=len(self.log.waiting),
        )
        accuracy = GaugeMetricFamily(
            "ml_live_accuracy", "Share of right classes among those with truth", labels=LABELS
        )
        rmse = GaugeMetricFamily(
            "ml_live_rmse", "Root of the mean squared error of values with truth", labels=LABELS
        )
        for found in self.log.writer.live:
            labels = (found.model, str(found.version))
            if found.is_class:
                accuracy.add_metric(labels, found.accuracy)
            else:
                rmse.add_metric(labels, found.rmse)
        yield accuracy
        yield rmse
