"""Labels of versions: a version never changes, ``stable`` is moved from one to another.

models/<name>/labels.json           {"stable": 3}
models/<name>/labels-history.jsonl  one line a move: time, label, from, to, who
"""

import datetime
import pathlib
import re
from typing import Annotated, Any

import msgspec

from mastery_jax.workflow import files, manifest, spelling
from mastery_jax.workflow.errors import ArtifactError
from mastery_jax.workflow.manifest import NAME

__all__ = ["FILE", "HISTORY", "LABEL", "history", "promote", "read", "remove", "resolve"]

FILE, HISTORY = "labels.json", "labels-history.jsonl"
LABEL = rf"^(?![0-9]+\Z){NAME.removeprefix('^')}"  # a number is a version

_LABELS = msgspec.json.Decoder(
    dict[Annotated[str, msgspec.Meta(pattern=LABEL)], Annotated[int, msgspec.Meta(ge=1)]]
)


def read(folder: pathlib.Path) -> dict[str, int]:
    """Return the version of each label of a model.

    Args:
        folder: ``models/<name>``.

    Raises:
        ArtifactError: The file cannot be read, or holds anything else.
    """
    path = folder / FILE
    try:
        return _LABELS.decode(path.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror or error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ArtifactError(
            f"{path} is damaged, not labels and their versions: {error}; the last line of each "
            f"label in {HISTORY} says where it was"
        ) from None


def history(folder: pathlib.Path) -> list[dict[str, Any]]:
    """Return every move of a label, the oldest first: time, label, from, to, who.

    Raises:
        ArtifactError: A line is damaged.
    """
    path = folder / HISTORY
    try:
        return msgspec.json.Decoder(dict[str, Any]).decode_lines(path.read_bytes())
    except FileNotFoundError:
        return []
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}") from None


def resolve(models: pathlib.Path, reference: str) -> tuple[str, int]:
    """Return the name and the version that are meant.

    Args:
        models: Where models are kept.
        reference: ``digits@stable``, ``digits@3``, or ``digits`` for the newest.

    Raises:
        ArtifactError: There is no such model, label or version.
    """
    name, mark, wanted = reference.partition("@")
    known = _versions(models, name)
    if not mark:
        return name, known[-1]
    if re.fullmatch(r"[0-9]+", wanted):
        version = int(wanted)
    else:
        labels = read(models / name)
        if wanted not in labels:
            there = ", ".join(f"{label}={at}" for label, at in sorted(labels.items())) or "none"
            hint = spelling.hint(wanted, labels)
            raise ArtifactError(f"{name} has no label {wanted!r}{hint} (labels: {there})")
        version = labels[wanted]
    if version not in known:
        is_label = f"{reference} is version {version}, which" if str(version) != wanted else None
        raise ArtifactError(f"{is_label or reference} is not there; {_listed(name, known)}")
    return name, version


def promote(models: pathlib.Path, name: str, version: int, *, label: str) -> int | None:
    """Move a label to a version whose files are what was published.

    Args:
        models: Where models are kept.
        name: The model's.
        version: Where the label goes.
        label: As a model may be named, but no number; made if it is not there.

    Returns:
        Where it was, which may be ``version`` itself: then nothing is written.

    Raises:
        ArtifactError: The label cannot be one, or the version is missing or damaged.
        RunError: Another process moves a label, or the folder cannot be written.
    """
    if not re.match(LABEL, label):
        raise ArtifactError(
            f"label is {label!r}, not letters, digits, '.', '_', '-' (at most 128), and no number"
        )
    resolve(models, f"{name}@{version}")
    manifest.verify(models / name / str(version))
    return _move(models / name, label, version)


def remove(models: pathlib.Path, name: str, label: str) -> int:
    """Take a label away; return the version that it had.

    Raises:
        ArtifactError: There is no such model or label.
        RunError: Another process moves a label, or the folder cannot be written.
    """
    _versions(models, name)
    before = _move(models / name, label, None)
    if before is None:
        there = ", ".join(sorted(read(models / name))) or "none"
        raise ArtifactError(f"{name} has no label {label!r} (labels: {there})")
    return before


def _move(folder: pathlib.Path, label: str, version: int | None) -> int | None:
    """Write a label and the line of its history; return where it was."""
    with files.writing(folder), files.lock(folder):
        labels = read(folder)
        before = labels.pop(label, None)
        if before == version:
            return before
        time = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        move = {"time": time, "label": label, "from": before, "to": version, "who": files.who()}
        # First, so that a kill in between leaves a line too many, never a move without a line.
        files.append_lines(folder / HISTORY, [move])
        moved = labels if version is None else labels | {label: version}
        files.write_json(folder / FILE, dict(sorted(moved.items())))
    return before


def _versions(models: pathlib.Path, name: str) -> tuple[int, ...]:
    """Return the versions of a model, at least one."""
    known, unreadable = manifest.versions(models)
    if name in unreadable:
        raise ArtifactError(unreadable[name])
    if name not in known:
        hint = spelling.hint(name, known)
        raise ArtifactError(
            f"no model below {models} is named {name!r}{hint} "
            f"(there is: {', '.join(known) or 'none'})"
        )
    return known[name]


def _listed(name: str, known: tuple[int, ...]) -> str:
    return f"{name} has version{'s' if len(known) > 1 else ''} {', '.join(map(str, known))}"
