import asyncio
import logging

import numpy as np
import pytest

from serving.app import create_app
from serving.settings import Settings
from tests.serving.served import post

ROW = [0.5, 0.5, 0.5]
REFUSED = [
    ("/predict", b"", 400, "the body is empty, wanted JSON with features, model_name, model_id"),
    ("/models/line/predict", b" ", 400, "the body is empty, wanted JSON with inputs"),
    ("/predict", b"{", 400, "truncated"),
    ("/predict", b"hello", 400, "malformed"),
    ("/predict", b'{"features": [1, 2, 3], "model_id": "line"} x', 400, "trailing"),
    ("/predict", b'{"features": [1, 2, 3], "model_id": "\xff"}', 400, ""),
    ("/predict", b"[" * 60_000, 400, "Expected `object`, got `array`"),
    ("/models/line/predict", b'{"inputs": {"features": ' + b"[" * 10_000, 400, "nested too deeply"),
    ("/predict", {"model_id": "line"}, 400, "`features`"),
    ("/predict", {"features": ROW, "model": "line"}, 400, "`model`, wanted features, model_name"),
    ("/predict", {"feature": ROW}, 400, "unknown field `feature`, wanted features, model_name, "),
    ("/predict", {"feature": ROW}, 400, "model_id; did you mean features?"),
    ("/predict", {"features": ROW}, 400, "model_name is missing, wanted one of: flower, line"),
    ("/predict", {"features": ROW, "model_id": "a", "model_name": "b"}, 400, "give one of them"),
    ("/predict", {"features": ROW, "model_id": "nope"}, 404, "'nope' is not one of: flower"),
    ("/predict", {"features": ROW, "model_id": "../line"}, 404, "'../line'"),
    ("/predict", {"features": ROW, "model_id": "a\0" + "b" * 10_000}, 404, "'a\\x00bbb"),
    (
        "/predict",
        {"features": [1, "2", 3], "model_id": "line"},
        400,
        "features[1]: Expected `float`",
    ),
    ("/predict", {"features": [1, True, 3], "model_id": "line"}, 400, "features[1]: "),
    ("/predict", {"features": [1, None, 3], "model_id": "line"}, 400, "`null`; NaN and infinities"),
    ("/predict", b'{"features": [NaN, 1, 1], "model_id": "line"}', 400, "NaN and infinities have"),
    ("/predict", b'{"features": [-Infinity, 1, 1], "model_id": "line"}', 400, "malformed"),
    (
        "/predict",
        b'{"features": [1e400, 1, 1], "model_id": "line"}',
        400,
        "features[0]: Number out",
    ),
    ("/predict", {"features": [1e39, 1, 1], "model_id": "line"}, 400, "out of range"),
    ("/predict", {"features": [], "model_id": "line"}, 400, "features has 0 numbers, wanted 3"),
    ("/predict", {"features": [1] * 4, "model_id": "line"}, 400, "has 4 numbers, wanted 3"),
    ("/predict", {"features": [3e38] * 3, "model_id": "line"}, 400, "features: row 0 gives an"),
    (
        "/predict/batch",
        {"features": [ROW, ROW, [3e38] * 3], "model_id": "flower"},
        400,
        "features: row 2 gives an answer that is not finite",
    ),
    ("/predict", {"features": [ROW], "model_id": "line"}, 400, "features[0]: Expected `float`"),
    ("/predict", {"features": ROW, "model_id": "walk"}, 400, "step(cov, mean, seed, y)"),
    ("/predict", b'{"features": [' + b"1," * 40_000 + b"1]}", 413, "above 65536 bytes"),
    ("/predict/batch", {"features": ROW, "model_id": "line"}, 400, "features[0]: Expected `array`"),
    (
        "/predict/batch",
        {"features": [ROW, [1]], "model_id": "line"},
        400,
        "row 1 has the shape [1]",
    ),
    ("/predict/batch", {"features": [[1], [1]], "model_id": "line"}, 400, "[2, 1]"),
    ("/predict/batch", {"features": [ROW] * 11, "model_id": "line"}, 413, "11 rows came"),
    ("/models/line/predict", {"inputs": {"features": [ROW] * 11}}, 413, "wanted at most 10"),
    ("/models/nope/predict", {"inputs": {}}, 404, "'nope' is not one of"),
    ("/models/line/nope", {"inputs": {}}, 404, "'line' has no method 'nope'; it has predict"),
    ("/models/line/predict", {"inputs": {"x": [ROW]}}, 400, "'x' came, wanted features"),
    ("/models/line/predict", {"inputs": {}}, 400, "none came, wanted features"),
    (
        "/models/line/predict",
        {"inputs": {"features": 1}},
        400,
        "features: Expected `array`, got `int`",
    ),
    (
        "/models/line/predict",
        {"inputs": {"features": [[1, "1", 1]]}},
        400,
        "features[0][1]: Expected",
    ),
    ("/models/line/predict", {"inputs": {"features": [[[1]]]}}, 400, "features[0][0]: Expected"),
]


@pytest.mark.parametrize(("path", "content", "status", "words"), REFUSED)
def test_refused(client, path, content, status, words):
    answer = post(client, path, content)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert words in body["detail"]
    assert len(body["detail"]) <= 500
    assert body["error"] == body["detail"]
    assert (body["status"], body["instance"]) == (status, path)
    assert body["request_id"] == answer.headers["x-request-id"]
    is_unread = "above" in words
    assert (answer.headers.get("connection") == "close") is is_unread


STEP = {"mean": [ROW[:2]], "cov": [[[1, 0], [0, 1]]], "y": [[1, 1]], "seed": [1]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": [-1]}, "seed: a number is out of range, wanted uint32[rows]"),
        ({"seed": [2**32]}, "seed: a number is out of range"),
        ({"seed": [1.5]}, "seed[0]: Expected `int`, got `float`"),
        ({"seed": [True]}, "seed[0]: Expected `int`, got `bool`"),
        ({"cov": [[1, 0], [0, 1]]}, "cov[0][0]: Expected `array`, got `int`"),
        ({"cov": [[[1, 0]]]}, "cov: the shape is [1, 1, 2], wanted float32[rows, 2, 2]"),
        ({"cov": [[[1, 0], [0]]]}, "cov: row 0 is ragged, wanted"),
        ({"y": [[1, 1], [1, 1]]}, "1 of cov, 1 of mean, 1 of seed, 2 of y came"),
    ],
)
def test_inputs_refused(client, change, words):
    answer = post(client, "/models/walk/step", {"inputs": STEP | change})
    assert answer.status_code == 400
    assert words in answer.json()["detail"]


def test_too_long_a_body_is_refused_while_it_comes(client):
    def chunks():
        for _ in range(100):
            yield b" " * 1024

    answer = client.post("/predict", content=chunks())
    assert answer.status_code == 413
    assert answer.headers["connection"] == "close", "the rest of the body is still on its way"
    assert post(client, "/predict", {"features": ROW, "model_id": "line"}).status_code == 200


def test_a_compressed_body_is_refused(client):
    answer = client.post("/predict", content=b"x", headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 415


@pytest.mark.parametrize(
    "path", ["/predict", "/predict/batch", "/models/reload", "/models/line/predict"]
)
def test_the_wrong_method_is_told_the_right_one(client, path):
    answer = client.get(path)
    assert answer.status_code == 405
    assert "POST" in answer.headers["allow"]
    assert answer.json()["detail"] == f"GET '{path}' is not served, POST is wanted"
    assert "POST" in client.options(path).headers["allow"]


def test_an_unknown_route(client):
    answer = client.get("/wp-admin.php")
    assert answer.status_code == 404
    assert answer.json()["error"] == "GET '/wp-admin.php' is not served"


def test_a_fault_says_nothing_of_its_reason(client, monkeypatch, caplog):
    def fail(*_):
        raise RuntimeError("a secret")

    registry = client.app.state.registry
    monkeypatch.setattr(registry.snapshot.models["line"].default.predictor.batcher, "_run", fail)
    with caplog.at_level(logging.ERROR):
        answer = post(client, "/predict", {"features": ROW, "model_id": "line"})
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.headers["x-request-id"] in caplog.text
    assert "a secret" in caplog.text


@pytest.mark.parametrize(
    ("sent", "kept"), [("job-7.a_b", True), ("a b", False), ("x" * 200, False)]
)
def test_request_id(client, sent, kept):
    answer = client.get("/health", headers={"X-Request-ID": sent})
    assert (answer.headers["x-request-id"] == sent) is kept


def test_request_ids_differ(client):
    assert len({client.get("/health").headers["x-request-id"] for _ in range(20)}) == 20


def sent_to(app, receive):
    """Return what the application sends for a POST whose body ``receive`` gives."""
    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/predict", "headers": [], "root_path": ""}
    asyncio.run(app({**scope, "query_string": b""}, receive, send))
    return sent


def test_a_client_that_goes_away_gets_nothing(client):
    async def receive():
        return {"type": "http.disconnect"}

    assert sent_to(client.app, receive) == []


def test_a_body_that_does_not_come(tmp_path):
    start, body = sent_to(
        create_app(Settings(models=tmp_path, body_seconds=0.01)), lambda: asyncio.sleep(60)
    )
    assert start["status"] == 408
    assert (b"connection", b"close") in start["headers"]
    assert b"the body did not come in 0.01 s" in body["body"]


def test_a_code_that_is_no_class_is_a_fault(client, monkeypatch):
    method = client.app.state.registry.snapshot.models["flower"].default.predictor
    for code in (-1, 2):
        outputs = {"predictions": np.array([code], np.int32)}
        monkeypatch.setattr(method.batcher, "_run", lambda x, rows, outputs=outputs: outputs)
        assert post(client, "/predict", {"features": ROW, "model_id": "flower"}).status_code == 500
