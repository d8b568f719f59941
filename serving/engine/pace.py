"""How long batches take: as was measured at the start, times what that comes to now."""

from collections.abc import Callable

__all__ = ["Pace"]

SHARE = 0.1  # of the newest batch in the factor
MOST = 10.0  # times longer than measured: what a pause of the machine counts, at most


class Pace:
    """A machine that has other things to do, too, takes longer than it did when it was idle.

    Args:
        seconds: Gives how long so many rows took.
        most: Rows of the largest batch.
    """

    def __init__(self, seconds: Callable[[int], float], most: int) -> None:
        self._seconds, self._most = seconds, most
        self.factor = 1.0

    def batch(self, rows: int) -> float:
        """Return the seconds of one batch of so many rows, or of the largest."""
        return self.factor * self._seconds(min(rows, self._most))

    def all(self, rows: int) -> float:
        """Return the seconds of so many rows in batches that are as large as can be."""
        parts, rest = divmod(rows, self._most)
        seconds = parts * self._seconds(self._most) + (self._seconds(rest) if rest else 0.0)
        return self.factor * seconds

    def note(self, rows: int, seconds: float) -> None:
        """See how long a batch took."""
        measured = self._seconds(rows)
        if measured > 0:
            self.factor += SHARE * (min(seconds / measured, MOST) - self.factor)
