"""The routes that compute, called straight, past the router: they are most of the traffic."""

from collections.abc import Mapping

from litestar import Litestar, Request
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from serving.errors import problem, send_problem

__all__ = ["Shortcut"]

MODEL = "{model}"


class Shortcut:
    """An ASGI layer before the router; what is not one of its paths goes on.

    Args:
        app: The application, whose state the routes read.
        behind: Its router.
        routes: By path, what answers a POST; one of the paths names a ``{model}``.
    """

    def __init__(self, app: Litestar, behind: ASGIApp, routes: Mapping[str, ASGIApp]) -> None:
        self.app, self.behind, self.routes = app, behind, routes
        self._named = next(path for path in routes if MODEL in path)
        self._start, _, self._end = self._named.partition(MODEL)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        route = None
        if scope["type"] == "http" and scope["method"] == "POST":
            route = self._find(scope)
        if route is None:
            await self.behind(scope, receive, send)
            return
        scope["litestar_app"] = self.app
        try:
            await route(scope, receive, send)
        except Exception as error:
            refusal = problem(Request(scope), error)
            await send_problem(send, refusal.status_code or 500, refusal.content, refusal.headers)

    def _find(self, scope: HTTPScope) -> ASGIApp | None:
        path = template = scope["path"]
        found = {}
        if path.startswith(self._start) and path.endswith(self._end):
            found["model"] = path[len(self._start) : -len(self._end)]
            if found["model"] and "/" not in found["model"]:
                template = self._named
        route = self.routes.get(template)
        if route is not None:
            scope["path_params"], scope["path_template"] = found, template
        return route
