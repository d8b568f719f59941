"""The drawing of the page on monitoring: a feature that shifts, and when it is seen."""

import pathlib

import numpy as np

from docs.draw.common import MUTED, save
from mastery_jax.plots import style
from mastery_jax.workflow.artifact import Histogram
from serving.drift import measures
from serving.drift.columns import Columns

REFERENCE, HALF, STEP, STEPS = 1000, 5000, 250, 160
START, SHIFT = 15_000, 0.6  # rows before it shifts, and by how many standard deviations


def drift(file: pathlib.Path) -> None:
    """Draw the PSI of a feature that shifts, of one that does not, and the limit."""
    rng = np.random.default_rng(0)
    columns = Columns(
        [histogram(rng.normal(size=REFERENCE)) for _ in range(2)], double=True, half=HALF
    )
    seen = []
    for row in range(0, STEP * STEPS, STEP):
        x = rng.normal(size=(STEP, 2))
        x[:, 0] += SHIFT * (row >= START)
        columns.take(x)
        counts, _, rows = columns.window
        n, m = columns.reference.sum(axis=1), counts.sum(axis=1)
        limit = measures.psi_limit(n, m, columns.is_bin.sum(axis=1), tests=2)
        psi = measures.psi(columns.reference, counts, columns.is_bin)
        if rows >= 500:
            seen.append((row + STEP, *psi, limit[0]))
    at, shifted, calm, limit = np.array(seen).T
    plane = style.axes("PSI", "over a window of 5,000 to 10,000 rows", x="rows asked")
    for index, (values, name) in enumerate(((shifted, "shifts by 0.6"), (calm, "does not"))):
        plane.plot(at, values, color=style.look(index).color, label=name)
    plane.plot(at, limit, color=MUTED, linestyle="--", linewidth=1, label="alarm")
    plane.axvline(START, color=MUTED, linestyle=":", linewidth=0.8)
    save(plane, file, note="normal features, 1,000 rows of reference")


def histogram(values: np.ndarray) -> Histogram:
    """Return the histogram of a feature between its deciles, as a model is published with."""
    least, *deciles = np.quantile(values, np.linspace(0, 1, 11))
    edges = np.array([np.nextafter(least, -np.inf), *deciles])
    counts = np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1)
    return Histogram(
        feature="x", edges=tuple(edges.tolist()), counts=tuple(counts.tolist()), missing=0
    )


PICTURES = (drift,)
