"""The protocol, judged by Triton's own client."""

import asyncio

import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException

from tests.serving import served

ROWS = served.ROWS
LOGITS = ROWS @ served.W
PROBABILITIES = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)


@pytest.fixture(scope="module")
def address(published):
    with served.running(models=published) as (address, _):
        yield address


@pytest.fixture(scope="module")
def client(address):
    with triton.InferenceServerClient(address) as client:
        yield client


def tensor(name, array, datatype="FP32", *, binary=True, module=triton):
    given = module.InferInput(name, list(array.shape), datatype)
    given.set_data_from_numpy(array, binary_data=binary)
    return given


def test_health_and_metadata(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("flower")
    assert client.is_model_ready("line", "2")
    assert not client.is_model_ready("line", "7")
    assert not client.is_model_ready("nobody")
    server = client.get_server_metadata()
    assert server["name"] == "mastery_jax"
    assert {"binary_tensor_data", "model_repository", "statistics"} <= set(server["extensions"])
    flower = client.get_model_metadata("flower")
    assert flower["versions"] == ["1"]
    assert flower["inputs"] == [{"name": "features", "datatype": "FP32", "shape": [-1, 3]}]
    outputs = {tensor["name"]: tensor for tensor in flower["outputs"]}
    assert outputs["predictions"] == {"name": "predictions", "datatype": "INT32", "shape": [-1]}
    assert client.get_model_metadata("walk:step")["parameters"]["methods"] == "step"
    assert client.get_model_config("flower")["max_batch_size"] == max(served.BUCKETS)


@pytest.mark.parametrize("sent", [True, False])
@pytest.mark.parametrize("wanted", [True, False])
@pytest.mark.parametrize("count", [1, 3, 9])
def test_infer(client, sent, wanted, count):
    outputs = [
        triton.InferRequestedOutput("probabilities", binary_data=wanted),
        triton.InferRequestedOutput("predictions", binary_data=not wanted),
    ]
    features = tensor("features", ROWS[:count], binary=sent)
    answer = client.infer("flower", [features], outputs=outputs, request_id="job 7")
    assert answer.get_response()["id"] == "job 7"
    assert answer.get_response()["model_version"] == "1"
    np.testing.assert_allclose(answer.as_numpy("probabilities"), PROBABILITIES[:count], rtol=1e-5)
    assert answer.as_numpy("probabilities").dtype == np.float32
    assert answer.as_numpy("predictions").tolist() == LOGITS.argmax(1)[:count].tolist()


def test_json_and_binary_agree_to_the_last_bit(client):
    def ask(sent, wanted):
        output = triton.InferRequestedOutput("probabilities", binary_data=wanted)
        features = tensor("features", ROWS, binary=sent)
        return client.infer("flower", [features], outputs=[output]).as_numpy("probabilities")

    first = ask(True, True)
    for sent, wanted in ((True, False), (False, True), (False, False)):
        assert ask(sent, wanted).tobytes() == first.tobytes()


def test_several_inputs_of_several_types_mixed(client):
    mean, cov, y = ROWS[:2, :2], np.ones((2, 2, 2), np.float32), ROWS[2:4, :2]
    inputs = [
        tensor("mean", mean),
        tensor("cov", cov, binary=False),
        tensor("y", y),
        tensor("seed", np.array([3, 4], np.uint32), "UINT32", binary=False),
    ]
    answer = client.infer("walk:step", inputs)
    np.testing.assert_allclose(
        answer.as_numpy("mean"), mean + (cov @ y[..., None])[..., 0], rtol=1e-5
    )
    assert answer.get_response()["model_name"] == "walk"


@pytest.mark.parametrize("method", ["gzip", "deflate"])
@pytest.mark.parametrize("binary", [True, False])
def test_compression_both_ways(client, method, binary):
    rows = np.tile(ROWS, (40, 1))
    answer = client.infer(
        "flower",
        [tensor("features", rows, binary=binary)],
        request_compression_algorithm=method,
        response_compression_algorithm=method,
        outputs=[triton.InferRequestedOutput("probabilities", binary_data=binary)],
    )
    expected = np.tile(PROBABILITIES, (40, 1))
    np.testing.assert_allclose(answer.as_numpy("probabilities"), expected, rtol=1e-5)


def test_versions_and_labels(client):
    def ask(version):
        answer = client.infer("line", [tensor("features", ROWS[:1])], model_version=version)
        return answer.get_response()["model_version"], answer.as_numpy("predictions")[0]

    version, value = ask("")
    assert (version, value) == ("2", pytest.approx(2 * LOGITS[0, 0], rel=1e-5))
    with pytest.raises(InferenceServerException, match="no version '1'; it has 2"):
        ask("1")


def test_refusals_say_why(client):
    with pytest.raises(InferenceServerException, match="datatype 'INT64' came, wanted FP32") as no:
        client.infer("flower", [tensor("features", np.ones((1, 3), np.int64), "INT64")])
    assert no.value.status() == "400"
    cast = [tensor("features", np.ones((1, 3), np.int64), "INT64")]
    assert client.infer("flower", cast, parameters={"coerce": True}).as_numpy("predictions").size
    with pytest.raises(InferenceServerException, match="is not one of: flower") as no:
        client.infer("nobody", [tensor("features", ROWS)])
    assert no.value.status() == "404"


def test_statistics(client):
    before = client.get_inference_statistics("flower")["model_stats"][0]
    client.infer("flower", [tensor("features", ROWS[:3])])
    (after,) = client.get_inference_statistics("flower", "1")["model_stats"]
    assert after["inference_count"] - before["inference_count"] == 3
    assert after["execution_count"] - before["execution_count"] == 1
    success = [stats["inference_stats"]["success"] for stats in (before, after)]
    assert success[1]["count"] - success[0]["count"] == 1
    assert success[1]["ns"] > success[0]["ns"]
    assert after["last_inference"] >= before["last_inference"]
    assert any(batch["batch_size"] == 3 for batch in after["batch_stats"])
    every = client.get_inference_statistics()["model_stats"]
    assert {(m["name"], m["version"]) for m in every} >= {("flower", "1"), ("line", "2")}


def test_repository(client):
    index = {(m["name"], m["version"]): m for m in client.get_model_repository_index()}
    assert index["line", "2"]["state"] == "READY"
    assert index["line", "1"]["state"] == "UNAVAILABLE"
    client.unload_model("line")
    try:
        assert not client.is_model_ready("line")
        index = {(m["name"], m["version"]): m for m in client.get_model_repository_index()}
        assert index["line", "2"] == {
            "name": "line",
            "version": "2",
            "state": "UNAVAILABLE",
            "reason": "unloaded",
        }
    finally:
        client.load_model("line")
    assert client.is_model_ready("line")
    with pytest.raises(InferenceServerException, match="'nobody' is not in the folder"):
        client.load_model("nobody")


def test_the_asynchronous_client(address):
    async def session():
        async with triton_aio.InferenceServerClient(address) as client:
            assert await client.is_server_ready()
            answers = await asyncio.gather(
                *(
                    client.infer("flower", [tensor("features", ROWS[i : i + 1], module=triton_aio)])
                    for i in range(len(ROWS))
                )
            )
            return np.concatenate([answer.as_numpy("probabilities") for answer in answers])

    np.testing.assert_allclose(asyncio.run(session()), PROBABILITIES, rtol=1e-5)
