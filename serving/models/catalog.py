"""The routes that list and reload the models."""

from litestar import get, post
from litestar.datastructures import State
from litestar.params import FromPath

import mastery_jax
from serving.errors import refusals
from serving.wire import ModelInfo, Models, Reloaded, Welcome

__all__ = ["ROUTES"]


@get("/", tags=["monitor"], sync_to_thread=False)
def welcome() -> Welcome:
    """Say what this is."""
    return Welcome("mastery_jax serves models", mastery_jax.__version__, "/docs")


@get("/models", tags=["models"], sync_to_thread=False)
def models(state: State) -> Models:
    """List every model that answers by its name, and every version that failed to load."""
    snapshot = state.registry.snapshot
    failed = [failure for failures in snapshot.failed.values() for failure in failures]
    answering = [served.info for served in snapshot.models.values() if served.lost is None]
    return Models(answering, failed)


@get("/models/{model_id:str}", tags=["models"], sync_to_thread=False, responses=refusals(404, 503))
def model(state: State, model_id: FromPath[str]) -> ModelInfo:
    """Describe one model, or one version of it: ``digits``, ``digits@canary``, ``digits@3``."""
    served, version = state.registry.find(model_id)
    return version.info if "@" in model_id else served.info


@post("/models/reload", tags=["models"], status_code=200, responses=refusals(409, 503))
async def reload(state: State) -> Reloaded:
    """Load new versions from the folder; the old ones answer until they are ready."""
    return await state.team.reload()


ROUTES = (welcome, models, model, reload)
