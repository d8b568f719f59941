"""The routes that begin and end a session."""

import msgspec
from litestar import Response, delete, post
from litestar.datastructures import Cookie, State
from litestar.exceptions import HTTPException, NotFoundException
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody
from litestar.types import ASGIApp, Receive, Scope, Send

from serving.access.guard import Guard
from serving.access.refusal import too_many, unknown
from serving.access.ring import Holder
from serving.access.session import COOKIE, CSRF_COOKIE
from serving.errors import REFUSALS, malformed
from serving.predict.head import Head, head
from serving.predict.raw import read_body, respond

__all__ = ["ROUTES", "Login", "Session"]

MOST_BYTES = 4096  # of a body that holds a key
BROWSER = {b"origin", b"sec-fetch-site"}  # what browsers send with what a page has them ask


class Login(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who wants a session."""

    key: str


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A session; its cookie is beside it, where no script reads it."""

    name: str  # of the key
    scopes: list[str]
    csrf_token: str  # to be sent as X-CSRF-Token with every POST
    seconds: int  # until it ends


_DECODER = msgspec.json.Decoder(Login)


def admitted(guard: Guard | None, scope: Scope, asked: Head) -> Guard:
    """Return the guard, if this server has sessions and the address may try a key.

    Raises:
        HTTPException: 404, the server is open; 415, a form of another site could have made a
            browser send it; 429, the address has tried too often.
    """
    if guard is None:
        raise NotFoundException("this server asks for no keys, so it has no sessions")
    fields = dict(scope["headers"])
    kind = fields.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind != b"application/json" and not BROWSER.isdisjoint(fields):
        detail = "Content-Type: application/json is wanted of a browser"
        raise HTTPException(detail, status_code=415)
    wait = guard.logins.take(guard.addresses.of(scope), asked.came)
    if wait:
        raise too_many("login", "this address has tried too many keys", wait)
    return guard


def read(guard: Guard, body: bytes) -> Holder:
    """Return the holder of the key in a body.

    Raises:
        HTTPException: 400, it is no such body; 401, nobody holds the key.
    """
    try:
        key = _DECODER.decode(body).key
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(error, body=body, kind=Login) from None
    holder = guard.ring.find(key.encode("utf-8", "replace"))
    if holder is None:
        raise unknown()
    return holder


class Begin:
    """An ASGI application that stands in place of Litestar's handling of the route."""

    def __init__(self, app: ASGIApp) -> None:
        pass

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        state, asked = scope["litestar_app"].state, head(scope)
        try:
            guard = admitted(state.guard, scope, asked)
            body = await read_body(receive, asked, MOST_BYTES, state.settings.body_seconds)
            if body is None:
                return
            holder = read(guard, body)
        except HTTPException as error:
            reason = getattr(error, "reason", None)
            if reason is not None:
                state.metrics.refused(reason)()
            raise
        token, csrf = guard.sessions.begin(holder)
        answer = Session(
            name=holder.name,
            scopes=list(holder.key.scopes),
            csrf_token=csrf,
            seconds=guard.sessions.seconds,
        )
        headers = [
            (b"content-type", b"application/json"),
            (b"cache-control", b"no-store"),
            *(one.to_encoded_header() for one in cookies(guard, token, csrf, answer.seconds)),
        ]
        await respond(send, msgspec.json.encode(answer), headers)


def cookies(guard: Guard | None, token: str, csrf: str, seconds: int) -> list[Cookie]:
    """Return the cookies of a session: one for the server alone, one for the page to send back."""
    is_secure = guard is not None and guard.is_secure
    return [
        Cookie(
            name,
            value=value,
            path="/",
            max_age=seconds,
            secure=is_secure,
            httponly=name == COOKIE,
            samesite="strict",
        )
        for name, value in ((COOKIE, token), (CSRF_COOKIE, csrf))
    ]


@post(
    "/session",
    status_code=200,
    sync_to_thread=False,
    tags=["access"],
    middleware=[Begin],
    responses={status: REFUSALS[status] for status in (400, 401, 404, 408, 413, 415, 429)},
)
def begin(data: JSONBody[Login]) -> Session:
    """Begin a session: the key is sent once, and a cookie stands for it afterwards."""
    raise RuntimeError("Begin answers in its place")


@delete(
    "/session",
    sync_to_thread=False,
    tags=["access"],
    responses={204: ResponseSpec(None, description="The session is over")},
)
def end(state: State) -> Response[None]:
    """End a session: the browser forgets its cookies."""
    return Response(None, status_code=204, cookies=cookies(state.guard, "", "", 0))


ROUTES = (begin, end)
