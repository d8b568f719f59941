"""The pictures of a comparison: metrics over steps, against each field, and against several."""

import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mastery_jax.workflow import records
from mastery_jax.workflow.compare import pairs
from mastery_jax.workflow.compare.members import Member
from mastery_jax.workflow.compare.metrics import Metric
from mastery_jax.workflow.compare.table import Row, Table
from mastery_jax.workflow.convert import show

__all__ = ["draw"]

MOST = 14  # lines over steps or a field in one picture; of more, the best
LINES, FIELDS = 300, 8  # lines of parallel coordinates, and axes beside that of the metric
PAIRS = 4  # pictures of two fields


def draw(made: Table, compared: Sequence[Member], folder: pathlib.Path) -> list[pathlib.Path]:
    """Draw a comparison into ``folder``.

    Of every metric ``<metric>.png`` over steps and ``<metric>-by-<field>.png``. Where two fields
    or more are swept, also ``parallel.png`` of the metric by which groups are ordered, or else the
    first, and of that metric ``<metric>-<field>-by-<field>.png`` for the ``PAIRS`` pairs of fields
    whose means spread most.

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

    paths = {member.label: member.lines for member in compared}
    read = functools.cache(lambda label: records.series(records.metrics(paths[label])))
    swept = [path for path in made.by if len({repr(row.fields[path]) for row in made.rows}) > 1]
    files = []
    for metric in made.metrics:
        kept = _best(made.rows, metric)
        series = {_label(row): _together(row, metric.name, read) for row in kept}
        if series := {name: x for name, x in series.items() if len(x[0]) > 1}:
            file = _file(folder, metric.name)
            files.append(curves.draw(series, metric=metric.name, file=file))
        for field in swept:
            points = _points(made.rows, field, metric.name)
            kept = dict.fromkeys(_label(row, field) for row in _best(made.rows, metric, None))
            points = {name: points[name] for name in points if name in list(kept)[:MOST]}
            if any(points.values()):
                file = _file(folder, f"{metric.name}-by-{field}")
                files.append(sweep.draw(points, field=field, metric=metric.name, file=file))
    return files + _all_at_once(made, swept, folder) if len(swept) > 1 else files


def _all_at_once(made: Table, swept: Sequence[str], folder: pathlib.Path) -> list[pathlib.Path]:
    """Draw parallel coordinates, and cells for the pairs of fields that say most."""
    from mastery_jax.plots import heat, parallel, style

    metric = made.first or made.metrics[0]
    name, mode = metric
    kept = [r for r in _best(made.rows, metric, None) if style.is_drawable(r.estimates[name].mean)]
    if len(kept) < 2:
        return []
    means = [row.estimates[name].mean for row in kept]
    columns = {path: [row.fields[path] for row in kept] for path in swept}
    lines = {path: columns[path][:LINES] for path in swept[:FIELDS]} | {name: means[:LINES]}
    cut = [f"the best {LINES} of {len(kept)} groups"] if len(kept) > LINES else []
    cut += [f"{FIELDS} of {len(swept)} fields"] if len(swept) > FIELDS else []
    note = "; ".join((*cut, "bright: better")) if metric.mode else "; ".join(cut)
    file = folder / "parallel.png"
    files = [parallel.draw(lines, metric=name, mode=mode, file=file, note=note)]
    wide = [
        path
        for path, values in columns.items()
        if all(map(style.is_number, values)) and style.is_wide(values)
    ]
    found = pairs.pairs(columns, means, wide)
    note = f"{PAIRS} of {len(found)} pairs: the widest spread" if len(found) > PAIRS else ""
    for pair in found[:PAIRS]:
        of = {"xs": pair.xs, "ys": pair.ys, "x": pair.x, "y": pair.y}
        file = _file(folder, f"{name}-{pair.y}-by-{pair.x}")
        files.append(heat.draw(pair.means, **of, metric=name, mode=mode, file=file, note=note))
    return files


def _file(folder: pathlib.Path, name: str) -> pathlib.Path:
    """Return where a picture is kept; the name of a field or a metric makes no folder."""
    return folder / f"{name.replace('/', '_')}.png"


def _label(row: Row, without: str = "") -> str:
    """Return the fields of a group as one text."""
    named = {path: value for path, value in row.fields.items() if path != without}
    return ", ".join(f"{k}={v if isinstance(v, str) else show(v)}" for k, v in named.items())


def _best(rows: Sequence[Row], metric: Metric, most: int | None = MOST) -> list[Row]:
    """Return the best groups that have a mean, in order where none is best."""
    measured = [row for row in rows if row.estimates[metric.name].n]
    ranked = sorted(measured, key=lambda row: -metric.sign * row.estimates[metric.name].mean)
    return ranked[:most]


def _together(
    row: Row, metric: str, read: Callable[[str], Mapping[str, Any]]
) -> tuple[list[int], list[Any]]:
    """Return the steps that all counted members of a group have, and a row of values for each."""
    found = [read(label)[metric] for label in row.counted if metric in read(label)]
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
