import re

import jax
import numpy as np
import pytest

from tests.serving.served import ROWS, W, post, samples, start


def probabilities(rows):
    z = np.exp(np.asarray(rows, np.float64) @ W)
    return z / z.sum(1, keepdims=True)


def test_root_and_health(client):
    assert client.get("/").json()["docs"] == "/docs"
    health = client.get("/health").json()
    assert health.keys() == {"status", "models_loaded", "timestamp"}
    assert (health["status"], health["models_loaded"]) == ("healthy", 3)


def test_predict(client):
    row = ROWS[0]
    answer = post(client, "/predict", {"features": row.tolist(), "model_name": "flower"})
    assert answer.status_code == 200
    body = answer.json()
    expected = probabilities([row])
    np.testing.assert_allclose(body["probabilities"], expected, atol=1e-6)
    assert body["predictions"] == [int(expected.argmax())]
    assert body["labels"] == [("red", "blue")[expected.argmax()]]
    assert (body["model_type"], body["model_id"], body["model_version"]) == (
        "classify",
        "flower",
        1,
    )
    assert 0 < body["processing_time"] < 60


def test_a_regressor_has_no_probabilities(client):
    body = post(client, "/predict", {"features": [1, 2, 3], "model_id": "line"}).json()
    np.testing.assert_allclose(body["predictions"], [2 * (1 + 1 - 9)], rtol=1e-6)
    assert body["probabilities"] is None
    assert body["labels"] is None
    assert body["model_version"] == 2, "the newest"


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 9])
def test_a_row_is_answered_the_same_in_every_batch(client, count):
    rows = ROWS[:count].tolist()
    body = post(client, "/predict/batch", {"features": rows, "model_id": "flower"}).json()
    assert len(body["predictions"]) == count
    alone = [post(client, "/predict", {"features": r, "model_id": "flower"}).json() for r in rows]
    assert body["probabilities"] == [one["probabilities"][0] for one in alone]


def test_any_method(client):
    inputs = {
        "mean": [[1, 2], [3, 4], [5, 6]],
        "cov": [[[1, 0], [0, 1]], [[2, 0], [0, 2]], [[0, 1], [1, 0]]],
        "y": [[1, 1], [1, 1], [2, 3]],
        "seed": [7, 8, 7],
    }
    answer = post(client, "/models/walk/step", {"inputs": inputs})
    assert answer.status_code == 200
    outputs = answer.json()["outputs"]
    assert outputs["mean"] == [[2, 3], [5, 6], [8, 8]]
    assert outputs["noise"][0] == outputs["noise"][2] != outputs["noise"][1]


def test_the_method_of_a_predictor(client):
    rows = ROWS.tolist()  # nine: above the largest batch
    path = "/models/flower/predict_proba"
    outputs = post(client, path, {"inputs": {"features": rows}}).json()["outputs"]
    np.testing.assert_allclose(outputs["probabilities"], probabilities(rows), atol=1e-6)


def test_a_large_body(shelf):
    shelf.add("line", 1)
    rows = np.tile(ROWS, (1500, 1)).tolist()  # decoded and computed beside the event loop
    with start(shelf.folder) as client:
        body = post(client, "/predict/batch", {"features": rows}).json()
    np.testing.assert_allclose(body["predictions"], np.tile(ROWS @ W[:, 0], 1500), atol=1e-5)


def test_what_is_not_finite_is_null_among_outputs(client):
    path = "/models/flower/predict_proba"
    body = post(client, path, {"inputs": {"features": [[3e38, 3e38, 3e38]]}}).json()
    assert body["outputs"]["probabilities"] == [[None, None]]


def test_models(client):
    body = client.get("/models").json()
    assert body["failed"] == []
    listed = {model["model_id"]: model for model in body["models"]}
    assert list(listed) == ["flower", "line", "walk"]
    flower, walk = listed["flower"], listed["walk"]
    assert (flower["n_features"], flower["n_classes"]) == (3, 2)
    assert flower["features"] == ["a", "b", "c"]
    assert flower["metadata"] == {"test_accuracy": 0.75}
    assert walk["n_features"] is None
    assert walk["methods"]["step"]["inputs"]["cov"] == {"dtype": "float32", "shape": [None, 2, 2]}
    assert client.get("/models/flower").json() == flower


def test_metrics(shelf):
    shelf.add("flower", 1)
    with start(shelf.folder) as client:
        for count in (1, 3, 9):
            post(client, "/predict/batch", {"features": [[1, 2, 3]] * count})
        post(client, "/predict", {"features": []})
        for i in range(50):
            client.get(f"/{i}")
            client.request(f"VERB{i}", "/")
        found = samples(client)
        assert found["ml_models_loaded_total", ()] == 1
        by = (("method", "predict_proba"), ("model", "flower"), ("version", "1"))
        assert found["ml_predictions_total", by] == 13
        assert found["ml_inference_count_total", by] == 5, "the nine rows in three parts"
        assert found["ml_execution_count_total", by] == 1 + 1 + 3, "4 + 4 + 1 rows"
        assert found["ml_padding_rows_total", by] == 1 + 1 + 1
        assert found["ml_queue_seconds_count", by] == 5
        assert found["ml_model_state", (by[1], ("state", "ready"), by[2])] == 1
        assert found["ml_recompiles_total", ()] == 0

        def requests(endpoint, method, status):
            labels = (("endpoint", endpoint), ("method", method), ("status", status))
            return found["http_requests_total", labels]

        assert requests("/predict/batch", "POST", "200") == 3
        assert requests("/predict", "POST", "400") == 1
        assert requests("<unmatched>", "GET", "404") == 50
        assert requests("<unmatched>", "OTHER", "405") == 50
        labels = (("endpoint", "/predict/batch"), ("method", "POST"))
        assert found["http_request_duration_seconds_count", labels] == 3
        jax.jit(lambda x: x + 1).lower(np.ones(3)).compile()
        assert samples(client)["ml_recompiles_total", ()] >= 1, "the count can fail"


def test_docs_need_no_other_host(client):
    page = client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    links = re.findall(r"(?:src|href)=['\"]([^'\"]+)", page.text)
    assert len(links) == 4
    for link in links:
        assert link.startswith("/static/")
        assert client.get(link).status_code == 200
    assert re.findall(r"https?://[\w.]+", page.text) == []


V2 = {
    ("get", ""),
    ("get", "/health/live"),
    ("get", "/health/ready"),
    ("get", "/models/stats"),
    ("post", "/repository/index"),
    ("post", "/repository/models/{model}/load"),
    ("post", "/repository/models/{model}/unload"),
    *(
        (verb, f"/models/{{model}}{version}{what}")
        for version in ("", "/versions/{version}")
        for verb, what in (
            ("get", ""),
            ("get", "/ready"),
            ("get", "/config"),
            ("get", "/stats"),
            ("post", "/infer"),
        )
    ),
}


def test_the_schema_has_every_route(client):
    schema = client.get("/docs/openapi.json").json()
    routes = {(verb, path) for path, item in schema["paths"].items() for verb in item}
    assert routes == {
        ("get", "/"),
        ("get", "/health"),
        ("post", "/predict"),
        ("post", "/predict/batch"),
        ("get", "/models"),
        ("get", "/models/{model_id}"),
        ("get", "/models/{model_id}/drift"),
        ("post", "/models/{model_id}/{method}"),
        ("post", "/models/reload"),
        ("get", "/metrics"),
        ("get", "/predictions"),
        ("post", "/predictions/{prediction_id}/feedback"),
        ("get", "/models/{model_id}/accuracy"),
        ("get", "/models/{model_id}/drift"),
        ("post", "/session"),
        ("delete", "/session"),
    } | {(verb, f"/v2{path}") for verb, path in V2}
    tags = {tag for item in schema["paths"].values() for verb in item for tag in item[verb]["tags"]}
    assert tags == {"predict", "predictions", "models", "monitor", "v2", "access"}
    any_method = schema["paths"]["/models/{model_id}/{method}"]["post"]
    assert any_method["description"].startswith("Call any method of a model")
    predict = schema["paths"]["/predict"]["post"]
    body = predict["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/Single"}
    assert schema["components"]["schemas"]["Single"]["required"] == ["features"]
    answer = predict["responses"]["200"]["content"]["application/json"]["schema"]
    assert answer == {"$ref": "#/components/schemas/Prediction"}
    assert "application/problem+json" in predict["responses"]["400"]["content"]
