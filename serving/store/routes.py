"""The routes of feedback, of records and of live accuracy."""

import asyncio
import contextlib
import functools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec
from litestar import get, post
from litestar.datastructures import State
from litestar.exceptions import ClientException, HTTPException, NotFoundException
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.types import ASGIApp, Receive, Scope, Send

from serving.errors import REFUSALS, malformed, only, shown
from serving.predict.head import head
from serving.predict.raw import JSON, read_body, respond
from serving.store.log import Log, unreachable
from serving.store.names import check_id
from serving.store.records import check_text
from serving.wire import Judged, LiveAccuracy, Recorded, Truth, VersionAccuracy

if TYPE_CHECKING:
    import sqlalchemy as sa

__all__ = ["ROUTES", "flush"]

PATIENCE = 10.0  # seconds for the database
LONGEST = 4096  # bytes of a feedback
MOST, USUAL = 1000, 100  # predictions in a list
DAY = 86_400.0
DAYS, WEEK = 3650.0, 7.0

T = TypeVar("T")
_decode = msgspec.json.Decoder(Truth).decode


async def answered(state: State, run: Callable[..., T], *, reads: bool) -> T:
    """Return what the database says.

    Raises:
        HTTPException: 404, predictions are not recorded here; 503, the database does not answer.
    """
    log: Log | None = state.log
    if log is None:
        raise NotFoundException("this server records no predictions: it has no store")
    try:
        async with asyncio.timeout(PATIENCE):
            return await asyncio.wrap_future(log.ask(run, reads=reads))
    except TimeoutError:
        raise unreachable() from None


async def flush(log: Log | None) -> None:
    """Have all that was recorded here so far in the database, if it can be had."""
    if log is not None:
        with contextlib.suppress(HTTPException):
            await asyncio.wrap_future(log.ask(lambda _: None, reads=True))


async def judged(state: State, run: Callable[..., Judged]) -> Judged:
    """Keep a truth; what is not there may still wait in another worker.

    Raises:
        HTTPException: as :func:`answered`, or what ``run`` raises.
    """
    try:
        return await answered(state, run, reads=False)
    except NotFoundException:
        if state.log is None or state.team.count == 1:
            raise
    await state.team.everyone("record")
    return await answered(state, run, reads=False)


class Feedback:
    """An ASGI application that stands in place of Litestar's handling of the route.

    The framework's decoder would take the label ``"3"`` for the code 3.
    """

    def __init__(self, app: ASGIApp) -> None:
        pass

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        state = scope["litestar_app"].state
        name = check_id(scope["path_params"]["prediction_id"])
        content = await read_body(receive, head(scope), LONGEST, state.settings.body_seconds)
        if content is None:
            return
        try:
            said = _decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise malformed(error, body=content, kind=Truth) from None
        if isinstance(said.truth, str):
            check_text("truth", said.truth)
        from serving.store import queries

        run = functools.partial(
            queries.judge, snapshot=state.registry.snapshot, name=name, said=said
        )
        await respond(send, msgspec.json.encode(await judged(state, run)), JSON)


@post(
    "/predictions/{prediction_id:str}/feedback",
    status_code=200,
    sync_to_thread=False,
    tags=["predictions"],
    middleware=[Feedback],
    responses=REFUSALS | {200: ResponseSpec(Judged, description="The truth was kept")},
)
def feedback(data: JSONBody[Truth], prediction_id: FromPath[str]) -> Judged:
    """Say what was true of one row of a prediction; a second truth replaces the first."""
    raise RuntimeError("Feedback answers in its place")


@get(
    "/predictions",
    tags=["predictions"],
    responses=REFUSALS,
    before_request=only("model", "limit"),
)
async def recorded(
    state: State,
    model: Annotated[str | None, QueryParameter(description="Of this model only")] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=MOST, description="At most so many")] = USUAL,
) -> list[Recorded]:
    """List the predictions that are recorded, the newest first."""
    if model is not None:
        check_text("model", model)

    def run(connection: "sa.Connection") -> list[Recorded]:
        from serving.store import queries

        return queries.newest(connection, model, limit)

    if state.team.count > 1:
        await state.team.everyone("record")
    return await answered(state, run, reads=True)


@get(
    "/models/{model_id:str}/accuracy",
    tags=["predictions"],
    responses=REFUSALS,
    before_request=only("days"),
)
async def accuracy(
    state: State,
    model_id: FromPath[str],
    days: Annotated[float, QueryParameter(gt=0, le=DAYS, description="How far back")] = WEEK,
) -> LiveAccuracy:
    """Say how the predictions of a model agree with the truth that was sent, by version."""
    check_text("model", model_id)
    if not 0 < days <= DAYS:  # NaN passes for neither below nor above
        raise ClientException(f"days: {days} came, wanted a number up to {DAYS:g}")

    def run(connection: "sa.Connection") -> list:
        from serving.store import queries

        return queries.agreements(connection, since=time.time() - days * DAY, model=model_id)

    found = await answered(state, run, reads=True)
    if not found and model_id not in state.registry.snapshot.models:
        raise NotFoundException(f"model {shown(model_id)} is not loaded, and has no feedback")
    versions = [
        VersionAccuracy(
            model_version=each.version,
            rows=each.rows,
            accuracy=each.accuracy if each.is_class else None,
            rmse=None if each.is_class else each.rmse,
        )
        for each in found
    ]
    return LiveAccuracy(model_id=model_id, days=days, versions=versions)


ROUTES = (feedback, recorded, accuracy)
