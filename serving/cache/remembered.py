"""One method whose answers are remembered, in place of the method.

Equal questions that come while the first is computed wait for its answer. If the first goes wrong
(its client went away, its time was over), the others are computed as if there were no memory.
"""

import asyncio
import time
from typing import TYPE_CHECKING

import numpy as np

from mastery_jax.workflow.stablehlo import Arrays
from serving.cache.key import key
from serving.engine.batcher import Outputs
from serving.engine.method import Method
from serving.engine.packed import pack, unpack
from serving.errors import late

if TYPE_CHECKING:
    from serving.cache.cache import Cache

__all__ = ["Remembered"]

LARGE = 2**18  # bytes of a question that is not remembered: its sum would hold the event loop


class Remembered:
    """Made for each request: it has nothing of its own."""

    __slots__ = ("cache", "method", "name", "tally", "where")

    def __init__(self, cache: "Cache", where: str, method: Method) -> None:
        self.cache, self.where, self.method = cache, where, method
        self.name, self.tally = method.name, method.tally

    def is_long(self, rows: int) -> bool:
        """Say whether the answer may take more than a turn of the event loop."""
        return self.method.is_long(rows)

    async def answer(self, x: Arrays, rows: int, deadline: float = float("inf")) -> Outputs:
        """Return the outputs, as :meth:`Method.answer` does, or did."""
        start = time.monotonic()
        if rows == 0 or sum(array.nbytes for array in x.values()) > LARGE:
            return await self.method.answer(x, rows, deadline)
        name = key(self.where, x)
        found = self.cache.memory.get(name)
        if found is None and name in self.cache.flights:
            found = await self._follow(self.cache.flights[name], deadline)
        elif found is None:
            return await self._lead(name, x, rows, deadline, start)
        if found is None:
            return await self._compute(x, rows, deadline, start)
        return self._hit(x, found, rows, start)

    def _hit(self, x: Arrays, found: Outputs, rows: int, start: float) -> Outputs:
        tally, observe = self.tally, self.method.batcher.observe
        if observe is not None:  # what is asked drifts, whoever answers
            observe(x, found)
        tally.hits.add(time.monotonic() - start)
        tally.answered(rows)
        tally.since = time.time()
        return found

    async def _compute(self, x: Arrays, rows: int, deadline: float, start: float) -> Outputs:
        self.tally.misses.add(time.monotonic() - start)
        return await self.method.answer(x, rows, deadline)

    async def _follow(
        self, flight: "asyncio.Future[Outputs | None]", deadline: float
    ) -> Outputs | None:
        """Return the answer to an equal question; None where that one went wrong.

        Raises:
            HTTPException: 504, the deadline is over.
        """
        left = None if deadline == float("inf") else deadline - time.monotonic()
        try:
            async with asyncio.timeout(left):
                return await asyncio.shield(flight)
        except TimeoutError:
            raise late(f"{self.name}: the time was over before the answer was there") from None

    async def _lead(
        self, name: bytes, x: Arrays, rows: int, deadline: float, start: float
    ) -> Outputs:
        """Compute an answer for all who ask for it meanwhile."""
        cache = self.cache
        flight = cache.flights[name] = asyncio.get_running_loop().create_future()
        kept = None
        try:
            kept = await self._fetch(name, rows)
            if kept is not None:
                return self._hit(x, kept, rows, start)
            outputs = await self._compute(x, rows, deadline, start)
            # As they are, they hold the whole batch that they were computed in.
            kept = {field: np.array(array) for field, array in outputs.items()}
            if cache.remote is not None:
                cache.remote.put(name, pack(kept))
            return outputs
        finally:
            del cache.flights[name]
            flight.set_result(kept)
            if kept is not None:
                cache.memory.put(name, kept)

    async def _fetch(self, name: bytes, rows: int) -> Outputs | None:
        """Return what Redis has, if it is an answer of this method."""
        remote = self.cache.remote
        content = None if remote is None else await remote.get(name)
        if content is None:
            return None
        try:
            found = unpack(content)
        except ValueError:
            return None
        specs = self.method.spec.outputs
        is_ours = found.keys() == specs.keys() and all(
            found[field].dtype.name == spec.dtype and found[field].shape == (rows, *spec.shape[1:])
            for field, spec in specs.items()
        )
        return found if is_ours else None
