"""A bucket that all workers of a server take from.

Its two numbers lie in a file that each worker has in its memory. The lock is the kernel's, and goes
with its holder; together they cost some microseconds. The monotonic clock is one for the machine.
"""

import fcntl
import mmap
import os
import pathlib
import struct
import weakref
from typing import Self

from serving.access.bucket import Bucket

__all__ = ["Shared"]

STATE = struct.Struct("dd")  # tokens, since


class Shared(Bucket):
    """A bucket in a file.

    Args:
        rate: Tokens a second.
        burst: Tokens at most.
        now: On the monotonic clock.
        path: The file; whoever comes first makes it, full.
    """

    __slots__ = ("__weakref__", "_file", "_memory")

    def __init__(self, rate: float, burst: float, now: float, path: pathlib.Path) -> None:
        super().__init__(rate, burst, now)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        weakref.finalize(self, os.close, self._file)
        with self:
            if os.fstat(self._file).st_size < STATE.size:
                os.pwrite(self._file, STATE.pack(burst, now), 0)
        self._memory = mmap.mmap(self._file, STATE.size)

    def __enter__(self) -> Self:
        """Keep the other workers out."""
        fcntl.flock(self._file, fcntl.LOCK_EX)
        return self

    def __exit__(self, *_: object) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def take(self, now: float) -> float:
        """Take a token; return 0, or the seconds until there is one."""
        with self:
            self.tokens, self.since = STATE.unpack(self._memory)
            wait = super().take(now)
            STATE.pack_into(self._memory, 0, self.tokens, self.since)
        return wait
