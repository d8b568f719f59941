"""The routes that list and reload the models."""

import asyncio

from litestar import get, post
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.params import FromPath

import mastery_jax
from mastery_jax.workflow.errors import ArtifactError
from serving.wire import ModelInfo, Models, Reloaded, Welcome

__all__ = ["model", "models", "reload", "welcome"]


@get("/", tags=["monitor"], sync_to_thread=False)
def welcome() -> Welcome:
    """Say what this is."""
    return Welcome("mastery_jax serves models", mastery_jax.__version__, "/docs")


@get("/models", tags=["models"], sync_to_thread=False)
def models(state: State) -> Models:
    """List every model that answers, with its methods, and every version that failed to load."""
    snapshot = state.registry.snapshot
    return Models([m.info for m in snapshot.models.values()], list(snapshot.failed))


@get("/models/{model_id:str}", tags=["models"], sync_to_thread=False)
def model(state: State, model_id: FromPath[str]) -> ModelInfo:
    """Describe one model: its version, methods, inputs and outputs."""
    return state.registry.find(model_id).info


@post("/models/reload", tags=["models"], status_code=200)
async def reload(state: State) -> Reloaded:
    """Load new versions from the folder; the old ones answer until they are ready."""
    try:
        # A client that goes away must not cancel what others wait for.
        return await asyncio.shield(asyncio.wrap_future(state.registry.reload()))
    except ArtifactError as error:
        raise HTTPException(str(error), status_code=409) from None
