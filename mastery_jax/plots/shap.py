"""Pictures of attributions: a swarm over many rows, the steps of one answer, one feature's part.

Source: Lundberg et al. (2020), *Nature Machine Intelligence* 2, figures 3 and 4 (swarm,
dependence); Lundberg & Lee (2017), figure 1 (the steps).
"""

import pathlib
from collections.abc import Sequence
from typing import Any

from mastery_jax.plots import style

__all__ = ["dependence", "swarm", "waterfall"]

_GRAY = "#5f6368"
_COLORS = "coolwarm"


def swarm(
    values: Any,
    X: Any,
    *,
    names: Sequence[str],
    unit: str,
    file: str | pathlib.Path,
    most: int = 10,
) -> pathlib.Path:
    """Draw every row's attribution to each feature into a PNG, the most important on top.

    Args:
        values: (n, d), of one output. What is not finite is left out.
        X: (n, d), the rows; a point's color is the rank of its value, gray where it is missing.
        names: Of the features.
        unit: Of the answer.
        file: Where to write.
        most: Features that are drawn.

    Returns:
        Where it was written.

    Raises:
        ValueError: the shapes disagree.
    """
    import numpy as np

    table, rows = _tables("swarm", values, X, names)
    sizes = np.where(np.isfinite(table), abs(table), 0).mean(axis=0)
    order = np.argsort(-sizes, kind="stable")[:most][::-1]
    plane: Any = style.axes("what each feature adds", "to many answers", x=unit)
    for line, feature in enumerate(order):
        part, rank = table[:, feature], _ranks(rows[:, feature])
        seen = np.isfinite(part)
        height = line + _spread(part[seen])
        plane.scatter(part[seen], height, c=_shades(rank[seen]), s=7, linewidths=0)
    plane.axvline(0, color=_GRAY, linewidth=1.0)
    plane.set_yticks(range(len(order)), [names[feature] for feature in order])
    plane.set_ylabel("")
    plane.grid(visible=False, axis="y")
    return style.save(plane, file, note="blue: low in the feature; red: high")


def waterfall(
    values: Any,
    *,
    expected: float,
    names: Sequence[str],
    unit: str,
    file: str | pathlib.Path,
    most: int = 8,
) -> pathlib.Path:
    """Draw the steps from the expected answer to one answer into a PNG.

    Args:
        values: (d,), of one row and output, all finite.
        expected: Where the steps begin.
        names: Of the features, or of the features with their values.
        unit: Of the answer.
        file: Where to write.
        most: Steps that are drawn one by one; the others are one step, the first from below.

    Returns:
        Where it was written.

    Raises:
        ValueError: there is not one name a value, or one is not finite.
    """
    import numpy as np

    parts = np.asarray(values, float)
    if parts.shape != (len(names),) or not np.isfinite([*parts, expected]).all():
        raise ValueError(
            f"shap.waterfall: values have shape {parts.shape}, not ({len(names)},) and all finite"
        )
    order = np.argsort(abs(parts), kind="stable")
    few, rest = order[-most:], order[:-most]
    steps = [(names[j], parts[j]) for j in few]
    if len(rest):
        steps.insert(0, (f"{len(rest)} others", parts[rest].sum()))
    plane: Any = style.axes("one answer", "step by step", x=unit)
    at = float(expected)
    for line, (_, step) in enumerate(steps):
        color = style.look(1 if step > 0 else 0).color
        plane.barh(line, step, left=at, color=color, height=0.62)
        plane.text(at + max(step, 0), line, f" {step:+.3g}", va="center", fontsize=8, color=_GRAY)
        at += step
        plane.plot([at, at], [line - 0.31, line + 1.31], color=_GRAY, linewidth=0.8)
    plane.axvline(expected, color=_GRAY, linewidth=1.0, linestyle=":")
    plane.set_ylim(-0.6, len(steps) - 0.4)
    plane.set_yticks(range(len(steps)), [name for name, _ in steps])
    plane.set_ylabel("")
    plane.use_sticky_edges = False
    plane.margins(x=0.12)
    return style.save(plane, file, note=f"dotted: expected {expected:.4g}; answer {at:.4g}")


def dependence(
    values: Any,
    X: Any,
    *,
    feature: int,
    names: Sequence[str],
    unit: str,
    file: str | pathlib.Path,
    by: int | None = None,
) -> pathlib.Path:
    """Draw what one feature adds against its value into a PNG, colored by another.

    Args:
        values: (n, d), of one output. What is not finite is left out.
        X: (n, d), the rows.
        feature: Which.
        names: Of the features.
        unit: Of the answer.
        file: Where to write.
        by: Whose rank is the color; none where None.

    Returns:
        Where it was written.

    Raises:
        ValueError: the shapes disagree, or there is no such feature.
    """
    import numpy as np

    table, rows = _tables("dependence", values, X, names)
    for name, index in (("feature", feature), ("by", feature if by is None else by)):
        if not 0 <= index < len(names):
            raise ValueError(f"shap.dependence: {name} is {index}, not 0 to {len(names) - 1}")
    x, y = rows[:, feature], table[:, feature]
    seen = np.isfinite(x) & np.isfinite(y)
    plane: Any = style.axes(f"what {names[feature]} adds", "by its value", x=names[feature])
    color = style.look(0).color if by is None else _shades(_ranks(rows[:, by])[seen])
    plane.scatter(x[seen], y[seen], c=color, s=14, linewidths=0)
    plane.axhline(0, color=_GRAY, linewidth=1.0)
    plane.set_ylabel(unit, color=_GRAY)
    note = "" if by is None else f"blue: low in {names[by]}; red: high"
    return style.save(plane, file, note=note)


def _tables(where: str, values: Any, X: Any, names: Sequence[str]) -> tuple[Any, Any]:
    import numpy as np

    table, rows = np.asarray(values, float), np.asarray(X, float)
    if table.ndim != 2 or table.shape != rows.shape or table.shape[1] != len(names):
        raise ValueError(
            f"shap.{where}: values have shape {table.shape} and X {rows.shape}, "
            f"not both (n, {len(names)})"
        )
    return np.where(style.is_drawable(table), table, np.nan), rows


def _ranks(column: Any) -> Any:
    """Return the rank of every value among all, from 0 to 1; equal ones share the mean."""
    import numpy as np

    in_order = np.sort(column[~np.isnan(column)])
    first, last = (np.searchsorted(in_order, column, side) for side in ("left", "right"))
    return np.where(np.isnan(column), np.nan, (first + last) / 2 / max(len(in_order), 1))


def _shades(rank: Any) -> Any:
    """Return a color for every rank; gray for what is missing."""
    import matplotlib

    shades = matplotlib.colormaps[_COLORS].with_extremes(bad="#9aa0a6")
    return shades(rank)


def _spread(part: Any) -> Any:
    """Return heights within ±0.4 that keep points apart: the more neighbors, the wider."""
    import numpy as np

    if not len(part):
        return part
    reach = np.ptp(part) or 1.0
    cell = np.floor((part - part.min()) / reach * 60).astype(int)
    counts = np.bincount(cell)
    height = np.zeros(len(part))
    for each in np.unique(cell):
        mine = np.flatnonzero(cell == each)
        side = np.where(np.arange(len(mine)) % 2, 1, -1) * ((np.arange(len(mine)) + 1) // 2)
        height[mine] = side / max(counts.max() / 2, 1) * 0.4
    return height
