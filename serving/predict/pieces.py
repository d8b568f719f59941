"""Arrays as JSON, a piece at a time.

One call for a million numbers holds the interpreter for a tenth of a second, and the event loop
with it, whatever thread makes it. Between two pieces the loop has its turn.
"""

from typing import Any

import msgspec
import numpy as np

__all__ = ["PIECE", "numbers"]

PIECE = 2**14  # numbers

_encode = msgspec.json.Encoder().encode


def numbers(array: np.ndarray) -> Any:
    """Return what is encoded as the nested list of an array."""
    rows = len(array)
    if array.size <= PIECE or rows < 2:
        return array.tolist()
    step = max(PIECE * rows // array.size, 1)
    pieces = [_encode(array[i : i + step].tolist())[1:-1] for i in range(0, rows, step)]
    return msgspec.Raw(b"[" + b",".join(pieces) + b"]")
