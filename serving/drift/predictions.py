"""Counts of what was predicted, against the first of it: nobody knows what it should be.

The first half window is the reference: its classes, or its values between their own deciles.
"""

import numpy as np

from serving.drift.columns import CHUNK, Halves

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
    def window(self) -> tuple[np.ndarray, int]:
        """The counts by bin and the rows, beyond those of the reference."""
        if self._halves is None:
            return np.zeros(0, np.int64), 0
        self._count()
        return self._halves.counts, self._halves.rows

    @property
    def rows_of_reference(self) -> int:
        """How many predictions the reference has by now."""
        return self._filled if self.reference is None else int(self.reference.sum())
