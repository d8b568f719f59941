"""Files that are whole or absent: atomic writes, fresh folders, one writer at a time."""

import contextlib
import datetime
import fcntl
import getpass
import os
import pathlib
import socket
import time
import uuid
from collections.abc import Iterator
from typing import Any

import msgspec

from mastery_jax.workflow.errors import RunError

__all__ = [
    "append_lines",
    "lock",
    "new_folder",
    "read_json",
    "who",
    "write_bytes",
    "write_json",
    "write_lines",
    "write_text",
    "writing",
]


def write_text(path: pathlib.Path, text: str) -> None:
    """Replace ``path`` in one move: a reader sees the old text or the new, never a part."""
    write_bytes(path, text.encode())


def write_bytes(path: pathlib.Path, content: bytes, *, sync: bool = True) -> None:
    """Replace ``path`` in one move.

    Args:
        path: The file.
        content: All of it.
        sync: Wait for the disk. Without, a kill of the process loses nothing, a loss of power may.
    """
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        partial.rename(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


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


def write_lines(path: pathlib.Path, rows: list[dict[str, Any]], *, sync: bool = True) -> None:
    """Replace ``path`` by one JSON object a line, atomically; see :func:`write_bytes`."""
    write_bytes(path, msgspec.json.Encoder().encode_lines(rows), sync=sync)


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
    try:
        parent.mkdir(parents=True, exist_ok=True)
        while folder.exists():
            number, folder = number + 1, parent / f"{stem}-{number + 1}"
        folder.mkdir()
    except OSError as error:
        raise RunError(f"a run cannot be kept under {parent}: {error.strerror}") from None
    return folder


@contextlib.contextmanager
def writing(folder: pathlib.Path) -> Iterator[None]:
    """Turn a failure to write below ``folder`` into one sentence.

    Raises:
        RunError: the disk is full, or the folder is not ours to write.
    """
    try:
        yield
    except OSError as error:
        raise RunError(f"{folder} cannot be written: {error.strerror or error}") from error


class _Holder(msgspec.Struct):
    """What the file of a lock says of the process that holds it."""

    process: int
    who: str
    since: str  # local time


def who() -> str:
    """Return ``user@host`` of this process."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a number without a name, as in some containers
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


@contextlib.contextmanager
def lock(folder: pathlib.Path) -> Iterator[None]:
    """Keep every other process off ``folder``; the system frees it when this one ends.

    Raises:
        RunError: another process holds it: its number, user and host are named, and since when.
    """
    with (folder / "lock").open("ab+") as file:
        for attempt in range(10):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if attempt < 9:  # `mastery ls` holds it for an instant
                    time.sleep(0.02)
                    continue
                file.seek(0)
                raise RunError(f"{folder} is in use by {_holder(file.read())}") from None
        file.truncate(0)
        now = datetime.datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        file.write(msgspec.json.encode(_Holder(os.getpid(), who(), now)))
        file.flush()
        yield


def _holder(content: bytes) -> str:
    """Name the process that holds a lock; it may not have written its name yet."""
    try:
        found = msgspec.json.decode(content, type=_Holder)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "another process"
    return f"process {found.process} of {found.who} since {found.since}"
