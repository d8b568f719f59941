"""Predictions are recorded, truths are kept beside them, and models are judged by both."""

import contextlib
import json
import sqlite3
import time

import numpy as np
import pytest
import sqlalchemy as sa

from serving.engine.packed import unpack
from tests.serving.recorded import FLOWER, LINE, PATIENCE, fresh, judge, predict, until
from tests.serving.served import ROWS, post, samples, start


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.services("postgres"))])
def url(request, tmp_path):
    """Give an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'predictions.sqlite3'}"
    return fresh(request.getfixturevalue("postgres"))


def test_a_prediction_is_found_at_once(published, url):
    with start(published, store=url) as client:
        body = predict(client)
        (found,) = client.get("/predictions").json()
        assert found["prediction_id"] == body["prediction_id"]
        assert (found["model_id"], found["model_version"], found["rows"]) == ("flower", 1, 1)
        assert found["method"] == "predict_proba"
        assert found["predicted"] == body["predictions"][0]
        assert abs(found["created"] - time.time()) < PATIENCE


def test_inputs_and_outputs_are_kept_to_the_bit(published, url):
    rows = ROWS[:3].tolist()
    with start(published, store=url) as client:
        body = predict_batch(client, rows)
        client.get("/predictions")  # written by now
        engine = client.app.state.log.writer.database.engine
        with engine.connect() as connection:
            inputs, outputs, predicted = connection.execute(
                sa.text("SELECT inputs, outputs, predicted FROM predictions")
            ).one()
    features = unpack(bytes(inputs))["features"]
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features, ROWS[:3])
    kept = unpack(bytes(outputs))
    assert kept["predictions"].tolist() == body["predictions"]
    assert kept["probabilities"].tolist() == body["probabilities"]
    assert predicted is None, "of several rows"
    assert len(inputs) < 3 * 3 * 4 + 40


def predict_batch(client, rows, model="flower"):
    return post(client, "/predict/batch", {"features": rows, "model_id": model}).json()


def test_the_protocol_has_the_id_in_a_header(published, url):
    tensor = {"name": "features", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}
    with start(published, store=url) as client:
        answer = post(client, "/v2/models/line/infer", {"inputs": [tensor]})
        name = answer.headers["x-prediction-id"]
        assert name != answer.headers["x-request-id"]
        assert judge(client, name, -13.5).json() == {
            "prediction_id": name,
            "row": 0,
            "model_id": "line",
            "model_version": 2,
            "predicted": -14,
            "truth": -13.5,
            "is_replaced": False,
        }


def test_the_newest_come_first(published, url):
    with start(published, store=url) as client:
        names = [predict(client, q)["prediction_id"] for q in (FLOWER, LINE, FLOWER, LINE, LINE)]
        assert len(set(names)) == 5

        def listed(query):
            return [each["prediction_id"] for each in client.get(f"/predictions{query}").json()]

        assert listed("") == names[::-1]
        assert listed("?limit=2") == names[:2:-1]
        assert listed("?model=flower") == [names[2], names[0]]
        assert listed("?model=nobody") == []


def test_the_clients_own_id_is_never_the_predictions(published, url):
    with start(published, store=url) as client:
        asked = [
            client.post("/predict", content=json.dumps(LINE), headers={"X-Request-ID": "mine"})
            for _ in range(2)
        ]
        names = {answer.json()["prediction_id"] for answer in asked}
        assert len(names) == 2
        assert "mine" not in names
        assert [each["request_id"] for each in client.get("/predictions").json()] == ["mine"] * 2


def test_feedback_by_code_and_by_label(published, url):
    with start(published, store=url) as client:
        body = predict_batch(client, ROWS.tolist())
        name = body["prediction_id"]
        for row, code in enumerate(body["predictions"]):
            truth = body["labels"][row] if row % 2 else code
            answer = judge(client, name, truth, row).json()
            assert (answer["predicted"], answer["truth"]) == (code, code)
        answer = judge(client, name, 1 - body["predictions"][0], 0).json()
        assert answer["is_replaced"], "and says so"
        accuracy = client.get("/models/flower/accuracy").json()
        assert accuracy["versions"] == [
            {"model_version": 1, "rows": 9, "accuracy": pytest.approx(8 / 9), "rmse": None}
        ]
        by = (("model", "flower"), ("version", "1"))
        until(lambda: samples(client).get(("ml_live_accuracy", by)) == pytest.approx(8 / 9))
        assert samples(client)["ml_prediction_log_written_total", ()] == 1


def test_values_are_judged_by_version(shelf, url):
    for name, version in (("line", 1), ("line", 2), ("walk", 1)):
        shelf.add(name, version)
    (shelf.folder / "line" / "serving.json").write_text('{"versions": "all"}')
    with start(shelf.folder, store=url) as client:
        for model, truths in (("line@1", (-7, -4)), ("line@2", (-14, -14, -11))):
            for truth in truths:
                name = predict(client, LINE | {"model_id": model})["prediction_id"]
                assert judge(client, name, truth).status_code == 200
        found = client.get("/models/line/accuracy?days=1").json()
        assert (found["model_id"], found["days"]) == ("line", 1)
        assert [(v["model_version"], v["rows"], v["accuracy"]) for v in found["versions"]] == [
            (1, 2, None),
            (2, 3, None),
        ]
        rmse = [v["rmse"] for v in found["versions"]]
        np.testing.assert_allclose(rmse, [(9 / 2) ** 0.5, 3**0.5], rtol=1e-6)
        assert client.get("/models/line/accuracy?days=1e-9").json()["versions"] == []
        assert client.get("/models/walk/accuracy").json()["versions"] == []
        assert client.get("/models/nobody/accuracy").status_code == 404
        until(lambda: ("ml_live_rmse", (("model", "line"), ("version", "2"))) in samples(client))


REFUSED = [
    ("00", b'{"truth": 1}', 404, "is not recorded"),
    ("%00", b'{"truth": 1}', 400, "prediction id: "),
    ("x", b'{"truth": 1}', 400, "wanted one such as"),
    ("", b"{}", 400, "truth"),
    ("", b"", 400, "the body is empty, wanted JSON with truth, row"),
    ("", b'{"truth": true}', 400, "truth: "),
    ("", b'{"truth": 1.5}', 400, "from 0 to 1"),
    ("", b'{"truth": 2}', 400, "from 0 to 1"),
    ("", b'{"truth": 1e400}', 400, "truth"),
    ("", b'{"truth": "1"}', 400, "wanted red, blue"),
    ("", b'{"truth": "red\\u0000"}', 400, "cannot be stored"),
    ("", b'{"truth": "red", "row": 1}', 400, "row: 1 came"),
    ("", b'{"truth": "red", "row": -1}', 400, "row: Expected `int` >= 0, and -1 came"),
    ("", b'{"truth": "red", "rows": 1}', 400, "wanted truth, row; did you mean row?"),
    ("", b'{"truth": "red", "row": 99999999999999999999999}', 400, "row"),
    ("", b'{"truth": "red", "rows": 0}', 400, "rows"),
    ("", b'{"truth": "' + b"x" * 5000 + b'"}', 413, "4096"),
]


def test_what_is_no_feedback(published, url):
    with start(published, store=url) as client:
        name = predict(client)["prediction_id"]
        for more, content, status, why in REFUSED:
            answer = post(client, f"/predictions/{name}{more}/feedback", content)
            assert (answer.status_code, why in answer.json()["detail"]) == (status, True), content
        line = predict(client, LINE)["prediction_id"]
        assert "wanted a number" in judge(client, line, "red").json()["detail"]
        assert "out of range" in judge(client, line, 1e39).json()["detail"]
        assert client.get("/models/flower/accuracy").json()["versions"] == []


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/predictions?limit=0", "limit: Expected `int` >= 1, and '0' came"),
        ("/predictions?lmit=2", "'lmit' is no parameter of this route, wanted model, limit; did"),
        ("/models/line/accuracy?model=x", "'model' is no parameter of this route, wanted days"),
        ("/predictions?limit=1001", "limit: "),
        ("/predictions?limit=x", "limit: "),
        ("/predictions?model=%00", "model: "),
        ("/models/a%00/accuracy", "model: "),
        ("/models/line/accuracy?days=0", "days: Expected `float` > 0.0, and '0' came"),
        ("/models/line/accuracy?days=nan", "days: "),
        ("/models/line/accuracy?days=inf", "days: "),
    ],
)
def test_what_is_no_question(published, url, path, why):
    with start(published, store=url) as client:
        answer = client.get(path)
        assert (answer.status_code, answer.json()["detail"][: len(why)]) == (400, why)


def test_a_method_without_predictions_has_no_truth(published, url):
    data = {"mean": [1, 2], "cov": [1, 0, 0, 1], "y": [1, 1]}
    shapes = {"mean": [1, 2], "cov": [1, 2, 2], "y": [1, 2]}
    inputs = [
        {"name": k, "shape": shapes[k], "datatype": "FP32", "data": v} for k, v in data.items()
    ]
    inputs.append({"name": "seed", "shape": [1], "datatype": "UINT32", "data": [7]})
    with start(published, store=url) as client:
        answer = post(client, "/v2/models/walk/infer", {"inputs": inputs})
        refused = judge(client, answer.headers["x-prediction-id"], 1)
        assert refused.status_code == 400
        assert "walk:step" in refused.json()["detail"]


def test_labels_of_a_version_that_is_gone(shelf, url):
    shelf.add("flower", 1)
    with start(shelf.folder, store=url) as client:
        name = predict(client)["prediction_id"]
        post(client, "/v2/repository/models/flower/unload", b"")
        assert judge(client, name, "red").status_code == 409
        assert judge(client, name, 1).status_code == 200
        assert client.get("/models/flower/accuracy").json()["versions"][0]["rows"] == 1


def test_a_share_of_the_predictions_is_recorded(shelf, url):
    shelf.add("line", 1)
    (shelf.folder / "line" / "serving.json").write_text('{"log": 0.25}')
    with start(shelf.folder, store=url) as client:
        names = [predict(client, LINE)["prediction_id"] for _ in range(40)]
        recorded = [name for name in names if name is not None]
        assert len(recorded) == pytest.approx(10, abs=2)
        listed = [each["prediction_id"] for each in client.get("/predictions").json()]
        assert listed == recorded[::-1]
        (shelf.folder / "line" / "serving.json").write_text('{"log": 0}')
        client.post("/models/reload")
        assert {predict(client, LINE)["prediction_id"] for _ in range(5)} == {None}


def test_what_is_too_old_goes_and_its_feedback_with_it(published, url):
    with start(published, store=url, keep_days=1) as client:
        old = [predict(client)["prediction_id"] for _ in range(3)]
        assert all(judge(client, name, 0).status_code == 200 for name in old)
        writer = client.app.state.log.writer
        with writer.database.engine.begin() as connection:
            connection.execute(sa.text("UPDATE predictions SET created = created - 90000"))
        young = predict(client)["prediction_id"]
        writer._chores = 0.0  # now, not in a minute
        until(lambda: len(client.get("/predictions").json()) == 1)
        assert client.get("/predictions").json()[0]["prediction_id"] == young
        with writer.database.engine.connect() as connection:
            assert connection.scalar(sa.text("SELECT count(*) FROM feedback")) == 0


def test_the_next_server_finds_what_the_last_one_left(published, url):
    with start(published, store=url) as client:
        before = predict(client)["prediction_id"]
    with start(published, store=url) as client:
        after = predict(client)["prediction_id"]
        assert before.partition("-")[0] != after.partition("-")[0]
        assert judge(client, before, 0).status_code == 200
        assert len(client.get("/predictions").json()) == 2


def test_a_server_without_a_store(client):
    assert predict(client)["prediction_id"] is None
    for answer in (client.get("/predictions"), judge(client, "0" * 12 + "-0", 1)):
        assert answer.status_code == 404
        assert "has no store" in answer.json()["detail"]
    assert not any(name.startswith("ml_prediction_log") for name, _ in samples(client))


def test_rows_in_a_thread_are_recorded_too(published, url):
    rows = np.tile(ROWS, (100, 1)).tolist()  # above the largest batch, and above 4 KiB
    with start(published, store=url) as client:
        name = predict_batch(client, rows)["prediction_id"]
        assert judge(client, name, 1, 899).status_code == 200
        assert client.app.state.log.waiting._bytes == 0, "its place is free again"


def test_sqlite_is_made_for_readers_beside_the_server(published, tmp_path):
    path = tmp_path / "p.sqlite3"
    with start(published, store=f"sqlite:///{path}") as client:
        predict(client)
        client.get("/predictions")
        with contextlib.closing(sqlite3.connect(path)) as reader:
            assert reader.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert reader.execute("SELECT count(*) FROM predictions").fetchone() == (1,)
