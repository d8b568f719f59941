"""Names, versions, shapes and numbers that nothing has: refused before anything is made of them."""

import json
import os
import sys
import tracemalloc

import numpy as np
import pytest
from litestar.testing import TestClient

from serving.app import create_app
from serving.settings import Settings
from tests.serving import served
from tests.serving.served import post
from tests.serving.test_v2_refusals import LENGTH

TOUCHED: list[str] | None = None  # while it is a list, the paths that are opened go there


def _audit(event, args):
    if event == "open" and TOUCHED is not None and isinstance(args[0], str | bytes | os.PathLike):
        TOUCHED.append(os.fsdecode(args[0]))


@pytest.fixture(scope="module", autouse=True)
def audit():
    """Have every file that is opened told: Python keeps such a hook until it ends."""
    sys.addaudithook(_audit)


@pytest.fixture(scope="module")
def client(published):
    settings = Settings(models=published, buckets=served.BUCKETS)
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


def tree(folder):
    """Return what differs once a file is made, written or removed."""
    stats = ((str(path), path.stat()) for path in sorted(folder.rglob("*")))
    return [(path, stat.st_size, stat.st_mtime_ns, stat.st_ino) for path, stat in stats]


@pytest.fixture
def opened(monkeypatch):
    """Give the paths that are opened from now on."""
    found = []
    monkeypatch.setattr(sys.modules[__name__], "TOUCHED", found)
    return found


@pytest.fixture
def untouched(published, opened):
    """Hold that no file of the models is opened, and none changed."""
    before = tree(published)
    yield
    assert [path for path in opened if path.startswith(str(published))] == []
    assert tree(published) == before


def test_who_looks_whether_files_are_opened_sees_it(client, published, opened):
    client.post("/models/reload")
    assert [path for path in opened if path.startswith(str(published))]


FEATURES = {"name": "features", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}
QUESTION = {"inputs": [FEATURES]}
NAMES = [
    "stats",
    "reload",
    "..%2fflower",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e",
    "%00",
    "flower%00",
    "flower%2f1",
    "FLOWER",
    "flower%20",
    "%ff",
    "x" * 10_000,
    "@",
    ":",
]
ROUTES = [
    ("POST", "/v2/models/{}/infer"),
    ("GET", "/v2/models/{}/ready"),
    ("GET", "/v2/models/{}/config"),
    ("GET", "/v2/models/{}/stats"),
    ("GET", "/v2/models/{}/versions/1"),
    ("GET", "/models/{}/drift"),
    ("POST", "/models/{}/predict"),
    ("POST", "/v2/repository/models/{}/load"),
    ("POST", "/v2/repository/models/{}/unload"),
]


def is_refused(answer):
    return answer.status_code in (400, 404, 405) and len(answer.content) < 2000


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("name", NAMES, ids=lambda name: name[:20])
def test_a_name_that_no_model_has(client, untouched, method, path, name):
    content = QUESTION if "infer" in path else {"inputs": {"features": [[1, 2, 3]]}}
    content = {} if "repository" in path else content
    answer = client.request(method, path.format(name), json=content if method == "POST" else None)
    assert is_refused(answer), answer.text
    assert not client.app.state.registry.words.last


@pytest.mark.parametrize("name", ["stats", "../flower", "\0", "flower\0", "x" * 10_000, "", "@1"])
def test_a_name_in_a_body(client, untouched, name):
    answer = post(client, "/predict", {"features": [1, 2, 3], "model_name": name})
    assert answer.status_code == 404
    assert len(answer.content) < 2000


@pytest.mark.parametrize(
    "version", ["0", "-1", "01", "1.0", "+1", "٣", "9" * 20, "%00", "x" * 10_000]
)
def test_a_version_that_is_none(client, untouched, version):
    for end in ("", "/ready", "/config", "/stats"):
        assert is_refused(client.get(f"/v2/models/flower/versions/{version}{end}"))
    url = f"/v2/models/flower/versions/{version}/infer"
    assert is_refused(post(client, url, QUESTION))
    assert is_refused(client.get(f"/models/flower@{version}"))
    assert is_refused(post(client, f"/v2/models/flower@{version}/infer", QUESTION))


@pytest.mark.parametrize("size", [None, 12, 2**40 * 12])
def test_nothing_is_made_of_the_size_that_a_shape_says(client, size):
    entry = FEATURES | {"shape": [2**40, 3]}
    tail, headers = b"", {}
    if size is not None:
        del entry["data"]
        entry["parameters"] = {"binary_data_size": size}
        tail = np.ones(3, "<f4").tobytes()
    head = json.dumps({"inputs": [entry]}).encode()
    if size is not None:
        headers = {LENGTH: str(len(head))}
    assert post(client, "/v2/models/flower/infer", QUESTION).status_code == 200
    tracemalloc.start()
    try:
        answer = client.post("/v2/models/flower/infer", content=head + tail, headers=headers)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer.status_code == 400
    assert "features: " in answer.json()["detail"]
    assert peak < 2**22, "NumPy tells tracemalloc of what it takes"


INTEGERS = [2**63, -(2**63) - 1, 2**64, 10**30]


@pytest.mark.parametrize("number", INTEGERS)
def test_an_integer_of_any_length_is_a_float_as_json_has_it(client, number):
    answers = [
        post(client, "/predict", {"features": [value, 1, 1], "model_name": "line"}).json()
        for value in (number, float(number))
    ]
    assert answers[0]["predictions"] == answers[1]["predictions"]
    entry = FEATURES | {"data": [number, 1, 1]}
    told = post(client, "/v2/models/line/infer", {"inputs": [entry]}).json()
    assert told["outputs"][0]["data"] == answers[0]["predictions"]


@pytest.mark.parametrize("number", [*INTEGERS, 10**400])
def test_an_integer_that_its_type_does_not_hold(client, number):
    inputs = {"mean": [[1, 2]], "cov": [[[1, 0], [0, 1]]], "y": [[1, 1]], "seed": [number]}
    answer = post(client, "/models/walk/step", {"inputs": inputs})
    assert answer.status_code == 400
    assert "seed: a number is out of range" in answer.json()["detail"]


@pytest.mark.parametrize("number", [10**39, 10**400])
def test_an_integer_that_no_float_holds(client, number):
    entry = FEATURES | {"data": [number, 1, 1]}
    for path, content in (
        ("/predict", {"features": [number, 1, 1], "model_name": "line"}),
        ("/models/line/predict", {"inputs": {"features": [[number, 1, 1]]}}),
        ("/v2/models/line/infer", {"inputs": [entry]}),
    ):
        answer = post(client, path, content)
        assert answer.status_code == 400
        assert "out of range" in answer.json()["detail"]
