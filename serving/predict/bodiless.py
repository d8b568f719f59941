"""HEAD: what GET answers, less its body (RFC 9110 9.3.2), as load balancers ask for health."""

from litestar.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Bodiless"]


class Bodiless:
    """An ASGI layer before the router, which knows no HEAD.

    Args:
        behind: The router.
    """

    def __init__(self, behind: ASGIApp) -> None:
        self.behind = behind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.behind(scope, receive, send)
            return
        method, asked = scope["method"], scope
        is_head = method == "HEAD"

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                if message["status"] == 405 or method == "OPTIONS":
                    message["headers"] = [allowing(*header) for header in message["headers"]]
            elif is_head and message["type"] == "http.response.body":
                message["body"] = b""
            await send(message)

        if is_head:
            asked = scope.copy()  # the HTTP server must go on to take it for what it is
            asked["method"] = "GET"
        await self.behind(asked, receive, sent)
        if is_head and "path_template" in asked:
            scope["path_template"] = asked["path_template"]  # as which it is counted


def allowing(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    """Return a header; where it says that GET is served, it says so of HEAD."""
    methods = value.split(b", ")
    if name.lower() != b"allow" or b"GET" not in methods or b"HEAD" in methods:
        return name, value
    return name, b", ".join([*methods, b"HEAD"])
