"""This process and its peers: ready together, changed together, asked together.

Workers talk over Unix sockets in a folder that their supervisor made: one line of JSON each way.
What one is told over HTTP, it tells the others before it answers, and has them look until all
serve the same: whoever has the answer to a reload finds the new version whichever worker takes
the next request. Of loads and unloads of one name at the same time the last word counts, in all
workers alike. The server is ready when all of them are, and serve the same versions.
"""

import asyncio
import contextlib
import hashlib
import logging
import pathlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

import msgspec
from litestar.exceptions import HTTPException

from mastery_jax.workflow.errors import ArtifactError
from serving.errors import overloaded
from serving.models.registry import Change, Registry
from serving.models.words import Word
from serving.wire import Reloaded

__all__ = ["Order", "Question", "Reply", "Team", "beat_of"]

LOG = logging.getLogger(__name__)
PATIENCE = 1.0  # seconds for a peer to say how it is
ASKING = 3.0  # seconds for a peer to answer a question
LOADING = 600.0  # seconds for a peer to load what is new
LIMIT = 2**26  # bytes of a line
ROUNDS = 5  # looks until all must serve the same
BEAT = 1.0  # seconds between two signs of life
SAY, LOOK = "say", "look"

Question = Callable[[str], Awaitable[str]]  # of the name of a model, or none
T = TypeVar("T")


class Order(msgspec.Struct, frozen=True):
    """What one worker asks of another."""

    do: str  # say how it is, look at the folder, or answer a question
    name: str = ""  # of the model that is meant; none: all
    words: dict[str, Word] = {}  # what was said of names


class Reply(msgspec.Struct, frozen=True):
    """How a worker is."""

    is_ready: bool
    serves: dict[str, str]  # by model, a digest of the versions that answer, and of who gets which
    words: dict[str, Word]
    text: str = ""  # the answer to a question


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
        self._questions: Mapping[str, Question] = {}
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
        replies = await self._ask(Order(SAY), PATIENCE)
        own = self._serves()
        return all(r is not None and r.is_ready and r.serves == own for r in replies.values())

    async def reload(self) -> Reloaded:
        """Have all workers look at the folder again.

        Raises:
            HTTPException: 409, the folder is gone, or workers do not come to serve the same.
        """
        return await self._change(self._known.reload)

    async def load(self, name: str) -> Change:
        """Have all workers look at one model again, and load it if it was asked to go.

        Raises:
            HTTPException: as :meth:`reload`.
        """
        return await self._change(lambda: self._known.load(name), name)

    async def unload(self, name: str) -> Change:
        """Have all workers let a model answer no more.

        Raises:
            HTTPException: as :meth:`reload`.
        """
        return await self._change(lambda: self._known.unload(name), name)

    async def everyone(self, question: str, name: str = "") -> dict[int, str]:
        """Return what every worker answers that does in time, this one too, by index."""
        own = await self._questions[question](name)
        replies = await self._ask(Order(question, name), ASKING)
        texts = {index: reply.text for index, reply in replies.items() if reply is not None}
        return dict(sorted({**texts, self.index: own}.items()))

    @contextlib.asynccontextmanager
    async def joined(
        self, registry: Registry, questions: Mapping[str, Question]
    ) -> AsyncIterator[None]:
        """Load the models as the others have them, and answer the others from then on.

        Args:
            registry: The models.
            questions: What :meth:`everyone` may ask, and what answers it here.
        """
        self._registry, self._questions = registry, questions
        if self.folder is None:
            await asyncio.wrap_future(registry.reload())
            self._is_loaded = True
            yield
            return
        path = self._path(self.index)
        path.unlink(missing_ok=True)  # of the worker that died
        server = await asyncio.start_unix_server(self._answer, path, limit=LIMIT)
        try:
            self._hear(await self._ask(Order(SAY), PATIENCE))  # what was unloaded
            await asyncio.wrap_future(registry.reload())
            self._is_loaded = True
            others = (await self._ask(Order(SAY), PATIENCE)).values()
            if any(r is not None and r.is_ready and r.serves != self._serves() for r in others):
                await self._agree()  # the folder has changed since they read it
            beating = asyncio.ensure_future(self._beat(beat_of(self.folder, self.index)))
            try:
                yield
            finally:
                beating.cancel()
        finally:
            server.close()  # and not waited for: what a peer asks may take as long as a load

    @property
    def _known(self) -> Registry:
        if self._registry is None:
            raise RuntimeError("this worker has not joined the others")
        return self._registry

    async def _change(self, do: Callable[[], Future[T]], name: str = "") -> T:
        """Change what answers here and at the others, whether or not the client waits for it."""

        async def changed() -> T:
            try:
                future = do()
            except RuntimeError:  # of an executor that takes no more
                raise overloaded("the server stops", 1) from None
            try:
                change = await asyncio.wrap_future(future)
            except ArtifactError as error:
                raise HTTPException(str(error), status_code=409) from None
            await self._agree(name)
            return change

        return await asyncio.shield(changed())

    async def _agree(self, name: str = "") -> None:
        """Have the others look until they serve a model, or all of them, as this worker does.

        Raises:
            HTTPException: 409, they do not.
        """
        words: dict[str, Word] = {}
        apart: list[int] = []
        for _ in range(ROUNDS):
            words = dict(self._known.words.last)
            replies = await self._ask(Order(LOOK, name, words), LOADING)
            for index in (index for index, reply in replies.items() if reply is None):
                LOG.warning("worker %d does not answer; it reads the folder when it starts", index)
            self._hear(replies)
            own = self._serves(name)
            others = {index: reply for index, reply in replies.items() if reply is not None}
            apart = [index for index, r in others.items() if narrowed(r.serves, name) != own]
            if not apart:
                return
            await self._look(name)  # by what they had heard
        if words == self._known.words.last:  # or else who spoke later sees to it
            detail = f"worker {apart[0]} does not serve {name or 'the models'} as the others do"
            raise HTTPException(f"{detail}: its log says why", status_code=409)

    async def _look(self, name: str) -> None:
        registry = self._known
        try:
            look: Future[Any] = registry.look(name) if name else registry.reload()
            await asyncio.wrap_future(look)
        except (ArtifactError, RuntimeError) as error:
            LOG.warning("the folder of models cannot be looked at: %s", error)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one order of a peer."""
        with contextlib.suppress(OSError, ValueError, msgspec.DecodeError):
            order = msgspec.json.decode(await reader.readline(), type=Order)
            text = ""
            if order.do == LOOK:
                self._known.words.hear(order.words)
                await self._look(order.name)
            elif order.do in self._questions:
                text = await self._questions[order.do](order.name)
            words = dict(self._known.words.last)
            reply = Reply(self.is_ready(), self._serves(), words, text)
            writer.write(msgspec.json.encode(reply) + b"\n")
            await writer.drain()
        writer.close()

    async def _ask(self, order: Order, seconds: float) -> dict[int, Reply | None]:
        """Return what the others reply, by their index."""
        others = [index for index in range(self.count) if index != self.index]
        replies = await asyncio.gather(*(self._reply(i, order, seconds) for i in others))
        return dict(zip(others, replies, strict=True))

    def _hear(self, replies: Mapping[int, Reply | None]) -> None:
        for reply in filter(None, replies.values()):
            self._known.words.hear(reply.words)

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

    async def _beat(self, path: pathlib.Path) -> None:
        """Show the supervisor that the event loop goes round."""
        while True:
            with contextlib.suppress(OSError):
                path.touch()
            await asyncio.sleep(BEAT)

    def _path(self, index: int) -> pathlib.Path:
        return (self.folder or pathlib.Path()) / f"{index}.sock"

    def _serves(self, name: str = "") -> dict[str, str]:
        """Return a digest of what answers, by model, or of one of them."""
        models = narrowed(self._known.snapshot.models, name)
        said = {
            name: repr(([m.identity for m in s.versions.values()], s.labels, s.policy))
            for name, s in models.items()
        }
        return {
            name: hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
            for name, text in said.items()
        }


def beat_of(folder: pathlib.Path, index: int) -> pathlib.Path:
    """Return the file that a worker touches while its event loop goes round."""
    return folder / f"{index}.beat"


def narrowed(by_name: Mapping[str, T], name: str) -> dict[str, T]:
    """Return the entry of one name, or all where none is given."""
    return {key: value for key, value in by_name.items() if name in ("", key)}
