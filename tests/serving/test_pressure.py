"""Many clients at once, some of whom leave, while versions come and go."""

import asyncio
import json
import random
import shutil

import jax
import numpy as np
import pytest

from serving.client import Client
from tests.serving import served
from tests.serving.served import running
from tests.serving.wire_level import ask, connect, request

CONNECTIONS = 64
ROW = [1.0, 0.0, 0.0]


async def insist(address, until, found):
    """Ask without pause until it is over; keep what every answer says."""
    stream = await connect(address)
    while not until.is_set():
        status, _, body = await ask(stream, "/predict", {"features": ROW, "model_id": "line"})
        told = json.loads(body)
        found.append((status, told.get("model_version"), tuple(told.get("predictions", ()))))
    stream[1].close()


def resident():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


@pytest.mark.parametrize("reloads", [8, pytest.param(200, marks=pytest.mark.slow)])
def test_reloads_under_load_lose_and_mix_nothing(shelf, published, reloads):
    shelf.add("line", 1)
    second, memory = shelf.folder / "line" / "2", []

    async def session(address):
        until, found, loop = asyncio.Event(), [], asyncio.get_running_loop()
        clients = [asyncio.create_task(insist(address, until, found)) for _ in range(CONNECTIONS)]
        with Client(f"http://{address}", timeout=60) as client:
            for number in range(reloads):
                if number % 2:
                    shutil.rmtree(second)
                else:
                    shutil.copytree(published / "line" / "2", second)
                changes = await loop.run_in_executor(None, client.reload)
                assert changes.failed == []
                assert (len(changes.loaded), len(changes.removed)) == (1, 1)
                memory.append(resident())
        until.set()
        await asyncio.gather(*clients)
        return found

    with running(models=shelf.folder) as (address, _):
        found = asyncio.run(session(address))
    assert {status for status, *_ in found} == {200}
    assert {(version, values) for _, version, values in found} == {(1, (1.0,)), (2, (2.0,))}
    assert len(found) > 4 * CONNECTIONS
    if reloads > 50:
        half = len(memory) // 2
        assert np.median(memory[-10:]) < 1.05 * np.median(memory[half : half + 10]), "it is flat"


def _slow(state, x):
    """Take some 10 ms a call."""
    start = x["features"] @ state["w"][:, 0]
    turns = jax.lax.fori_loop(0, 1_000_000, lambda _, y: jax.numpy.sin(y), start)
    return {"predictions": start + 1e-30 * turns}


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    models = tmp_path_factory.mktemp("slow")
    served.put(models, "slow", {"predict": _slow})
    with running(models=models) as found:
        yield found


def test_clients_that_leave_harm_nobody(slow):
    address, app = slow
    dice = random.Random(7)
    rows = np.random.default_rng(3).normal(size=(120, 3)).round(3)
    expected = rows @ served.W[:, 0].astype(float)

    async def one(row, stays):
        _, writer = stream = await connect(address)
        try:
            if not stays:
                writer.write(request("/predict", {"features": row.tolist()}))
                await asyncio.sleep(dice.uniform(0, 0.05))
                return None
            status, _, body = await ask(stream, "/predict", {"features": row.tolist()})
            return status, json.loads(body)["predictions"][0]
        finally:
            writer.close()

    async def session():
        stays = [dice.random() < 0.5 for _ in rows]
        answers = await asyncio.gather(*map(one, rows, stays))
        return stays, answers

    stays, answers = asyncio.run(session())
    for stayed, answer, value in zip(stays, answers, expected, strict=True):
        if stayed:
            assert answer == (200, pytest.approx(value, rel=1e-4, abs=1e-5))
    (method,) = app.state.registry.snapshot.models["slow"].default.methods.values()
    assert method.tally.cancelled > 0, "dropped before they were computed"
    assert method.batcher.depth == 0
    assert method.tally.requests <= len(rows)
    assert method.tally.requests + method.tally.cancelled >= sum(stays)


def test_a_deadline_ends_the_wait_and_what_is_late_is_not_begun(slow):
    address, app = slow
    (method,) = app.state.registry.snapshot.models["slow"].default.methods.values()

    async def session():
        streams = [await connect(address) for _ in range(24)]
        body = {"features": ROW}
        headers = {"X-Request-Timeout-Ms": 15}
        before = method.tally.rows
        answers = await asyncio.gather(*(ask(s, "/predict", body, **headers) for s in streams))
        for _, writer in streams:
            writer.close()
        return before, [(status, headers) for status, headers, _ in answers]

    before, answers = asyncio.run(session())
    kinds = {status for status, _ in answers}
    assert kinds <= {200, 503, 504}
    assert kinds & {503, 504}, "24 rows at 10 ms for four cannot be there in 15 ms"
    assert all("retry-after" in headers for status, headers in answers if status == 503)
    assert method.tally.rows - before < 24
    status, *_ = asyncio.run(once(address, {"features": ROW}, **{"X-Request-Timeout-Ms": "soon"}))
    assert status == 400


async def once(address, content, **headers):
    stream = await connect(address)
    found = await ask(stream, "/predict", content, **headers)
    stream[1].close()
    return found
