"""One version of a model: it is shown every batch, and says what has shifted."""

import logging
import threading
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mastery_jax.workflow.artifact import Histogram
from mastery_jax.workflow.stablehlo import Arrays, dtype
from serving.drift import measures
from serving.drift.columns import Columns
from serving.drift.predictions import Predictions
from serving.drift.seen import Seen, Window
from serving.engine.batcher import Outputs
from serving.engine.model import Model

__all__ = ["FEWEST", "FEWEST_REFERENCE", "MOST_COLUMNS", "Feature", "Shift", "Watch", "shift"]

LOG = logging.getLogger(__name__)
FEWEST = 500  # rows of a window, before a value is given
FEWEST_REFERENCE = 50  # finite values of a feature when the model was published
MOST_COLUMNS = 2048  # of one input; further ones are not watched
LONGEST = 128  # characters of a feature's name


class Feature(NamedTuple):
    """One feature of the window against its reference."""

    name: str
    psi: float
    psi_limit: float
    ks: float
    ks_limit: float
    missing: float  # the share of values that are not finite
    missing_reference: float


class Shift(NamedTuple):
    """What is predicted against what was predicted first."""

    psi: float
    psi_limit: float


class Watch:
    """What a version is asked, and what it answers.

    Args:
        model: The version.
        rows: Of a window.
    """

    def __init__(self, model: Model, rows: int) -> None:
        self.name = f"{model.name}/{model.version}"
        self.reason: str | None = None  # why no feature is watched
        self._half = max(rows // 2, 1)
        self._lock = threading.Lock()  # batches of two methods may end at the same time
        self._is_broken = False
        self._names: dict[str, list[str]] = {}
        self._columns = self._watched(model)
        self.predictions = self._predicted(model)

    def _watched(self, model: Model) -> dict[str, Columns]:
        tensors = {n: t for m in model.methods.values() for n, t in m.spec.inputs.items()}
        found: dict[str, Columns] = {}
        taken: set[str] = set()
        for field, histograms in model.histograms.items():
            tensor = tensors.get(field)
            fits = tensor is not None and len(histograms) == np.prod(tensor.shape[1:], dtype=int)
            if tensor is None or not fits or not all(map(is_whole, histograms)):
                LOG.warning("%s: the histograms of %s are not those of it", self.name, field)
                continue
            if max(sum(h.counts) for h in histograms) < FEWEST_REFERENCE:
                self.reason = f"the reference has less than {FEWEST_REFERENCE} rows"
                continue
            kept = histograms[:MOST_COLUMNS]
            self._names[field] = named(kept, taken)
            is_double = dtype(tensor) == np.float64
            found[field] = Columns(kept, double=is_double, half=self._half)
        if not found and self.reason is None:
            self.reason = "the model was published without histograms of its inputs"
        return found

    def _predicted(self, model: Model) -> Predictions | None:
        for method in model.methods.values():
            tensor = method.spec.outputs.get("predictions")
            if tensor is not None and len(tensor.shape) == 1 and dtype(tensor).kind in "iuf":
                is_class = bool(model.info.classes) and dtype(tensor).kind in "iu"
                return Predictions(len(model.info.classes) if is_class else None, self._half)
        return None

    def observe(self, x: Arrays, outputs: Outputs) -> None:
        """See a batch, in the loop or in a thread; what fails here is no fault of the batch."""
        if self._is_broken:
            return
        try:
            with self._lock:
                for field, columns in self._columns.items():
                    if field in x:
                        columns.take(x[field].reshape(len(x[field]), -1))
                if self.predictions is not None and "predictions" in outputs:
                    self.predictions.take(outputs["predictions"])
        except Exception:
            self._is_broken = True
            LOG.exception("%s: drift is watched no more", self.name)

    def seen(self) -> Seen:
        """Return the counts of the window."""
        with self._lock:
            windows = {field: columns.window for field, columns in self._columns.items()}
            predicted = self.predictions and self.predictions.seen
        inputs = {
            field: Window(counts=counts, missing=missing, rows=rows)
            for field, (counts, missing, rows) in windows.items()
        }
        return Seen(inputs=inputs, predictions=predicted)

    def features(self, seen: Seen) -> list[Feature]:
        """Return every feature whose window has rows enough, in order."""
        tests = sum(len(names) for names in self._names.values())
        return [
            feature
            for field, window in seen.inputs.items()
            if window.rows >= FEWEST
            for feature in self._compared(field, window.counts, window.missing, tests)
        ]

    def _compared(
        self, field: str, counts: np.ndarray, missing: np.ndarray, tests: int
    ) -> list[Feature]:
        columns, names = self._columns[field], self._names[field]
        n, m = columns.reference.sum(axis=1), counts.sum(axis=1)
        has_both = (n >= FEWEST_REFERENCE) & (m >= FEWEST)
        n1, m1 = np.maximum(n, 1), np.maximum(m, 1)
        measured = (
            measures.psi(columns.reference, counts, columns.is_bin),
            measures.psi_limit(n1, m1, columns.is_bin.sum(axis=1), tests),
            measures.ks(columns.reference, counts),
            measures.ks_limit(n1, m1, tests),
        )
        shares = (
            missing / np.maximum(m + missing, 1),
            columns.missing_reference / np.maximum(n + columns.missing_reference, 1),
        )
        values = [*(np.where(has_both, value, np.nan) for value in measured), *shares]
        rows = np.stack(values, axis=1).tolist()
        return [Feature(name, *row) for name, row in zip(names, rows, strict=True)]


def shift(seen: Seen) -> Shift | None:
    """Return how far predictions have shifted; None until there are enough."""
    found = seen.predictions
    if found is None or found.reference is None:
        return None
    reference, counts = found.reference, found.counts
    if found.rows < FEWEST or not reference.any():
        return None
    n, m, bins = (np.array([number]) for number in (reference.sum(), found.rows, len(counts)))
    psi = measures.psi(reference[None], counts[None], np.ones((1, len(counts)), bool))
    return Shift(float(psi[0]), float(measures.psi_limit(n, m, bins, 1)[0]))


def is_whole(histogram: Histogram) -> bool:
    """Say whether a histogram can be compared with: its edges rise, its bins are one more."""
    edges = np.array(histogram.edges)
    return (
        len(histogram.counts) == len(edges) + 1
        and bool(np.isfinite(edges).all() and (np.diff(edges) > 0).all())
        and min(histogram.counts, default=-1) >= 0
    )


def named(histograms: Sequence[Histogram], taken: set[str]) -> list[str]:
    """Return a name for each, that no other has: a series of Prometheus is known by it."""
    names = []
    for column, histogram in enumerate(histograms):
        name = histogram.feature[:LONGEST]
        if name in taken:
            name = f"{name}[{column}]"
        while name in taken:
            name += "'"
        taken.add(name)
        names.append(name)
    return names
