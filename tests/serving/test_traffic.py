"""Who gets which version, and what a shadow sees."""

import json
import shutil
import time

import pytest

from mastery_jax.workflow import labels
from mastery_jax.workflow.errors import ArtifactError
from serving.client import Client
from serving.models import policy
from serving.models.served import share
from tests.serving import served
from tests.serving.served import post, samples, start

ROW = [1.0, 0.0, 0.0]


@pytest.fixture
def line(shelf):
    """Give two versions of one model, and a function that writes its policy."""
    for version in (1, 2):
        shelf.add("line", version)
    labels.promote(shelf.folder, "line", 1, label="stable")
    labels.promote(shelf.folder, "line", 2, label="canary")

    def told(**fields):
        (shelf.folder / "line" / policy.FILE).write_text(json.dumps(fields))
        return shelf.folder

    return told


def asked(client, name="line", **headers):
    body = {"features": ROW, "model_name": name}
    answer = client.post("/predict", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["predictions"] == [float(found["model_version"])]
    return found["model_version"]


def test_labels_and_versions_have_addresses(line):
    with start(line()) as client:
        assert asked(client) == 1, "stable"
        assert asked(client, "line@canary") == asked(client, "line@2") == 2
        found = client.get("/models/line").json()
        assert (found["version"], found["versions"]) == (1, [1, 2])
        assert found["labels"] == {"canary": 2, "stable": 1}
        assert client.get("/models/line@canary").json()["version"] == 2
        answer = post(client, "/predict", {"features": ROW, "model_name": "line@beta"})
        assert answer.status_code == 404
        assert "no version 'beta'; it has 1, 2, canary=2, stable=1" in answer.json()["detail"]


def test_one_version_answers_a_stream(line):
    with start(line(traffic={"canary": 0.5})) as client:
        caller = Client("http://testserver.local")
        caller.close()
        caller._http = client
        found = [
            {part.model_version for part in caller.stream([ROW] * 4, "line", size=1)}
            for _ in range(16)
        ]
    assert {1} in found
    assert {2} in found
    assert {1, 2} not in found


def test_traffic_is_shared_and_sticks(line):
    with start(line(traffic={"canary": 0.25})) as client:
        assert {asked(client) for _ in range(8)} == {1, 2}
        found = client.app.state.registry.snapshot.models["line"]
        dealt = [found.pick().version for _ in range(1000)]
        assert abs(dealt.count(2) - 250) <= 3, "evenly, where nobody says who asks"
        for user in range(20):
            headers = {"X-Routing-Key": f"user {user}"}
            versions = {asked(client, **headers) for _ in range(3)}
            assert versions == {2 if share("line", f"user {user}") < 0.25 else 1}


def test_the_share_of_keys_is_even():
    places = sorted(share("line", f"user {i}") for i in range(4000))
    assert 0 <= places[0] < places[-1] < 1
    # Kolmogorov's distance; 2.0 / sqrt(n) is passed by chance once in 3,000 times.
    assert max(abs(place - i / 4000) for i, place in enumerate(places)) < 2.0 / 4000**0.5


def test_a_shadow_sees_all_and_answers_nothing(line):
    with start(line(shadow="canary")) as client:
        assert [asked(client) for _ in range(8)] == [1] * 8
        by = (("method", "predict"), ("model", "line"), ("version", "2"))
        until = time.monotonic() + 5
        while samples(client)["ml_shadow_rows_total", by] < 8 and time.monotonic() < until:
            pass
        found = samples(client)
        assert found["ml_shadow_rows_total", by] == 8
        assert found["ml_predictions_total", by] == found["ml_inference_count_total", by] == 0
        assert found["ml_execution_count_total", by] == 8
        assert found["ml_shadow_differing_rows_total", by] == 8, "twice the slope"
        assert found["ml_shadow_agreed_rows_total", by] == 0


@pytest.fixture
def shadowed(line):
    """Give three versions: 1 is stable and damaged, 3 is a shadow."""
    folder = line(versions=1, shadow="next")
    served.put(folder, "line", served.LINE, scale=3.0)
    labels.promote(folder, "line", 3, label="next")
    labels.remove(folder, "line", "canary")
    path = folder / "line" / "1" / "params.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    return folder, lambda: path.write_bytes(whole)


def test_nobody_stands_in_for_stable(shadowed):
    folder, mend = shadowed
    with start(folder) as client:
        for path in ("/predict", "/predict/batch"):
            rows = ROW if path == "/predict" else [ROW]
            answer = post(client, path, {"features": rows, "model_name": "line"})
            assert answer.status_code == 503
            wanted = "default: 'stable' is no label or version that is loaded; name a version"
            assert f"model 'line': {wanted} that is: 2, 3, next=3" == answer.json()["detail"]
        assert asked(client, "line@2") == 2
        assert client.get("/models/line").status_code == 503
        assert client.get("/models/line@2").status_code == 200
        assert client.get("/models").json()["models"] == []
        assert client.get("/v2/health/ready").status_code == 503
        assert client.get("/v2/models/line/ready").status_code == 503
        assert client.get("/v2/models/line/versions/2/ready").status_code == 200
        mend()
        assert client.post("/models/reload").json()["failed"] == []
        assert asked(client) == 1
        assert client.get("/v2/health/ready").status_code == 200


def test_a_shadow_is_not_the_newest(line):
    folder = line(versions=1, shadow="canary")
    labels.remove(folder, "line", "stable")
    with start(folder) as client:
        assert client.get("/models/line").json()["versions"] == [1, 2]
        assert asked(client) == 1
        shutil.rmtree(folder / "line" / "1")
        client.post("/models/reload")
        assert asked(client) == 1, "it goes on"
    with start(folder) as client:
        answer = post(client, "/predict", {"features": ROW})
        assert answer.status_code == 503
        assert "shadow: no version but it is loaded" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"shadow": "stable"}, "shadow: 'stable' is the version that answers"),
        ({"traffic": {"stable": 0.1}}, "traffic: 'stable' is the default, which has all that"),
        ({"default": "stabel"}, "default: 'stabel' is no label or version that is loaded; did you"),
        ({"shadow": "next"}, "shadow: 'next' is no label or version that is loaded"),
    ],
)
def test_a_policy_that_says_nothing(line, told, reason):
    folder = line()
    with start(folder) as client:
        line(**told)
        (failure,) = client.post("/models/reload").json()["failed"]
        assert reason in failure["reason"]
        assert asked(client) == 1, "what answered goes on"


def test_shares_that_are_complete_may_name_the_default(line):
    with start(line(traffic={"canary": 0.5, "stable": 0.5})) as client:
        assert client.get("/models").json()["failed"] == []


@pytest.mark.parametrize(
    ("told", "loaded"),
    [({"versions": 1}, [1, 2]), ({"versions": [1]}, [1, 2]), ({"versions": "all"}, [1, 2])],
)
def test_what_has_a_label_is_loaded(line, told, loaded):
    with start(line(**told)) as client:
        assert client.get("/models/line").json()["versions"] == loaded


@pytest.mark.parametrize(
    ("told", "loaded", "answers"),
    [
        ({}, [2], 2),
        ({"versions": [1]}, [1], 1),
        ({"versions": 2}, [1, 2], 2),
        ({"versions": "all", "default": "1"}, [1, 2], 1),
    ],
)
def test_which_versions_are_loaded(shelf, told, loaded, answers):
    for version in (1, 2):
        shelf.add("line", version)
    (shelf.folder / "line" / policy.FILE).write_text(json.dumps(told))
    with start(shelf.folder) as client:
        assert client.get("/models/line").json()["versions"] == loaded
        assert asked(client) == answers


def test_a_policy_that_is_damaged_changes_nothing(line):
    folder = line()
    with start(folder) as client:
        line(traffic={"canary": 0.7, "stable": 0.7})
        (failure,) = client.post("/models/reload").json()["failed"]
        assert "traffic has 1.4 of the requests, not at most 1" in failure["reason"]
        assert asked(client) == 1
        line(traffic={"beta": 0.5})
        (failure,) = client.post("/models/reload").json()["failed"]
        assert failure["reason"] == "traffic: 'beta' is no label or version that is loaded"
        assert {asked(client) for _ in range(10)} == {1}


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ("{", "truncated"),
        ('{"version": 1}', "'version' is no field of it, wanted .*; did you mean versions?"),
        ('{"versions": 0}', "versions: 0 came, wanted a number of versions from 1, a list"),
        ('{"versions": "two"}', 'versions: "two" came, wanted a number of versions from 1, a list'),
        ('{"versions": []}', "empty list"),
        ('{"traffic": {"canary": 10}}', "traffic.canary: 10 came, wanted a share from 0 to 1"),
        ('{"traffic": 0.1}', "traffic: 0.1 came, wanted labels, each with a share from 0 to 1"),
        ('{"default": 1}', "default: 1 came, wanted a label or a version, as text"),
        ("[1]", r"\[1\] came, wanted an object of versions, default,"),
        ("[" * 100_000, "serving.json"),
    ],
)
def test_bad_policies(tmp_path, told, words):
    (tmp_path / policy.FILE).write_text(told)
    with pytest.raises(ArtifactError, match=words):
        policy.read(tmp_path)


def test_a_label_that_points_at_a_broken_version_stays_where_it_was(line, shelf):
    folder = line()
    with start(folder) as client:
        program = shelf.folder / "line" / "3" / "predict.stablehlo"
        shelf_copy = shelf.folder / "line" / "3"
        shutil.copytree(shelf.folder / "line" / "2", shelf_copy)
        labels_file = shelf.folder / "line" / labels.FILE
        labels_file.write_text(json.dumps({"stable": 3, "canary": 2}))
        program.write_bytes(b"")
        failed = client.post("/models/reload").json()["failed"]
        assert [(f["model_id"], f["version"]) for f in failed] == [("line", 3)]
        assert asked(client) == 1
