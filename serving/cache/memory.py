"""The last used answers, by their bytes."""

import collections

from serving.engine.batcher import Outputs

__all__ = ["Memory"]

OVERHEAD = 512  # bytes of an entry beside its numbers
SHARE = 8  # an answer above this part of the whole is not kept: it would push out all others


class Memory:
    """Answers by key; the one that was not asked for longest goes first."""

    def __init__(self, most: int) -> None:
        self.most = most  # bytes
        self.bytes = 0
        self._found: collections.OrderedDict[bytes, Outputs] = collections.OrderedDict()

    def __len__(self) -> int:
        return len(self._found)

    def get(self, key: bytes) -> Outputs | None:
        """Return an answer, if it is there."""
        found = self._found.get(key)
        if found is not None:
            self._found.move_to_end(key)
        return found

    def put(self, key: bytes, outputs: Outputs) -> None:
        """Keep an answer."""
        size = weight(outputs)
        if size > self.most // SHARE or key in self._found:
            return
        self._found[key] = outputs
        self.bytes += size
        while self.bytes > self.most:
            _, gone = self._found.popitem(last=False)
            self.bytes -= weight(gone)


def weight(outputs: Outputs) -> int:
    """Return about how many bytes an answer takes."""
    return OVERHEAD + sum(array.nbytes for array in outputs.values())
