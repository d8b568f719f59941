"""The guide's two routes called straight, past the router: they are most of the traffic."""

from collections.abc import Mapping

from litestar import Litestar, Request
from litestar.types import ASGIApp, Receive, Scope, Send

from serving.errors import problem, send_problem

__all__ = ["Shortcut"]


class Shortcut:
    """An ASGI layer before the router; what is not one of its paths goes on.

    Args:
        app: The application, whose state the routes read.
        behind: Its router.
        routes: By path, what answers a POST.
    """

    def __init__(self, app: Litestar, behind: ASGIApp, routes: Mapping[str, ASGIApp]) -> None:
        self.app, self.behind, self.routes = app, behind, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        route = None
        if scope["type"] == "http" and scope["method"] == "POST":
            route = self.routes.get(scope["path"])
        if route is None:
            await self.behind(scope, receive, send)
            return
        scope["litestar_app"] = self.app
        scope["path_params"] = {}
        scope["path_template"] = scope["path"]
        try:
            await route(scope, receive, send)
        except Exception as error:
            refusal = problem(Request(scope), error)
            await send_problem(send, refusal.status_code or 500, refusal.content, refusal.headers)
