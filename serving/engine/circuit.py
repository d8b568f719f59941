"""Whether the batches of a program come back, and not as faults."""

import time

__all__ = ["FAULTS", "REST", "Circuit"]

FAULTS = 5  # batches in sequence that failed, before a model counts as broken
REST = 1.0  # seconds before a broken model is tried again
clock = time.monotonic


class Circuit:
    """It opens after ``FAULTS`` failed batches in sequence, and while one does not end.

    Args:
        step_seconds: A batch that takes longer is stuck.
    """

    def __init__(self, step_seconds: float) -> None:
        self.step_seconds = step_seconds
        self.began: float | None = None  # when the batch began that a thread computes
        self.is_stuck = False  # it takes too long
        self._faults, self._broke = 0, 0.0

    @property
    def is_broken(self) -> bool:
        """Whether too many batches failed."""
        return self._faults >= FAULTS

    def refusal(self) -> tuple[str, str, float] | None:
        """Return why nobody is sent there now, in a word and in a sentence, and for how long."""
        if self.is_stuck:
            return "stuck", "a batch does not end", self.step_seconds
        if self.is_broken and clock() - self._broke < REST:
            return "broken", f"its last {self._faults} batches failed", REST
        return None

    def note(self, *, has_failed: bool) -> None:
        """See how a batch ended."""
        self._faults = self._faults + 1 if has_failed else 0
        if has_failed:
            self._broke = clock()
