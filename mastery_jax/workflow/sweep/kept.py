"""What a sweep must have kept to go on: how it is searched, its space, and its points."""

import contextlib
import datetime
import pathlib
from collections.abc import Callable
from typing import Any

import msgspec

from mastery_jax.workflow import environment
from mastery_jax.workflow.config import Sweep
from mastery_jax.workflow.convert import show
from mastery_jax.workflow.errors import RunError
from mastery_jax.workflow.sweep import store

__all__ = ["confirm_points", "confirm_search"]


def confirm_search(
    folder: pathlib.Path, search: dict[str, Any], *, force: bool, say: Callable[[str], None]
) -> None:
    """Refuse to go on with another search than the sweep began with.

    Args:
        folder: Of the sweep.
        search: As its record would say it today.
        force: Go on all the same, and record that.
        say: Where a warning goes.

    Raises:
        RunError: A field differs, and it was not forced.
    """
    before = environment.read(folder).get("search", search)
    other = {k: (before.get(k), x) for k, x in search.items() if before.get(k) != x}
    if not other:
        return
    said = "; ".join(f"search.{k} was {old} and is {new}" for k, (old, new) in other.items())
    if not force:
        raise RunError(
            f"{folder} is not what it was: {said}; run it anew, or go on all the same with --force"
        )
    say(f"warning: {said}")
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    environment.amend(folder, search=search, forced=[{"time": now, "differences": [said]}])


def confirm_points(folder: pathlib.Path, swept: Sweep, planned: dict[str, Any]) -> None:
    """Refuse to go on with other lanes than those that were written down.

    Args:
        folder: Of the sweep.
        swept: What is varied.
        planned: Its ``plan.json``.

    Raises:
        RunError: ``sweep.yaml`` was edited, or its points are drawn otherwise today.
    """
    if swept.search.sampler:
        _confirm_space(folder, _plain(swept.space.spelled()))
        _confirm_ran(folder)
        return
    before, count = store.points(folder), planned.get("lanes", len(swept.points))
    if count != len(swept.points):
        raise RunError(
            f"{folder} is not what it was: it had {count} lanes and has {len(swept.points)}; "
            "sweep.yaml was edited"
        )
    for number, point in enumerate(_plain(swept.points)):
        if before.get(number, point) != point:
            raise RunError(
                f"{folder} is not what it was: lane {number} had {before[number]} and has {point}; "
                "sweep.yaml was edited, or another release of scipy draws other points"
            )


def _confirm_space(folder: pathlib.Path, space: dict[str, Any]) -> None:
    """Refuse another space of a sampler, whose points are numbered by its lists, in their order."""
    before = environment.read(folder).get("space", space)
    if list(before.items()) == list(space.items()):
        return
    said = [
        f"{path} was {_shown(before, path)} and is {_shown(space, path)}"
        for path in dict.fromkeys([*before, *space])
        if (path in before, before.get(path)) != (path in space, space.get(path))
    ]
    raise RunError(
        f"{folder} is not what it was: {'; '.join(said) or 'its fields stand in another order'}; "
        "sweep.yaml was edited"
    )


def _confirm_ran(folder: pathlib.Path) -> None:
    """Refuse points with which no lane was run that is over: they are another sweep's."""
    points = store.written_points(folder)
    ran = {}
    for path in sorted((folder / "lanes").glob("*.jsonl")):
        with contextlib.suppress(RunError):  # a damaged record is run again
            number, fields = store.lane_fields(path)
            if path == store.record(folder, number):
                ran[number] = fields
    others = [n for n, fields in ran.items() if points.get(n, fields) != fields]
    if others and len(others) == len(ran):
        number = others[0]
        raise RunError(
            f"{folder} is not what it was: lane {number} was run with {ran[number]}, and "
            f"points.jsonl has {points[number]} for it; put back the right one, or remove "
            "points.jsonl: it is made again from the lanes' records"
        )


def _shown(space: dict[str, Any], path: str) -> str:
    found = space.get(path, "missing")
    return found if isinstance(found, str) else show(found)


def _plain(value: Any) -> Any:
    """Return a value as it is read from a record: a list where it has a tuple."""
    return msgspec.json.decode(msgspec.json.encode(value))
