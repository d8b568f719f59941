"""The server's routes from Python: typed answers, one kind of error, NumPy arrays welcome.

with Client("http://127.0.0.1:8000") as client:
    answer = client.predict([5.1, 3.5, 1.4, 0.2], model="iris")
    answer.labels, answer.probabilities
"""

import os
from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, Self, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from mastery_jax.workflow.errors import UserError
from serving.wire import Health, ModelInfo, Models, Outputs, Prediction, Problem, Reloaded

__all__ = ["AsyncClient", "Client", "ServingError"]

T = TypeVar("T", bound=msgspec.Struct)
Numbers = Sequence[float] | Any  # a list, nested lists, a NumPy or a jax array


class ServingError(UserError):
    """A request that was not answered as asked.

    Attributes:
        status: The HTTP status; ``None`` when no server answered.
        detail: Why, in one sentence.
    """

    def __init__(self, status: int | None, detail: str) -> None:
        super().__init__(detail if status is None else f"{status}: {detail}")
        self.status = status
        self.detail = detail


class Ask(NamedTuple, Generic[T]):
    """One request, and the type of its answer."""

    verb: str
    path: str
    answer: type[T]
    body: dict[str, Any] | None = None

    def content(self) -> bytes | None:
        """Return the body as JSON."""
        return None if self.body is None else msgspec.json.encode(self.body)

    def read(self, response: httpx.Response) -> T:
        """Return the answer.

        Raises:
            ServingError: the server refused, or what answered is no such server.
        """
        try:
            if response.is_success:
                return msgspec.json.decode(response.content, type=self.answer)
            detail = msgspec.json.decode(response.content, type=Problem).detail
        except msgspec.DecodeError:
            detail = f"{response.url} does not answer as a mastery_jax server does"
        raise ServingError(response.status_code, detail)


def encoded(field: str, numbers: Numbers) -> msgspec.Raw:
    """Return numbers as JSON; arrays of any library become lists.

    Raises:
        TypeError: they are something else.
    """

    def listed(value: Any) -> Any:
        if not hasattr(value, "tolist"):
            kind = type(value).__name__
            raise TypeError(f"{field} holds {kind}, wanted numbers, lists of them or arrays")
        return value.tolist()

    return msgspec.Raw(msgspec.json.encode(numbers, enc_hook=listed))


def prediction(path: str, features: Numbers, model: str | None) -> Ask[Prediction]:
    """Return the request for a prediction."""
    body = {"features": encoded("features", features), "model_name": model}
    return Ask("POST", path, Prediction, body)


def method(model: str, name: str, inputs: dict[str, Numbers]) -> Ask[Outputs]:
    """Return the request for any method."""
    body = {"inputs": {field: encoded(field, numbers) for field, numbers in inputs.items()}}
    return Ask("POST", f"/models/{quote(model, '')}/{quote(name, '')}", Outputs, body)


def headers(key: str | None) -> dict[str, str]:
    """Return what shows a key: the one that is given, or that of ``MASTERY_API_KEY``."""
    key = key or os.environ.get("MASTERY_API_KEY")
    return {"Authorization": f"Bearer {key}"} if key else {}


def unanswered(url: httpx.URL, error: httpx.TransportError) -> ServingError:
    """Return the error for a server that did not answer."""
    if isinstance(error, httpx.ConnectError):
        return ServingError(None, f"no server answers at {url}; `mastery serve` starts one")
    return ServingError(
        None, f"the server at {url} did not answer: {error or type(error).__name__}"
    )


HEALTH = Ask("GET", "/health", Health)
MODELS = Ask("GET", "/models", Models)
RELOAD = Ask("POST", "/models/reload", Reloaded)


class Client:
    """A connection to a server; each call waits for its answer.

    Every method raises :class:`ServingError` when the server refuses or does not answer.
    """

    def __init__(self, url: str, *, timeout: float = 10.0, key: str | None = None) -> None:
        self._http = httpx.Client(base_url=url, timeout=timeout, headers=headers(key))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def _ask(self, ask: Ask[T]) -> T:
        try:
            response = self._http.request(ask.verb, ask.path, content=ask.content())
        except httpx.TransportError as error:
            raise unanswered(self._http.base_url, error) from None
        return ask.read(response)

    def health(self) -> Health:
        """Ask whether the server is alive, and how many models it has."""
        return self._ask(HEALTH)

    def models(self) -> Models:
        """Ask for every model."""
        return self._ask(MODELS)

    def model(self, name: str) -> ModelInfo:
        """Ask what one model takes and gives."""
        return self._ask(Ask("GET", f"/models/{quote(name, '')}", ModelInfo))

    def reload(self) -> Reloaded:
        """Have new versions loaded."""
        return self._ask(RELOAD)

    def predict(self, features: Numbers, model: str | None = None) -> Prediction:
        """Predict for one row of features; without a name, by the only model."""
        return self._ask(prediction("/predict", features, model))

    def predict_batch(self, features: Numbers, model: str | None = None) -> Prediction:
        """Predict for rows of features; without a name, by the only model."""
        return self._ask(prediction("/predict/batch", features, model))

    def call(self, model: str, name: str, /, **inputs: Numbers) -> Outputs:
        """Call any method of a model; the first axis of each input is the row."""
        return self._ask(method(model, name, inputs))


class AsyncClient:
    """The same as :class:`Client`, for ``await``."""

    def __init__(self, url: str, *, timeout: float = 10.0, key: str | None = None) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=timeout, headers=headers(key))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _ask(self, ask: Ask[T]) -> T:
        try:
            response = await self._http.request(ask.verb, ask.path, content=ask.content())
        except httpx.TransportError as error:
            raise unanswered(self._http.base_url, error) from None
        return ask.read(response)

    async def health(self) -> Health:
        """Ask whether the server is alive, and how many models it has."""
        return await self._ask(HEALTH)

    async def models(self) -> Models:
        """Ask for every model."""
        return await self._ask(MODELS)

    async def model(self, name: str) -> ModelInfo:
        """Ask what one model takes and gives."""
        return await self._ask(Ask("GET", f"/models/{quote(name, '')}", ModelInfo))

    async def reload(self) -> Reloaded:
        """Have new versions loaded."""
        return await self._ask(RELOAD)

    async def predict(self, features: Numbers, model: str | None = None) -> Prediction:
        """Predict for one row of features; without a name, by the only model."""
        return await self._ask(prediction("/predict", features, model))

    async def predict_batch(self, features: Numbers, model: str | None = None) -> Prediction:
        """Predict for rows of features; without a name, by the only model."""
        return await self._ask(prediction("/predict/batch", features, model))

    async def call(self, model: str, name: str, /, **inputs: Numbers) -> Outputs:
        """Call any method of a model; the first axis of each input is the row."""
        return await self._ask(method(model, name, inputs))
