"""What is measured before a version answers: seconds by rows, and whether rows meddle.

From two rows up, XLA adds the same products in the same order whatever the batch, so that a row's
answer is the same to the last bit whoever it is computed with. That is so for every program that
treats rows alike, and it is tried here with the golden rows in other places and company.
"""

import time
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from mastery_jax.workflow.stablehlo import Arrays, Program

__all__ = ["is_invariant", "measure"]

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


def is_invariant(programs: Mapping[int, Program], rows: Arrays) -> bool:
    """Say whether each row has one answer, bit for bit, in every batch and at every place.

    Args:
        programs: By batch size.
        rows: Real rows, at least one.
    """
    smallest, *larger = sorted(programs)
    count = len(next(iter(rows.values())))
    alone = [_answers(programs[smallest], rows, [i] * smallest)[0] for i in range(count)]
    for size in (smallest, *larger):
        for shift, stride in ((0, 1), (1, 2)):
            order = [(shift + stride * place) % count for place in range(size)]
            answers = _answers(programs[size], rows, order)
            if any(alone[i] != answer for i, answer in zip(order, answers, strict=True)):
                return False
    return True


def _answers(program: Program, rows: Arrays, order: Sequence[int]) -> list[tuple[bytes, ...]]:
    """Return the bytes of every row's answers."""
    outputs = program({name: np.ascontiguousarray(x[list(order)]) for name, x in rows.items()})
    return [tuple(out[i].tobytes() for out in outputs.values()) for i in range(len(order))]
