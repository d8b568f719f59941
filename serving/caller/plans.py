"""The calls of the clients, as plans of requests.

Small inputs go as JSON by the guide's routes, large arrays as binary tensors: a float32 takes
four bytes there, and some twelve as text that both sides must spell.
"""

import copy
import itertools
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Self, TypeVar
from urllib.parse import quote

import numpy as np

from serving.caller import tensors
from serving.caller.ask import Ask, Numbers, ServingError, encoded, get, model_path, nothing, post
from serving.caller.patience import Call, Plan, send
from serving.caller.tensors import Inference
from serving.v2.types import IndexEntry, ModelMetadata, Statistics
from serving.wire import (
    Drift,
    Health,
    Judged,
    LiveAccuracy,
    ModelInfo,
    Models,
    Outputs,
    Prediction,
    Recorded,
    Reloaded,
    Truth,
)

__all__ = ["ROWS", "Plans", "Versions", "split"]

T = TypeVar("T")

LARGE = 2**16  # bytes of an array that goes in binary
ROWS = 4096  # of a part of a stream
READY = Ask("GET", "/v2/health/ready", nothing)


class Versions(NamedTuple):
    """The versions of a model that answer."""

    default: int  # that answers who asks for none
    versions: list[int]
    labels: dict[str, int]


class Plans:
    """What a client of one server can be asked for, and what it remembers of the models."""

    def __init__(
        self,
        url: str,
        *,
        timeout: float | None,
        retries: int,
        key: str | None,
        routing_key: str | None,
    ) -> None:
        if retries < 0:
            raise ValueError(f"retries is {retries}, not at least 0")
        if timeout is not None and not timeout > 0:
            raise ValueError(f"timeout is {timeout}, not more than 0 seconds")
        told = {"X-API-Key": key or os.environ.get("MASTERY_API_KEY"), "X-Routing-Key": routing_key}
        self._headers = {name: value for name, value in told.items() if value is not None}
        self._url, self._timeout, self._retries = url, timeout, retries
        self._types: dict[str, dict[str, str]] = {}  # path -> input -> datatype
        self._infos: dict[str, ModelInfo] = {}  # by name@version, which never changes

    def pinned(self) -> Self:
        """Return the same, for calls that one version answers where traffic is split."""
        one = copy.copy(self)
        one._headers = {"X-Routing-Key": secrets.token_hex(8), **self._headers}
        return one

    def begin(self) -> Call:
        """Begin a call."""
        return Call.begin(self._url, self._timeout, self._retries, self._headers)

    def ask(self, ask: Ask[T]) -> Plan[T]:
        """Send one request."""
        return send(ask, self.begin())

    def health(self) -> Plan[Health]:
        """Plan the call of this name; the clients say what each one is."""
        return self.ask(get("/health", Health))

    def models(self) -> Plan[Models]:
        """Plan the call of this name."""
        return self.ask(get("/models", Models))

    def model(self, name: str) -> Plan[ModelInfo]:
        """Plan the call of this name."""
        return self.ask(get(f"/models/{model_path(name)}", ModelInfo))

    def drift(self, name: str) -> Plan[Drift]:
        """Plan the call of this name."""
        return self.ask(get(f"/models/{model_path(name)}/drift", Drift))

    def feedback(self, prediction_id: str, truth: float | str, row: int) -> Plan[Judged]:
        """Plan the call of this name; said again, the truth is the same."""
        said = Truth(truth=truth, row=row)
        return self.ask(post(f"/predictions/{model_path(prediction_id, 'feedback')}", Judged, said))

    def accuracy(self, model: str, days: float) -> Plan[LiveAccuracy]:
        """Plan the call of this name."""
        return self.ask(get(f"/models/{model_path(model)}/accuracy?days={days}", LiveAccuracy))

    def predictions(self, model: str | None, limit: int) -> Plan[list[Recorded]]:
        """Plan the call of this name."""
        of = "" if model is None else f"&model={quote(model, '')}"
        return self.ask(get(f"/predictions?limit={limit}{of}", list[Recorded]))

    def versions(self, model: str) -> Plan[Versions]:
        """Plan the call of this name."""
        info = yield from self.model(model)
        return Versions(info.version, info.versions, info.labels)

    def ready(self, model: str | None) -> Plan[bool]:
        """Plan the call of this name; nobody who waits for a server wants it asked again."""
        ask = READY if model is None else READY._replace(path=f"{v2_path(model)}/ready")
        try:
            yield from send(ask, self.begin()._replace(retries=0))
        except ServingError as error:
            if error.status not in (None, 503):
                raise
            return False
        return True

    def reload(self) -> Plan[Reloaded]:
        """Plan the call of this name."""
        return self.ask(post("/models/reload", Reloaded, is_repeatable=False))

    def load(self, model: str) -> Plan[None]:
        """Plan the call of this name."""
        return self._manage(model, "load")

    def unload(self, model: str) -> Plan[None]:
        """Plan the call of this name."""
        return self._manage(model, "unload")

    def _manage(self, model: str, what: str) -> Plan[None]:
        path = f"/v2/repository/models/{model_path(model, what)}"
        return self.ask(Ask("POST", path, nothing, is_repeatable=False))

    def index(self) -> Plan[list[IndexEntry]]:
        """Plan the call of this name."""
        return self.ask(post("/v2/repository/index", list[IndexEntry]))

    def stats(self, model: str | None) -> Plan[Statistics]:
        """Plan the call of this name."""
        path = "/v2/models/stats" if model is None else f"{v2_path(model)}/stats"
        return self.ask(get(path, Statistics))

    def predict(self, features: Numbers, model: str | None) -> Plan[Prediction]:
        """Plan the call of this name."""
        return send(_prediction("/predict", features, model), self.begin())

    def predict_batch(self, features: Numbers, model: str | None) -> Plan[Prediction]:
        """Plan the call of this name."""
        call, start = self.begin(), time.perf_counter()
        if getattr(features, "nbytes", 0) >= LARGE:
            name = model
            if name is None:
                found = (yield from send(get("/models", Models), call)).models
                name = found[0].model_id if len(found) == 1 else None
            if name is not None:
                types = yield from self._types_of(v2_path(name), call)
                if types.keys() == {"features"}:
                    x = {"features": features}
                    answer = yield from self._infer(v2_path(name), x, call)
                    if "predictions" in answer.outputs:
                        return (yield from self._predicted(answer, call, start))
        return (yield from send(_prediction("/predict/batch", features, model), call))

    def _predicted(self, answer: Inference, call: Call, start: float) -> Plan[Prediction]:
        """Make of arrays what ``/predict/batch`` says of them."""
        name = f"{answer.model_id}@{answer.model_version}"
        info = self._infos.get(name)
        if info is None:
            info = yield from send(get(f"/models/{model_path(name)}", ModelInfo), call)
            self._infos[name] = info
        for output in ("predictions", "probabilities"):
            rows = np.isfinite(answer.outputs.get(output, np.zeros(1)))
            if not rows.all():
                row = rows.reshape(len(rows), -1).all(axis=1).argmin()
                detail = f"features: row {row} gives an answer that is not finite"
                raise ServingError(400, detail, call.request_id)
        codes = answer.outputs["predictions"].tolist()
        probabilities = answer.outputs.get("probabilities")
        return Prediction(
            predictions=codes,
            probabilities=None if probabilities is None else probabilities.tolist(),
            labels=[info.classes[code] for code in codes] if info.classes else None,
            model_type=info.model_type,
            model_id=answer.model_id,
            model_version=answer.model_version,
            processing_time=time.perf_counter() - start,
            prediction_id=answer.prediction_id,
        )

    def call(self, model: str, name: str, inputs: Mapping[str, Numbers]) -> Plan[Outputs]:
        """Plan the call of this name."""
        body = {"inputs": {field: encoded(field, numbers) for field, numbers in inputs.items()}}
        return self.ask(post(f"/models/{model_path(model, name)}", Outputs, body))

    def infer(
        self,
        model: str,
        method: str | None,
        version: int | str | None,
        inputs: Mapping[str, Numbers],
    ) -> Plan[Inference]:
        """Plan the call of this name."""
        path = v2_path(model if method is None else f"{model}:{method}")
        if version is not None:
            path += f"/versions/{model_path(str(version))}"
        return self._infer(path, inputs, self.begin())

    def _infer(self, path: str, inputs: Mapping[str, Numbers], call: Call) -> Plan[Inference]:
        types = yield from self._types_of(path, call)
        if inputs.keys() != types.keys():
            came = ", ".join(inputs) or "none"
            detail = f"inputs: {came} came, wanted {', '.join(types)}"
            raise ServingError(400, detail, call.request_id)
        x = {name: tensors.fit(name, numbers, types[name]) for name, numbers in inputs.items()}
        content, headers = tensors.encode(x, call.request_id)
        try:
            ask = Ask("POST", f"{path}/infer", tensors.decode, content, headers)
            return (yield from send(ask, call))
        except ServingError as error:
            if error.status in (400, 404):  # it may have another version by now
                self._types.pop(path, None)
            raise

    def _types_of(self, path: str, call: Call) -> Plan[dict[str, str]]:
        """Return the types of a method's inputs; asked for once."""
        if path not in self._types:
            metadata = yield from send(get(path, ModelMetadata), call)
            self._types[path] = {tensor.name: tensor.datatype for tensor in metadata.inputs}
        return self._types[path]


def v2_path(model: str) -> str:
    """Return the path of a model by the protocol."""
    return f"/v2/models/{model_path(model)}"


def _prediction(path: str, features: Numbers, model: str | None) -> Ask[Prediction]:
    body = {"features": encoded("features", features), "model_name": model}
    return post(path, Prediction, body)


def split(features: Any, size: int) -> Iterator[Any]:
    """Return rows in parts: slices of what can be sliced, lists of what can only be passed.

    Raises:
        ValueError: the parts would have no rows.
    """
    if size < 1:
        raise ValueError(f"size is {size}, not at least 1")
    if hasattr(features, "__getitem__") and hasattr(features, "__len__"):
        return (features[i : i + size] for i in range(0, len(features), size))
    rows = iter(features)
    return iter(lambda: list(itertools.islice(rows, size)), [])
