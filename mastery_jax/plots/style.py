"""What the pictures share: paper, ink, colors and how a file is written.

Figures are made as objects and never through pyplot, so that nothing global is changed and no
screen is needed. The colors stay apart for color-blind eyes.

Source: Okabe and Ito (2008), Color universal design.
"""

import io
import math
import pathlib
from collections.abc import Iterable
from typing import Any, NamedTuple

__all__ = ["Look", "axes", "colors", "is_drawable", "is_number", "is_wide", "label", "look", "save"]

_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_LINES = ("-", "--", ":", "-.")
_MARKERS = "osD^vP"
_UNITS = {
    "accuracy": "fraction",
    "log_loss": "nats",
    "log_prob": "nats",
    "nll": "nats",
    "log_likelihood": "nats",
    "elbo": "nats",
    "rmse": "unit of y",
    "seconds": "s",
}
_PALETTE = 128  # colors of a file: no eye sees the difference, and it has a quarter of the bytes
_FEW = 32
_GRAY = "#5f6368"


class Look(NamedTuple):
    """How one of several lines is drawn."""

    color: str
    linestyle: str
    marker: str


def look(index: int) -> Look:
    """Return a look that the first 28 lines do not share."""
    turn, color = divmod(index, len(_COLORS))
    return Look(_COLORS[color], _LINES[turn % len(_LINES)], _MARKERS[index % len(_MARKERS)])


def label(name: str) -> str:
    """Return a metric's name as words, with its unit where the name tells it."""
    unit = next((unit for key, unit in _UNITS.items() if f"_{name}".endswith(f"_{key}")), "")
    return name.replace("_", " ") + (f" ({unit})" if unit else "")


def is_drawable(value: Any) -> Any:
    """Return whether a number, or each of an array, is finite and below 1e100.

    Beyond that the arithmetic of the axes overflows.
    """
    return abs(value) <= 1e100


def is_number(value: Any) -> bool:
    """Return whether a value has a place on a scale."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def colors(values: Iterable[float], mode: str) -> Any:
    """Return a map of finite values to colors that also differ in lightness: bright is better.

    Args:
        values: Between the least and the greatest of them lies the scale, logarithmic where they
            are wide.
        mode: ``min`` where less is better.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm, Normalize

    found = list(values)
    norm = (LogNorm if is_wide(found) else Normalize)(min(found), max(found))
    return ScalarMappable(norm, "viridis_r" if mode == "min" else "viridis")


def is_wide(values: Iterable[float]) -> bool:
    """Return whether values are positive and span two decades or more: a logarithmic axis."""
    found = [x for x in values if is_drawable(x)]
    return bool(found) and min(found) > 0 and max(found) >= 100 * min(found)


def axes(metric: str, over: str, *, x: str) -> Any:
    """Return empty axes of 7 x 4.3 inches for a metric over something, titled and labeled."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 4.3), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    plane = figure.add_subplot()
    plane.set_title(f"{metric.replace('_', ' ')} {over}", loc="left", fontsize=11, weight="bold")
    plane.set_xlabel(x, color=_GRAY)
    plane.set_ylabel(label(metric), color=_GRAY)
    plane.spines[["top", "right"]].set_visible(False)
    plane.spines[["left", "bottom"]].set_color(_GRAY)
    plane.tick_params(which="both", colors=_GRAY, labelsize=9)
    plane.grid(visible=True, color="#e4e6e9", linewidth=0.8)
    plane.set_axisbelow(True)
    return plane


def save(
    plane: Any, file: str | pathlib.Path, *, note: str = "", is_dense: bool = False
) -> pathlib.Path:
    """Write a PNG, with a legend below where lines are labeled; its folder is made.

    What is dense has few colors and fewer dots: its bytes are those of its edges.
    """
    figure, file = plane.figure, pathlib.Path(file)
    handles, names = plane.get_legend_handles_labels()
    if names:
        columns = min(len(names), max(1, int(90 / (max(map(len, names)) + 8))))
        figure.set_figheight(4.3 + 0.22 * math.ceil(len(names) / columns))
        figure.legend(
            handles, names, loc="outside lower left", ncols=columns, frameon=False, fontsize=9
        )
    if note:
        plane.set_title(note, loc="right", fontsize=8, color=_GRAY)
    from PIL import Image

    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=100 if is_dense else 150, format="png")
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.open(drawn).convert("RGB").quantize(_FEW if is_dense else _PALETTE).save(
        file, "PNG", optimize=True
    )
    return file
