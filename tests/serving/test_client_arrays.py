"""Arrays in, arrays out: binary tensors, large batches, streams."""

import asyncio
import shutil

import httpx
import jax.numpy as jnp
import numpy as np
import pytest
from litestar.testing import TestClient

from serving.app import create_app
from serving.caller import plans, tensors
from serving.client import AsyncClient, Client, ServingError
from serving.settings import Settings
from tests.serving import served

URL = "http://testserver.local"
MANY = np.random.default_rng(1).normal(size=(50, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def app(published, tmp_path_factory):
    """Serve all versions."""
    models = tmp_path_factory.mktemp("all") / "models"
    shutil.copytree(published, models)
    (models / "line" / "serving.json").write_text('{"versions": "all"}')
    settings = Settings(models=models, buckets=served.BUCKETS)
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def asked(app):
    asked = Client(URL)
    asked.close()
    asked._http = app
    return asked


@pytest.fixture
def paths(app, monkeypatch):
    """Give the paths that are asked for."""
    found, request = [], app.request

    def noted(verb, path, **how):
        found.append(path)
        return request(verb, path, **how)

    monkeypatch.setattr(app, "request", noted)
    return found


def awaited(app, use):
    async def session():
        async with AsyncClient(URL) as client:
            await client._http.aclose()
            transport = httpx.ASGITransport(app.app)
            client._http = httpx.AsyncClient(transport=transport, base_url=URL)
            return await use(client)

    return asyncio.run(session())


@pytest.mark.parametrize("kind", [np.asarray, jnp.asarray, np.ndarray.tolist, np.float64])
def test_infer(asked, kind):
    found = asked.infer("flower", features=kind(MANY))
    as_json = asked.call("flower", "predict_proba", features=MANY)
    assert found.model_id == "flower"
    assert found.model_version == 1
    assert found.outputs["probabilities"].dtype == np.float32
    assert found.outputs["predictions"].tolist() == as_json.outputs["predictions"]
    assert found.outputs["probabilities"].tolist() == as_json.outputs["probabilities"]
    found.outputs["probabilities"][:] = 0  # it is the caller's


def test_binary_answers_are_not_compressed(asked, app, monkeypatch):
    came, request = [], app.request

    def noted(verb, path, **how):
        came.append(request(verb, path, **how))
        return came[-1]

    monkeypatch.setattr(app, "request", noted)
    asked.infer("flower", features=np.tile(MANY, (40, 1)))
    answer = came[-1]
    assert answer.request.headers["accept-encoding"] == "identity"
    assert "content-encoding" not in answer.headers
    assert len(answer.content) > 2000 * 4


def test_infer_a_method_of_a_version(asked, paths):
    old = asked.infer("line", "predict", 1, features=MANY).outputs["predictions"]
    new = asked.infer("line", version=2, features=MANY).outputs["predictions"]
    np.testing.assert_allclose(new, 2 * old, rtol=1e-6)
    assert asked.infer("line@1", features=MANY).outputs["predictions"].tolist() == old.tolist()
    before = len(paths)
    asked.infer("line@1", features=MANY)
    assert len(paths) == before + 1, "types are asked for once"


def test_several_inputs(asked):
    x = {"mean": MANY[:4, :2], "cov": np.ones((4, 2, 2)), "y": MANY[:4, :2], "seed": [1, 2, 3, 4]}
    found = asked.infer("walk", "step", **x).outputs
    assert found["mean"].shape == (4, 2)
    assert asked.infer("walk", "step", **x).outputs["noise"].tolist() == found["noise"].tolist()
    with pytest.raises(ValueError, match="seed: a number is out of the range of uint32"):
        asked.infer("walk", "step", **x | {"seed": [1, 2, 3, -4]})
    with pytest.raises(TypeError, match="seed holds float64, wanted uint32"):
        asked.infer("walk", "step", **x | {"seed": [1.5, 2, 3, 4]})


@pytest.mark.parametrize(
    ("inputs", "error", "words"),
    [
        ({"feature": MANY}, ServingError, "inputs: feature came, wanted features"),
        ({}, ServingError, "inputs: none came, wanted features"),
        ({"features": MANY[:, :2]}, ServingError, r"400: .*\[50, 2\]"),
        ({"features": [[1.0], [1.0, 2.0]]}, ValueError, "features: the rows differ in shape"),
        ({"features": [["a", "b", "c"]]}, TypeError, "features holds <U1, wanted float32"),
        ({"features": [[1e300, 1, 1]]}, ServingError, "400: .*out of range"),
    ],
)
def test_what_does_not_fit(asked, inputs, error, words):
    with pytest.raises(error, match=words):
        asked.infer("line", **inputs)


def test_no_rows(asked):
    found = asked.infer("flower", features=np.empty((0, 3)))
    assert found.outputs["probabilities"].shape == (0, 2)


def test_a_large_array_goes_in_binary(asked, paths, monkeypatch):
    as_json = asked.predict_batch(MANY, "flower")
    monkeypatch.setattr(plans, "LARGE", 100)
    paths.clear()
    in_binary = asked.predict_batch(MANY, "flower")
    assert "/predict/batch" not in paths
    assert "/v2/models/flower/infer" in paths
    for name in ("predictions", "probabilities", "labels", "model_type", "model_version"):
        assert getattr(in_binary, name) == getattr(as_json, name)
    assert awaited(asked._http, lambda c: c.predict_batch(MANY, "flower")).labels == as_json.labels
    assert len(asked.predict_batch(MANY, "line@1").predictions) == len(MANY)


def test_a_large_array_is_refused_in_the_same_words(asked, monkeypatch):
    monkeypatch.setattr(plans, "LARGE", 100)
    with pytest.raises(ServingError, match="model_name is missing"):
        asked.predict_batch(MANY)
    with pytest.raises(ServingError, match="predicts nothing from features alone"):
        asked.predict_batch(MANY, "walk")
    with pytest.raises(ServingError, match="404: model 'nope'"):
        asked.predict_batch(MANY, "nope")
    with pytest.raises(ServingError, match="row 0 gives an answer that is not finite"):
        asked.predict_batch(np.full((9, 3), 3e38, np.float32), "line")


@pytest.mark.parametrize("rows", [MANY, MANY.tolist(), None])
@pytest.mark.parametrize("size", [1, 7, 50, 99])
def test_a_stream(app, asked, rows, size):
    def given():
        return (row for row in MANY) if rows is None else rows

    wanted = asked.predict_batch(MANY, "line").predictions
    parts = list(asked.stream(given(), "line", size=size))
    assert [y for part in parts for y in part.predictions] == wanted
    assert max(len(part.predictions) for part in parts) <= size

    async def use(client):
        return [part async for part in client.stream(given(), "line", size=size)]

    assert [y for part in awaited(app, use) for y in part.predictions] == wanted


def test_a_stream_holds_a_part_at_a_time(asked):
    drawn = []

    def rows():
        for row in MANY:
            drawn.append(row)
            yield row

    answers = asked.stream(rows(), "line", size=5)
    assert not drawn
    next(answers)
    assert len(drawn) == 5


def test_a_stream_that_fails_or_is_left(app, asked):
    with pytest.raises(ServingError, match="404"):
        next(asked.stream(MANY, "nope"))
    with pytest.raises(ValueError, match="size is 0"):
        asked.stream(MANY, size=0)

    async def use(client):
        with pytest.raises(ServingError, match="404"):
            async for _ in client.stream(MANY, "nope", size=3):
                pass
        stream = client.stream(MANY, "line", size=3)
        async for _ in stream:
            break
        await stream.aclose()
        return len(asyncio.all_tasks())

    assert awaited(app, use) == 1, "nothing goes on behind it"


def test_manage(shelf):
    shelf.add("line", 1)
    shelf.add("line", 2)
    settings = Settings(models=shelf.folder, buckets=(2,))
    with TestClient(create_app(settings)) as app:
        client = Client(URL)
        client.close()
        client._http = app
        assert client.ready()
        assert client.ready("line")
        assert client.versions("line") == (2, [2], {})
        states = {entry.version: entry.state for entry in client.index()}
        assert states == {"1": "UNAVAILABLE", "2": "READY"}
        client.unload("line")
        assert not client.ready()
        client.load("line")
        assert client.ready()
        client.predict([1.0, 1.0, 1.0])
        assert client.stats("line").model_stats[0].inference_count == 1
        assert client.stats() == client.stats("line")

        async def use(client):
            await client.load("line")
            assert (await client.versions("line")).default == 2
            assert (await client.infer("line", features=MANY)).model_version == 2
            return await client.index()

        assert len(awaited(app, use)) == 2


def test_an_answer_that_is_none():
    for content in (b"", b"{}", b"\xff"):
        with pytest.raises(ValueError, match=r".+"):
            tensors.decode(httpx.Response(200, content=content))
    head = b'{"model_name":"m","model_version":"1","outputs":[{"name":"y","datatype":"FP32",'
    head += b'"shape":[2],"parameters":{"binary_data_size":8}}]}'
    short = httpx.Response(200, content=head + b"1234", headers={tensors.LENGTH: str(len(head))})
    with pytest.raises(ValueError, match=r".+"):
        tensors.decode(short)
