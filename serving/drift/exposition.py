"""Drift for Prometheus: the features of a version that have shifted most, and its predictions."""

import math
from collections.abc import Iterator, Mapping

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.drift.watch import Watch
from serving.drift.watch import shift as shift_of
from serving.engine.model import Model
from serving.models.registry import Registry

__all__ = ["MOST", "Exposition"]

MOST = 50  # features of a version: each one is a series
VERSION = ("model", "version")
FEATURE = (*VERSION, "feature")


class Exposition(Collector):
    """The metrics of drift of all versions that answer."""

    def __init__(self, registry: Registry, watches: Mapping[Model, Watch]) -> None:
        self.registry, self.watches = registry, watches

    def collect(self) -> Iterator[Metric]:
        """Give what there is; nothing where there are too few rows."""
        psi, psi_limit, ks, rows, shift, shift_limit = (
            GaugeMetricFamily("ml_drift_psi", "PSI against the reference", labels=FEATURE),
            GaugeMetricFamily("ml_drift_psi_limit", "PSI that is an alarm", labels=FEATURE),
            GaugeMetricFamily("ml_drift_ks", "KS against the reference", labels=FEATURE),
            GaugeMetricFamily("ml_drift_rows", "Rows of the window", labels=VERSION),
            GaugeMetricFamily(
                "ml_prediction_shift", "PSI against the first predictions", labels=VERSION
            ),
            GaugeMetricFamily("ml_prediction_shift_limit", "PSI that is an alarm", labels=VERSION),
        )
        for name, served in self.registry.snapshot.models.items():
            for version, model in served.versions.items():
                watch = self.watches.get(model)
                if watch is None:
                    continue
                labels, seen = (name, str(version)), watch.seen()
                rows.add_metric(labels, seen.rows)
                known = [f for f in watch.features(seen) if math.isfinite(f.psi)]
                for feature in sorted(known, key=lambda f: -f.psi)[:MOST]:
                    psi.add_metric((*labels, feature.name), feature.psi)
                    psi_limit.add_metric((*labels, feature.name), feature.psi_limit)
                    ks.add_metric((*labels, feature.name), feature.ks)
                found = shift_of(seen)
                if found is not None:
                    shift.add_metric(labels, found.psi)
                    shift_limit.add_metric(labels, found.psi_limit)
        yield from (psi, psi_limit, ks, rows, shift, shift_limit)
