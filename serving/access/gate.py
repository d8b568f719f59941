"""The layer that refuses before anything is read: who is not known, and what is too much.

It stands outside of the routing, so that a flood costs a few microseconds a request, and inside of
the monitor, which counts what it refuses.
"""

from collections.abc import Callable

from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from serving.access import page
from serving.access.bodies import SMALL, Bodies, Body
from serving.access.guard import Guard
from serving.access.refusal import REASONS, Refusal, forbidden, too_many
from serving.access.ring import Holder
from serving.access.table import Need, Table
from serving.access.terms import Access
from serving.errors import encoded, send_problem
from serving.predict.head import Head

__all__ = ["Gate"]

SOON = 1.0  # seconds until there is room again, at a guess


class Gate:
    """Lets requests in: known, allowed, at their rate, and as many as there is room for."""

    def __init__(
        self,
        app: ASGIApp,
        access: Access,
        guard: Guard | None,
        refused: Callable[[str], Callable[[], None]],
        most_bytes: int,
    ) -> None:
        """Bind what every request needs.

        Args:
            app: What is behind.
            access: The terms.
            guard: Who knows the keys; ``None``: the server is open.
            refused: Gives the counter of a reason.
            most_bytes: Of all bodies that are under way.
        """
        self.app, self.guard = app, guard
        self.table = Table(is_public=access.public_metrics)
        self.most = access.max_in_flight
        self.most_of_one = max(int(access.max_in_flight * access.key_share), 1)
        self.in_flight = 0
        self._refused = {reason: refused(reason) for reason in REASONS}
        self.bodies = Bodies(most_bytes, self._refused["room"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or refuse it."""
        if scope["type"] != "http":
            if scope["type"] == "websocket" and self.guard is not None:  # no route has one
                await send({"type": "websocket.close", "code": 1008, "reason": ""})
                return
            await self.app(scope, receive, send)
            return
        need = self.table.find(scope)
        try:
            holder = None if self.guard is None else self._known(self.guard, scope, need)
            if need.is_counted:
                self._check_room(scope, holder)
        except Refusal as refusal:
            await self._refuse(refusal, need, scope, send)
            return
        if not need.is_counted:
            await self.app(scope, receive, send)
            return
        self.in_flight += 1
        if holder is not None:
            holder.in_flight += 1
        body = scope["state"]["body"] = Body(self.bodies, receive)
        try:
            await self.app(scope, body.receive, send)
        finally:
            body.give_back()
            self.in_flight -= 1
            if holder is not None:
                holder.in_flight -= 1

    def _known(self, guard: Guard, scope: HTTPScope, need: Need) -> Holder | None:
        """Return who asks, or ``None`` where that does not matter.

        Raises:
            Refusal: nobody who is known, or who may not ask this.
        """
        if scope["query_string"]:
            guard.check_query(scope["query_string"])
        if not need.mask:
            return None
        state = scope["state"]
        asked: Head = state["head"]
        holder = guard.holder(scope, asked)
        if not holder.mask & need.mask:
            raise forbidden(f"the key lacks the scope {need.scope}, which this asks for")
        state["principal"] = holder.name
        # Whoever says not for whom they ask is one asker, and sees one version of a model.
        asked.fields.setdefault(b"x-routing-key", holder.routing)
        return holder

    def _check_room(self, scope: HTTPScope, holder: Holder | None) -> None:
        """Refuse what there is no room for now.

        Raises:
            Refusal: 503, the server is full; 429, one key asks too much.
        """
        if self.in_flight >= self.most:
            detail = f"the server answers {self.most} requests already"
            raise too_many("room", detail, SOON, status=503)
        if holder is None:
            return
        if holder.in_flight >= self.most_of_one:
            detail = f"{self.most_of_one} requests of this key are under way already"
            raise too_many("share", detail, SOON)
        if holder.bucket is not None:
            wait = holder.bucket.take(scope["state"]["head"].came)
            if wait:
                detail = f"this key may ask {holder.bucket.rate:g} times a second"
                raise too_many("rate", detail, wait)

    async def _refuse(self, refusal: Refusal, need: Need, scope: HTTPScope, send: Send) -> None:
        """Answer with a refusal; the rest of a long body is not waited for."""
        self._refused[refusal.reason]()
        if need.template is not None:
            scope["path_template"] = need.template  # it is counted as what was asked for
        if refusal.status_code == 401 and page.is_for(scope):
            await page.send_page(send, refusal.status_code)
            return
        content = encoded(scope, refusal.status_code, refusal.detail)
        headers = dict(refusal.headers or {})
        if not _is_short(scope):
            headers["Connection"] = "close"
        await send_problem(send, refusal.status_code, content, headers)


def _is_short(scope: HTTPScope) -> bool:
    """Say whether the body of a request, which nobody reads, may still come."""
    if scope["method"] in ("GET", "HEAD", "OPTIONS", "DELETE"):
        return True
    length = scope["state"]["head"].fields.get(b"content-length", b"")
    return length.isdigit() and len(length) < 8 and int(length) <= SMALL
