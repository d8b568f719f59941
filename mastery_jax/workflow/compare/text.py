"""A comparison as text for a terminal or a pipe, as CSV and as JSON."""

import csv
import io
import json
import math
from typing import Any

from mastery_jax.workflow.compare.estimates import Estimate, PairedTest
from mastery_jax.workflow.compare.table import Row, Table
from mastery_jax.workflow.convert import show
from mastery_jax.workflow.progress import counted
from mastery_jax.workflow.tables import Cell, grid

__all__ = ["cells", "heads", "is_many", "legend", "text", "to_csv", "to_json"]

_NOTHING = Estimate(math.nan, math.nan, math.nan, 0)
_UNTESTED = PairedTest(math.nan, math.nan)


def _interval(found: Estimate | None, *, sign: str = "") -> str:
    """Return mean ± half the interval, the half with two digits and the mean to its place."""
    if found is None or not found.n:
        return "-"
    half = (found.high - found.low) / 2
    if math.isnan(half):
        return f"{found.mean:{sign}.4g}"
    places = 1 - math.floor(math.log10(half)) if 0 < half < math.inf else -1
    if not 0 <= places <= 8:
        return f"{found.mean:{sign}.4g} ± {half:.2g}"
    return f"{found.mean:{sign}.{places}f} ± {half:.{places}f}"


def _p(found: PairedTest | None) -> str:
    return "-" if found is None or math.isnan(found.holm) else f"{found.holm:.2g}"


def heads(made: Table) -> list[str]:
    """Return the heads of the columns; those of the fields come first."""
    many = is_many(made)
    found = [*made.by, f"{made.over}s"]
    for name, mode in made.metrics:
        found += [name, f"minus {'best' if mode else 'first'}"] if many else [name]
        found += ["p"] if made.shows_p else []
    return found + (["front"] if made.objectives else [])


def cells(made: Table, row: Row, index: int = -1) -> list[Cell]:
    """Return the cells of a row, those of the best groups bold.

    Args:
        made: The table.
        row: One of its rows.
        index: Its place among them.
    """
    many = is_many(made)
    found: list[Cell] = [x if isinstance(x, str) else show(x) for x in row.fields.values()]
    left = f"{row.num_broken} broken" if row.num_broken else ""
    apart = row.num_stopped if len(row.counted) + row.num_broken < len(row.members) else 0
    left += (", " if left and apart else "") + (f"{apart} stopped" if apart else "")
    count = max(each.n for each in row.estimates.values())
    found.append(f"{count} ({left})" if left else f"{count}")
    for name, mode in made.metrics:
        is_reference = many and made.reference.get(name) == index
        mean = _interval(row.estimates[name])
        found.append((mean, "bold") if is_reference and mode else mean)
        if is_reference:
            found.append("best" if mode else "first")
        elif many:
            found.append(_interval(row.differences.get(name), sign="+"))
        if made.shows_p:
            found.append("" if is_reference else _p(row.tests.get(name)))
    return found + ([("*", "bold") if row.is_front else ""] if made.objectives else [])


def is_many(made: Table) -> bool:
    """Say whether there is anything to take a difference to."""
    return len(made.rows) > 1 or any(row.differences for row in made.rows)


def legend(made: Table) -> str:
    """Say what the numbers are."""
    over = made.over
    found = f"mean ± half of the 95 % interval over {over}s (Student's t)"
    if is_many(made):
        found += f"; differences are paired by {over}"
    if made.shows_p:
        found += "; p: paired t test, after Holm's correction over the rows"
    if made.objectives:
        found += f"; * none is better in {_objectives(made)} at once"
    return found


def _objectives(made: Table) -> str:
    return " and ".join(f"{name}:{mode}" for name, mode in made.objectives)


def text(made: Table) -> str:
    """Return one line a group, the best one bold, the front of several objectives, and notes."""
    columns, left = heads(made), len(made.by)
    rows = [cells(made, row, index) for index, row in enumerate(made.rows)]
    blocks = [grid(columns, rows, names=0, numbers=len(columns) - left), ""]
    if made.objectives:
        names = [name for name, _ in made.objectives]
        front = [
            [*cells(made, row)[:left], *(_interval(row.estimates[name]) for name in names)]
            for row in made.front
        ]
        head = f"not dominated in {_objectives(made)}: {counted(len(front), 'group')}"
        blocks += [head, grid([*made.by, *names], front, names=0, numbers=len(names)), ""]
    return "\n".join((*blocks, legend(made), *(f"note: {note}" for note in made.notes)))


def to_csv(made: Table) -> str:
    """Return one line a group; an absent value is an empty cell."""
    rows = []
    for index, row in enumerate(made.rows):
        found: dict[str, Any] = {**row.fields, "num_broken": row.num_broken}
        found["num_stopped"] = row.num_stopped
        for name, _ in made.metrics:
            difference = row.differences.get(name, _NOTHING)
            found |= {f"{name}_{part}": x for part, x in row.estimates[name]._asdict().items()}
            found[f"{name}_is_reference"] = made.reference.get(name) == index
            found |= {f"{name}_difference_{part}": x for part, x in difference._asdict().items()}
            if made.is_tested:
                found |= {f"{name}_p": row.tests.get(name, _UNTESTED).p}
                found |= {f"{name}_p_holm": row.tests.get(name, _UNTESTED).holm}
        if made.objectives:
            found["is_front"] = row.is_front
        rows.append({name: _cell(x) for name, x in found.items()})
    file = io.StringIO()
    writer = csv.DictWriter(file, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if isinstance(value, float) and math.isnan(value) else json.dumps(value)


def to_json(made: Table) -> dict[str, Any]:
    """Return a table as plain data, NaN as NaN, which msgspec writes as null."""
    return {
        "by": made.by,
        "over": made.over,
        "metrics": dict(made.metrics),
        "objectives": dict(made.objectives),
        "notes": made.notes,
        "rows": [
            {
                "fields": dict(row.fields),
                "members": row.members,
                "num_broken": row.num_broken,
                "num_stopped": row.num_stopped,
                "is_reference": [name for name, at in made.reference.items() if at == index],
                "values": {
                    name: {str(seed): x for seed, x in seeds.items()}
                    for name, seeds in row.values.items()
                },
                "estimates": {name: x._asdict() for name, x in row.estimates.items()},
                "differences": {name: x._asdict() for name, x in row.differences.items()},
                "tests": {name: x._asdict() for name, x in row.tests.items()},
                "is_front": row.is_front,
            }
            for index, row in enumerate(made.rows)
        ],
    }
