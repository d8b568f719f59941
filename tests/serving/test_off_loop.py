"""What is large is decoded, encoded and compressed in a thread; what is small, by the loop."""

import threading

import jax.numpy as jnp
import numpy as np
import pytest

from serving.predict import raw
from serving.predict.simple import BY_PATH
from serving.v2 import body, tensors
from tests.serving import served
from tests.serving.test_v2_refusals import LENGTH, with_binary

WIDTH = 60_000  # outputs of a row: 240 kB of them
FEW = {"name": "features", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}
WIDE, FLOWER = "/v2/models/wide/infer", "/v2/models/flower/infer"


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    models = tmp_path_factory.mktemp("wide")
    served.put(models, "flower", served.CLASSIFIER, classes=("red", "blue"))
    spread = {
        "embed": lambda s, x: {"points": x["features"][:, :1] + jnp.arange(WIDTH)[None, :] / 7}
    }
    served.put(models, "wide", spread)
    with served.start(models) as client:
        yield client


@pytest.fixture
def seen(monkeypatch):
    """Give a function that has calls of another noted, and what was noted: is it the loop?"""
    found = {}

    def watch(owner, name):
        real = getattr(owner, name)

        def noted(*args, **more):
            found[name] = not threading.current_thread().name.startswith("bodies")
            return real(*args, **more)

        monkeypatch.setattr(owner, name, noted)

    watch(BY_PATH["/predict/batch"], "decode")
    watch(raw, "encode")
    watch(tensors, "decode_request")
    watch(tensors, "write")
    watch(body, "compress")
    return found


def question(rows, **more):
    entry = FEW | {"shape": [rows, 3], "data": [1.5] * 3 * rows}
    return {"inputs": [entry], **more}


def test_small_questions_and_answers_need_no_thread(client, seen):
    rows = {"features": [[1, 2, 3]], "model_name": "flower"}
    assert served.post(client, "/predict/batch", rows).status_code == 200
    assert served.post(client, FLOWER, question(1)).status_code == 200
    assert seen == dict.fromkeys(("decode", "encode", "decode_request", "write", "compress"), True)


def test_many_rows_of_which_each_is_small_need_no_thread(client, seen):
    rows = {"features": [[1, 2, 3]] * 50, "model_name": "flower"}
    assert served.post(client, "/predict/batch", rows).status_code == 200
    assert seen["encode"]


def test_a_large_question_is_decoded_in_a_thread(client, seen):
    padding = b" " * raw.LARGE
    rows = b'{"features": [[1, 2, 3]], "model_name": "flower"}' + padding
    assert served.post(client, "/predict/batch", rows).status_code == 200
    assert (seen["decode"], seen["encode"]) == (False, True)
    content, headers = with_binary(FEW, b"")
    content, headers = content + padding, {LENGTH: str(len(content) + len(padding))}
    assert client.post(FLOWER, content=content, headers=headers).status_code == 200
    assert (seen["decode_request"], seen["write"]) == (False, True)


def test_a_wide_answer_is_encoded_in_a_thread_however_few_rows_it_has(client, seen):
    inputs = {"inputs": {"features": [[1, 2, 3]] * 2}}
    assert served.post(client, "/models/wide/embed", inputs).status_code == 200
    assert not seen["encode"]
    assert served.post(client, WIDE, question(2)).status_code == 200
    assert (seen["decode_request"], seen["write"]) == (True, False)


@pytest.mark.parametrize("is_binary", [True, False])
def test_what_is_compressed_goes_to_a_thread_sooner(client, seen, is_binary):
    asked = question(1, parameters={"binary_data_output": is_binary})
    for coding, is_loop in (("identity", True), ("gzip", False)):
        headers = {"Accept-Encoding": coding}
        answer = client.post(WIDE, json=asked, headers=headers)
        assert answer.status_code == 200
        assert seen["write"] == is_loop


@pytest.mark.parametrize(
    ("accepted", "is_binary", "coding"),
    [
        ("gzip", True, "gzip"),
        ("deflate", True, "deflate"),
        ("gzip;q=0.5, identity", True, "gzip"),
        ("gzip, deflate", True, None),
        ("gzip, deflate, br, zstd", True, None),
        ("identity", True, None),
        ("gzip;q=0", True, None),
        ("*", True, None),
        ("", True, None),
        ("gzip, deflate, br, zstd", False, "gzip"),
        ("deflate, gzip;q=0.0", False, "deflate"),
        ("br", False, None),
    ],
)
def test_binary_answers_are_compressed_for_who_asks_and_not_for_who_takes_anything(
    client, accepted, is_binary, coding
):
    asked = question(1, parameters={"binary_data_output": is_binary})
    headers = {"Accept-Encoding": accepted}
    with client.stream("POST", WIDE, json=asked, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers.get("content-encoding") == coding
        content = answer.read()
    if is_binary:
        numbers = np.frombuffer(content[int(answer.headers[LENGTH]) :], "<f4")
        np.testing.assert_allclose(numbers, 1.5 + np.arange(WIDTH) / 7, rtol=1e-6)
