"""Health, metadata and configuration, by the protocol."""

from typing import Any

from litestar import Response, get
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.params import FromPath

import mastery_jax
from mastery_jax.workflow.artifact import Tensor
from serving.errors import refusals
from serving.v2 import datatypes, target
from serving.v2.types import ModelConfig, ModelMetadata, ModelReady, ServerMetadata, TensorMetadata

__all__ = ["ROUTES"]

PLATFORM = "stablehlo"
TEXT = "text/plain"
EXTENSIONS = ["binary_tensor_data", "model_configuration", "model_repository", "statistics"]
MODEL = "/v2/models/{model:str}"
VERSION = MODEL + "/versions/{version:str}"


def _get(*paths: str, refused: tuple[int, ...] = (), **more: Any) -> Any:
    responses = refusals(*refused)
    return get(list(paths), tags=["v2"], sync_to_thread=False, responses=responses, **more)


@_get("/v2")
def server() -> ServerMetadata:
    """Say what the server is."""
    return ServerMetadata("mastery_jax", mastery_jax.__version__, EXTENSIONS)


@_get("/v2/health/live", media_type=TEXT)
def live() -> Response[bytes]:
    """Say that the server is alive."""
    return Response(b"", media_type=TEXT)


@get("/v2/health/ready", tags=["v2"], media_type=TEXT, responses=refusals(503))
async def ready(state: State) -> Response[bytes]:
    """Say whether requests should be sent here: 200, or 503 while a worker loads or stops."""
    if not await state.team.is_all_ready():
        raise HTTPException(
            "the server is not ready", status_code=503, headers={"Retry-After": "1"}
        )
    return Response(b"", media_type=TEXT)


@_get(f"{MODEL}/ready", f"{VERSION}/ready", refused=(400, 404, 503))
def model_ready(
    state: State, model: FromPath[str], version: FromPath[str | None] = None
) -> ModelReady:
    """Say whether a model answers: 200 or 503."""
    meant = target.find(state, model, version)
    if not meant.model.is_sound:
        raise HTTPException(f"model {model} does not answer", status_code=503)
    return ModelReady(model, True)


@_get(MODEL, VERSION, refused=(400, 404, 503))
def metadata(
    state: State, model: FromPath[str], version: FromPath[str | None] = None
) -> ModelMetadata:
    """Say what a model takes and gives."""
    meant = target.find(state, model, version)

    def types(tensors: dict[str, Tensor]) -> list[TensorMetadata]:
        return [
            TensorMetadata(name=n, datatype=datatypes.name(t.dtype), shape=[-1, *t.shape[1:]])
            for n, t in tensors.items()
        ]

    return ModelMetadata(
        name=model,
        versions=[str(number) for number in meant.served.versions],
        platform=PLATFORM,
        inputs=types(meant.method.spec.inputs),
        outputs=types(meant.method.spec.outputs),
        parameters={"methods": ",".join(meant.model.methods), "version": str(meant.model.version)},
    )


@_get(f"{MODEL}/config", f"{VERSION}/config", refused=(400, 404, 503))
def config(state: State, model: FromPath[str], version: FromPath[str | None] = None) -> ModelConfig:
    """Say how a model is served."""
    meant = target.find(state, model, version)

    def types(tensors: dict[str, Tensor]) -> list[dict[str, Any]]:
        return [
            {
                "name": name,
                "data_type": f"TYPE_{datatypes.name(tensor.dtype)}",
                "dims": list(tensor.shape[1:]),
            }
            for name, tensor in tensors.items()
        ]

    numbers = {"versions": list(meant.served.versions)}
    return ModelConfig(
        name=model,
        platform=PLATFORM,
        backend="mastery_jax",
        max_batch_size=meant.method.largest,
        input=types(meant.method.spec.inputs),
        output=types(meant.method.spec.outputs),
        dynamic_batching={"max_queue_delay_microseconds": 0} if meant.method.is_batched else {},
        version_policy={"specific": numbers},
    )


ROUTES = (server, live, ready, metadata, model_ready, config)
