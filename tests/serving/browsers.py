"""What the tests of sessions share: a server that asks for keys, and a browser."""

import jwt
from litestar.testing import TestClient

from serving.access import keys
from serving.access.session import COOKIE
from serving.access.terms import Access
from serving.app import create_app
from serving.settings import Settings


class Site:
    """A server, and a browser that keeps no cookie by itself."""

    def __init__(self, folder, **given):
        self.path = folder / "config" / "keys.json"
        self.key = keys.add(self.path, "ui", ["read", "admin"])
        host = given.pop("host", "127.0.0.1")
        access = Access(keys=self.path, logins=given.pop("logins", 1000), **given)
        self.app = create_app(Settings(models=folder, host=host, access=access))
        self.guard = self.app.state.guard
        self.client = TestClient(self.app, raise_server_exceptions=False)

    def ask(self, method, path, *, token=None, csrf=None, **more):
        self.client.cookies.clear()
        headers = more.pop("headers", {})
        if token is not None:
            headers["Cookie"] = f"theme=dark; {COOKIE}={token}; other=1"
        if csrf is not None:
            headers["X-CSRF-Token"] = csrf
        return self.client.request(method, path, headers=headers, **more)

    def log_in(self):
        answer = self.ask("POST", "/session", json={"key": self.key})
        assert answer.status_code == 200, answer.text
        return answer.cookies[COOKIE], answer.json()["csrf_token"], answer

    def secret(self):
        return self.path.with_name(keys.SECRET).read_bytes()

    def claims(self, **changes):
        token, csrf, _ = self.log_in()
        claims = jwt.decode(token, self.secret(), algorithms=["HS256"]) | changes
        return {name: value for name, value in claims.items() if value is not None}, csrf
