"""Runs, and the lanes of sweeps, as things that can be put side by side."""

import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from mastery_jax.workflow import records
from mastery_jax.workflow.errors import RunError
from mastery_jax.workflow.records import Run
from mastery_jax.workflow.sweep import store

__all__ = ["Member", "members"]


class Member(NamedTuple):
    """A run, or a lane of a sweep."""

    label: str  # id, or id#lane
    state: str
    fields: Mapping[str, Any]  # dotted path -> value; and "config" and "run", to group by
    metrics: Mapping[str, float]  # the last of each
    lines: pathlib.Path  # its metrics.jsonl


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """Return the leaves of a config as ``workflow.fields`` names them."""
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list) and any(isinstance(item, float | dict | list) for item in value):
        items = enumerate(value)
    else:
        return {path: tuple(value) if isinstance(value, list) else value}
    leaves: dict[str, Any] = {}
    for key, item in items:
        leaves |= _flat(item, f"{path}.{key}" if path else str(key))
    return leaves


def members(run: Run) -> list[Member]:
    """Return a run as one member, a sweep as one for each lane.

    The fields of a lane are taken from ``sweep.yaml``, where they have their types; its table
    shows them as text.

    Raises:
        RunError: A file is damaged, or the sweep has no table yet.
    """
    config, swept = records.config(run)
    named = {"config": run.name, "run": run.id}
    if run.kind == "run":
        rows = records.metrics(run.folder)
        last = {name: values[-1] for name, (_, values) in records.series(rows).items()}
        last |= run.status.get("metrics", {})
        path = run.folder / "metrics.jsonl"
        return [Member(run.id, run.state, _flat(config) | named, last, path)]
    found, points = [], store.points(run.folder)
    for cells in store.lanes(run.folder):
        number, state = cells.pop("lane"), cells.pop("state")
        if number not in points:
            raise RunError(f"{run.folder / 'lanes.csv'} has lane {number}, of {len(points)} lanes")
        fields = _flat(config)
        for path, value in points[number].items():
            kept = {k: v for k, v in fields.items() if not f"{k}.".startswith(f"{path}.")}
            fields = kept | _flat(value, path)
        last = {
            k: v
            for k, v in cells.items()
            if k not in swept and k not in ("step", "reason", "stopped")
        }
        label = f"{run.id}#{number}"
        path = run.folder / "lanes" / f"{number:04d}.jsonl"
        found.append(Member(label, state, fields | named | {"run": label}, last, path))
    return found
