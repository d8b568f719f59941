"""This process and its peers: ready together, reloaded together.

Workers talk over Unix sockets in a folder that their supervisor made: one line of JSON each way.
What one is told over HTTP, it tells the others before it answers, so that whoever has the answer
to a reload finds the new version whichever worker takes the next request. The server is ready
when all of them are, and serve the same versions.
"""

import asyncio
import contextlib
import hashlib
import logging
import pathlib
from collections.abc import AsyncIterator, Callable
from typing import Literal

import msgspec

from mastery_jax.workflow.errors import ArtifactError
from serving.models.registry import Registry

__all__ = ["Order", "Reply", "Team"]

LOG = logging.getLogger(__name__)
PATIENCE = 1.0  # seconds for a peer to say how it is
LOADING = 600.0  # seconds for a peer to load what is new
LIMIT = 2**26  # bytes of a line


class Order(msgspec.Struct, frozen=True):
    """What one worker asks of another."""

    do: Literal["say", "measure", "reload", "load", "unload"]
    model: str = ""


class Reply(msgspec.Struct, frozen=True):
    """How a worker is."""

    is_ready: bool
    serves: str  # a digest of the versions and labels that answer
    unloaded: list[str] = []  # names that were asked to go
    metrics: str = ""


class Team:
    """One worker among others; by default there are none.

    Args:
        folder: Of the sockets, and of what else they share; None where there is one process.
        index: Of this worker.
        count: Of all.
    """

    def __init__(self, folder: pathlib.Path | None = None, index: int = 0, count: int = 1) -> None:
        self.index, self.count = index, count
        self.is_draining = False  # it was told to stop
        self.folder = folder  # what all workers share
        self._registry: Registry | None = None
        self._is_loaded = False

    def is_ready(self) -> bool:
        """Say whether this worker answers."""
        models = self._registry.snapshot.models.values() if self._registry else ()
        sound = bool(models) and all(served.is_sound for served in models)
        return sound and self._is_loaded and not self.is_draining

    async def is_all_ready(self) -> bool:
        """Say whether all workers answer, and by the same versions."""
        if not self.is_ready():
            return False
        replies = await self._ask(Order("say"), PATIENCE)
        own = self._serves()
        return all(r is not None and r.is_ready and r.serves == own for r in replies.values())

    async def tell(self, do: Literal["reload", "load", "unload"], model: str = "") -> None:
        """Have every other worker do what this one did; return when they have."""
        for index, reply in (await self._ask(Order(do, model), LOADING)).items():
            if reply is None:  # it is being started again, and reads the folder then
                LOG.warning("worker %d did not %s %s", index, do, model)

    async def metrics(self, own: str) -> dict[int, str]:
        """Return the metrics of every worker that answers, by its index."""
        replies = await self._ask(Order("measure"), PATIENCE)
        texts = {index: reply.metrics for index, reply in replies.items() if reply is not None}
        return dict(sorted({**texts, self.index: own}.items()))

    @contextlib.asynccontextmanager
    async def joined(self, registry: Registry, measure: Callable[[], str]) -> AsyncIterator[None]:
        """Load the models as the others have them, and answer the others from then on."""
        self._registry = registry
        if self.folder is None:
            await asyncio.wrap_future(registry.reload())
            self._is_loaded = True
            yield
            return

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError, ValueError, msgspec.DecodeError):
                order = msgspec.json.decode(await reader.readline(), type=Order)
                reply = await self._obey(order, registry, measure)
                writer.write(msgspec.json.encode(reply) + b"\n")
                await writer.drain()
            writer.close()

        path = self._path(self.index)
        path.unlink(missing_ok=True)  # of the worker that died
        async with await asyncio.start_unix_server(answer, path, limit=LIMIT):
            before = await self._ask(Order("say"), PATIENCE)
            for reply in filter(None, before.values()):
                registry.unloaded.update(reply.unloaded)
            await asyncio.wrap_future(registry.reload())
            self._is_loaded = True
            others = {r.serves for r in before.values() if r is not None and r.is_ready}
            if others - {self._serves()}:  # the folder has changed since they read it
                await self.tell("reload")
            yield

    async def _obey(self, order: Order, registry: Registry, measure: Callable[[], str]) -> Reply:
        if order.do in ("reload", "load", "unload"):
            try:
                if order.do == "reload":
                    await asyncio.wrap_future(registry.reload())
                else:
                    do = registry.load if order.do == "load" else registry.unload
                    await asyncio.wrap_future(do(order.model))
            except (ArtifactError, RuntimeError) as error:
                LOG.warning("%s as a peer was told: %s", order.do, error)
        text = measure() if order.do == "measure" else ""
        return Reply(self.is_ready(), self._serves(), sorted(registry.unloaded), text)

    async def _ask(self, order: Order, seconds: float) -> dict[int, Reply | None]:
        others = [index for index in range(self.count) if index != self.index]
        replies = await asyncio.gather(*(self._reply(i, order, seconds) for i in others))
        return dict(zip(others, replies, strict=True))

    async def _reply(self, index: int, order: Order, seconds: float) -> Reply | None:
        """Return what one worker says; None where it says nothing."""
        writer = None
        try:
            async with asyncio.timeout(seconds):
                path = self._path(index)
                reader, writer = await asyncio.open_unix_connection(path, limit=LIMIT)
                writer.write(msgspec.json.encode(order) + b"\n")
                return msgspec.json.decode(await reader.readline(), type=Reply)
        except (OSError, TimeoutError, ValueError, msgspec.DecodeError):
            return None
        finally:
            if writer is not None:
                writer.close()

    def _path(self, index: int) -> pathlib.Path:
        return (self.folder or pathlib.Path()) / f"{index}.sock"

    def _serves(self) -> str:
        models = self._registry.snapshot.models if self._registry else {}
        said = [
            (name, [m.identity for m in s.versions.values()], dict(s.labels), s.default.version)
            for name, s in models.items()
        ]
        return hashlib.blake2b(repr(said).encode(), digest_size=16).hexdigest()
