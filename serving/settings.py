"""What a server is told at its start."""

import importlib.util
import pathlib
from typing import Literal

import msgspec

from mastery_jax.workflow.errors import ConfigError
from serving.access import terms
from serving.access.terms import Access, is_loopback
from serving.drift.watch import FEWEST
from serving.engine.batcher import Limits

__all__ = ["Settings", "check"]

MIB = 2**20
DRAIN = 5.0  # seconds
MOST_WORKERS = 64


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The folder of models, the address, and the sizes that bound a request."""

    models: pathlib.Path
    host: str = "127.0.0.1"
    port: int = 8000  # 0: any that is free
    # Batch sizes compiled before the server is ready. A single row is padded to 2, because
    # a matrix-vector product adds in another order: from 2 up a row's answer is the same in
    # every batch.
    buckets: tuple[int, ...] = (2, 4, 8, 16, 32, 64)
    max_rows: int = 2**16  # in a request; an answer may be many times as long as its question
    max_body: int = 8 * MIB  # bytes; JSON of this size takes some 20 times as much memory
    max_binary: int = 64 * MIB  # bytes of a body with binary tensors, decompressed
    max_seconds: float = 10.0  # of computing for one request, as measured at the start
    body_seconds: float = 10.0  # until a request's body must be there
    is_tried: bool = (
        False  # a child process loads first what was never loaded; `mastery serve` does
    )
    limits: Limits = Limits()  # of the queue before each method
    access: Access = Access()  # who may ask, and how much
    store: str | None = None  # URL of the database that records predictions; None: none does
    keep_days: float = 30.0  # that a recorded prediction is kept
    cache: str | None = None  # URL of Redis, beside the memory of answers; None: memory alone
    cache_bytes: int = 64 * MIB  # of answers in memory
    slow_seconds: float = 1.0  # a request that takes longer has a line in the log
    drift_rows: int = 10_000  # that are compared with the reference, the last ones
    log_format: Literal["json", "text"] | None = None  # None: text on a terminal, JSON elsewhere
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    otel: str | None = None  # where traces go; by default where OTEL_* variables say, if they do
    server: Literal["uvicorn", "granian"] = "uvicorn"
    workers: int = 1  # processes, each with all models
    # From the word to stop, when readiness is over, until no connection is taken any more: a load
    # balancer needs it. None: no time on this machine's own address, else DRAIN.
    drain_seconds: float | None = None
    # Until the head of a request must be there, and until its client must take some of the answer.
    head_seconds: float = 10.0

    @property
    def drain(self) -> float:
        """Seconds of answering when it is told to stop."""
        if self.drain_seconds is not None:
            return self.drain_seconds
        return 0.0 if is_loopback(self.host) else DRAIN


def check(settings: Settings) -> None:
    """Refuse settings that no server can start with.

    Raises:
        ConfigError: the field, what it holds, and what was wanted.
    """
    if not settings.models.is_dir():
        raise ConfigError(f"models: {settings.models} is not a folder; `mastery export` makes one")
    if not 0 <= settings.port < 2**16:
        raise ConfigError(f"port: {settings.port} is not between 0 and 65535")
    if not settings.keep_days > 0:
        raise ConfigError(f"keep_days: {settings.keep_days} is not above 0")
    terms.check(settings.access, settings.host)
    if not settings.buckets or settings.buckets != tuple(sorted(set(settings.buckets))):
        raise ConfigError(f"buckets: {settings.buckets} is not a rising list of batch sizes")
    if settings.buckets[0] < 2:
        raise ConfigError(f"buckets: {settings.buckets[0]} is below 2, the smallest batch size")
    if settings.server == "granian" and importlib.util.find_spec("granian") is None:
        raise ConfigError("server: granian is not installed: pip install 'mastery-jax[granian]'")
    if not 1 <= settings.workers <= MOST_WORKERS:
        raise ConfigError(f"workers: {settings.workers} is not between 1 and {MOST_WORKERS}")
    if not 0 <= settings.drain <= 3600:
        raise ConfigError(f"drain_seconds: {settings.drain:g} is not between 0 and 3600")
    if not settings.head_seconds > 0:
        raise ConfigError(f"head_seconds: {settings.head_seconds:g} is not more than 0")
    if not settings.slow_seconds > 0:
        raise ConfigError(f"slow_seconds: {settings.slow_seconds} is not above 0")
    if settings.drift_rows < 2 * FEWEST:
        raise ConfigError(f"drift_rows: {settings.drift_rows} is below {2 * FEWEST}")
