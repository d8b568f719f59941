"""Counts of the columns of one input, in the bins of its reference, over a window of rows.

Rows are gathered in a buffer, and counted when it is full: NumPy then pays for its overhead once,
and a row of 64 columns costs some 0.5 microseconds. A window is two half windows: the one that
fills, and the one before it.
"""

from collections.abc import Sequence

import numpy as np

from mastery_jax.workflow.artifact import Histogram

__all__ = ["CHUNK", "Columns", "Halves"]

CHUNK = 240  # rows of the buffer: counts of so many fit a byte, and it can be halved four times


class Halves:
    """Counts over the last rows, half a window to a whole one."""

    def __init__(self, shape: tuple[int, ...], half: int) -> None:
        self.half = half
        self._new, self._old = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        self._rows, self._rows_old = 0, 0

    def add(self, counts: np.ndarray, rows: int) -> None:
        """Count rows; the older half goes when the newer one is full."""
        self._new += counts
        self._rows += rows
        if self._rows >= self.half:
            self._old, self._rows_old = self._new, self._rows
            self._new, self._rows = np.zeros_like(self._new), 0

    @property
    def counts(self) -> np.ndarray:
        """The counts of the window."""
        return self._old + self._new

    @property
    def rows(self) -> int:
        """The rows of the window."""
        return self._rows_old + self._rows


class Columns:
    """The columns of one input.

    Args:
        histograms: The reference of each column that is watched, the first ones of the input.
        double: Whether the input is of double precision.
        half: Rows of half a window.
    """

    def __init__(self, histograms: Sequence[Histogram], *, double: bool, half: int) -> None:
        width, most = len(histograms), max(1, *(len(h.edges) for h in histograms))
        exact = np.full((most, width), np.inf)  # nothing lies above the edges that are not there
        self.reference = np.zeros((width, most + 1), np.int64)
        self.is_bin = np.zeros((width, most + 1), bool)
        for column, histogram in enumerate(histograms):
            exact[: len(histogram.edges), column] = histogram.edges
            self.reference[column, : len(histogram.counts)] = histogram.counts
            self.is_bin[column, : len(histogram.counts)] = True
        self.missing_reference = np.array([h.missing for h in histograms])
        self._edges = exact if double else rounded_down(exact)
        self._buffer = np.empty((CHUNK, width), self._edges.dtype)
        self._filled = 0
        self._halves = Halves((most + 1, width), half)

    def take(self, x: np.ndarray) -> None:
        """Show it rows; columns beyond those that are watched are not looked at."""
        start, width = 0, self._buffer.shape[1]
        while start < len(x):
            count = min(len(x) - start, CHUNK - self._filled)
            end = self._filled + count
            self._buffer[self._filled : end] = x[start : start + count, :width]
            self._filled, start = end, start + count
            if end == CHUNK:
                self._count()

    def _count(self) -> None:
        """Count what is in the buffer: how many lie above each edge, how many are missing."""
        rows = self._buffer[: self._filled]
        counts = np.zeros((len(self._edges) + 1, rows.shape[1]), np.uint8)
        finite = np.isfinite(rows)
        if not finite.all():
            np.subtract(self._filled, finite.sum(axis=0), out=counts[-1], casting="unsafe")
            rows[~finite] = np.nan  # which lies above nothing
        for edge, above in zip(self._edges, counts, strict=False):
            above[:] = added(rows > edge)
        self._halves.add(counts, self._filled)
        self._filled = 0

    @property
    def window(self) -> tuple[np.ndarray, np.ndarray, int]:
        """The counts by column and bin, the missing values by column, and the rows."""
        self._count()
        *above, missing = self._halves.counts
        finite = self._halves.rows - missing
        return -np.diff([finite, *above, np.zeros_like(finite)], axis=0).T, missing, self.rows

    @property
    def rows(self) -> int:
        """The rows of the window that have been counted."""
        return self._halves.rows


def added(is_so: np.ndarray) -> np.ndarray:
    """Return how often each column is true, in at most 255 rows.

    Halves are laid on each other, since NumPy adds long rows many numbers at a time.
    """
    counts = is_so.view(np.uint8)
    while len(counts) % 2 == 0 and len(counts) > 0:
        half = len(counts) // 2
        counts = counts[:half] + counts[half:]
    return np.add.reduce(counts, axis=0, dtype=np.uint8)


def rounded_down(edges: np.ndarray) -> np.ndarray:
    """Return the largest numbers of single precision that are not above the edges.

    What is of single precision lies above one of them if and only if it lies above the edge.
    """
    with np.errstate(over="ignore"):
        near = edges.astype(np.float32)
    return np.where(near > edges, np.nextafter(near, np.float32(-np.inf)), near)
