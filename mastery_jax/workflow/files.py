"""Files that are whole or absent: atomic writes, fresh folders, one writer at a time."""

import contextlib
import datetime
import fcntl
import os
import pathlib
import uuid
from collections.abc import Iterator
from typing import Any

import msgspec

from mastery_jax.workflow.errors import RunError

__all__ = ["append_lines", "lock", "new_folder", "read_json", "write_json", "write_text"]


def write_text(path: pathlib.Path, text: str) -> None:
    """Replace ``path`` in one move: a reader sees the old text or the new, never a part."""
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with partial.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: pathlib.Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically."""
    write_text(path, msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def read_json(path: pathlib.Path) -> Any:
    """Read a JSON file.

    Raises:
        RunError: it is missing, or not JSON.
    """
    try:
        return msgspec.json.decode(path.read_bytes())
    except FileNotFoundError:
        raise RunError(f"{path.parent} has no {path.name}: it is not a run or a sweep") from None
    except (OSError, msgspec.DecodeError) as error:
        raise RunError(f"{path} cannot be read: {error}") from None


def append_lines(path: pathlib.Path, rows: list[dict[str, Any]]) -> None:
    """Append one JSON object a line."""
    with path.open("ab") as file:
        file.write(msgspec.json.Encoder().encode_lines(rows))


def new_folder(parent: pathlib.Path, label: str) -> pathlib.Path:
    """Make ``parent/YYYYMMDD-HHMMSS-label``, which did not exist before.

    Raises:
        RunError: the folder cannot be made there.
    """
    stem = f"{datetime.datetime.now():%Y%m%d-%H%M%S}-{label}"
    number, folder = 1, parent / stem
    while True:
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number, folder = number + 1, parent / f"{stem}-{number + 1}"
        except OSError as error:
            raise RunError(f"a run cannot be kept under {parent}: {error.strerror}") from None
        else:
            return folder


@contextlib.contextmanager
def lock(folder: pathlib.Path) -> Iterator[None]:
    """Keep every other process off ``folder``; the system frees it when this one ends.

    Raises:
        RunError: another process holds it, named by its number.
    """
    with (folder / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise RunError(f"{folder} is in use by process {holder}") from None
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        yield
