"""Runs, and the lanes of sweeps, as things that can be put side by side."""

import pathlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from mastery_jax.workflow import records, spelling
from mastery_jax.workflow.compare import lanes
from mastery_jax.workflow.compare.lanes import Memory
from mastery_jax.workflow.errors import RunError
from mastery_jax.workflow.records import Run
from mastery_jax.workflow.sweep import store

__all__ = ["Member", "confirm", "find", "gather", "members"]


class Member(NamedTuple):
    """A run, or a lane of a sweep."""

    label: str  # id, or id#lane
    state: str
    fields: Mapping[str, Any]  # dotted path -> value; and "config" and "run", to group by
    metrics: Mapping[str, float]  # the last of each
    lines: pathlib.Path  # its metrics.jsonl
    goals: tuple[str, ...] = ()  # METRIC:max or METRIC:min, what its sweep seeks
    is_of_population: bool = False  # then it has the state and the fields of others


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


def _without(fields: Mapping[str, Any], paths: Iterable[str]) -> dict[str, Any]:
    """Return the fields that are neither at one of the paths nor below it."""
    paths = tuple(f"{path}." for path in paths)
    return {name: value for name, value in fields.items() if not f"{name}.".startswith(paths)}


def _replaced(point: Mapping[str, Any]) -> dict[str, Any]:
    """Return the leaves of what a lane changes, a longer path after the shorter one above it."""
    if not any(isinstance(value, dict | list) for value in point.values()):
        return dict(point)
    leaves: dict[str, Any] = {}
    for path, value in point.items():
        leaves = _without(leaves, [path]) | _flat(value, path)
    return leaves


def members(run: Run, memory: Memory | None = None) -> list[Member]:
    """Return a run as one member, a sweep as one for each lane that is over. Cost: O(lanes).

    The fields of a lane are those of ``sweep.yaml`` with what ``points.jsonl`` says of the lane,
    where they have their types; the table shows them as text. Each lane may change others.

    Args:
        run: See ``records.find``.
        memory: Of files that are read again and again; see ``compare.watch``.

    Raises:
        RunError: A file is damaged.
    """
    memory = Memory() if memory is None else memory
    config, _ = records.config(run)
    named = {"config": run.name, "run": run.id}
    if run.kind == "run":
        path = run.folder / "metrics.jsonl"
        rows = memory.read(path, records.metrics) if path.exists() else []
        last = {name: values[-1] for name, (_, values) in records.series(rows).items()}
        last |= run.status.get("metrics", {})
        return [Member(run.id, run.state, _flat(config) | named, last, path)]
    search = config.pop("search", None)
    goals = tuple(search.get("metrics") or ()) if isinstance(search, dict) else ()
    base, kept = _flat(config) | named, {}
    found = []
    # A population moves fields: where to, the record of each lane alone says with its type.
    moves = isinstance(search, dict) and (search.get("stop") or {}).get("kind") == "population"
    is_over = run.state not in ("running", "killed") and not moves
    for number, state, point, metrics in lanes.read(run.folder, memory, is_over=is_over):
        paths = tuple(point)
        if paths not in kept:
            kept[paths] = _without(base, paths)
        label = f"{run.id}#{number}"
        fields = kept[paths] | _replaced(point)
        fields["run"] = label
        lines = store.record(run.folder, number)
        found.append(Member(label, state, fields, metrics, lines, goals, moves))
    return found


def find(source: str, runs: pathlib.Path) -> tuple[Run, int | None]:
    """Find a run or a sweep, or one lane of it by ``SWEEP#7``.

    Args:
        source: See ``records.find``.
        runs: Where ids are looked for.

    Returns:
        The run or sweep, and the number of the lane where one is named.

    Raises:
        RunError: It is not found.
    """
    name, mark, lane = source.rpartition("#")
    if not (mark and lane.isdecimal()) or pathlib.Path(source).exists():
        return records.find(source, runs), None
    run = records.find(name, runs)
    if run.kind == "run":
        raise RunError(f"{source}: {run.id} is a run, which has no lanes")
    return run, int(lane)


def gather(sources: Iterable[tuple[Run, int | None]], memory: Memory | None = None) -> list[Member]:
    """Return the members of all sources, each once.

    Args:
        sources: Runs, sweeps and lanes, as :func:`find` finds them.
        memory: See :func:`members`.

    Raises:
        RunError: One is damaged, or a sweep has no such lane.
    """
    found: dict[str, Member] = {}
    for run, lane in sources:
        these = {member.label: member for member in members(run, memory)}
        if lane is not None:
            label = f"{run.id}#{lane}"
            if label not in these:
                raise RunError(f"{run.id} has no lane {lane} that is over: {len(these)} are")
            these = {label: these[label]}
        found |= these
    return list(found.values())


def confirm(names: Iterable[str], known: Iterable[str], what: str) -> None:
    """Refuse a name that is not among the known ones.

    Raises:
        RunError: It is not; the nearest one is named, or else all.
    """
    known = sorted(known)
    for name in names:
        if name not in known:
            hint = spelling.hint(name, known) or f"; there is {', '.join(known)}"
            raise RunError(f"{name} is not {what} of these runs{hint}")
