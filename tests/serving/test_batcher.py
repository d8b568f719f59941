"""Every request gets its own answer, whoever it shares a batch with."""

import asyncio
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from litestar.exceptions import HTTPException

from serving.engine.batcher import ALONE, LONG
from tests.serving.queues import MOST, POISON, Program, answers, ask, batcher


def test_what_comes_in_one_turn_shares_a_batch():
    program = Program()

    async def session():
        queue = batcher(program)
        found = await answers(ask(queue, 1.0), ask(queue, 2.0, 3.0), ask(queue, 4.0))
        return queue, found, await answers(ask(queue, 5.0))

    queue, together, later = asyncio.run(session())
    assert (together, later) == ([[2.0], [4.0, 6.0], [8.0]], [[10.0]])
    assert program.batches == [4, 1]
    assert (queue.tally.requests, queue.tally.rows, queue.tally.compute.count) == (4, 5, 2)
    assert queue.depth == 0


def test_where_requests_come_one_at_a_time_the_next_is_computed_as_it_comes():
    program = Program()

    async def session():
        queue = batcher(program)
        for value in range(ALONE):
            future = ask(queue, float(value))
            assert not future.done()
            await future
        first, *company = [ask(queue, float(value)) for value in range(4)]
        assert first.done()
        assert not any(future.done() for future in company)
        await answers(*company)
        later = ask(queue, 5.0)
        assert not later.done(), "where a crowd has been, the next is kept for others"
        return await answers(first, *company, later)

    assert asyncio.run(session()) == [[0.0], [2.0], [4.0], [6.0], [10.0]]
    assert program.batches == [1] * ALONE + [1, 3, 1]


def test_a_lonely_fault_is_one_of_its_request():
    async def session():
        queue = batcher(Program())
        for value in range(ALONE):
            await ask(queue, float(value))
        return await answers(ask(queue, POISON), ask(queue, 1.0))

    culprit, other = asyncio.run(session())
    assert isinstance(culprit, FloatingPointError)
    assert other == [2.0]


def test_a_batch_holds_no_more_than_the_largest():
    program = Program()

    async def session():
        queue = batcher(program)
        return await answers(*(ask(queue, *[float(i)] * 3) for i in range(5)))

    assert asyncio.run(session()) == [[2.0 * i] * 3 for i in range(5)]
    assert program.batches == [6, 6, 3]


def test_only_the_culprit_fails():
    async def session():
        queue = batcher(Program())
        return queue, await answers(ask(queue, 1.0), ask(queue, POISON), ask(queue, 3.0))

    queue, (first, culprit, last) = asyncio.run(session())
    assert (first, last) == ([2.0], [6.0])
    assert isinstance(culprit, FloatingPointError)
    assert (queue.tally.requests, queue.tally.failed.count) == (2, 1)
    assert queue.is_sound


def test_rows_that_meddle_are_computed_alone():
    program = Program()

    async def session():
        queue = batcher(program, is_merging=False)
        return await answers(ask(queue, 1.0), ask(queue, 2.0, 3.0))

    assert asyncio.run(session()) == [[2.0], [4.0, 6.0]]
    assert program.batches == [1, 2]


@pytest.mark.parametrize("limits", [{"rows": 2}, {"bytes": 16}])
def test_a_full_queue_refuses(limits):
    async def session():
        queue = batcher(Program(), **limits)
        owed = [ask(queue, 1.0), ask(queue, 2.0)]
        with pytest.raises(HTTPException) as refusal:
            ask(queue, 3.0)
        return queue, refusal.value, await answers(*owed)

    queue, refusal, owed = asyncio.run(session())
    assert (refusal.status_code, refusal.headers) == (503, {"Retry-After": "1"})
    assert owed == [[2.0], [4.0]]
    assert queue.tally.refused == {"queue_full": 1}


def test_nothing_is_computed_after_its_deadline():
    program = Program()

    async def session():
        queue = batcher(program)
        late = ask(queue, 1.0, deadline=time.monotonic() + 1e-3)
        good = ask(queue, 2.0)
        time.sleep(2e-3)  # the loop is held up
        return queue, await answers(late, good)

    queue, (late, good) = asyncio.run(session())
    assert (late.status_code, good) == (504, [4.0])
    assert program.batches == [1]
    assert queue.tally.refused == {"expired": 1}


def test_what_cannot_be_there_in_time_is_refused_at_once():
    async def session():
        queue = batcher(Program(), seconds=LONG / 2)
        owed = [ask(queue, *[1.0] * MOST) for _ in range(3)]
        with pytest.raises(HTTPException) as refusal:
            ask(queue, 1.0, deadline=time.monotonic() + LONG)
        await answers(*owed)
        return refusal.value

    assert asyncio.run(session()).status_code == 503


def test_nothing_is_computed_for_who_went_away():
    program = Program()

    async def session():
        queue = batcher(program)
        gone, good = ask(queue, 1.0), ask(queue, 2.0)
        gone.cancel()
        return queue, await answers(good)

    queue, found = asyncio.run(session())
    assert found == [[4.0]]
    assert program.batches == [1]
    assert queue.tally.cancelled == 1


def test_the_loop_goes_on_while_a_thread_computes_and_the_next_batch_gathers():
    go_on, program = threading.Event(), Program()

    def slow(x, rows):
        assert go_on.wait(10)
        return program(x, rows)

    async def session():
        queue = batcher(slow, seconds=LONG)
        first = ask(queue, 1.0)
        await asyncio.sleep(0.01)
        more = [ask(queue, 2.0), ask(queue, 3.0)]
        await asyncio.sleep(0.01)
        assert not first.done()
        assert queue.depth == 2
        go_on.set()
        return await answers(first, *more)

    assert asyncio.run(session()) == [[2.0], [4.0], [6.0]]
    assert program.batches == [1, 2]


def test_a_thread_computes_what_is_long_by_its_rows_alone():
    threads = []

    def told(x, rows):
        threads.append((rows, threading.current_thread() is threading.main_thread()))
        return {"y": x["x"]}

    async def session():
        queue = batcher(told, of_row=LONG / 4)
        assert queue.is_long
        await answers(ask(queue, 1.0))
        await answers(ask(queue, *[2.0] * MOST))

    asyncio.run(session())
    assert threads == [(1, True), (MOST, False)]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    arrivals=st.lists(
        st.tuples(st.integers(1, MOST), st.sampled_from(["good", "poison", "cancel"])),
        min_size=1,
        max_size=30,
    ),
    turns=st.lists(st.integers(0, 3), max_size=30),
    is_long=st.booleans(),
)
def test_every_request_gets_exactly_its_own_answer(arrivals, turns, is_long):
    async def session():
        queue = batcher(Program(), seconds=LONG if is_long else 0.0)
        asked = []
        for i, (rows, kind) in enumerate(arrivals):
            values = [float(i)] * rows if kind != "poison" else [POISON] * rows
            asked.append((kind, values, ask(queue, *values)))
            if kind == "cancel":
                asked[-1][2].cancel()
            for _ in range(turns[i % len(turns)] if turns else 0):
                await asyncio.sleep(0)
        found = await answers(*(future for *_, future in asked))
        return queue, asked, found

    queue, asked, found = asyncio.run(session())
    for (kind, values, _), answer in zip(asked, found, strict=True):
        if kind == "good":
            assert answer == [2 * value for value in values]
        else:
            wanted = FloatingPointError if kind == "poison" else asyncio.CancelledError
            assert isinstance(answer, wanted | HTTPException)
    assert queue.depth == 0
