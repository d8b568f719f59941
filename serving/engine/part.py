"""Rows of one request on their way through a batch."""

import asyncio
import time
from collections.abc import Callable, Sequence

import numpy as np

from mastery_jax.workflow.stablehlo import Arrays

__all__ = ["Outputs", "Part", "Times", "split"]

Outputs = dict[str, np.ndarray]
Times = tuple[float, float, float]  # it came, its batch began and ended, on the monotonic clock
clock = time.monotonic


class Part:
    """Rows of one request, at most the largest batch, and the answer that is owed."""

    __slots__ = ("came", "deadline", "future", "is_shadow", "is_trial", "rows", "size", "tell", "x")

    def __init__(self, x: Arrays, rows: int, deadline: float, future: asyncio.Future) -> None:
        self.x, self.rows, self.deadline, self.future = x, rows, deadline, future
        self.size = sum(array.nbytes for array in x.values())
        self.came = clock()
        self.tell: Callable[[Times], None] | None = None  # who wants to know its times
        self.is_trial = False  # nobody asked it
        self.is_shadow = False  # nobody gets the answer


def split(outputs: Outputs, counts: Sequence[int]) -> Sequence[Outputs]:
    """Return the outputs of each part of a batch."""
    found, start = [], 0
    for count in counts:
        end = start + count
        found.append({name: out[start:end] for name, out in outputs.items()})
        start = end
    return found
