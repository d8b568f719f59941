"""Answers that are remembered: equal to the last bit, never another question's, never an error."""

import asyncio
import time
import types

import numpy as np
import pytest
from litestar.exceptions import HTTPException

from serving.cache.cache import Cache
from serving.cache.key import key
from serving.cache.memory import Memory, weight
from serving.cache.remembered import LARGE
from tests.serving.remembering import BY, FLOWER, counts, predict
from tests.serving.served import ROWS, post, samples, start


def test_the_second_time_nothing_is_computed(cached):
    with start(cached) as client:
        first = predict(client)
        assert counts(client) == (0, 1, 1)
        assert predict(client) == first
        assert counts(client) == (1, 1, 1)
        other = predict(client, FLOWER | {"features": ROWS[1].tolist()})
        assert other != first
        assert counts(client) == (1, 2, 2)
        by_protocol = {"name": "features", "shape": [1, 3], "datatype": "FP32"}
        by_protocol["data"] = ROWS[0].tolist()
        answer = post(client, "/v2/models/flower/infer", {"inputs": [by_protocol]}).json()
        outputs = {each["name"]: each["data"] for each in answer["outputs"]}
        assert [outputs["probabilities"]] == first["probabilities"]
        assert counts(client) == (2, 2, 2), "whatever the route"
        assert samples(client)["ml_predictions_total", BY] == 4
        stats = client.get("/v2/models/flower/stats").json()["model_stats"][0]["inference_stats"]
        assert (stats["cache_hit"]["count"], stats["cache_miss"]["count"]) == (2, 2)
        assert stats["success"]["count"] == 4


def test_what_is_remembered_is_watched_all_the_same(cached):
    with start(cached) as client:
        model = client.app.state.registry.snapshot.models["flower"].default
        shown, observe = [], model.predictor.batcher.observe

        def watch(x, outputs):
            shown.append((x["features"].tolist(), outputs["predictions"].tolist()))
            observe(x, outputs)

        model.predictor.batcher.observe = watch
        codes = [predict(client)["predictions"] for _ in range(3)]
        assert counts(client) == (2, 1, 1)
        assert shown == [([ROWS[0].tolist()], code) for code in codes]


def test_only_where_the_policy_says_so(shelf):
    shelf.add("flower", 1)
    with start(shelf.folder) as client:
        for _ in range(2):
            predict(client)
        assert counts(client) == (0, 0, 2)


def test_what_is_drawn_is_not_remembered(cached):
    inputs = {"mean": [[1, 2]], "cov": [[[1, 0], [0, 1]]], "y": [[1, 1]], "seed": [7]}
    with start(cached) as client:
        for _ in range(2):
            assert post(client, "/models/walk/step", {"inputs": inputs}).status_code == 200
        by = (("method", "step"), ("model", "walk"), ("version", "1"))
        assert counts(client, by) == (0, 0, 2)


def test_large_and_empty_questions_are_not_remembered(cached):
    rows = np.ones((LARGE // 12 + 1, 3)).tolist()
    with start(cached) as client:
        for _ in range(2):
            for features in (rows, []):
                answer = post(client, "/predict/batch", FLOWER | {"features": features})
                assert answer.status_code == 200
        assert counts(client)[:2] == (0, 0)


def test_a_version_that_is_replaced_has_no_memory(shelf, cached):
    with start(cached) as client:
        first = predict(client, {"features": [1, 2, 3], "model_id": "line"})
        shelf.add("line", 2)
        client.post("/models/reload")
        second = predict(client, {"features": [1, 2, 3], "model_id": "line"})
        assert second["predictions"] == [2 * y for y in first["predictions"]]


def test_keys_differ_where_questions_do():
    x = np.arange(6, dtype=np.float32)
    questions = [
        ("m", {"a": x}),
        ("n", {"a": x}),
        ("m", {"b": x}),
        ("m", {"a": x.reshape(2, 3)}),
        ("m", {"a": x.view(np.int32)}),
        ("m", {"a": x.reshape(2, 3).T}),
        ("m", {"a": x[:3], "b": x[3:]}),
        ("m", {"a": np.array([-0.0], np.float32)}),
        ("m", {"a": np.array([0.0], np.float32)}),
    ]
    assert len({key(*question) for question in questions}) == len(questions)
    assert key("m", {"a": x}) == key("m", {"a": x.copy()})
    assert key("m", {"a": x, "b": x[:3]}) == key("m", {"b": x[:3], "a": x}), "in any order"
    assert key("m", {"a": x.reshape(2, 3).T}) == key("m", {"a": x.reshape(2, 3).T.copy()})


def test_memory_is_bounded_and_keeps_what_is_used():
    one = {"y": np.zeros(100)}
    memory = Memory(10 * weight(one))
    for i in range(10):
        memory.put(bytes([i]), one)
    assert memory.get(b"\0") is one
    memory.put(b"new", one)
    assert memory.get(b"\0") is one, "used last"
    assert memory.get(b"\1") is None, "used first"
    memory.put(b"\0", one)
    assert (len(memory), memory.bytes) == (10, memory.most)
    memory.put(b"large", {"y": np.zeros(1000)})
    assert memory.get(b"large") is None
    for i in range(1000):
        memory.put(i.to_bytes(4), {"y": np.zeros(i % 50)})
        assert memory.bytes <= memory.most


class Slow:
    """A method whose answers come when they are let."""

    name = "slow"

    def __init__(self, tally, spec):
        self.tally, self.spec = tally, spec
        self.batcher = types.SimpleNamespace(observe=None)
        self.fields = {"features": None}
        self.asked = []

    def is_long(self, rows):
        return False

    async def answer(self, x, rows, deadline=float("inf")):
        self.asked.append(asyncio.get_running_loop().create_future())
        return await self.asked[-1]


@pytest.fixture
def slow(cached):
    """Give a slow method, and a function that asks its memory."""
    with start(cached) as client:
        served, model = client.app.state.registry.find("flower")
    real = model.methods["predict"]
    method = Slow(real.tally, real.spec)
    cache = Cache(2**20)

    def ask(row=0, deadline=float("inf")):
        over = cache.over(served, model, "predict", method)
        return asyncio.ensure_future(over.answer({"features": ROWS[[row]]}, 1, deadline))

    return method, ask


ANSWER = {"predictions": np.array([1], np.int32)}


async def settle():
    for _ in range(10):
        await asyncio.sleep(0)


def test_equal_questions_are_computed_once(slow):
    method, ask = slow

    async def run():
        asked = [ask(row) for row in (0, 1, 0, 0, 1)]
        await settle()
        assert len(method.asked) == 2
        for future in method.asked:
            future.set_result(ANSWER)
        answers = await asyncio.gather(*asked, ask(0))
        assert all(each["predictions"].tolist() == [1] for each in answers)
        assert len(method.asked) == 2
        assert (method.tally.misses.count, method.tally.hits.count) == (2, 4)

    asyncio.run(run())


@pytest.mark.parametrize("error", [asyncio.CancelledError, HTTPException, RuntimeError])
def test_who_follows_does_not_fail_with_the_first(slow, error):
    method, ask = slow

    async def run():
        first, *others = [ask() for _ in range(3)]
        await settle()
        if error is asyncio.CancelledError:
            first.cancel()
        else:
            method.asked[0].set_exception(error("x"))
        await settle()
        assert len(method.asked) == 3, "each of the others for itself"
        for future in method.asked[1:]:
            future.set_result(ANSWER)
        assert [(await other)["predictions"].tolist() for other in others] == [[1], [1]]
        with pytest.raises(error):
            await first
        again = ask()
        await settle()
        assert not again.done(), "what failed was not remembered"
        again.cancel()

    asyncio.run(run())


def test_who_follows_has_a_deadline_of_its_own(slow):
    method, ask = slow

    async def run():
        first, hasty = ask(), ask(deadline=time.monotonic() + 0.01)
        with pytest.raises(HTTPException, match="the time was over"):
            await hasty
        method.asked[0].set_result(ANSWER)
        assert (await first)["predictions"].tolist() == [1]

    asyncio.run(run())
