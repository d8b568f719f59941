"""A program that fails, or does not come back: who is answered, and when it is tried again."""

import asyncio
import threading

import numpy as np
import pytest
from litestar.exceptions import HTTPException

from serving.engine import batcher as batching
from serving.engine import circuit, hand
from serving.engine.batcher import LONG
from serving.engine.circuit import FAULTS
from tests.serving.queues import POISON, Program, answers, ask, batcher


class Stuck:
    """A program that comes back when it is told to."""

    def __init__(self):
        self.go_on = threading.Event()

    def __call__(self, x, rows):
        assert self.go_on.wait(30)
        return {"y": x["x"]}


def test_a_batch_that_does_not_end():
    stuck = Stuck()

    async def session():
        queue = batcher(stuck, seconds=LONG, step_seconds=0.05)
        first = ask(queue, 1.0)
        await asyncio.sleep(0.01)
        behind = ask(queue, 2.0)
        found = await answers(first, behind)
        assert not queue.is_sound
        assert (queue.depth, hand.busy()) == (0, 1)
        with pytest.raises(HTTPException, match="does not end"):
            ask(queue, 3.0)
        stuck.go_on.set()
        while not queue.is_sound:
            await asyncio.sleep(0.01)
        assert queue.tally.refused == {"stuck": 3}
        return found, await answers(ask(queue, 4.0))

    (culprit, behind), later = asyncio.run(session())
    assert (culprit.status_code, behind.status_code) == (504, 503)
    assert culprit.detail == "model/1/predict: it takes more than 0.05 s"
    assert later == [[4.0]]


def test_one_program_that_does_not_end_holds_up_no_other():
    stuck = Stuck()

    async def session():
        queues = [batcher(stuck, seconds=LONG) for _ in range(3)]
        owed = [ask(queue, 1.0) for queue in queues]
        await asyncio.sleep(0.01)
        others = await answers(*(ask(batcher(Program(), seconds=LONG), 2.0) for _ in range(3)))
        stuck.go_on.set()
        return others, await answers(*owed)

    assert asyncio.run(session()) == ([[4.0]] * 3, [[1.0]] * 3)


def test_a_fault_beyond_the_program_is_answered_too(monkeypatch):
    async def session():
        queue = batcher(Program(), seconds=LONG)
        monkeypatch.setattr(queue, "_compute", lambda batch: 1 / 0)
        found = await answers(ask(queue, 1.0), ask(queue, 2.0))
        monkeypatch.undo()
        return found, await answers(ask(queue, 3.0))

    found, later = asyncio.run(session())
    assert all(isinstance(each, ZeroDivisionError) for each in found)
    assert later == [[6.0]]


def test_what_may_take_any_time_is_computed_by_a_thread():
    async def session(is_counted):
        by = []
        queue = batcher(
            lambda x, rows: by.append(threading.current_thread()) or {"y": x["x"]},
            is_counted=is_counted,
        )
        await answers(ask(queue, 1.0))
        assert queue.is_long(1) is not is_counted
        return by == [threading.main_thread()]

    assert asyncio.run(session(is_counted=True))
    assert not asyncio.run(session(is_counted=False))


def test_a_model_that_only_fails_is_left_alone_for_a_while(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(circuit, "clock", lambda: now[0])

    async def session():
        queue = batcher(Program())
        for _ in range(FAULTS):
            await answers(ask(queue, POISON))
        assert not queue.is_sound
        with pytest.raises(HTTPException, match="failed") as refusal:
            ask(queue, 1.0)
        assert refusal.value.status_code == 503
        now[0] += 2.0
        found = await answers(ask(queue, 1.0))
        assert queue.is_sound
        return found

    assert asyncio.run(session()) == [[2.0]]


@pytest.mark.parametrize("seconds", [0.0, LONG])
def test_a_broken_model_is_tried_though_nobody_asks(monkeypatch, seconds):
    monkeypatch.setattr(batching, "REST", 0.01)
    program = Program()
    is_ill = True

    def run(x, rows):
        if is_ill:
            raise FloatingPointError("ill")
        return program(x, rows)

    async def session():
        nonlocal is_ill
        queue = batcher(run, seconds=seconds, golden={"x": np.array([1.0])})
        for _ in range(FAULTS):
            await answers(ask(queue, 1.0))
        await asyncio.sleep(0.05)
        assert not queue.is_sound, "it has been tried, and is still ill"
        is_ill = False
        while not queue.is_sound:
            await asyncio.sleep(0.01)
        return queue.tally

    tally = asyncio.run(session())
    assert program.batches == [1]
    assert (tally.requests, tally.rows, tally.failed.count) == (0, 0, FAULTS), "trials are nobody's"
