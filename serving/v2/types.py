"""What goes over the wire, as the protocol has it."""

from typing import Annotated, Any

import msgspec

__all__ = [
    "BatchStatistics",
    "Count",
    "IndexEntry",
    "IndexRequest",
    "InferRequest",
    "InferResponse",
    "InferenceStatistics",
    "LoadRequest",
    "ModelConfig",
    "ModelMetadata",
    "ModelReady",
    "ModelStatistics",
    "RequestInput",
    "RequestOutput",
    "ResponseOutput",
    "ServerMetadata",
    "Statistics",
    "TensorMetadata",
]

Parameter = str | int | float | bool
Parameters = dict[str, Parameter]
Size = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class RequestInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One input: its numbers, nested or flat, or how many bytes of the binary part it has."""

    name: str
    shape: list[Size]
    datatype: str
    parameters: Parameters = {}
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class RequestOutput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One output that is asked for."""

    name: str
    parameters: Parameters = {}


class InferRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The JSON part of a request."""

    id: str | msgspec.UnsetType = msgspec.UNSET
    parameters: Parameters = {}
    inputs: list[RequestInput]
    outputs: list[RequestOutput] = []


class ResponseOutput(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One output: its numbers, flat, or how many bytes of the binary part it has."""

    name: str
    datatype: str
    shape: list[int]
    parameters: Parameters | msgspec.UnsetType = msgspec.UNSET
    data: list[Any] | msgspec.UnsetType = msgspec.UNSET


class InferResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON part of an answer."""

    model_name: str
    model_version: str
    outputs: list[ResponseOutput]
    id: str | msgspec.UnsetType = msgspec.UNSET


class TensorMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """The type of one tensor; -1 is the number of rows."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """What a model takes and gives."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]
    parameters: dict[str, str] = {}


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How a model is served, in the words of Triton."""

    name: str
    platform: str
    backend: str
    max_batch_size: int
    input: list[dict[str, Any]]
    output: list[dict[str, Any]]
    dynamic_batching: dict[str, Any]
    version_policy: dict[str, Any]


class ModelReady(msgspec.Struct, frozen=True):
    """Whether a model answers."""

    name: str
    ready: bool


class ServerMetadata(msgspec.Struct, frozen=True):
    """What the server is, and which extensions it has."""

    name: str
    version: str
    extensions: list[str]


class Count(msgspec.Struct, frozen=True):
    """How often, and for how long in all."""

    count: int
    ns: int


class InferenceStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Where requests spent their time."""

    success: Count
    fail: Count
    queue: Count
    compute_input: Count
    compute_infer: Count
    compute_output: Count
    cache_hit: Count
    cache_miss: Count


class BatchStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """The batches of one size."""

    batch_size: int
    compute_input: Count
    compute_infer: Count
    compute_output: Count


class ModelStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """What one version has done since the server's start."""

    name: str
    version: str
    last_inference: int  # milliseconds since 1970; 0: none yet
    inference_count: int  # rows
    execution_count: int  # batches
    inference_stats: InferenceStatistics
    batch_stats: list[BatchStatistics]


class Statistics(msgspec.Struct, frozen=True):
    """What the versions that were asked for have done."""

    model_stats: list[ModelStatistics]


class IndexRequest(msgspec.Struct, frozen=True):
    """Which versions are listed."""

    ready: bool = False  # those alone that answer


class IndexEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One version of the repository."""

    name: str
    version: str
    state: str  # READY, UNAVAILABLE or LOADING
    reason: str


class LoadRequest(msgspec.Struct, frozen=True):
    """Parameters of a load or unload; none is read."""

    parameters: dict[str, Any] = {}
