"""The journal of a search: Optuna's own file, in which a batch is there as a whole or not at all.

A line is one change to a study. Optuna's backend writes and syncs each by itself, so that a kill
leaves trials that are half asked. Here the lines of a batch wait in memory until they are committed
by one write, whose last line marks it as whole; what stands behind the last mark is not read.
``optuna.storages.journal.JournalFileBackend`` reads the file too.
"""

import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

__all__ = ["MARK", "Journal"]

MARK = "whole"  # the user attribute of a study that the last line of a commit sets


class Journal:
    """A backend for ``optuna.storages.JournalStorage``, of one process."""

    def __init__(self, path: pathlib.Path) -> None:
        """Read what was committed; nothing is written before the next commit.

        Args:
            path: The file; it need not be there.

        Raises:
            ValueError: It is damaged.
        """
        self.path = path
        content = path.read_bytes() if path.exists() else b""
        self._logs, self._size = _committed(content)
        self._waiting: list[str] = []

    def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
        """Return the changes from one on, by the name that Optuna calls."""
        return self._logs[log_number_from:]

    def append_logs(self, logs: Sequence[dict[str, Any]]) -> None:
        """Take in changes, by the name that Optuna calls."""
        lines = [json.dumps(log, separators=(",", ":")) for log in logs]
        self._waiting += lines
        self._logs += map(json.loads, lines)

    def commit(self) -> None:
        """Write what waits, and wait for the disk; the newest change must be the mark."""
        content = "".join(f"{line}\n" for line in self._waiting).encode()
        with self.path.open("ab") as file:
            file.truncate(self._size)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        self._size += len(content)
        self._waiting.clear()


def _committed(content: bytes) -> tuple[list[dict[str, Any]], int]:
    """Return the changes up to the last mark, and how many bytes they take."""
    logs: list[dict[str, Any]] = []
    num_whole = size = read = 0
    *lines, _ = content.split(b"\n")  # behind the last end of a line is what a kill cut off
    for number, line in enumerate(lines, 1):
        try:
            log = json.loads(line)
        except ValueError:
            raise ValueError(f"line {number} is not JSON") from None
        if not isinstance(log, dict):
            raise ValueError(f"line {number} is no object")
        logs.append(log)
        read += len(line) + 1
        if MARK in log.get("user_attr", ()):
            num_whole, size = len(logs), read
    if content and not num_whole:
        raise ValueError("no batch in it is whole")
    return logs[:num_whole], size
