"""What the tests of the queue share: a small program, and a queue before it."""

import asyncio

import numpy as np

from serving.engine.batcher import Batcher, Limits
from serving.engine.tally import Tally

MOST = 8
POISON = 666.0


class Program:
    """Doubles its rows, keeps the sizes of its batches, and fails on a row of poison."""

    def __init__(self):
        self.batches = []

    def __call__(self, x, rows):
        assert len(x["x"]) == rows <= MOST
        self.batches.append(rows)
        if POISON in x["x"]:
            raise FloatingPointError("poison")
        return {"y": 2 * x["x"]}


def batcher(run, *, seconds=0.0, of_row=0.0, **given):
    limits = {name: given.pop(name) for name in Limits._fields if name in given}
    return Batcher(
        run,
        name="model/1/predict",
        most=MOST,
        seconds=lambda rows: seconds + of_row * rows,
        size=lambda rows: 1 << (rows - 1).bit_length(),
        tally=Tally((2, 4, 8)),
        limits=Limits(**limits),
        **{"is_merging": True, **given},
    )


def ask(queue, *values, deadline=float("inf")):
    return queue.submit({"x": np.array(values)}, len(values), deadline)


async def answers(*futures):
    found = await asyncio.gather(*futures, return_exceptions=True)
    return [f if isinstance(f, BaseException) else f["y"].tolist() for f in found]
