"""What a lane has measured does not depend on where its chunks ended."""

import math

import numpy as np
import pytest

from mastery_jax.workflow.log import Log
from mastery_jax.workflow.program import Event

LOSSES = [3.0, 2.0, 1.0, 4.0, math.inf, math.nan, 5.0, 6.0]


def follow(losses, size, *, stride=1, evaluated=()):
    """Return the log and the lines of a lane whose chunks have ``size`` steps."""
    log, rows = Log(len(losses)), []
    log._stride = stride
    for first in range(0, len(losses), size):
        part = losses[first : first + size]
        step = first + len(part)
        found = {"test_loss": np.array(0.5)} if step in evaluated else None
        rows += log.add(Event(step, None, {"loss": np.array(part)}, found))
        if log.is_over:
            break
    return log, rows


@pytest.mark.parametrize("size", range(1, 9))
def test_a_failed_lane_ends_at_the_step_that_failed(size):
    log, rows = follow(LOSSES, size)
    assert (log.step, log.is_over, log.reason) == (5, True, "loss became inf at step 5")
    assert rows[:-1] == [{"step": s, "loss": x} for s, x in enumerate(LOSSES[:5], 1)]
    assert rows[-1] == {"step": 5, "reason": log.reason}


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_a_failed_lane_has_no_evaluation_of_later_steps(size):
    log, rows = follow(LOSSES, size, stride=2, evaluated=(8,))
    assert [row["step"] for row in rows] == [2, 4, 5]
    assert log.evaluation == {}


@pytest.mark.parametrize("size", [1, 3, 4])
def test_a_lane_that_goes_on_is_cut_nowhere(size):
    log, rows = follow(LOSSES[:4], size, evaluated=(4,))
    assert log.is_over
    assert not log.reason
    assert rows[-1] == {"step": 4, "loss": 4.0, "test_loss": 0.5}
    assert len(rows) == 4
