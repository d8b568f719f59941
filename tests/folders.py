"""Folders as runs and sweeps leave them, written without running anything."""

import csv
import io
import itertools
import json

from mastery_jax.workflow import yaml12

CONFIG = {
    "experiment": "experiments.classify",
    "seed": 0,
    "num_steps": 100,
    "best": "",
    "model": {"kind": "mlp", "widths": [64, 64]},
    "optimizer": {"kind": "adamw", "learning_rate": 1e-05, "betas": [0.9, 0.999]},
}
ENDS = {"reason": "failed", "stopped": "stopped"}
ENVIRONMENT = {
    "packages": {"jax": "0.10.2"},
    "python": "3.11.7",
    "devices": {"kind": "cpu", "count": 2},
    "git": {"revision": "abc123", "is_dirty": True},
    "command": ["mastery", "run", "digits"],
}


def write_run(runs, id, *, name="digits", config=None, rows=None, **status):
    """Write a finished run; ``rows`` are the lines of its metrics."""
    folder = runs / name / id
    (folder / "checkpoints" / "00000100").mkdir(parents=True)
    rows = [{"step": 50, "loss": 0.5}, {"step": 100, "loss": 0.25}] if rows is None else rows
    last = status.get("metrics", {"test_accuracy": 0.9})
    ended = {"state": "finished", "step": 100, "num_steps": 100, "seconds": 7.2, "reason": ""}
    (folder / "config.yaml").write_text(yaml12.dump(CONFIG | (config or {})))
    (folder / "environment.json").write_text(json.dumps(ENVIRONMENT))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "status.json").write_text(json.dumps(ended | status | {"metrics": last}))
    return folder


def write_sweep(runs, id, swept, measure, *, name="digits", points=None, search=None, **status):
    """Write a finished sweep; ``measure`` gives the last metrics of a lane from its fields.

    A lane whose metrics are ``None`` met NaN; one with ``reason`` among them failed, one with
    ``stopped`` was stopped. ``points`` are the fields of the lanes where they are no grid.
    """
    folder = runs / name / id
    (folder / "lanes").mkdir(parents=True)
    head = {"sweep": swept} | ({} if search is None else {"search": search})
    (folder / "sweep.yaml").write_text(yaml12.dump(CONFIG | head))
    (folder / "environment.json").write_text(json.dumps(ENVIRONMENT))
    (folder / "plan.json").write_text(json.dumps({"strategy": "loop", "width": 1}))
    if points is None:
        points = [dict(zip(swept, x, strict=True)) for x in itertools.product(*swept.values())]
    named = [{"lane": number, "fields": fields} for number, fields in enumerate(points)]
    (folder / "points.jsonl").write_text("".join(map(line, named)))
    table = []
    for number, fields in enumerate(points):
        last = measure(**{path.rpartition(".")[2]: value for path, value in fields.items()})
        end = "nan" if last is None else "done"
        end = next((state for why, state in ENDS.items() if why in (last or ())), end)
        whole = last or {}
        last = {name: x for name, x in whole.items() if name not in ENDS}
        table.append({"lane": number, "state": end} | fields | {"step": 100} | last)
        rows = [named[number], {"step": 0} | dict.fromkeys(last, 0.0), {"step": 100} | whole]
        (folder / "lanes" / f"{number:04d}.jsonl").write_text("".join(map(line, rows)))
    count = len(table)
    ended = {"state": "finished", "lanes_done": count, "num_lanes": count, "seconds": 3.5}
    (folder / "status.json").write_text(json.dumps(ended | {"reason": ""} | status))
    text = io.StringIO()
    columns = list(dict.fromkeys(key for row in table for key in row)) or ["lane", "state"]
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    (folder / "lanes.csv").write_text(text.getvalue())
    return folder


def line(row):
    return json.dumps(row, separators=(",", ":")) + "\n"
