"""Answers in Redis, which may come and go.

Down, slow, full, of another type, damaged: all of it is a miss. After a fault Redis is left alone
for a second, so that a dead one costs one request a second its patience, and no more.
"""

import asyncio
import importlib.util
import logging
import time
from collections.abc import Awaitable
from typing import TypeVar

from mastery_jax.workflow.errors import ConfigError

__all__ = ["Remote"]

LOG = logging.getLogger(__name__)
PATIENCE = 0.05  # seconds
REST = 1.0  # seconds after a fault
DAY = 86_400  # seconds that an answer is kept: a version that is gone is not asked for again
PREFIX = b"mastery:"
CONNECTIONS = 32
WAITING = 64  # answers on their way to Redis; others are not sent there
WANTED = "redis://host:6379/0, rediss:// or unix://"

T = TypeVar("T")


class Remote:
    """A Redis server.

    Args:
        url: Where it is.

    Raises:
        ConfigError: the URL is none, or the client library is missing.
    """

    def __init__(self, url: str) -> None:
        if not url.startswith(("redis://", "rediss://", "unix://")):
            raise ConfigError(f"cache: what came is no URL of Redis, wanted {WANTED}")
        if importlib.util.find_spec("redis") is None:
            raise ConfigError("cache: Redis needs a client: pip install 'mastery-jax[redis]'")
        from redis.asyncio import BlockingConnectionPool, Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        try:
            pool = BlockingConnectionPool.from_url(
                url,
                max_connections=CONNECTIONS,
                timeout=PATIENCE,
                socket_timeout=PATIENCE,
                socket_connect_timeout=PATIENCE,
                retry=Retry(NoBackoff(), 0),
            )
        except (ValueError, TypeError):  # it may hold a password: it is not repeated
            raise ConfigError(f"cache: what came is no URL of Redis, wanted {WANTED}") from None
        self._redis = Redis.from_pool(pool)
        self._again = 0.0  # when it may be asked, on the monotonic clock
        self._is_well = True
        self._sending: set[asyncio.Task] = set()

    async def is_there(self) -> bool:
        """Say whether Redis answers."""
        return bool(await self._try(self._redis.ping()))

    async def get(self, key: bytes) -> bytes | None:
        """Return what is kept under a key, if Redis says so in time."""
        if time.monotonic() < self._again:
            return None
        found = await self._try(self._redis.get(PREFIX + key))
        return found if isinstance(found, bytes) else None

    def put(self, key: bytes, content: bytes) -> None:
        """Have an answer kept; nobody waits for it."""
        if len(self._sending) < WAITING and time.monotonic() >= self._again:
            task = asyncio.ensure_future(self._send(key, content))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _send(self, key: bytes, content: bytes) -> None:
        await self._try(self._redis.set(PREFIX + key, content, ex=DAY))

    async def _try(self, asking: Awaitable[T]) -> T | None:
        """Return what Redis answers; None where it does not, or refuses."""
        from redis.exceptions import RedisError, ResponseError

        try:
            async with asyncio.timeout(PATIENCE):
                answer = await asking
        except ResponseError as error:  # it is well, but full, or the key is of another type
            LOG.debug("redis refuses: %s", error)
            return None
        except (RedisError, OSError, TimeoutError) as error:
            self._again = time.monotonic() + REST
            if self._is_well:
                LOG.warning("redis does not answer, so nothing is remembered there: %s", error)
            self._is_well = False
            return None
        if not self._is_well:
            LOG.info("redis answers again")
        self._is_well = True
        return answer

    async def aclose(self) -> None:
        """Give the connections back."""
        for task in tuple(self._sending):
            task.cancel()
        await self._redis.aclose()
