"""What is measured before a version answers: seconds by rows, and sizes that answer alike.

XLA adds the same products in the same order in batches of all sizes but the smallest, so that a
row's answer is the same to the last bit whoever it is computed with. That is so for every program
that treats rows alike, and it is tried here with the golden rows in other places and company.
"""

import time
from collections.abc import Mapping

import msgspec
import numpy as np

from mastery_jax.workflow.stablehlo import Arrays, Program

__all__ = ["alike", "measure", "varied"]

NEAR = 1e-3  # how far what is varied is from what is real, at most
TRIES = 3  # calls of each program; the fastest says how long it takes


def measure(program: Program, x: Arrays) -> float:
    """Return the seconds of one call and its answer as JSON; no later call is a first one."""
    taken = []
    for _ in range(TRIES):
        start = time.perf_counter()
        outputs = program(x)
        msgspec.json.encode({name: array.tolist() for name, array in outputs.items()})
        taken.append(time.perf_counter() - start)
    return min(taken)


def varied(rows: Arrays, count: int) -> dict[str, np.ndarray]:
    """Return more rows, near the real ones: a few may agree by luck where most would not.

    Args:
        rows: Real rows, at least one.
        count: How many are wanted.
    """
    dice = np.random.default_rng(0)
    found = {}
    for name, x in rows.items():
        more = np.resize(x, (count, *x.shape[1:]))
        if x.dtype.kind == "f":
            more = (more * dice.uniform(1 - NEAR, 1 + NEAR, more.shape)).astype(x.dtype)
        found[name] = more
    return found


def alike(programs: Mapping[int, Program], rows: Arrays) -> tuple[int, ...]:
    """Return the sizes in which each row has one answer, bit for bit, at every place.

    The largest is one of them; there are none where rows meddle with each other. Small sizes may
    be missing: XLA computes a small product in another order than a large one.

    Args:
        programs: By batch size.
        rows: Real rows, at least one.
    """
    found: list[int] = []
    wanted: dict[int, tuple[bytes, ...]] = {}
    for size in sorted(programs, reverse=True):
        answers = _answers(programs[size], size, rows)
        if answers is None and not found:
            return ()
        if answers is not None and all(wanted.setdefault(i, a) == a for i, a in answers.items()):
            found.append(size)
    return tuple(reversed(found))


def _answers(program: Program, size: int, rows: Arrays) -> dict[int, tuple[bytes, ...]] | None:
    """Return the bytes of every row's answers; None where they depend on its place or company."""
    count = len(next(iter(rows.values())))
    found: dict[int, tuple[bytes, ...]] = {}
    starts = range(0, count, size)
    for first, stride in (*((start, 1) for start in starts), *((start + 1, 2) for start in starts)):
        order = [(first + stride * place) % count for place in range(size)]
        outputs = program({name: np.ascontiguousarray(x[order]) for name, x in rows.items()})
        for place, i in enumerate(order):
            answer = tuple(out[place].tobytes() for out in outputs.values())
            if found.setdefault(i, answer) != answer:
                return None
    return found
