"""What every tracker is given in its tests."""

import math

from mastery_jax.workflow.track import writer
from tests.track.fakes import Sayings

CONFIG = {"seed": 3, "model": {"kind": "mlp", "widths": (32, 64)}, "rate": 0.1, "best": None}
LAST = {"test/genauigkeit ü": 0.5}
ROWS = [
    {"step": 1, "loss": 1.0},
    {"step": 2, "loss": math.nan},
    {"step": 3, "loss": math.inf},
    {"step": 4, "loss": 0.25, **LAST},
]


def feed(name, folder, *, lanes=(None,), rows=ROWS, first=0, state="done"):
    """Send a run, or the lanes of a sweep, to a tracker; return what was said but the wait."""
    said, is_sweep = Sayings(), lanes != (None,)
    with writer.open([name], folder=folder, progress=said, is_sweep=is_sweep) as tracked:
        for number in lanes:
            lane = tracked.lane(number, CONFIG | {"seed": number}, first=first)
            lane.log(rows[:3])
            lane.log(rows[3:])
            lane.finish(state, LAST)
    return [line for line in said.lines if not line.startswith("waiting for ")]
