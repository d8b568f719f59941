"""Numbers of another type than the model's: what survives is cast, what does not is refused."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from serving.v2 import datatypes
from tests.serving import served
from tests.serving.test_v2_refusals import LENGTH

INPUTS = {
    "i32": np.ones(4, np.int32),
    "u8": np.ones(4, np.uint8),
    "f32": np.ones(4, np.float32),
    "flag": np.ones(4, bool),
}
SAME = {name: {"same": lambda s, x, name=name: {"out": x[name] + 0 * x[name]}} for name in INPUTS}
SAME["flag"] = {"same": lambda s, x: {"out": x["flag"].astype(jnp.int32)}}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    models = tmp_path_factory.mktemp("kinds")
    for name, methods in SAME.items():
        served.put(models, name, methods, example={name: INPUTS[name]})
    with served.start(models) as client:
        yield client


def ask(client, name, datatype, data, *, is_binary):
    entry = {"name": name, "shape": [len(data)], "datatype": datatype}
    tail, headers = b"", {}
    if is_binary:
        tail = np.array(data, datatypes.named(datatype)).tobytes()
        entry["parameters"] = {"binary_data_size": len(tail)}
    else:
        entry["data"] = data
    head = json.dumps({"inputs": [entry], "parameters": {"coerce": True}}).encode()
    if is_binary:
        headers[LENGTH] = str(len(head))
    return client.post(f"/v2/models/{name}/infer", content=head + tail, headers=headers)


CAST = [
    ("i32", "INT64", [2**31 - 1, -(2**31)]),
    ("i32", "FP64", [1.0, -3.0]),
    ("i32", "BF16", [1.0, 256.0]),
    ("i32", "BOOL", [True, False]),
    ("u8", "INT32", [0, 255]),
    ("f32", "INT64", [3, -(2**24)]),
    ("f32", "FP64", [0.5, 1.5]),
    ("f32", "FP16", [0.5, 1.5]),
    ("flag", "INT8", [0, 1]),
    ("i32", "INT64", []),
]


@pytest.mark.parametrize("is_binary", [False, True])
@pytest.mark.parametrize(("name", "datatype", "data"), CAST)
def test_what_survives_is_cast(client, name, datatype, data, is_binary):
    answer = ask(client, name, datatype, data, is_binary=is_binary)
    assert answer.status_code == 200, answer.text
    assert answer.json()["outputs"][0]["data"] == data


RANGE, WHOLE, FLAG = "a number is out of range", "a number is no integer", "neither 0 nor 1"
LOST = [
    ("i32", "INT64", [2**40 + 7, 3], RANGE),
    ("i32", "INT64", [-(2**31) - 1], RANGE),
    ("i32", "UINT64", [2**64 - 1], RANGE),
    ("i32", "FP32", [3e9, 2.0], RANGE),
    ("i32", "FP32", [2.0**31], RANGE),
    ("i32", "FP32", [1.5, 2.0], WHOLE),
    ("i32", "BF16", [0.5], WHOLE),
    ("u8", "INT8", [-1], RANGE),
    ("u8", "INT32", [256], RANGE),
    ("f32", "FP64", [1e39], "row 0 has an infinity"),
    ("flag", "INT8", [2], FLAG),
    ("flag", "FP32", [0.5], FLAG),
]


@pytest.mark.parametrize("is_binary", [False, True])
@pytest.mark.parametrize(("name", "datatype", "data", "words"), LOST)
def test_what_does_not_survive_is_refused(client, name, datatype, data, words, is_binary):
    refusal = ask(client, name, datatype, data, is_binary=is_binary)
    assert refusal.status_code == 400, refusal.text
    assert refusal.json()["detail"].startswith(f"{name}: ")
    assert words in refusal.json()["detail"]


@pytest.mark.parametrize("data", [[float("nan"), 1e20], [float("inf"), 1.0]])
def test_what_is_no_number_is_no_integer(client, data):
    refusal = ask(client, "i32", "FP32", data, is_binary=True)
    assert refusal.status_code == 400
    assert WHOLE in refusal.json()["detail"]


def test_json_holds_what_its_datatype_says(client):
    refusal = ask(client, "f32", "INT32", [1.5], is_binary=False)
    assert refusal.status_code == 400
    assert refusal.json()["detail"] == "f32: data[0]: Expected `int`, got `float`"
    refusal = ask(client, "f32", "INT8", [300], is_binary=False)
    assert (refusal.status_code, RANGE in refusal.json()["detail"]) == (400, True)
