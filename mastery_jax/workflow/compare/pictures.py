"""The pictures of a comparison: every metric over steps, and against every field."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from mastery_jax.workflow import records
from mastery_jax.workflow.compare.members import Member
from mastery_jax.workflow.compare.table import Metric, Row, Table
from mastery_jax.workflow.convert import show

__all__ = ["draw"]

MOST = 14  # lines in one picture; of more, the best


def draw(made: Table, compared: Sequence[Member], folder: pathlib.Path) -> list[pathlib.Path]:
    """Draw ``<metric>.png`` and ``<metric>-by-<field>.png`` into ``folder``.

    Args:
        made: What ``compare.table`` made of ``compared``.
        compared: The members.
        folder: Made if it is not there.

    Returns:
        The files.

    Raises:
        RunError: A file of metrics is damaged.
    """
    from mastery_jax.plots import curves, sweep

    lines = {m.label: records.series(records.metrics(m.lines)) for m in compared}
    files = []
    for metric in made.metrics:
        kept = _best(made.rows, metric)
        series = {_label(row): _together(row, metric.name, lines) for row in made.rows}
        series = {name: x for name, x in series.items() if name in kept and len(x[0]) > 1}
        if series:
            file = folder / f"{metric.name}.png"
            files.append(curves.draw(series, metric=metric.name, file=file))
        for field in made.by:
            if len({repr(row.fields[field]) for row in made.rows}) > 1:
                kept = _best(made.rows, metric, field)
                points = _points(made.rows, field, metric.name)
                points = {name: x for name, x in points.items() if name in kept}
                file = folder / f"{metric.name}-by-{field}.png"
                files.append(sweep.draw(points, field=field, metric=metric.name, file=file))
    return files


def _label(row: Row, without: str = "") -> str:
    """Return the fields of a group as one text."""
    named = {path: value for path, value in row.fields.items() if path != without}
    return ", ".join(f"{k}={v if isinstance(v, str) else show(v)}" for k, v in named.items())


def _best(rows: Sequence[Row], metric: Metric, without: str = "") -> list[str]:
    """Return the labels of the best groups, at most ``MOST``; in order where none is best."""
    sign = {"max": -1, "min": 1, "": 0}[metric.mode]
    measured = [row for row in rows if row.estimates[metric.name].n]
    ranked = sorted(measured, key=lambda row: sign * row.estimates[metric.name].mean)
    return list(dict.fromkeys(_label(row, without) for row in ranked))[:MOST]


def _together(row: Row, metric: str, lines: Mapping[str, Any]) -> tuple[list[int], list[Any]]:
    """Return the steps that all members of a group have, and a row of values for each."""
    found = [lines[label][metric] for label in row.members if metric in lines[label]]
    tables = [dict(zip(*each, strict=True)) for each in found]
    steps = sorted(set.intersection(*(set(table) for table in tables))) if tables else []
    return steps, [[table[step] for step in steps] for table in tables]


def _points(rows: Sequence[Row], field: str, metric: str) -> dict[str, dict[Any, list[float]]]:
    """Return the values over seeds by the other fields, then by ``field``."""
    points: dict[str, dict[Any, list[float]]] = {}
    for row in rows:
        points.setdefault(_label(row, field), {})[row.fields[field]] = list(
            row.values[metric].values()
        )
    return points
