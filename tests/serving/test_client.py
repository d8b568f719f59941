import asyncio

import httpx
import jax.numpy as jnp
import numpy as np
import pytest

from mastery_jax.workflow.errors import UserError
from serving.client import AsyncClient, Client, ServingError
from serving.wire import ModelInfo
from tests.serving.served import ROWS

URL = "http://testserver.local"
NOBODY = "http://127.0.0.1:9"  # the port of a service that no machine runs any more


@pytest.fixture
def asked(client):
    """Give a Client whose requests go to the application, without a socket."""
    asked = Client(URL)
    asked.close()
    asked._http = client
    return asked


def test_typed_answers(asked):
    assert asked.health().models_loaded == 3
    assert [model.model_id for model in asked.models().models] == ["flower", "line", "walk"]
    assert isinstance(asked.model("walk"), ModelInfo)
    assert asked.reload().loaded == []
    single = asked.predict(ROWS[0], model="flower")
    assert single.labels in (["red"], ["blue"])
    assert single.probabilities is not None
    np.testing.assert_allclose(np.sum(single.probabilities), 1.0, rtol=1e-6)


@pytest.mark.parametrize("kind", [np.asarray, jnp.asarray, np.ndarray.tolist, list])
def test_arrays_of_any_kind(asked, kind):
    rows = kind(ROWS)
    answer = asked.predict_batch(rows, model="line")
    by_call = asked.call("line", "predict", features=rows)
    assert len(answer.predictions) == len(ROWS)
    assert answer.predictions == by_call.outputs["predictions"]


def test_what_is_no_array(asked):
    with pytest.raises(TypeError, match="features holds object, wanted numbers, lists of them or"):
        asked.predict_batch([[object()]], model="line")
    with pytest.raises(TypeError, match="mean holds generator"):
        asked.call("walk", "step", mean=(i for i in range(3)))


def test_refusals_are_raised(asked):
    with pytest.raises(ServingError, match="404: model 'nope' is not one of") as error:
        asked.predict([1], model="nope")
    assert error.value.status == 404
    assert isinstance(error.value, UserError), "the command line prints it as a sentence"
    with pytest.raises(ServingError, match="Expected `float`, got `null`"):
        asked.predict([float("nan"), 1, 1], model="line")
    with pytest.raises(ServingError, match="404"):
        asked.call("../line", "predict", features=[[1, 1, 1]])


def test_awaited(client):
    async def session():
        async with AsyncClient(URL) as asked:
            asked._http = httpx.AsyncClient(transport=httpx.ASGITransport(client.app), base_url=URL)
            answers = await asyncio.gather(*(asked.predict(row, "line") for row in ROWS))
            batch = await asked.predict_batch(ROWS, "line")
            assert [one.predictions[0] for one in answers] == batch.predictions
            assert (await asked.health()).models_loaded == len((await asked.models()).models)
            assert (await asked.model("line")).version == 2
            assert (await asked.reload()).removed == []
            outputs = await asked.call("line", "predict", features=ROWS)
            assert outputs.outputs["predictions"] == batch.predictions
            with pytest.raises(ServingError, match="404"):
                await asked.model("nope")

    asyncio.run(session())


def test_no_server():
    words = r"no server answers at http://127\.0\.0\.1:9"
    with Client(NOBODY, timeout=5) as client, pytest.raises(ServingError, match=words) as error:
        client.health()
    assert error.value.status is None

    async def ask():
        async with AsyncClient(NOBODY, timeout=5) as client:
            await client.health()

    with pytest.raises(ServingError, match=words):
        asyncio.run(ask())


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (httpx.Response(200, text="<html>"), "does not answer as a mastery_jax server does"),
        (httpx.Response(502, text="bad gateway"), "502: .* does not answer as"),
        (httpx.ReadTimeout("timed out"), "did not answer: timed out"),
    ],
)
def test_something_else_answers(answer, words):
    def reply(request):
        if isinstance(answer, Exception):
            raise answer
        return answer

    with Client(URL) as client:
        client._http = httpx.Client(transport=httpx.MockTransport(reply), base_url=URL)
        with pytest.raises(ServingError, match=words):
            client.health()
