"""What a server remembers, and what is being computed."""

import asyncio

from serving.cache.memory import Memory
from serving.cache.remembered import Remembered
from serving.cache.remote import Remote
from serving.engine.batcher import Outputs
from serving.engine.method import Method
from serving.engine.model import Model
from serving.models.served import Served

__all__ = ["Cache"]

RANDOM = "seed"  # an input of this name: the method draws


class Cache:
    """The answers of all methods of one server.

    Args:
        most: Bytes in memory.
        url: Of Redis, where other servers find the answers of this one; None for memory alone.

    Raises:
        ConfigError: the URL is none, or the client library is missing.
    """

    def __init__(self, most: int, url: str | None = None) -> None:
        self.memory = Memory(most)
        self.remote = None if url is None else Remote(url)
        self.flights: dict[bytes, asyncio.Future[Outputs | None]] = {}  # being computed

    def over(
        self, served: Served, model: Model, name: str, method: Method
    ) -> "Method | Remembered":
        """Return what answers for a method: itself, or its memory where the policy says so."""
        if not served.policy.cache or RANDOM in method.fields:
            return method
        return Remembered(self, f"{model.name}\0{model.identity}\0{name}", method)

    async def aclose(self) -> None:
        """Give the connections back."""
        if self.remote is not None:
            await self.remote.aclose()
