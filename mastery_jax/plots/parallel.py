"""Parallel coordinates: every swept field and the metric as an axis, every group as a line.

Source: Inselberg (1985), The plane with parallel coordinates.
"""

import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mastery_jax.plots import style

__all__ = ["axis", "draw"]

_FEW = 8  # values that are named one by one
_NAMES = 14  # words that are
_LONG = 16  # letters of a name
_ROOM = 0.045  # of an axis that a name needs
_DENSE = 120  # pieces of lines
_BELOW = -0.1  # where what has no place on a scale stands


class Axis(NamedTuple):
    """One axis: where values stand between 0 and 1, and what is written beside it."""

    places: tuple[float, ...]
    ticks: Mapping[float, str]


def axis(values: Sequence[Any]) -> Axis:
    """Place values on an axis.

    Numbers have a scale, logarithmic where they are positive and span two decades, and what is
    missing among them stands below it; other values are spread in the order given.
    """
    numbers = [x for x in values if style.is_number(x) and style.is_drawable(x)]
    if not numbers or not all(x is None or style.is_number(x) for x in values):
        names = list(dict.fromkeys(map(str, values)))
        place = {name: _share(i, 0, len(names) - 1) for i, name in enumerate(names)}
        ticks = {place[name]: name[:_LONG] for name in names[:: 1 + len(names) // _NAMES]}
        return Axis(tuple(place[str(value)] for value in values), ticks)
    warp = math.log10 if style.is_wide(numbers) else float
    low, high = warp(min(numbers)), warp(max(numbers))
    inside = [style.is_number(x) and style.is_drawable(x) for x in values]
    places = tuple(
        _share(warp(x), low, high) if is_so else _BELOW
        for x, is_so in zip(values, inside, strict=True)
    )
    if len(distinct := sorted(set(numbers))) <= _FEW:
        ticks = _apart({_share(warp(x), low, high): f"{x:.4g}" for x in distinct})
    else:
        back = (lambda x: 10**x) if warp is math.log10 else float
        ticks = {k / 4: f"{back(low + (high - low) * k / 4):.3g}" for k in range(5)}
    return Axis(places, ticks if all(inside) else ticks | {_BELOW: "none"})


def _apart(ticks: Mapping[float, str]) -> dict[float, str]:
    """Leave out names that would stand on one another."""
    kept: dict[float, str] = {}
    for place, name in ticks.items():
        if not kept or place - max(kept) >= _ROOM:
            kept[place] = name
    return kept


def _share(x: float, low: float, high: float) -> float:
    return (x - low) / (high - low) if high > low else 0.5


def draw(
    columns: Mapping[str, Sequence[Any]],
    *,
    metric: str,
    mode: str,
    file: str | pathlib.Path,
    note: str = "",
) -> pathlib.Path:
    """Draw one line a group through its values into a PNG, the better the brighter and higher up.

    Args:
        columns: Name -> one value a group; the last one is the metric, all finite.
        metric: Its name.
        mode: ``max`` or ``min``: which way is better.
        file: Where to write.
        note: What to say of the picture.

    Returns:
        Where it was written.
    """
    from matplotlib.collections import LineCollection

    axes = {name: axis(values) for name, values in columns.items()}
    values = list(columns.values())[-1]
    sign = -1 if mode == "min" else 1
    order = sorted(range(len(values)), key=lambda i: sign * values[i])
    lines = [[(x, each.places[i]) for x, each in enumerate(axes.values())] for i in order]
    colors = style.colors(values, mode)
    plane = style.axes(metric, "over all that is swept", x="")
    plane.set_ylabel("")
    plane.spines[:].set_visible(False)
    plane.grid(visible=False)
    is_dense = len(lines) * len(axes) > _DENSE
    width, look = (0.9, {"antialiaseds": False}) if is_dense else (1.6, {"alpha": 0.8})
    drawn = LineCollection(lines, cmap=colors.cmap, norm=colors.norm, linewidths=width, **look)
    drawn.set_array([values[i] for i in order])
    plane.add_collection(drawn)
    for x, each in enumerate(axes.values()):
        plane.axvline(x, color="black", linewidth=0.8)
        for place, text in each.ticks.items():
            paper = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8}
            plane.text(x, place, f" {text}", va="center", ha="left", fontsize=8, bbox=paper)
    plane.set_xticks(range(len(axes)), [name.replace(".", ".\n") for name in axes])
    plane.set_yticks([])
    plane.set_xlim(-0.1, len(axes) - 0.7)
    plane.set_ylim(min(place for line in lines for _, place in line) - 0.05, 1.05)
    return style.save(plane, file, note=note, is_dense=is_dense)
