"""One request, and how its answer is read; the one error."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from mastery_jax.workflow.errors import UserError
from serving.wire import Problem

__all__ = ["Ask", "Numbers", "ServingError", "encoded", "get", "model_path", "nothing", "post"]

T = TypeVar("T")
Numbers = Sequence[float] | Any  # a list, nested lists, a NumPy or a jax array


class ServingError(UserError):
    """A request that was not answered as asked.

    Attributes:
        status: The HTTP status; ``None`` when no server answered.
        detail: Why, in one sentence.
        request_id: Under which the server's log has it; ``None`` when no server answered.
    """

    def __init__(self, status: int | None, detail: str, request_id: str | None = None) -> None:
        super().__init__(detail if status is None else f"{status}: {detail}")
        self.status = status
        self.detail = detail
        self.request_id = request_id


class Ask(NamedTuple, Generic[T]):
    """One request, and what makes of its answer what the caller gets."""

    verb: str
    path: str
    decode: Callable[[httpx.Response], T]  # raises msgspec.DecodeError where it is no such answer
    content: bytes | None = None
    headers: Mapping[str, str] = {}
    is_repeatable: bool = True  # computed twice, it comes to the same

    def read(self, response: httpx.Response) -> T:
        """Return the answer.

        Raises:
            ServingError: the server refused, or what answered is no such server.
        """
        try:
            if response.is_success:
                return self.decode(response)
            problem = msgspec.json.decode(response.content, type=Problem)
            detail, request_id = problem.detail, problem.request_id
        except (msgspec.DecodeError, UnicodeDecodeError):
            detail = f"{response.url} does not answer as a mastery_jax server does"
            request_id = response.headers.get("x-request-id")
        raise ServingError(response.status_code, detail, request_id)


def get(path: str, answer: type[T]) -> Ask[T]:
    """Return the request for what is only read."""
    return Ask("GET", path, _json(answer))


def post(path: str, answer: type[T], body: Any = None, *, is_repeatable: bool = True) -> Ask[T]:
    """Return the request that sends JSON, or nothing."""
    content = None if body is None else msgspec.json.encode(body)
    return Ask("POST", path, _json(answer), content, is_repeatable=is_repeatable)


def nothing(response: httpx.Response) -> None:
    """Read an answer whose status says all."""


def _json(kind: type[T]) -> Callable[[httpx.Response], T]:
    def decode(response: httpx.Response) -> T:
        return msgspec.json.decode(response.content, type=kind)

    return decode


def model_path(*parts: str) -> str:
    """Return the path of a model, or of what is below it."""
    return "/".join(quote(part, "") for part in parts)


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
