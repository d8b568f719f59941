"""What one run or one lane has measured, as lines of ``metrics.jsonl``."""

import math
from collections.abc import Sequence
from typing import Any

from mastery_jax.workflow.program import Event

__all__ = ["Log"]

MOST_ROWS = 1000  # lines of step metrics of a whole run; longer runs are thinned evenly


class Log:
    """Collects the events of one lane."""

    def __init__(self, num_steps: int, *, step: int = 0) -> None:
        self.num_steps, self.step = num_steps, step
        self.evaluation: dict[str, float] = {}  # the last one
        self._is_evaluated = False
        self.reason = ""  # why the lane failed, if it did
        self._stride = max(1, num_steps // MOST_ROWS)

    @property
    def is_over(self) -> bool:
        """Say whether there is nothing left to run."""
        return bool(self.reason) or (self.step >= self.num_steps and self._is_evaluated)

    def add(self, event: Event) -> list[dict[str, Any]]:
        """Take in an event of this lane; return its lines."""
        rows, since = [], self.step
        series = {name: x.tolist() for name, x in event.metrics.items()}  # far faster than items
        failed = _failure(series.get("loss", ()), since)
        # What came after a failure depends on where the chunk happened to end.
        self.step = failed or event.step
        for i, step in enumerate(range(since + 1, self.step + 1)):
            if series and (step % self._stride == 0 or step == self.num_steps):
                rows.append({"step": step} | {name: x[i] for name, x in series.items()})
        if failed:
            self.reason = f"loss became {series['loss'][failed - since - 1]} at step {failed}"
            rows.append({"step": failed, "reason": self.reason})
        elif event.evaluation is not None:
            self._is_evaluated = True
            self.evaluation = {name: x.item() for name, x in event.evaluation.items()}
            if not (rows and rows[-1]["step"] == event.step):
                rows.append({"step": event.step})
            rows[-1] |= self.evaluation
        return rows


def _failure(losses: Sequence[float], since: int) -> int:
    """Return the step at which the loss stopped being a number; 0 where it did not."""
    return next((s for s, x in enumerate(losses, since + 1) if not math.isfinite(x)), 0)
