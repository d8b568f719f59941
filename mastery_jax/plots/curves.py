"""Metrics over steps: one line a run, or a line and a band for runs that repeat each other."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from mastery_jax.plots import style

__all__ = ["draw"]

_FEW = 30  # points that are marked one by one


def draw(
    series: Mapping[str, tuple[Sequence[float], Sequence[Any]]],
    *,
    metric: str,
    file: str | pathlib.Path,
) -> pathlib.Path:
    """Draw lines over steps into a PNG.

    Args:
        series: Label -> its steps, and a value for each; or rows of values, one row a run: then
            the line is their mean, and the band reaches from the least to the greatest. What is
            not finite is a gap.
        metric: The name of what is drawn.
        file: Where to write.

    Returns:
        Where it was written.
    """
    import numpy as np

    lines = {}
    for name, (steps, values) in series.items():
        table = np.atleast_2d(np.asarray(values, float))
        table = np.where(style.is_drawable(table), table, np.nan)
        lines[name] = (np.asarray(steps, float), table)
    plane = style.axes(metric, "over steps", x="steps")
    for index, (name, (steps, values)) in enumerate(lines.items()):
        look = style.look(index)
        plane.plot(
            steps,
            values.mean(axis=0),
            color=look.color,
            linestyle=look.linestyle,
            linewidth=1.6,
            marker=look.marker if len(steps) <= _FEW else None,
            markersize=4,
            label=name if len(lines) > 1 else None,
        )
        if len(values) > 1:
            low, high = values.min(axis=0), values.max(axis=0)
            plane.fill_between(steps, low, high, color=look.color, alpha=0.15, lw=0)
    if style.is_wide(x for _, values in lines.values() for x in values.flat):
        plane.set_yscale("log")
    banded = any(len(values) > 1 for _, values in lines.values())
    note = "line: mean over runs; band: least to greatest" if banded else ""
    return style.save(plane, file, note=note)
