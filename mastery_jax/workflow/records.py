"""Reading what runs and sweeps left behind; nothing is written here, and jax is not imported.

A folder ``runs/<config name>/<id>`` with ``config.yaml`` is a run, with ``sweep.yaml`` a sweep. A
process may have been killed while it wrote: a last line that is cut off is left out, anything
else that cannot be read is a ``RunError``.
"""

import fcntl
import math
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from mastery_jax.workflow import files, spelling, yaml12
from mastery_jax.workflow.errors import RunError

__all__ = [
    "Run",
    "config",
    "find",
    "head",
    "ls",
    "metrics",
    "read",
    "refuse_finished",
    "series",
    "status",
]

_HEADS = {"run": "config.yaml", "sweep": "sweep.yaml"}
_LINE = msgspec.json.Decoder(dict[str, int | float | str | None])


class Run(NamedTuple):
    """A run or a sweep, as its folder shows it."""

    folder: pathlib.Path
    name: str  # of its config
    id: str
    kind: Literal["run", "sweep"]
    status: Mapping[str, Any]  # status.json; state is also "killed" or "damaged"

    @property
    def state(self) -> str:
        """Return running, finished, failed, interrupted, killed or damaged."""
        return self.status["state"]


def status(folder: pathlib.Path, missing: dict[str, Any] | None = None) -> dict[str, Any]:
    """Read ``status.json``; ``null`` among its metrics is read as NaN.

    Args:
        folder: A run or a sweep.
        missing: What to return where there is no such file.

    Raises:
        RunError: It cannot be read, or it is missing and ``missing`` is not given.
    """
    path = folder / "status.json"
    if missing is not None and not path.exists():
        return missing
    found = files.read_json(path)
    if not isinstance(found, dict):
        raise RunError(f"{path} holds {type(found).__name__}, not an object: it is damaged")
    return found | {"metrics": _numbers(found["metrics"])} if "metrics" in found else found


def _numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as it was written: JSON has ``null`` for NaN."""
    return {name: math.nan if x is None else x for name, x in row.items()}


def read(folder: pathlib.Path) -> Run:
    """Read one folder.

    A process that dies leaves ``running`` behind: where no process holds the folder's lock the
    state is ``killed``, and the run can be resumed.

    Raises:
        RunError: The folder is no run and no sweep, or it is damaged.
    """
    kind = _kind(folder)
    if kind is None:
        raise RunError(f"{folder} is not a run or a sweep: no config.yaml or sweep.yaml is in it")
    found = {"state": "running"} | status(folder, missing={})
    if kind == "sweep" and found["state"] == "running":  # its status was written as it began
        found["lanes_done"] = sum(1 for _ in (folder / "lanes").glob("*.jsonl"))
    if found["state"] == "running" and not _is_held(folder):
        found["state"] = "killed"
    return Run(folder, *_name(folder), kind, found)


def _kind(folder: pathlib.Path) -> Literal["run", "sweep"] | None:
    return next((kind for kind in ("run", "sweep") if (folder / _HEADS[kind]).is_file()), None)


def refuse_finished(folder: pathlib.Path) -> None:
    """Refuse to go on with what is finished.

    Raises:
        RunError: It is.
    """
    if status(folder, missing={}).get("state") == "finished":
        raise RunError(f"{folder} is finished: there is nothing to resume")


def head(run: Run) -> pathlib.Path:
    """Return the file that describes what was run: ``config.yaml`` or ``sweep.yaml``."""
    return run.folder / _HEADS[run.kind]


def _name(folder: pathlib.Path) -> tuple[str, str]:
    """Return the config's name and the id, whichever way the folder is written."""
    whole = folder.resolve()
    return whole.parent.name, whole.name


def _is_held(folder: pathlib.Path) -> bool:
    """Say whether a process holds the lock of ``files.lock``."""
    try:
        with (folder / "lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def ls(runs: pathlib.Path) -> list[Run]:
    """Return every run and sweep below ``runs``, newest first; damaged ones have that state."""

    def each() -> Iterator[Run]:
        for folder in runs.glob("*/*"):
            if kind := _kind(folder):
                try:
                    yield read(folder)
                except RunError as error:
                    damaged = {"state": "damaged", "reason": str(error)}
                    yield Run(folder, *_name(folder), kind, damaged)

    return sorted(each(), key=lambda run: run.id, reverse=True)


def find(argument: str, runs: pathlib.Path) -> Run:
    """Find one run or sweep.

    Args:
        argument: A folder, or the beginning of an id, of its last part (``a1b2c3``,
            ``sweep-a1b2c3`` or that without the word), or of ``name/id``; it must mean one folder
            only, but a whole name goes before its beginnings, and a run before a sweep.
        runs: Where ids are looked for.

    Raises:
        RunError: None or several are meant, or the one is damaged.
    """
    folder = pathlib.Path(argument)
    if _kind(folder):
        return read(folder)
    known = {path: _names(path) for path in runs.glob("*/*") if _kind(path)}
    exact = [path for path, names in known.items() if argument in names[:3]]
    found = (
        exact
        or [path for path, names in known.items() if argument in names]
        or [path for path, names in known.items() if any(n.startswith(argument) for n in names)]
    )
    if len(found) == 1:
        return read(found[0])
    if found:
        several = ", ".join(sorted(f"{path.parent.name}/{path.name}" for path in found)[:5])
        raise RunError(f"{argument} means {len(found)} runs: {several}; give more of one id")
    spelled = [name for names in known.values() for name in names]
    hint = spelling.hint(argument, spelled) or "; see: mastery ls"
    raise RunError(f"{argument} is not a folder of a run, and not an id below {runs}{hint}")


def _names(folder: pathlib.Path) -> tuple[str, ...]:
    """Return what a run may be called: its id, the id's last part, ``name/id``, its digest."""
    last = folder.name.split("-", 2)[-1]
    whole = f"{folder.parent.name}/{folder.name}"
    return (folder.name, last, whole, last.removeprefix("sweep-"))


def config(run: Run) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Return the config of a run as plain values, and the swept fields of a sweep.

    Raises:
        RunError: The file cannot be read.
    """
    path = head(run)
    try:
        found = yaml12.parse(path.read_text())
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise RunError(f"{path} holds no fields: it is damaged")
    return found, found.pop("sweep", {}) if run.kind == "sweep" else {}


def metrics(path: pathlib.Path) -> list[dict[str, Any]]:
    """Read ``metrics.jsonl`` of a run's folder, or a lane's own file; absent means no lines.

    ``null`` is read as NaN. The first line of a lane's file, which names it, is left out.

    Raises:
        RunError: A line other than the last is damaged.
    """
    path = path / "metrics.jsonl" if path.is_dir() else path
    if not path.exists():
        return []
    *lines, rest = path.read_bytes().split(b"\n")
    rows = []
    for number, line in enumerate([*lines, rest] if rest else lines, 1):
        if number == 1 and line.startswith(b'{"lane":'):
            continue
        try:
            row = _LINE.decode(line)
            row["step"]
        except (msgspec.DecodeError, UnicodeDecodeError, KeyError):
            if number > len(lines):  # cut off by a kill
                break
            raise RunError(f"{path}, line {number} is damaged: no object with a step") from None
        rows.append(_numbers(row))
    return rows


def series(rows: Sequence[Mapping[str, Any]]) -> dict[str, tuple[list[int], list[float]]]:
    """Return each metric of :func:`metrics` as its steps and its values."""
    found: dict[str, tuple[list[int], list[float]]] = {}
    for row in rows:
        for name, value in row.items():
            if name not in ("step", "reason", "stopped"):
                steps, values = found.setdefault(name, ([], []))
                steps.append(row["step"])
                values.append(value)
    return found
