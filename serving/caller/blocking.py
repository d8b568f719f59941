"""The client whose calls wait for their answers."""

import time
from collections.abc import Iterable, Iterator
from typing import Any, Self, TypeVar

import httpx

from serving.caller.ask import Numbers
from serving.caller.bounded import bound, within
from serving.caller.patience import Plan, Wait
from serving.caller.plans import ROWS, Plans, Versions, split
from serving.caller.tensors import Inference
from serving.v2.types import IndexEntry, Statistics
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
)

__all__ = ["Client"]

T = TypeVar("T")


class Client:
    """Connections to a server, kept open; each call waits for its answer.

    Every method raises :class:`ServingError` when the server refuses or does not answer.

    Args:
        url: ``http://host:port``.
        timeout: Seconds for a call, whatever it takes; the server is told, and computes nothing
            for whom it would be late. None: no limit.
        retries: How often a request is sent again that was not computed (503, 429, no
            connection), or that may be computed twice.
        key: That the server asks for; by default what MASTERY_API_KEY holds.
        routing_key: Who asks, for traffic that sticks to a version.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float | None = 10.0,
        retries: int = 3,
        key: str | None = None,
        routing_key: str | None = None,
    ) -> None:
        self._plans = Plans(url, timeout=timeout, retries=retries, key=key, routing_key=routing_key)
        self._http = bound(httpx.Client(base_url=url, timeout=timeout))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _follow(self, plan: Plan[T]) -> T:
        came = None
        while True:
            try:
                step = plan.send(came)
            except StopIteration as done:
                return done.value
            if isinstance(step, Wait):
                time.sleep(step.seconds)
                came = None
                continue
            try:
                with within(step.timeout):
                    came = self._http.request(
                        step.verb,
                        step.path,
                        content=step.content,
                        headers=step.headers,
                        timeout=step.timeout,
                    )
            except httpx.RequestError as error:
                came = error

    def health(self) -> Health:
        """Ask whether the server is alive, and how many models it has."""
        return self._follow(self._plans.health())

    def ready(self, model: str | None = None) -> bool:
        """Ask whether the server, or one model, answers; False where there is no server."""
        return self._follow(self._plans.ready(model))

    def models(self) -> Models:
        """Ask for every model."""
        return self._follow(self._plans.models())

    def model(self, name: str) -> ModelInfo:
        """Ask what one model takes and gives."""
        return self._follow(self._plans.model(name))

    def versions(self, model: str) -> Versions:
        """Ask which versions of a model answer, and where its labels are."""
        return self._follow(self._plans.versions(model))

    def index(self) -> list[IndexEntry]:
        """Ask for the state of every version in the folder."""
        return self._follow(self._plans.index())

    def stats(self, model: str | None = None) -> Statistics:
        """Ask what all models, or the versions of one, have done."""
        return self._follow(self._plans.stats(model))

    def drift(self, name: str) -> Drift:
        """Ask how far inputs and predictions of a model have shifted."""
        return self._follow(self._plans.drift(name))

    def feedback(self, prediction_id: str, truth: float | str, *, row: int = 0) -> Judged:
        """Say what was true of one row of a recorded prediction: a label, a code or a value."""
        return self._follow(self._plans.feedback(prediction_id, truth, row))

    def accuracy(self, model: str, *, days: float = 7.0) -> LiveAccuracy:
        """Ask how predictions agree with the truth that was sent, by version."""
        return self._follow(self._plans.accuracy(model, days))

    def predictions(self, model: str | None = None, *, limit: int = 100) -> list[Recorded]:
        """Ask for what was recorded, the newest first."""
        return self._follow(self._plans.predictions(model, limit))

    def reload(self) -> Reloaded:
        """Have new versions loaded."""
        return self._follow(self._plans.reload())

    def load(self, model: str) -> None:
        """Have one model loaded, or loaded again."""
        return self._follow(self._plans.load(model))

    def unload(self, model: str) -> None:
        """Let one model answer no more, until it is loaded again."""
        return self._follow(self._plans.unload(model))

    def predict(self, features: Numbers, model: str | None = None) -> Prediction:
        """Predict for one row of features; without a name, by the only model."""
        return self._follow(self._plans.predict(features, model))

    def predict_batch(self, features: Numbers, model: str | None = None) -> Prediction:
        """Predict for rows of features; a large array goes in binary."""
        return self._follow(self._plans.predict_batch(features, model))

    def call(self, model: str, name: str, /, **inputs: Numbers) -> Outputs:
        """Call any method of a model; the first axis of each input is the row."""
        return self._follow(self._plans.call(model, name, inputs))

    def infer(
        self,
        model: str,
        /,
        method: str | None = None,
        version: int | str | None = None,
        **inputs: Numbers,
    ) -> Inference:
        """Call a method with arrays for arrays, in binary; by default the one that predicts."""
        return self._follow(self._plans.infer(model, method, version, inputs))

    def stream(
        self, features: Numbers | Iterable[Any], model: str | None = None, *, size: int = ROWS
    ) -> Iterator[Prediction]:
        """Predict for any number of rows, ``size`` at a time; nothing is held but one part.

        One version answers, unless it goes meanwhile.
        """
        plans = self._plans.pinned()
        parts = split(features, size)
        return (self._follow(plans.predict_batch(part, model)) for part in parts)
