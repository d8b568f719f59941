"""A browser's session: what begins and ends it, what is forged, and who may try keys."""

import base64
import json

import jwt
import pytest
from litestar.testing import TestClient

from mastery_jax.workflow.errors import ConfigError
from serving.access import keys
from serving.access.address import Addresses
from serving.access.session import COOKIE, CSRF_COOKIE
from serving.access.terms import Access
from serving.app import create_app
from serving.settings import Settings
from tests.serving.browsers import Site


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path)
    with site.client:
        yield site


def test_a_session(site):
    token, csrf, answer = site.log_in()
    assert answer.json() == {
        "name": "ui",
        "scopes": ["read", "admin"],
        "csrf_token": csrf,
        "seconds": 12 * 60 * 60,
    }
    assert answer.headers["cache-control"] == "no-store"
    hidden, shown = answer.headers.get_list("set-cookie")
    assert hidden.startswith(f"{COOKIE}={token};")
    assert shown.startswith(f"{CSRF_COOKIE}={csrf};")
    for cookie in (hidden, shown):
        assert "SameSite=strict" in cookie
        assert "Max-Age=43200" in cookie
        assert "Path=/" in cookie
        assert "Secure" not in cookie, "on loopback there is no TLS"
    assert "HttpOnly" in hidden
    assert "HttpOnly" not in shown, "the page sends it back"
    assert site.key not in answer.text + token
    assert site.ask("GET", "/models", token=token).status_code == 200
    assert site.ask("GET", "/docs", token=token).status_code == 200
    over = site.ask("DELETE", "/session", token=token)
    assert over.status_code == 204
    assert all("Max-Age=0" in cookie for cookie in over.headers.get_list("set-cookie"))


def test_a_session_has_the_scopes_of_its_key(site):
    token, csrf, _ = site.log_in()
    body = {"features": [1]}
    assert site.ask("POST", "/predict", token=token, csrf=csrf, json=body).status_code == 403


@pytest.mark.parametrize("sent", [None, "", "nope", "é".encode()])
def test_what_changes_needs_the_second_token(site, sent):
    token, csrf, _ = site.log_in()
    refused = site.ask("POST", "/models/reload", token=token, csrf=sent)
    assert refused.status_code == 403
    assert "X-CSRF-Token" in refused.json()["detail"]
    assert csrf not in refused.text
    assert site.ask("POST", "/models/reload", token=token, csrf=csrf).status_code == 200
    other = site.log_in()[1]
    assert site.ask("POST", "/models/reload", token=token, csrf=other).status_code == 403
    by_key = site.ask("POST", "/models/reload", headers={"X-API-Key": site.key})
    assert by_key.status_code == 200, "no browser sends a key by itself"


def _encode(part):
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def unsigned(claims, _):
    return f"{_encode({'alg': 'none', 'typ': 'JWT'})}.{_encode(claims)}."


def other_secret(claims, _):
    return jwt.encode(claims, b"x" * 32, "HS256")


def other_algorithm(claims, secret):
    return jwt.encode(claims, secret * 2, "HS512")


def same_secret_other_algorithm(claims, secret):
    return jwt.encode(claims, secret * 2, "HS256")


def cut(claims, secret):
    return jwt.encode(claims, secret, "HS256").rpartition(".")[0] + "."


def swapped(claims, secret):
    head, _, sign = jwt.encode(claims, secret, "HS256").split(".")
    return f"{head}.{_encode(claims | {'sub': 'other'})}.{sign}"


@pytest.mark.parametrize(
    "forge",
    [unsigned, other_secret, other_algorithm, same_secret_other_algorithm, cut, swapped],
)
def test_forged(site, forge):
    keys.add(site.path, "other", ["admin"])
    site.guard.ring.refresh()
    claims, _ = site.claims()
    good = jwt.encode(claims, site.secret(), "HS256")
    assert site.ask("GET", "/models", token=good).status_code == 200
    assert site.ask("GET", "/models", token=forge(claims, site.secret())).status_code == 401


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 1_700_000_000},  # long over
        {"exp": None},
        {"iat": 4_000_000_000},  # to come
        {"sub": "nobody"},
        {"sub": None},
        {"kid": "0" * 16},
        {"kid": "é"},
        {"kid": 7},
        {"csrf": None},
        {"csrf": ["x"]},
    ],
    ids=str,
)
def test_what_a_good_signature_does_not_help(site, changes):
    claims, _ = site.claims(**changes)
    token = jwt.encode(claims, site.secret(), "HS256")
    answer = site.ask("GET", "/models", token=token)
    assert answer.status_code == 401
    assert answer.json()["detail"].startswith("a key that is good is wanted")


@pytest.mark.parametrize("token", ["", "a", "a.b.c", "." * 100, "e" * 5000, '"x"', "\x7f"])
def test_a_cookie_that_is_no_token(site, token):
    assert site.ask("GET", "/models", token=token).status_code == 401


def test_a_removed_key_ends_its_sessions(site):
    token, _, _ = site.log_in()
    keys.remove(site.path, "ui")
    site.guard.ring.refresh()
    assert site.ask("GET", "/models", token=token).status_code == 401
    keys.add(site.path, "ui", ["read"])
    site.guard.ring.refresh()
    assert site.ask("GET", "/models", token=token).status_code == 401, "it is another key"


def test_a_session_outlives_the_process(site, tmp_path):
    token, _, _ = site.log_in()
    again = create_app(Settings(models=tmp_path, access=Access(keys=site.path)))
    with TestClient(again) as client:
        answer = client.get("/models", headers={"Cookie": f"{COOKIE}={token}"})
        assert answer.status_code == 200


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b'{"key": 1}', 400),
        (b'{"key": "a", "more": 1}', 400),
        (b"[" * 4000, 400),
        (b'{"key": "\xff"}', 400),
        (b" " * 5000, 413),
        (b'{"key": "nope"}', 401),
        (b'{"key": ""}', 401),
        ('{"key": "é\\u0000"}'.encode(), 401),
    ],
)
def test_a_login_refused(site, content, status):
    kind = {"Content-Type": "application/json; charset=utf-8"}
    answer = site.ask("POST", "/session", content=content, headers=kind)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded"])
def test_a_form_cannot_log_in(site, kind):
    body, kinds = json.dumps({"key": site.key}).encode(), {"Content-Type": kind}
    for sign in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = site.ask("POST", "/session", content=body, headers={**kinds, **sign})
        assert answer.status_code == 415
        assert "set-cookie" not in answer.headers
    answer = site.ask("POST", "/session", content=body, headers=kinds)
    assert answer.status_code == 200, "no browser is asked to say what it sends"


def test_an_address_may_try_a_few_keys(tmp_path):
    site = Site(tmp_path, logins=3)
    with site.client:
        tried = [site.ask("POST", "/session", json={"key": "nope"}) for _ in range(5)]
        assert [answer.status_code for answer in tried] == [401] * 3 + [429] * 2
        assert 1 <= int(tried[-1].headers["retry-after"]) <= 20
        assert site.ask("POST", "/session", json={"key": site.key}).status_code == 429
        spoofed = {"X-Forwarded-For": "1.2.3.4"}
        assert site.ask("POST", "/session", json={}, headers=spoofed).status_code == 429
        metrics = site.ask("GET", "/metrics", headers={"X-API-Key": site.key}).text
        assert 'ml_requests_refused_total{reason="login"} 4.0' in metrics


@pytest.mark.parametrize("given", [{"host": "0.0.0.0"}, {"proxies": ("127.0.0.1",)}], ids=str)
def test_off_loopback_a_cookie_is_for_tls_alone(tmp_path, given):
    site = Site(tmp_path, **given)
    with site.client:
        _, _, answer = site.log_in()
        assert all("Secure" in cookie for cookie in answer.headers.get_list("set-cookie"))


def test_keys_that_are_read_only(tmp_path, monkeypatch, caplog):
    def refuse(*_):
        raise OSError(30, "Read-only file system")

    path = tmp_path / "keys.json"
    key = keys.add(path, "ui", ["read"])
    monkeypatch.setattr(keys, "_write", refuse)
    app = create_app(Settings(models=tmp_path, access=Access(keys=path)))
    assert "Read-only file system; sessions end with this process" in caplog.text
    with TestClient(app) as client:
        assert client.post("/session", json={"key": key}).status_code == 200
        assert client.get("/models").status_code == 200


@pytest.mark.parametrize(("content", "mode"), [(b"short", 0o600), (b"x" * 32, 0o644)])
def test_a_damaged_secret(tmp_path, content, mode):
    path = tmp_path / "keys.json"
    place = path.with_name(keys.SECRET)
    place.write_bytes(content)
    place.chmod(mode)
    with pytest.raises(ConfigError, match=r"session\.secret is damaged, or others may read it"):
        create_app(Settings(models=tmp_path, access=Access(keys=path)))


PROXIES = ("10.0.0.1", "192.168.0.0/16", "fd00::/8")


@pytest.mark.parametrize(
    ("peer", "forwarded", "found"),
    [
        ("1.1.1.1", [], "1.1.1.1"),
        ("1.1.1.1", ["2.2.2.2"], "1.1.1.1"),
        ("10.0.0.1", ["2.2.2.2"], "2.2.2.2"),
        ("10.0.0.1", ["9.9.9.9, 2.2.2.2"], "2.2.2.2"),
        ("10.0.0.1", ["9.9.9.9", "2.2.2.2, 192.168.7.7"], "2.2.2.2"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["2.2.2.2, nonsense, 192.168.7.7"], "192.168.7.7"),
        ("::ffff:10.0.0.1", ["2.2.2.2"], "2.2.2.2"),
        ("fd00::1", ["2001:db8:1:2:3:4:5:6"], "2001:db8:1:2::/64"),
        ("2001:db8::7", [], "2001:db8::/64"),
        ("testclient", ["2.2.2.2"], "testclient"),
    ],
)
def test_addresses(peer, forwarded, found):
    headers = [(b"x-forwarded-for", line.encode()) for line in forwarded]
    scope = {"client": (peer, 1), "headers": headers}
    assert Addresses(PROXIES).of(scope) == found
    assert Addresses(()).of({"client": None, "headers": headers}) == ""
