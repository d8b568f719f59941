"""A metric against a swept field: every seed as a point, their means as a line."""

import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from mastery_jax.plots import style

__all__ = ["draw"]

_ASIDE = 0.12  # most between two series at one place that is not a number
_FEW = 8  # places that are named one by one on a logarithmic axis


def draw(
    series: Mapping[str, Mapping[Any, Sequence[float]]],
    *,
    field: str,
    metric: str,
    file: str | pathlib.Path,
) -> pathlib.Path:
    """Draw points and means over a field into a PNG.

    Numbers have a scale, logarithmic where they are positive and span two decades; other values
    stand side by side in the order given. What is not finite is left out.

    Args:
        series: Label (the other fields; one empty label if there are none) -> value of the field
            -> the metric, one a seed.
        field: The swept field.
        metric: The name of what is drawn.
        file: Where to write.

    Returns:
        Where it was written.
    """
    values = list(dict.fromkeys(value for points in series.values() for value in points))
    is_scale = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    place = {value: float(value) if is_scale else float(i) for i, value in enumerate(values)}
    plane = style.axes(metric, f"by {field}", x=field)
    everything: list[float] = []
    repeated, apart = False, min(_ASIDE, 0.8 / len(series))
    for index, (name, points) in enumerate(series.items()):
        look = style.look(index)
        aside = 0.0 if is_scale else apart * (index - (len(series) - 1) / 2)
        found = {
            place[v] + aside: [m for m in ms if style.is_drawable(m)] for v, ms in points.items()
        }
        found = {x: found[x] for x in sorted(found) if found[x]}
        seeds = [(x, m) for x, ms in found.items() for m in ms]
        everything += [m for _, m in seeds]
        if len(seeds) > len(found):
            repeated = True
            plane.plot(*zip(*seeds, strict=True), ".", color=look.color, alpha=0.4, markersize=6)
        plane.plot(
            list(found),
            [math.fsum(ms) / len(ms) for ms in found.values()],
            color=look.color,
            linestyle=look.linestyle if is_scale else "",
            linewidth=1.6,
            marker=look.marker,
            markersize=6,
            label=name or None,
        )
    if not is_scale:
        plane.set_xticks(range(len(values)), [str(value) for value in values])
        plane.set_xlim(-0.5, len(values) - 0.5)
    elif style.is_wide(place.values()):
        plane.set_xscale("log")
        if len(values) <= _FEW:
            plane.set_xticks(list(place.values()), [f"{x:g}" for x in place.values()], minor=False)
            plane.minorticks_off()
    if style.is_wide(everything):
        plane.set_yscale("log")
    note = "mark: mean; points: seeds" if repeated else ""
    return style.save(plane, file, note=note)
