"""Waiting with a clock that is started only where there is something to wait for."""

import asyncio
import functools
import types
from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

__all__ = ["within"]

T = TypeVar("T")


async def within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """Await a coroutine for so long; most of them, as bodies that have come, never wait.

    Raises:
        TimeoutError: it took longer.
    """
    steps = work.__await__()
    try:
        waits_for = steps.send(None)
    except StopIteration as done:
        return done.value
    async with asyncio.timeout(seconds):
        return await _go_on(steps, waits_for)


@types.coroutine
def _go_on(steps: Generator[Any, Any, T], waits_for: Any) -> Generator[Any, Any, T]:
    """Drive a coroutine that has begun to wait."""
    while True:
        try:
            step = functools.partial(steps.send, (yield waits_for))
        except BaseException as error:
            step = functools.partial(steps.throw, error)
        try:
            waits_for = step()
        except StopIteration as done:
            return done.value
