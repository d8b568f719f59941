"""Which versions there are, answering or not; load and unload."""

import asyncio
from typing import Any, TypeVar

import msgspec
from litestar import Request, Response, post
from litestar.datastructures import State
from litestar.exceptions import ClientException, HTTPException, NotFoundException
from litestar.params import FromPath

from mastery_jax.workflow import artifact
from mastery_jax.workflow.errors import ArtifactError
from serving.errors import malformed, refusals, shown
from serving.models.registry import Registry
from serving.predict.head import head
from serving.predict.raw import read_body
from serving.v2.types import IndexEntry, IndexRequest, LoadRequest

__all__ = ["ROUTES"]

T = TypeVar("T")
LONGEST = 2**16  # bytes of a body of which little is read
CHANGES: Any = {
    "status_code": 200,
    "tags": ["v2"],
    "media_type": "text/plain",
    "responses": refusals(400, 404, 408, 409, 413, 503),
}


async def optional(state: State, request: Request, kind: type[T]) -> T:
    """Return the body of a request that may have none.

    Raises:
        HTTPException: 400, it is not what was wanted; 408, it did not come in time; 413, it is
            too large.
    """
    seconds = state.settings.body_seconds
    content = await read_body(request.receive, head(request.scope), LONGEST, seconds)
    if content is None:
        raise ClientException("the client went away")
    try:
        return msgspec.json.decode(content or b"{}", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(error) from None


@post("/v2/repository/index", status_code=200, tags=["v2"], responses=refusals(400, 408, 409, 413))
async def index(state: State, request: Request) -> list[IndexEntry]:
    """List the versions of the folder."""
    asked = await optional(state, request, IndexRequest)
    loop = asyncio.get_running_loop()
    try:
        found, _ = await loop.run_in_executor(None, artifact.versions, state.settings.models)
    except ArtifactError as error:
        raise HTTPException(str(error), status_code=409) from None
    return [
        entry
        for name, versions in found.items()
        for entry in _entries(state.registry, name, versions)
        if entry.state == "READY" or not asked.ready
    ]


def _entries(registry: Registry, name: str, versions: tuple[int, ...]) -> list[IndexEntry]:
    """Return the state of each version of one model, and the reason of those that do not answer."""
    snapshot = registry.snapshot
    served = snapshot.models.get(name)
    failures = snapshot.failed.get(name, ())
    found = []
    for version in versions:
        reasons = [f.reason for f in failures if f.version in (version, None)]
        if served is not None and version in served.versions:
            state, reason = "READY", ""
        elif (name, version) in registry.loading:
            state, reason = "LOADING", ""
        elif registry.words.is_unloaded(name):
            state, reason = "UNAVAILABLE", "unloaded"
        else:
            state, reason = "UNAVAILABLE", "; ".join(reasons) or "not asked for by serving.json"
        found.append(IndexEntry(name=name, version=str(version), state=state, reason=reason))
    return found


@post("/v2/repository/models/{model:str}/load", **CHANGES)
async def load(state: State, request: Request, model: FromPath[str]) -> Response[bytes]:
    """Load what is new of one model; the old versions answer meanwhile, and go on if it fails."""
    await optional(state, request, LoadRequest)
    await _known(state, model)
    change = await state.team.load(model)
    if change.failed:
        reasons = "; ".join(f"{f.version or '*'}: {f.reason}" for f in change.failed)
        raise HTTPException(f"model {shown(model)}: {reasons}", status_code=409)
    return Response(b"", media_type="text/plain")


@post("/v2/repository/models/{model:str}/unload", **CHANGES)
async def unload(state: State, request: Request, model: FromPath[str]) -> Response[bytes]:
    """Let a model answer no more until it is loaded again; requests under way are answered."""
    await optional(state, request, LoadRequest)
    await _known(state, model)
    await state.team.unload(model)
    return Response(b"", media_type="text/plain")


async def _known(state: State, model: str) -> None:
    """Refuse a name that no folder has: nothing is made of it.

    Raises:
        NotFoundException: there is none.
    """
    loop = asyncio.get_running_loop()
    found, _ = await loop.run_in_executor(None, artifact.versions, state.settings.models)
    if model not in found and model not in state.registry.snapshot.models:
        raise NotFoundException(f"model {shown(model)} is not in the folder of models")


ROUTES = (index, load, unload)
