"""What the protocol's route will not take; each time the next good request is answered."""

import gzip
import json
import struct
import zlib

import numpy as np
import pytest
from litestar.testing import TestClient

from serving.app import create_app
from serving.settings import Settings
from tests.serving import served
from tests.serving.served import samples

URL = "/v2/models/flower/infer"
LENGTH = "Inference-Header-Content-Length"
ROW = [1.0, 2.0, 3.0]
FP32 = np.array(ROW, "<f4").tobytes()


@pytest.fixture(scope="module")
def client(published):
    sizes = {"max_body": 2**16, "max_binary": 2**17, "max_rows": 1000}
    settings = Settings(models=published, buckets=served.BUCKETS, **sizes)
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


def features(**changes):
    return {"name": "features", "shape": [1, 3], "datatype": "FP32", "data": ROW} | changes


def body(*inputs, **fields):
    return json.dumps({"inputs": list(inputs), **fields}).encode()


GOOD = body(features())


def with_binary(entry, tail, *, length=None, **fields):
    """Return the content and headers of a request with a binary part."""
    head = body(entry, **fields)
    return head + tail, {LENGTH: str(len(head) if length is None else length)}


BINARY = {"name": "features", "shape": [1, 3], "datatype": "FP32"}
SIZED = BINARY | {"parameters": {"binary_data_size": 12}}
WALK = [
    {"name": "mean", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]},
    {"name": "cov", "shape": [1, 2, 2], "datatype": "FP32", "data": [[[1, 2], [3, 4]]]},
    {"name": "y", "shape": [1, 2], "datatype": "FP32", "data": [[1, 2]]},
    {"name": "seed", "shape": [1], "datatype": "UINT32", "data": [7]},
]

BODIES = [
    (b"", 400, "the body"),
    (b"{", 400, "truncated"),
    (b"\xff", 400, "the body"),
    (GOOD + b"x", 400, "trailing"),
    (b"[" * 100_000, 413, "above 65536 bytes"),
    (b'{"inputs":' + b"[" * 60_000, 400, "inputs[0]: Expected `object`"),
    (body(features(data=[1, 2, float("nan")])), 400, "the body"),
    (GOOD.replace(b"1.0", b"1e400"), 400, "out of range"),
    (GOOD.replace(b"1.0", b"1e39"), 400, "out of range"),
    (body(features(data=["1", 2, 3])), 400, "features: data[0]: Expected `float`, got `str`"),
    (body(features(data=[True, 2, 3])), 400, "Expected `float`, got `bool`"),
    (body(features(data=[None, 2, 3])), 400, "Expected `float`, got `null`"),
    (body(features(data={})), 400, "Expected `array`"),
    (body(features(data=[])), 400, "data has 0 numbers for the shape [1, 3]"),
    (body(features(data=[1, 2])), 400, "data has 2 numbers for the shape [1, 3]"),
    (body(features(data=[[1, 2], [3]])), 400, "differ in shape"),
    (body(features(data=[[1], [2], [3]])), 400, "data has 3 numbers for the shape [1, 3]"),
    (body(features(data=[[[1, 2, 3]]])), 400, "Expected `float`"),
    (body(features(shape=[1, -3])), 400, "Expected `int` >= 0"),
    (body(features(shape=[2**32, 2**32])), 400, "the shape is [4294967296, 4294967296]"),
    (body(features(shape=[2**62, 3])), 400, "for the shape [4611686018427387904, 3]"),
    (body(features(shape=[10**30, 3])), 400, "inputs[0].shape[0]: Expected `int` <="),
    (body(features(shape=[])), 400, "the shape is []"),
    (body(features(shape=[3])), 400, "the shape is [3]"),
    (body(features(shape=[1, 3, 1])), 400, "the shape is [1, 3, 1]"),
    (body(features(datatype="FP64")), 400, "datatype 'FP64' came, wanted FP32"),
    (body(features(datatype="BYTES", data=["a"])), 400, "datatype 'BYTES' came, wanted FP32"),
    (body(features(datatype="COMPLEX")), 400, "datatype 'COMPLEX' came, wanted FP32"),
    (body(features(), features()), 400, "'features' is there twice"),
    (body(), 400, "inputs: none came, wanted features"),
    (body(features(name="x" * 1000)), 400, "x…' came, wanted features"),
    (body(features(), outputs=[{"name": "nothing"}]), 400, "'nothing' is not one of predictions"),
    (
        body(features(), outputs=[{"name": "predictions"}] * 2),
        400,
        "outputs: 'predictions' is there twice",
    ),
    (
        body(features(), outputs=[{"name": "probabilities", "parameters": {"classification": 3}}]),
        400,
        "classification is not offered",
    ),
    (body(features(), parameters={"timeout": -1}), 400, "timeout is -1"),
    (body(features(), parameters={"timeout": [1]}), 400, "parameters"),
    (body(features(), surprise=1), 400, "unknown field `surprise`"),
    (body(BINARY), 400, "data is missing, and so is binary_data_size"),
    (body(SIZED), 400, "the binary part has 0 bytes, wanted 12"),
    (body(features(shape=[1001, 3], data=ROW * 1001)), 413, "1001 rows came"),
]


@pytest.mark.parametrize(("content", "status", "words"), BODIES)
def test_refused(client, content, status, words):
    refusal = client.post(URL, content=content)
    assert refusal.status_code == status, refusal.text
    told = refusal.json()
    assert words in told["detail"]
    assert told["error"] == told["detail"], "what other clients of the protocol read"
    assert client.post(URL, content=GOOD).status_code == 200


BINARIES = [
    (*with_binary(SIZED, FP32[:8]), "the binary part has 8 bytes, wanted 12 at least"),
    (*with_binary(SIZED, FP32 + b"1"), "has 13 bytes, the inputs say 12 in all"),
    (*with_binary(features(), FP32), "has 12 bytes, the inputs say 0 in all"),
    (*with_binary(SIZED | {"data": ROW}, FP32), "both data and binary_data_size came"),
    (*with_binary(SIZED | {"shape": [2, 3]}, FP32), "binary_data_size is 12, wanted 24"),
    (*with_binary(SIZED | {"parameters": {"binary_data_size": "12"}}, FP32), "is 12, wanted 12"),
    (*with_binary(SIZED | {"parameters": {"binary_data_size": -4}}, FP32), "is -4, wanted 12"),
    (*with_binary(SIZED | {"parameters": {"binary_data_size": True}}, FP32), "is True, wanted"),
    (*with_binary(SIZED | {"shape": [2**61, 3]}, FP32), "is 12, wanted 2767011611056432742"),
    (*with_binary(SIZED, FP32, length=-1), "'-1' came"),
    (*with_binary(SIZED, FP32, length="a"), "'a' came"),
    (*with_binary(SIZED, FP32, length=10**23), "came, wanted a number up to"),
    (*with_binary(SIZED, FP32, length=10**6), "'1000000' came, wanted a number up to"),
    (*with_binary(SIZED, struct.pack("<3f", 1, 2, float("inf"))), "row 0 has an infinity, or"),
    (
        *with_binary(SIZED, struct.pack("<3f", 1, 2, float("nan"))),
        "features: row 0 has NaN",
    ),
    (FP32[:8], {LENGTH: "0"}, "8 bytes are no whole rows of 12"),
]


@pytest.mark.parametrize(("content", "headers", "words"), BINARIES)
def test_refused_binary(client, content, headers, words):
    refusal = client.post(URL, content=content, headers=headers)
    assert refusal.status_code == 400, refusal.text
    assert words in refusal.json()["detail"]
    content, headers = with_binary(SIZED, FP32)
    assert client.post(URL, content=content, headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["index", "models/flower/load", "models/flower/unload"])
def test_a_body_that_is_beside_the_point_is_short(client, path):
    refusal = client.post(f"/v2/repository/{path}", content=b" " * (2**16 + 1))
    assert refusal.status_code == 413
    assert refusal.json()["detail"] == "the body is above 65536 bytes"
    assert client.post(URL, content=GOOD).status_code == 200


def test_the_header_of_the_length_is_no_way_round_the_limit_of_json(client):
    padded = body(SIZED) + b" " * 2**16
    refusal = client.post(URL, content=padded + FP32, headers={LENGTH: str(len(padded))})
    assert refusal.status_code == 413
    assert refusal.json()["detail"] == "the JSON part is above 65536 bytes"
    assert client.post(URL, content=GOOD).status_code == 200


def test_a_raw_body_is_one_tensor_and_all_outputs_are_binary(client):
    answer = client.post(URL, content=FP32 * 3, headers={LENGTH: "0"})
    assert answer.status_code == 200
    end = int(answer.headers[LENGTH])
    told = json.loads(answer.content[:end])
    assert [out["shape"] for out in told["outputs"]] == [[3], [3, 2]]
    assert len(answer.content) == end + sum(
        out["parameters"]["binary_data_size"] for out in told["outputs"]
    )


def test_no_rows_are_answered_with_none(client):
    before = samples(client)
    empty = body(features(shape=[0, 3], data=[]))
    answer = client.post(URL, content=empty)
    assert answer.status_code == 200
    assert [(out["shape"], out["data"]) for out in answer.json()["outputs"]] == [
        ([0], []),
        ([0, 2], []),
    ]
    by = (("method", "predict_proba"), ("model", "flower"), ("version", "1"))
    name = ("ml_execution_count_total", by)
    assert samples(client)[name] == before[name]


def test_compression(client):
    def ask(content, encoding):
        return client.post(URL, content=content, headers={"Content-Encoding": encoding})

    assert ask(gzip.compress(GOOD), "gzip").status_code == 200
    assert ask(zlib.compress(GOOD), "deflate").status_code == 200
    raw = zlib.compressobj(wbits=-15)
    assert ask(raw.compress(GOOD) + raw.flush(), "deflate").status_code == 200
    for content, encoding, status, words in (
        (GOOD, "gzip", 400, "not gzip"),
        (gzip.compress(GOOD)[:-4], "gzip", 400, "not one whole gzip stream"),
        (gzip.compress(GOOD) + b"x", "gzip", 400, "not one whole gzip stream"),
        (GOOD, "br", 415, "'br' came, wanted identity, gzip or deflate"),
        (gzip.compress(b" " * 2**26), "gzip", 413, "once it is decompressed"),
    ):
        refusal = ask(content, encoding)
        assert refusal.status_code == status
        assert words in refusal.json()["detail"]
    assert client.post(URL, content=GOOD).status_code == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v2/models/..%2f..%2fetc/infer", 404),
        ("/v2/models/%00/infer", 404),
        (f"/v2/models/{'x' * 10_000}/infer", 404),
        ("/v2/models/ü/infer", 404),
        ("/v2/models/flower/versions/0/infer", 404),
        ("/v2/models/flower/versions/-1/infer", 404),
        ("/v2/models/flower/versions/99999999999999999999/infer", 404),
        ("/v2/models/flower/versions/²/infer", 404),
        ("/v2/models/flower:nothing/infer", 404),
        ("/v2/models/flower/versions/01/infer", 404),
        ("/v2/models/flower/versions/1/infer", 200),
        ("/v2/models/flower@1/infer", 200),
        ("/v2/models/flower@1/versions/1/infer", 400),
        ("/v2/models/flower@1/versions/nonsense/infer", 400),
        ("/v2/models/flower@nonsense/infer", 404),
    ],
)
def test_addresses(client, path, status):
    answer = client.post(path, content=GOOD)
    assert answer.status_code == status
    assert len(answer.content) < 2000


def test_a_wrong_verb_says_which_are_right(client):
    refusal = client.get(URL)
    assert refusal.status_code == 405
    assert "POST" in refusal.headers["Allow"]


def test_several_inputs(client):
    answer = client.post("/v2/models/walk/infer", content=body(*WALK))
    assert answer.status_code == 200, answer.text
    two = [*WALK[:3], {"name": "seed", "shape": [2], "datatype": "UINT32", "data": [7, 8]}]
    refusal = client.post("/v2/models/walk/infer", content=body(*two))
    assert "1 of mean" in refusal.json()["detail"]
    assert "wanted as many rows of each" in refusal.json()["detail"]
    for seed, words in ((-1, "out of range"), (2**32, "out of range"), (1.5, "Expected `int`")):
        bad = [*WALK[:3], WALK[3] | {"data": [seed]}]
        assert words in client.post("/v2/models/walk/infer", content=body(*bad)).json()["detail"]


def test_nothing_was_compiled_and_all_outputs_keep_their_rows(client):
    rows = served.ROWS
    entry = features(shape=list(rows.shape), data=rows.ravel().tolist())
    together = client.post(URL, content=body(entry)).json()["outputs"][1]["data"]
    alone = [
        client.post(URL, content=body(features(data=row.tolist()))).json()["outputs"][1]["data"]
        for row in rows
    ]
    assert together == [number for numbers in alone for number in numbers], "bit for bit"
    assert samples(client)["ml_recompiles_total", ()] == 0
