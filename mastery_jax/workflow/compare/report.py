"""A comparison as one HTML file that needs nothing else: no network, no library, no other file.

Whatever comes from configs, metrics or the environment is escaped, and a policy in the head lets
the page load nothing: styles and the one script are its own, pictures are in it.
"""

import base64
import html
import math
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

from mastery_jax.workflow import records, tables
from mastery_jax.workflow.compare import text
from mastery_jax.workflow.compare.table import Row, Table
from mastery_jax.workflow.errors import RunError
from mastery_jax.workflow.records import Run

__all__ = ["report"]

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #202124; margin: 2rem auto; max-width: 75rem;
  padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .75rem; text-align: right; border-bottom: 1px solid #e4e6e9; }
th { border-bottom: 1px solid #5f6368; white-space: nowrap; }
th button { font: inherit; font-weight: 600; border: 0; background: none; cursor: pointer; }
.field { text-align: left; } .best { font-weight: 700; } .wide { overflow-x: auto; }
pre { background: #f6f7f8; padding: .75rem; overflow-x: auto; }
img { max-width: 100%; } li, p { max-width: 60rem; }
"""
_SCRIPT = """
for (const table of document.querySelectorAll("table.sorts")) {
  table.querySelectorAll("th").forEach((head, column) => {
    let down = false;
    head.firstChild.onclick = () => {
      const key = row => row.cells[column].dataset.key;
      const compare = (a, b) => {
        const x = Number(key(a)), y = Number(key(b));
        if (key(a) === "" || key(b) === "") return (key(a) === "") - (key(b) === "");
        const order = isNaN(x) || isNaN(y) ? key(a).localeCompare(key(b)) : x - y;
        return down ? -order : order;
      };
      const rows = [...table.tBodies[0].rows].sort(compare);
      table.tBodies[0].append(...rows);
      for (const other of table.querySelectorAll("th")) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      down = !down;
    };
  });
}
"""


def report(made: Table, sources: Sequence[Run], pictures: Iterable[pathlib.Path] = ()) -> str:
    """Return a page: what was compared, the table, notes, pictures, configs and environments.

    Args:
        made: What ``compare.table`` made.
        sources: The runs and sweeps that were compared.
        pictures: PNG files.

    Raises:
        RunError: The config of a source cannot be read.
    """
    names = ", ".join(f"{run.name}/{run.id}" for run in sources)
    kinds = [f"{run.kind} {run.name}/{run.id}: {run.state}" for run in sources]
    blocks = [
        f"<h1>Comparison of {html.escape(names)}</h1>",
        _list(kinds),
        "<h2>Table</h2>",
        _table(text.heads(made), [_cells(made, row, i) for i, row in enumerate(made.rows)], made),
        f"<p>{html.escape(text.legend(made))}.</p>",
        _list([f"note: {note}" for note in made.notes]),
    ]
    if made.objectives:
        front = [_cells(made, row, -1) for row in made.front]
        blocks += ["<h2>Not dominated</h2>", _table(text.heads(made), front, made)]
    drawn = [_picture(path) for path in pictures]
    blocks += ["<h2>Pictures</h2>", *drawn] if drawn else []
    for run in sources:
        whole = html.escape(f"{run.name}/{run.id}")
        blocks += [
            f"<h2>Environment of {whole}</h2>",
            _list(tables.environment(run)),
            f"<details><summary>Config of {whole}</summary>",
            f"<pre>{html.escape(_config(run))}</pre></details>",
        ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>Comparison of {html.escape(names)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n{chr(10).join(blocks)}\n<script>{_SCRIPT}</script>\n</body>\n</html>\n"
    )


def _config(run: Run) -> str:
    try:
        return records.head(run).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{records.head(run)} cannot be read: {error}") from None


def _list(lines: Sequence[str]) -> str:
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if lines else ""


def _cells(made: Table, row: Row, index: int) -> list[tuple[tables.Cell, Any]]:
    """Return what each cell shows, and by what its column is sorted."""
    keys: list[Any] = [*row.fields.values(), max(each.n for each in row.estimates.values())]
    shown = text.cells(made, row, index)
    for name, _ in made.metrics:
        keys.append(row.estimates[name].mean)
        if text.is_many(made):
            keys.append(row.differences[name].mean if name in row.differences else 0.0)
        if made.shows_p:
            keys.append(row.tests[name].holm if name in row.tests else math.nan)
    keys += [not row.is_front] if made.objectives else []
    return list(zip(shown, keys, strict=True))


def _table(heads: Sequence[str], rows: Sequence[Sequence[tuple[Any, Any]]], made: Table) -> str:
    left = len(made.by)
    kind = [' class="field"' if index < left else "" for index in range(len(heads))]
    top = "".join(
        f"<th{each}><button>{html.escape(head)}</button></th>"
        for each, head in zip(kind, heads, strict=True)
    )
    lines = []
    for row in rows:
        cells = []
        for index, (shown, key) in enumerate(row):
            name, style = shown if isinstance(shown, tuple) else (shown, "")
            look = ' class="field"' if index < left else ' class="best"' if style else ""
            cells.append(f'<td{look} data-key="{_key(key)}">{html.escape(name)}</td>')
        lines.append(f"<tr>{''.join(cells)}</tr>")
    body = "\n".join(lines)
    return (
        f'<div class="wide"><table class="sorts"><thead><tr>{top}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def _key(value: Any) -> str:
    """Return what the script sorts by; nothing comes last."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, int | float):
        return repr(value + 0)  # of true, 1
    return html.escape(str(value))


def _picture(path: pathlib.Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    name = html.escape(path.stem)
    return f'<figure><img alt="{name}" src="data:image/png;base64,{data}"></figure>'
