"""Which checkpoints of a run are kept."""

import math
import pathlib
import time
from typing import Any

from mastery_jax.workflow import checkpoint, records
from mastery_jax.workflow.program import Event

__all__ = ["Keeper"]

SECONDS_A_SAVE = 60.0  # without a period, a long run still keeps a recent checkpoint


class Keeper:
    """Decides which checkpoints are written and kept: the newest and the best.

    Args:
        folder: Of a run.
        every: Steps between checkpoints; 0 is one a minute.
        best: A metric, and the sign that makes it grow.
    """

    def __init__(
        self, folder: pathlib.Path, *, every: int, best: tuple[str, int] | None = None
    ) -> None:
        self.folder, self.every = folder, every
        self.metric, self.sign = best or ("", 1)
        self.saved_at = time.monotonic()
        self.best: dict[str, Any] | None = None
        kept = checkpoint.steps(folder)
        for row in records.metrics(folder):
            if row["step"] in kept and self._improves(row):
                self._remember(row)

    def keep(self, event: Event, evaluation: dict[str, float], *, force: bool) -> None:
        """Write a checkpoint where one is due, and remove those that are no longer wanted."""
        row = {"step": event.step} | evaluation
        is_best = event.evaluation is not None and self._improves(row)
        due = event.step % self.every == 0 if self.every else self._overdue()
        if not (force or is_best or due):
            return
        checkpoint.save(self.folder, event.step, event.state)
        self.saved_at = time.monotonic()
        if is_best:
            self._remember(row)
        checkpoint.prune(self.folder, {event.step} | ({self.best["step"]} if self.best else set()))

    def _overdue(self) -> bool:
        return time.monotonic() - self.saved_at > SECONDS_A_SAVE

    def _improves(self, row: dict[str, Any]) -> bool:
        value = row.get(self.metric, math.nan)
        if not math.isfinite(value):
            return False
        return self.best is None or self.sign * value > self.sign * self.best["value"]

    def _remember(self, row: dict[str, Any]) -> None:
        self.best = {"step": row["step"], "metric": self.metric, "value": row[self.metric]}
