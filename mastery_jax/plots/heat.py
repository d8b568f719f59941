"""A metric against two swept fields at once: one cell for each pair of values."""

import math
import pathlib
from collections.abc import Sequence

from mastery_jax.plots import style

__all__ = ["draw"]

_FEW = 60  # cells that are labeled one by one
_WIDE = 54  # letters below all columns; more are turned


def draw(
    cells: Sequence[Sequence[float]],
    *,
    xs: Sequence[str],
    ys: Sequence[str],
    x: str,
    y: str,
    metric: str,
    mode: str,
    file: str | pathlib.Path,
    note: str = "",
) -> pathlib.Path:
    """Draw means as colored cells into a PNG.

    Args:
        cells: One row a value of ``y``, one number a value of ``x``; what is not finite is a gap.
        xs: The values of one field, as they are written.
        ys: Those of the other, the first at the bottom.
        x: The name of the one field.
        y: The name of the other.
        metric: The name of what is drawn.
        mode: ``max`` or ``min``: what is better is brighter.
        file: Where to write.
        note: What to say of the picture.

    Returns:
        Where it was written.
    """
    found = [value for row in cells for value in row if style.is_drawable(value)]
    plane = style.axes(metric, "by two fields", x=x)
    plane.set_ylabel(y)
    plane.grid(visible=False)
    colors = style.colors(found, mode)
    drawn = [[value if style.is_drawable(value) else math.nan for value in row] for row in cells]
    plane.imshow(drawn, origin="lower", aspect="auto", cmap=colors.cmap, norm=colors.norm)
    turn = 30 if max(map(len, xs)) * len(xs) > _WIDE else 0
    plane.set_xticks(range(len(xs)), xs, rotation=turn, ha="right" if turn else "center")
    plane.set_yticks(range(len(ys)), ys)
    if len(xs) * len(ys) <= _FEW:
        for row, values in enumerate(drawn):
            for column, value in enumerate(values):
                if not math.isnan(value):
                    is_dark = sum(colors.to_rgba(value)[:3]) < 1.5
                    ink = "white" if is_dark else "black"
                    plane.text(
                        column, row, f"{value:.3g}", ha="center", va="center", color=ink, size=8
                    )
    bar = plane.figure.colorbar(colors, ax=plane, label=style.label(metric))
    bar.outline.set_visible(False)
    return style.save(plane, file, note=note)
