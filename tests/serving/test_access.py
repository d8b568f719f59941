"""A server that asks for keys: every route, every way to be refused, and what is never written."""

import logging

import hypothesis
import hypothesis.strategies as st
import pytest
from litestar.testing import TestClient

from serving.access import keys
from serving.access.table import ROUTES, Table
from serving.access.terms import Access
from serving.app import create_app
from serving.caller import plans
from serving.client import Client, ServingError
from serving.settings import Settings
from tests.serving import served
from tests.serving.served import ROWS, post, samples


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("config") / "keys.json"


@pytest.fixture(scope="module")
def held(file):
    """Make a key for each scope."""
    return {scope: keys.add(file, scope, [scope]) for scope in keys.SCOPES}


@pytest.fixture(scope="module")
def keyed(published, file, held):
    """Serve everything to those who have a key."""
    settings = Settings(
        models=published, buckets=served.BUCKETS, access=Access(keys=file), max_body=2**16
    )
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        client.cookies.jar._policy.set_ok = lambda *_: False  # every test sends its own
        yield client


def show(key):
    return {"Authorization": f"Bearer {key}"}


def test_the_table_has_every_route(keyed):
    schema = keyed.app.openapi_schema.to_schema()
    documented = {(verb.upper(), path) for path, item in schema["paths"].items() for verb in item}
    assert documented <= ROUTES.keys(), "a route that is not in serving/access/table.py"
    routed = {
        (method, route.path if ":path}" in route.path else route.path_format)
        for route in keyed.app.routes
        for method in route.methods - {"OPTIONS", "HEAD"}
    }
    assert routed == ROUTES.keys(), "and none that is no route"
    assert len(documented) > 20


def free(path):
    return path.replace("{file_path:path}", "swagger-ui/LICENSE").replace("{", "").replace("}", "")


@pytest.mark.parametrize(("method", "path"), ROUTES, ids=" ".join)
def test_each_route_asks_for_its_scope(keyed, held, method, path):
    asked = free(path)
    kind = ROUTES[method, path]

    def status(**given):
        return keyed.request(method, asked, **given).status_code

    if kind in ("free", "login"):
        assert status() not in (401, 403)
        return
    wanted = {"metrics": {"read"}, "about": {"predict", "read"}}.get(kind, {kind})
    assert status() == 401
    assert status(headers=show("mastery_" + "x" * 43)) == 401
    for scope, key in held.items():
        is_let_in = scope in wanted
        assert (status(headers=show(key)) not in (401, 403)) is is_let_in, scope
        assert (status(headers={"X-API-Key": key}) not in (401, 403)) is is_let_in, scope


PARTS = ["", "", "models", "predict", "batch", "reload", "v2", "stats", "infer", "versions", "1"]
PARTS += [
    "repository",
    "load",
    "ready",
    "health",
    "live",
    "docs",
    "static",
    "metrics",
    "a",
    "..",
    ".",
]
PARTS += ["{model}", "{path}", "GET", "session", "%2e", "index", "x:path}"]


@hypothesis.settings(deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
@hypothesis.given(
    st.sampled_from(["GET", "POST", "DELETE", "PUT", "HEAD"]),
    st.lists(st.sampled_from(PARTS), max_size=7),
    st.sampled_from(["", "/"]),
)
def test_a_path_is_what_the_router_takes_it_for(keyed, method, parts, end):
    path = "/" + "/".join(parts) + end
    scope = {"type": "http", "method": method, "path": path}
    need = Table().find(scope)
    router = keyed.app.asgi_router
    normal = "/" + "/".join(part for part in path.split("/") if part)
    try:
        *_, template = router.handle_routing(path=normal, method=method)
    except Exception:
        template = None  # 404 or 405: nothing is done
    if template is None:
        return
    assert need.template == template


@pytest.mark.parametrize("path", ["/models//reload", "//models/reload", "/models/reload/"])
def test_no_spelling_of_a_path_opens_it(keyed, held, path):
    url = f"http://testserver.local{path}"
    assert keyed.post(url, headers=show(held["predict"])).status_code == 403
    assert keyed.post(url, headers=show(held["admin"])).status_code == 200


def test_what_is_not_in_the_table_is_the_admins(keyed, held):
    for path in ("/nope", "/v3", "/static", "/models/a/b/c"):
        assert keyed.get(path).status_code == 401
        assert keyed.get(path, headers=show(held["read"])).status_code == 403
        assert keyed.get(path, headers=show(held["admin"])).status_code in (403, 404)


BAD = [
    {},
    {"Authorization": "Bearer"},
    {"Authorization": "Bearer "},
    {"Authorization": "Bearer nope"},
    {"Authorization": "Basic bWU6bWU="},
    {"Authorization": "Bearer " + "x" * 20_000},
    {"X-API-Key": ""},
    {"X-API-Key": "nope"},
    {"Cookie": "mastery_session=nope"},
]


@pytest.mark.parametrize("headers", BAD, ids=str)
def test_no_refusal_says_which_part_was_wrong(keyed, headers):
    answer = keyed.get("/models", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="mastery_jax"'
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["detail"] == "a key that is good is wanted, as Authorization: Bearer or X-API-Key"
    assert body["error"] == body["detail"]
    assert body["request_id"] == answer.headers["x-request-id"]


def test_a_key_in_the_query_is_refused(keyed, held):
    key = held["read"]
    for query in (f"api_key={key}", f"q={key}", "x=1&API-KEY=z", "access_token=z", f"{key}"):
        for path in ("/models", "/health"):
            answer = keyed.get(f"{path}?{query}", headers=show(key))
            assert answer.status_code == 400
            assert "a key came in the query string" in answer.json()["detail"]
            assert key not in answer.text
    assert keyed.get("/models?key=1&q=mastery_jax", headers=show(key)).status_code == 200


def test_predictions_with_a_key(keyed, held):
    body = {"features": ROWS[0].tolist(), "model_id": "line"}
    assert post(keyed, "/predict", body).status_code == 401
    answer = keyed.post("/predict", json=body, headers=show(held["predict"]))
    assert answer.status_code == 200
    denied = keyed.post("/predict", json=body, headers=show(held["read"]))
    assert denied.status_code == 403
    assert "the scope predict" in denied.json()["detail"]


def test_refusals_are_counted(keyed, held):
    def counts():
        keyed.headers.update(show(held["read"]))
        try:
            found = samples(keyed)
        finally:
            del keyed.headers["Authorization"]
        reasons = ("unknown", "forbidden", "key_in_query", "rate", "share", "room", "login")
        endpoint = (("endpoint", "/models/{model_id}/{method}"), ("method", "POST"))
        return {
            **{r: found["ml_requests_refused_total", (("reason", r),)] for r in reasons},
            401: found.get(("http_requests_total", (*endpoint, ("status", "401"))), 0),
        }

    before = counts()
    keyed.post("/models/line/predict")
    keyed.post("/models/line/predict", headers=show(held["read"]))
    keyed.get("/?api_key=1")
    after = counts()
    changed = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert changed == {"unknown": 1, "forbidden": 1, "key_in_query": 1, 401: 1}


def test_nothing_secret_is_logged(keyed, held, caplog, monkeypatch):
    bad = "mastery_" + "S" * 43

    def fail(*_, **__):
        raise RuntimeError("a fault")

    monkeypatch.setattr(keyed.app.state.registry, "find", fail)
    with caplog.at_level(logging.DEBUG):
        for key in (bad, *held.values()):
            keyed.get("/models", headers=show(key))
            keyed.get("/models", headers={"X-API-Key": key})
            keyed.get(f"/health?api_key={key}")
            keyed.get("/models", headers={"Cookie": f"mastery_session={key}"})
            keyed.post("/session", json={"key": key})
            keyed.post("/session", json={"wrong": key})
            body = {"features": [1, 2, 3], "model_id": "line"}
            keyed.post("/predict", json=body, headers=show(key))
    assert "a fault" in caplog.text, "it is logged at all"
    ours = "\n".join(
        record.getMessage() + str(record.exc_info or "") + (record.exc_text or "")
        for record in caplog.records
        if not record.name.startswith(("httpx", "httpcore"))  # the client's own
    )
    for key in (bad, *held.values()):
        assert key not in ours
        assert keys.digest(key.encode()).hex() not in ours


def test_metrics_may_be_public(tmp_path, file, held):
    settings = Settings(models=tmp_path, access=Access(keys=file, public_metrics=True))
    with TestClient(create_app(settings)) as client:
        assert client.get("/metrics").status_code == 200
        assert client.get("/docs").status_code == 401


def test_an_open_server_asks_for_nothing(client):
    assert client.get("/models", headers=show("anything")).status_code == 200
    assert client.get("/metrics").status_code == 200
    answer = client.post("/session", json={"key": "x"})
    assert answer.status_code == 404
    assert "asks for no keys" in answer.json()["detail"]


def test_the_documents_say_that_keys_are_wanted(keyed, client):
    keyed_schema, open_schema = (app.app.openapi_schema.to_schema() for app in (keyed, client))
    assert keyed_schema["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    assert keyed_schema["security"] == [{"key": []}]
    assert "security" not in open_schema


def test_the_client_shows_its_key(keyed, held, monkeypatch):
    def asked(**given):
        client = Client("http://testserver.local", **given)
        sent = client._http.headers
        client.close()
        client._http = keyed
        keyed.headers.update(sent)
        return client

    try:
        asked(key=held["read"]).models()
        monkeypatch.setenv("MASTERY_API_KEY", held["predict"])
        assert asked().predict(ROWS[0], "line").model_id == "line"
        with pytest.raises(ServingError, match="403: the key lacks the scope read, which"):
            asked().stats()
        with pytest.raises(ServingError, match="403: the key lacks the scope predict or read"):
            asked(key=held["admin"]).models()
        asked(key=held["read"]).models()
    finally:
        keyed.headers.clear()


def test_who_may_predict_may_send_arrays(keyed, held, monkeypatch):
    monkeypatch.setattr(plans, "LARGE", 1)
    client = Client("http://testserver.local")
    client.close()
    client._http = keyed
    monkeypatch.setitem(keyed.headers, "X-API-Key", held["predict"])
    assert client.predict_batch(ROWS, "flower").labels
    assert client.infer("line", "predict", 2, features=ROWS).model_version == 2
    assert client.ready("line")
    with pytest.raises(ServingError, match="400: model_name is missing"):
        client.predict_batch(ROWS)
