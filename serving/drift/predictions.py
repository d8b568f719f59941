"""Counts of what was predicted, against the first of it: nobody knows what it should be.

The first half window is the reference: its classes, or its values between their own deciles.
"""

import numpy as np

from serving.drift.columns import CHUNK, Halves
from serving.drift.seen import Predicted

__all__ = ["Predictions"]

DECILES = np.arange(1, 10) / 10


class Predictions:
    """What a version predicts.

    Args:
        classes: How many there are; None for values.
        half: Rows of half a window, and of the reference.
    """

    def __init__(self, classes: int | None, half: int) -> None:
        self.classes = classes
        self.reference: np.ndarray | None = None  # counts, once there are enough
        self._half = half
        self._first = np.empty(half)
        self._buffer = np.empty(CHUNK)
        self._filled = 0  # of the reference, and then of the buffer
        # Classes that are none are counted with the last one: an answer with them is refused.
        self._edges = np.array([]) if classes is None else np.arange(1, classes) - 0.5
        self._halves: Halves | None = None

    def take(self, predictions: np.ndarray) -> None:
        """Show it predictions, a number a row."""
        start = 0
        while start < len(predictions):
            into = self._first if self._halves is None else self._buffer
            count = min(len(predictions) - start, len(into) - self._filled)
            end = self._filled + count
            into[self._filled : end] = predictions[start : start + count]
            self._filled, start = end, start + count
            if end == len(into):
                self._count()

    def _count(self) -> None:
        if self._halves is None:
            first = self._first[np.isfinite(self._first)]
            if self.classes is None and first.size:
                self._edges = np.unique(np.quantile(first, DECILES))
            self.reference = self._binned(first)
            self._halves = Halves(self.reference.shape, self._half)
            self._first = np.empty(0)
        else:
            values = self._buffer[: self._filled]
            values = values[np.isfinite(values)]
            self._halves.add(self._binned(values), len(values))
        self._filled = 0

    def _binned(self, values: np.ndarray) -> np.ndarray:
        return np.bincount(np.searchsorted(self._edges, values), minlength=len(self._edges) + 1)

    @property
    def seen(self) -> Predicted:
        """The counts: of the reference, and of the window beyond it."""
        if self._halves is not None:
            self._count()
        return Predicted(
            is_classes=self.classes is not None,
            reference=self.reference,
            first=self._filled if self.reference is None else int(self.reference.sum()),
            counts=np.zeros(0, np.int64) if self._halves is None else self._halves.counts,
            rows=0 if self._halves is None else self._halves.rows,
        )
