"""More than can be answered: what is let in is answered in time, the rest is told at once."""

import asyncio
import collections

import httpx
import jax
import pytest

from tests.serving import served
from tests.serving.processes import PATIENCE

AT_ONCE = 300
BATCHES = 20  # that have their time before a deadline is over: fewer than there are


def _slow(state, x):
    """Take some 20 ms a batch: more than can be answered in time."""
    start = x["features"] @ state["w"][:, 0]
    out = jax.lax.fori_loop(0, 2_000_000, lambda _, y: jax.numpy.cos(y), start)
    return {"predictions": x["features"][:, 0] + 0 * out}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    models = tmp_path_factory.mktemp("slow")
    served.put(models, "slow", {"predict": _slow})
    with served.running(models=models) as (address, app):
        method = app.state.registry.snapshot.models["slow"].default.methods["predict"]
        yield address, round(1000 * BATCHES * method.seconds(method.largest))


async def ask(http, number, deadline):
    headers = {"X-Request-Timeout-Ms": str(deadline)}
    answer = await http.post("/predict", json={"features": [number, 1, 1]}, headers=headers)
    return number, answer


async def storm(address, deadline):
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(
        base_url=f"http://{address}", timeout=PATIENCE, limits=limits
    ) as http:
        found = await asyncio.gather(*(ask(http, float(i), deadline) for i in range(AT_ONCE)))
        _, after = await ask(http, -1.0, 1000 * PATIENCE)
    return found, after


def test_what_is_let_in_is_answered_and_the_rest_is_told_when_to_come_again(server):
    found, after = asyncio.run(storm(*server))
    statuses = collections.Counter(answer.status_code for _, answer in found)
    assert statuses.keys() <= {200, 503, 504}
    assert statuses[200] > 0
    assert statuses[503] > 0
    for number, answer in found:
        if answer.status_code == 200:
            assert answer.json()["predictions"] == [number]
        if answer.status_code == 503:
            assert int(answer.headers["Retry-After"]) >= 1
    assert (after.status_code, after.json()["predictions"]) == (200, [-1.0])
