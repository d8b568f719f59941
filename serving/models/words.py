"""What was last said of each name: that it should answer, or that it should not.

Words may be heard in any order, from anybody, any number of times: of two the later one counts,
so that all who have heard the same words go by the same one.
"""

import threading
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

__all__ = ["Word", "Words"]


class Word(NamedTuple):
    """One load or unload."""

    since: int  # nanoseconds of the monotonic clock, which is one for all processes of a machine
    is_unloaded: bool


class Words:
    """The last word on every name of which there was one."""

    def __init__(self) -> None:
        self.last: Mapping[str, Word] = MappingProxyType({})
        self._lock = threading.Lock()

    def say(self, name: str, *, is_unloaded: bool) -> None:
        """Have the last word."""
        before = self.last.get(name)
        since = max(time.monotonic_ns(), before.since + 1 if before else 0)
        self.hear({name: Word(since, is_unloaded)})

    def hear(self, words: Mapping[str, Word]) -> None:
        """Take what others have heard, as far as it is newer."""
        with self._lock:
            known = self.last
            newest = {name: max(word, known.get(name, word)) for name, word in words.items()}
            self.last = MappingProxyType({**known, **newest})

    def is_unloaded(self, name: str) -> bool:
        """Say whether a name was asked to go, and not asked back since."""
        word = self.last.get(name)
        return word is not None and word.is_unloaded
