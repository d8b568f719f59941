"""What a method of one version has done since the server's start.

Plain numbers that the event loop alone writes: Prometheus and the statistics of the protocol read
them when they are asked, so that a request pays for no lock.
"""

import bisect
import collections
import time

__all__ = ["SECONDS", "Spread", "Tally"]

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Spread:
    """How many values lie up to each bound, and their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...] = SECONDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)  # the last: above all bounds
        self.total = 0.0

    def add(self, value: float, times: int = 1) -> None:
        """Count a value, or as many equal ones."""
        self.counts[bisect.bisect_left(self.bounds, value)] += times
        self.total += value * times

    @property
    def count(self) -> int:
        """The number of values."""
        return sum(self.counts)

    def cumulative(self) -> list[tuple[str, float]]:
        """Return the buckets as Prometheus takes them: bound, values up to it."""
        found, seen = [], 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            seen += count
            found.append(("+Inf" if bound == float("inf") else repr(float(bound)), seen))
        return found


class Tally:
    """The counts of one method; ``requests`` are parts of at most the largest batch each."""

    __slots__ = (
        "agreed",
        "batches",
        "cancelled",
        "compute",
        "differed",
        "failed",
        "hits",
        "misses",
        "nonfinite",
        "padding",
        "queue",
        "refused",
        "requests",
        "rows",
        "shown",
        "since",
        "sizes",
    )

    def __init__(self, sizes: tuple[int, ...]) -> None:
        self.requests = 0  # answered
        self.failed = Spread()  # seconds from the queue to the fault
        self.cancelled = 0  # the client went away before they were computed
        self.hits = Spread()  # seconds of requests answered from memory; they count as answered
        self.misses = Spread()  # seconds until that was known, of those that are computed
        self.refused: collections.Counter[str] = collections.Counter()  # by reason
        self.rows = 0  # answered
        self.padding = 0  # rows computed for nobody
        self.nonfinite = 0  # answers that hold a NaN or an infinity
        self.shown = 0  # rows computed as a shadow: nobody got the answer
        self.agreed = self.differed = 0  # rows of a shadow that predicts as who answered, or not
        self.queue = Spread()  # seconds of a request before its batch starts
        self.compute = Spread()  # seconds of a batch
        self.sizes = Spread(tuple(float(size) for size in sizes))  # rows of a batch
        self.batches: dict[int, tuple[int, float]] = {}  # rows -> how often, seconds
        self.since = 0.0  # when the last batch was answered, seconds since 1970

    def executed(self, rows: int, padding: int, seconds: float) -> None:
        """Count one batch."""
        self.since = time.time()
        self.padding += padding
        self.compute.add(seconds)
        self.sizes.add(rows)
        times, total = self.batches.get(rows, (0, 0.0))
        self.batches[rows] = times + 1, total + seconds

    def answered(self, rows: int, *, is_shadow: bool = False) -> None:
        """Count one request; what a shadow computes is no answer to anybody."""
        if is_shadow:
            self.shown += rows
        else:
            self.requests += 1
            self.rows += rows
