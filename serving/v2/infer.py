"""The routes that compute, by the protocol."""

import functools
import math
from collections.abc import Mapping
from typing import NamedTuple

import msgspec
from litestar import post
from litestar.datastructures import State
from litestar.exceptions import ClientException
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, JSONBody
from litestar.types import Receive, Scope, Send

from mastery_jax.workflow.stablehlo import Arrays
from serving.engine.batcher import Outputs
from serving.errors import REFUSALS
from serving.predict.head import Head, head
from serving.predict.raw import LARGE, finish, read_body, respond, turn, weight
from serving.predict.shadow import shadowed
from serving.predict.simple import limited
from serving.v2 import body, target, tensors
from serving.v2.types import InferRequest, InferResponse

__all__ = ["BY_PATH", "ROUTES"]

LENGTH = b"inference-header-content-length"
SQUEEZED = LARGE // 4  # bytes of outputs that are worth a thread: compressing them takes some 3 ms


class Question(NamedTuple):
    """A request that has been read and checked."""

    meant: target.Target
    x: Arrays
    wanted: Mapping[str, bool]  # output -> whether it is answered in binary
    id: str | msgspec.UnsetType  # of the request, if it has one: it comes back
    deadline: float  # on the monotonic clock


def ask(content: bytes, asked: Head, scope: Scope, most: int) -> Question:
    """Read and check a request.

    Raises:
        HTTPException: it is not what the protocol or the model says.
    """
    state: State = scope["litestar_app"].state
    path = scope["path_params"]
    meant = target.find(state, path["model"], path.get("version"), asked.routing_key)
    whole = body.decompress(content, asked, most)
    json, binary = body.split(whole, asked, state.settings.max_body)
    if json is None:
        x = tensors.read_raw(meant.method, binary)
        wanted = tensors.wanted(None, meant.method)
        return Question(meant, x, wanted, msgspec.UNSET, asked.deadline)
    request = tensors.decode_request(json)
    x = tensors.read(request, meant.method, binary)
    deadline = min(asked.deadline, asked.end(_timeout(request) / 1e6))
    return Question(meant, x, tensors.wanted(request, meant.method), request.id, deadline)


def _timeout(request: InferRequest) -> float:
    """Return the microseconds that a request gives itself; 0 is no limit."""
    value = request.parameters.get("timeout", 0)
    if type(value) is not int or value < 0:
        raise ClientException(f"parameters: timeout is {value!r}, not a number of microseconds")
    return value or math.inf


def is_work(question: Question, outputs: Outputs, accepted: bytes) -> bool:
    """Say whether encoding an answer, and compressing it, is worth a thread."""
    size = weight({name: outputs[name] for name in question.wanted})
    is_binary = any(question.wanted.values())
    return size >= LARGE or (
        size >= SQUEEZED and body.coding(accepted, is_binary=is_binary) is not None
    )


def reply(question: Question, outputs: Outputs, accepted: bytes) -> tuple[bytes, list]:
    """Return the body of an answer, and its headers."""
    said, parts = tensors.write(outputs, question.wanted)
    name, model = question.meant.served.name, question.meant.model
    if question.meant.name != model.default:
        name = f"{name}{target.SEPARATOR}{question.meant.name}"
    content = msgspec.json.encode(
        InferResponse(
            model_name=name, model_version=str(model.version), outputs=said, id=question.id
        )
    )
    headers = [(b"content-type", b"application/json")]
    if parts:
        headers = [
            (b"content-type", b"application/octet-stream"),
            (LENGTH, b"%d" % len(content)),
        ]
        content = b"".join([content, *parts])
    content, encoding = body.compress(content, accepted, is_binary=bool(parts))
    if encoding is not None:
        headers.append((b"content-encoding", encoding))
    return content, headers


class Infer:
    """An ASGI application that stands in place of Litestar's handling of the route."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        state, asked = scope["litestar_app"].state, head(scope)
        settings, workers = state.settings, state.workers
        most = body.limit(asked, settings.max_body, settings.max_binary)
        content = await read_body(receive, asked, most, settings.body_seconds)
        if content is None:
            return
        is_compressed = b"content-encoding" in asked.fields
        begin = functools.partial(ask, content, asked, scope, most)
        question = await turn(is_compressed or len(content) >= LARGE, workers, begin)
        meant, x = question.meant, question.x
        if is_compressed:  # it may be many times what came
            scope["state"]["body"].take(weight(x))
        scope["state"]["asked"] = meant.method.name  # for the log and the traces
        answers = state.cache.over(meant.served, meant.model, meant.name, meant.method)
        work = limited(settings, meant.method, x, lambda outputs: outputs, answers)
        outputs = await finish(work, question.deadline, receive)
        if outputs is None:
            return
        accepted = asked.fields.get(b"accept-encoding", b"")
        is_long = is_work(question, outputs, accepted)
        end = functools.partial(reply, question, outputs, accepted)
        content, headers = await turn(is_long, workers, end)
        if state.log is not None:
            request_id = scope["state"]["request_id"]
            recorded = state.log.record(
                meant.served, meant.model, meant.name, request_id, work.rows, x, outputs
            )
            if recorded is not None:
                headers.append((b"x-prediction-id", recorded.encode()))
        await respond(send, content, headers)
        then = shadowed(meant.served, meant.model, meant.name, x)
        if then is not None:
            then(outputs)


ANSWER = Infer()


@post(
    [
        "/v2/models/{model:str}/infer",
        "/v2/models/{model:str}/versions/{version:str}/infer",
    ],
    status_code=200,
    sync_to_thread=False,
    tags=["v2"],
    middleware=[lambda app: ANSWER],
    responses=REFUSALS | {200: ResponseSpec(InferResponse, description="The outputs")},
)
def infer(
    data: JSONBody[InferRequest], model: FromPath[str], version: FromPath[str | None] = None
) -> InferResponse:
    """Compute the outputs of a model's method: JSON, or JSON and binary tensors."""
    raise RuntimeError("Infer answers in its place")


ROUTES = (infer,)
BY_PATH = {"/v2/models/{model}/infer": ANSWER}
