"""The client whose calls are awaited."""

import asyncio
import collections
from collections.abc import AsyncIterator, Iterable
from typing import Any, Self, TypeVar

import httpx

from serving.caller.ask import Numbers
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

__all__ = ["AsyncClient"]

T = TypeVar("T")
AT_ONCE = 64  # requests under way; httpx slows down where more wait for its connections


class AsyncClient:
    """The same as :class:`~serving.client.Client`, for ``await``."""

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
        self._http = httpx.AsyncClient(base_url=url, timeout=timeout)
        self._room = asyncio.Semaphore(AT_ONCE)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _follow(self, plan: Plan[T]) -> T:
        came = None
        while True:
            try:
                step = plan.send(came)
            except StopIteration as done:
                return done.value
            if isinstance(step, Wait):
                await asyncio.sleep(step.seconds)
                came = None
                continue
            try:
                async with asyncio.timeout(step.timeout), self._room:
                    came = await self._http.request(
                        step.verb,
                        step.path,
                        content=step.content,
                        headers=step.headers,
                        timeout=step.timeout,
                    )
            except TimeoutError:
                came = httpx.ReadTimeout("timed out")
            except httpx.RequestError as error:
                came = error

    async def health(self) -> Health:
        """Ask whether the server is alive, and how many models it has."""
        return await self._follow(self._plans.health())

    async def ready(self, model: str | None = None) -> bool:
        """Ask whether the server, or one model, answers; False where there is no server."""
        return await self._follow(self._plans.ready(model))

    async def models(self) -> Models:
        """Ask for every model."""
        return await self._follow(self._plans.models())

    async def model(self, name: str) -> ModelInfo:
        """Ask what one model takes and gives."""
        return await self._follow(self._plans.model(name))

    async def versions(self, model: str) -> Versions:
        """Ask which versions of a model answer, and where its labels are."""
        return await self._follow(self._plans.versions(model))

    async def index(self) -> list[IndexEntry]:
        """Ask for the state of every version in the folder."""
        return await self._follow(self._plans.index())

    async def stats(self, model: str | None = None) -> Statistics:
        """Ask what all models, or the versions of one, have done."""
        return await self._follow(self._plans.stats(model))

    async def drift(self, name: str) -> Drift:
        """Ask how far inputs and predictions of a model have shifted."""
        return await self._follow(self._plans.drift(name))

    async def feedback(self, prediction_id: str, truth: float | str, *, row: int = 0) -> Judged:
        """Say what was true of one row of a recorded prediction: a label, a code or a value."""
        return await self._follow(self._plans.feedback(prediction_id, truth, row))

    async def accuracy(self, model: str, *, days: float = 7.0) -> LiveAccuracy:
        """Ask how predictions agree with the truth that was sent, by version."""
        return await self._follow(self._plans.accuracy(model, days))

    async def predictions(self, model: str | None = None, *, limit: int = 100) -> list[Recorded]:
        """Ask for what was recorded, the newest first."""
        return await self._follow(self._plans.predictions(model, limit))

    async def reload(self) -> Reloaded:
        """Have new versions loaded."""
        return await self._follow(self._plans.reload())

    async def load(self, model: str) -> None:
        """Have one model loaded, or loaded again."""
        return await self._follow(self._plans.load(model))

    async def unload(self, model: str) -> None:
        """Let one model answer no more, until it is loaded again."""
        return await self._follow(self._plans.unload(model))

    async def predict(self, features: Numbers, model: str | None = None) -> Prediction:
        """Predict for one row of features; without a name, by the only model."""
        return await self._follow(self._plans.predict(features, model))

    async def predict_batch(self, features: Numbers, model: str | None = None) -> Prediction:
        """Predict for rows of features; a large array goes in binary."""
        return await self._follow(self._plans.predict_batch(features, model))

    async def call(self, model: str, name: str, /, **inputs: Numbers) -> Outputs:
        """Call any method of a model; the first axis of each input is the row."""
        return await self._follow(self._plans.call(model, name, inputs))

    async def infer(
        self,
        model: str,
        /,
        method: str | None = None,
        version: int | str | None = None,
        **inputs: Numbers,
    ) -> Inference:
        """Call a method with arrays for arrays, in binary; by default the one that predicts."""
        return await self._follow(self._plans.infer(model, method, version, inputs))

    async def stream(
        self,
        features: Numbers | Iterable[Any],
        model: str | None = None,
        *,
        size: int = ROWS,
        in_flight: int = 4,
    ) -> AsyncIterator[Prediction]:
        """Predict for any number of rows, in their order; ``in_flight`` parts are asked at once.

        One version answers, unless it goes meanwhile.
        """
        plans = self._plans.pinned()
        flying: collections.deque[asyncio.Task[Prediction]] = collections.deque()
        try:
            for part in split(features, size):
                flying.append(asyncio.ensure_future(self._follow(plans.predict_batch(part, model))))
                if len(flying) >= in_flight:
                    yield await flying.popleft()
            while flying:
                yield await flying.popleft()
        finally:  # it failed, or nobody wants the rest
            for task in flying:
                task.cancel()
            await asyncio.gather(*flying, return_exceptions=True)
