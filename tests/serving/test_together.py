"""Several workers are asked as one: it does not matter which of them takes a connection."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest

from serving.drift.seen import Predicted, Seen, Window, added, decode, encode
from tests.serving import served
from tests.serving.processes import running

WORKERS = 2
ROUNDS = 20  # by chance one worker takes all connections once in a million
NAME = "flower"
FEWEST = 300  # rows a worker: too few to say anything of them alone


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    models = tmp_path_factory.mktemp("models")
    reference = np.random.default_rng(1).normal(size=(500, 3)).astype(np.float32)
    served.put(
        models, NAME, served.CLASSIFIER, classes=("red", "blue"), reference={"features": reference}
    )
    url = f"sqlite:///{models}/predictions.sqlite3"
    with running(models, "--workers", str(WORKERS), "--store", url) as server:
        yield server.wait_ready()


def ask(server, method, path, **more):
    """Ask over a connection of its own, which any worker may take."""
    return httpx.request(method, server.url + path, timeout=60, **more)


def predict(server, rows):
    answer = ask(server, "POST", "/predict/batch", json={"features": rows, "model_id": NAME})
    assert answer.status_code == 200
    return answer.json()


def test_a_truth_that_comes_at_once(server):
    statuses, listed = [], []
    for _ in range(ROUNDS):
        name = predict(server, [[1, 2, 3]])["prediction_id"]
        path = f"/predictions/{name}/feedback"
        statuses.append(ask(server, "POST", path, json={"truth": 1}).status_code)
        name = predict(server, [[1, 2, 3]])["prediction_id"]
        newest = ask(server, "GET", "/predictions?limit=1").json()
        listed.append(newest[0]["prediction_id"] == name)
    assert statuses == [200] * ROUNDS
    assert listed == [True] * ROUNDS
    nobody = ask(server, "POST", f"/predictions/{'0' * 12}-0/feedback", json={"truth": 1})
    assert (nobody.status_code, "is not recorded" in nobody.text) == (404, True)


def test_statistics_are_of_all_workers(server):
    def counts(path):
        found = ask(server, "GET", path).json()["model_stats"]
        (version,) = found
        sizes = {each["batch_size"]: each["compute_infer"] for each in version["batch_stats"]}
        success = version["inference_stats"]["success"]["count"]
        infer = version["inference_stats"]["compute_infer"]
        rows = sum(size * times["count"] for size, times in sizes.items())
        assert rows == version["inference_count"]
        assert sum(times["count"] for times in sizes.values()) == infer["count"]
        assert version["last_inference"] > 0
        return version["inference_count"], version["execution_count"], success

    predict(server, [[1, 2, 3]])
    before = np.array(counts("/v2/models/stats"))
    for _ in range(ROUNDS):
        predict(server, [[1, 2, 3], [3, 2, 1]])
    for path in (
        "/v2/models/stats",
        "/v2/models/flower/stats",
        "/v2/models/flower/versions/1/stats",
    ):
        for _ in range(5):
            found = np.array(counts(path)) - before
            assert found.tolist() == [2 * ROUNDS, ROUNDS, ROUNDS]


def test_drift_is_counted_over_all_workers(server):
    rng = np.random.default_rng(2)
    for _ in range(2 * ROUNDS):
        predict(server, rng.normal([0, 2, 0], size=(FEWEST // ROUNDS, 3)).tolist())
    for _ in range(5):
        (version,) = ask(server, "GET", "/models/flower/drift").json()["versions"]
        assert version["rows"] >= 2 * FEWEST
        assert version["features"][0]["feature"] == "b"
        assert version["features"][0]["is_drifted"]
        assert version["predictions"]["reference_rows"] >= 2 * FEWEST


def test_changes_at_the_same_time_end_alike(server):
    def change(what):
        return ask(server, "POST", f"/v2/repository/models/{NAME}/{what}").status_code

    with ThreadPoolExecutor(4) as callers:
        for _ in range(ROUNDS):
            assert list(callers.map(change, ["load", "unload"])) == [200, 200]
            found = {ask(server, "GET", "/health").json()["models_loaded"] for _ in range(8)}
            assert len(found) == 1, "whoever is asked, it is there or it is not"
    assert change("load") == 200
    assert ask(server, "GET", "/v2/health/ready").status_code == 200


def windows(*counts):
    """Return what one worker saw of one column with two bins."""
    return {"x": Window(counts=np.array([counts]), missing=np.array([1]), rows=sum(counts) + 1)}


def test_counts_of_workers_add_up():
    a, b = (Seen(inputs=windows(*counts), predictions=None) for counts in ((3, 4), (10, 20)))
    both = added([a, b])
    assert both.inputs["x"].counts.tolist() == [[13, 24]]
    assert both.inputs["x"].missing.tolist() == [2]
    assert both.rows == 8 + 31
    again = added([decode(encode({"1": part}))["1"] for part in (a, b)])
    assert again.inputs["x"].counts.tolist() == [[13, 24]], "over the wire too"


def seen(reference, first, counts, *, is_classes):
    predictions = Predicted(
        is_classes=is_classes,
        reference=None if reference is None else np.array(reference),
        first=first,
        counts=np.array(counts),
        rows=sum(counts),
    )
    return Seen(inputs={}, predictions=predictions)


def test_classes_add_up_and_values_are_of_who_saw_most():
    parts = [([5, 5], 10, [1, 2]), ([6, 4], 10, [7, 0]), (None, 3, [])]
    classes = added([seen(*part, is_classes=True) for part in parts]).predictions
    assert classes.reference.tolist() == [11, 9]
    assert (classes.first, classes.counts.tolist(), classes.rows) == (23, [8, 2], 10)
    values = added([seen(*part, is_classes=False) for part in parts]).predictions
    assert (values.reference.tolist(), values.first, values.rows) == ([6, 4], 10, 7)
    young = added([seen(None, 3, [], is_classes=True), seen(None, 4, [], is_classes=True)])
    assert (young.predictions.reference, young.predictions.first) == (None, 7)
