"""Which scope each route asks for; what is not in the table asks for `admin`.

A path is matched as the router matches it: a route without parameters first, then a part of the
path by its name, then by a parameter, without going back.
"""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

from litestar.types import HTTPScope

from serving.access.ring import BITS

__all__ = ["ROUTES", "Need", "Table"]

FREE = "free"  # no key, and never refused for want of room
LOGIN = "login"  # no key, but room
METRICS = "metrics"  # `read`, unless they are public; never refused for want of room
ABOUT = "about"  # `predict` or `read`: who may ask a model may know what it takes

MODEL, VERSION = "/v2/models/{model}", "/v2/models/{model}/versions/{version}"
REPOSITORY = "/v2/repository/models/{model}"

ROUTES: Mapping[tuple[str, str], str] = {
    ("GET", "/"): FREE,
    ("GET", "/health"): FREE,
    ("GET", "/v2/health/live"): FREE,
    ("GET", "/v2/health/ready"): FREE,
    ("GET", "/static/{file_path:path}"): FREE,  # the scripts of /docs, the same in every copy
    ("GET", "/metrics"): METRICS,
    ("POST", "/session"): LOGIN,
    ("DELETE", "/session"): LOGIN,
    ("POST", "/predict"): "predict",
    ("POST", "/predict/batch"): "predict",
    ("POST", "/models/{model_id}/{method}"): "predict",
    ("POST", "/predictions/{prediction_id}/feedback"): "predict",
    ("POST", f"{MODEL}/infer"): "predict",
    ("POST", f"{VERSION}/infer"): "predict",
    ("GET", "/docs"): "read",
    ("GET", "/docs/openapi.json"): "read",
    ("GET", "/docs/oauth2-redirect.html"): "read",
    ("GET", "/docs/{path}"): "read",
    ("GET", "/models"): ABOUT,
    ("GET", "/models/{model_id}"): ABOUT,
    ("GET", "/models/{model_id}/accuracy"): "read",
    ("GET", "/models/{model_id}/drift"): "read",
    ("GET", "/predictions"): "read",
    ("GET", "/v2"): "read",
    ("GET", "/v2/models/stats"): "read",
    **{
        ("GET", f"{start}{end}"): kind
        for start in (MODEL, VERSION)
        for end, kind in {"": ABOUT, "/ready": ABOUT, "/config": ABOUT, "/stats": "read"}.items()
    },
    ("POST", "/v2/repository/index"): "read",
    ("POST", "/models/reload"): "admin",
    ("POST", f"{REPOSITORY}/load"): "admin",
    ("POST", f"{REPOSITORY}/unload"): "admin",
}


class Need(NamedTuple):
    """What a route asks of who asks."""

    scope: str  # in words, where several will do
    mask: int  # the bits of the scopes that will do; 0: no key
    is_counted: bool  # it takes room
    template: str | None  # as the metrics name it; None: no such route


UNKNOWN = Need("admin", BITS["admin"], True, None)
Needs = dict[str, Need]  # by HTTP method
NONE: Needs = {}
LONGEST = 256  # characters of a path that is worth remembering
PARAMETER, REST, END = 0, 1, 2  # beside the names of parts: no part of a path is a number


class Table:
    """The needs of all routes, made for looking up: by path, or by its parts."""

    def __init__(
        self, *, is_public: bool = False, routes: Mapping[tuple[str, str], str] = ROUTES
    ) -> None:
        self._exact: dict[str, Needs] = {}
        self._parts: dict[str | int, Any] = {}
        self._remembered = functools.lru_cache(1024)(self._by_parts)
        scopes = {
            **{FREE: (), LOGIN: (), METRICS: () if is_public else ("read",)},
            ABOUT: ("predict", "read"),
        }
        for (method, path), kind in routes.items():
            some = scopes.get(kind, (kind,))
            mask = sum(BITS[scope] for scope in some)
            template = path.replace(":path}", "}")
            need = Need(" or ".join(some), mask, kind not in (FREE, METRICS), template)
            needs = self._place(path)
            needs[method] = need
            if method == "GET":
                needs.setdefault("HEAD", need)
            # It says which methods there are: whoever may ask for any of them may know.
            least = min(needs.values(), key=lambda each: each.mask)
            needs["OPTIONS"] = least

    def _place(self, path: str) -> Needs:
        """Return the needs of a route by method, to be filled."""
        if "{" not in path:
            return self._exact.setdefault(path, {})
        node = self._parts
        for part in path.strip("/").split("/"):
            if part.endswith(":path}"):
                return node.setdefault(REST, {})
            node = node.setdefault(PARAMETER if part[0] == "{" else part, {})
        return node.setdefault(END, {})

    def find(self, scope: HTTPScope) -> Need:
        """Return what a request asks for."""
        path = scope["path"]
        root = scope.get("root_path")
        if root:  # as the router does it
            path = path.split(root, 1)[-1]
        needs = self._exact.get(path)
        if needs is None:
            needs = self._remembered(path) if len(path) <= LONGEST else self._by_parts(path)
        return needs.get(scope["method"], UNKNOWN)

    def _by_parts(self, path: str) -> Needs:
        parts = [part for part in path.split("/") if part]
        exact = self._exact.get("/" + "/".join(parts))
        if exact is not None:
            return exact
        node = self._parts
        for part in parts:
            found = node.get(part)
            if found is None:
                if REST in node:
                    return node[REST]
                found = node.get(PARAMETER)
            if found is None:
                return NONE
            node = found
        return node.get(END, NONE)
