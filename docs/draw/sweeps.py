"""The drawing of the page on sweeps: lanes that are stopped, and those that go on."""

import pathlib
import tempfile

from docs.draw.common import MUTED, save
from mastery_jax.plots import style
from mastery_jax.workflow import config, records
from mastery_jax.workflow.progress import Progress
from mastery_jax.workflow.sweep import driver, store

RATES = "optimizer.learning_rate=log(1e-4,1e-1,7)"
HALVING = ["search.stop=halving", "search.stop.min_steps=20", "search.metrics=[test_accuracy:max]"]


def sweep_halving(file: pathlib.Path) -> None:
    """Draw the accuracy of 28 lanes from rung to rung."""
    swept = config.load_sweep("digits_mlp", [RATES, "seed=range(4)", *HALVING, "evaluate_every=10"])
    plane = style.axes("test_accuracy", "by step; one lane in three goes on", x="step")
    with tempfile.TemporaryDirectory() as runs:
        folder = driver.sweep(swept, runs=pathlib.Path(runs), progress=Progress(quiet=True))
        lanes = sorted(store.lanes(folder), key=lambda lane: lane["step"])
        for lane in lanes:
            rows = records.metrics(store.record(folder, lane["lane"]))
            found = records.series(rows)["test_accuracy"]
            is_last = lane["step"] == lanes[-1]["step"]
            plane.plot(*found, color="C0" if is_last else MUTED, linewidth=2 if is_last else 0.8)
            mark = "o" if is_last else "|"
            plane.plot(found[0][-1], found[1][-1], mark, color=plane.lines[-1].get_color())
    for step in (20, 60, 180):
        plane.axvline(step, color=MUTED, linestyle=":", linewidth=0.8)
    save(plane, file, note="dotted: rungs")


PICTURES = (sweep_halving,)
