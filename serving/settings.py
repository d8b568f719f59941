"""What a server is told at its start."""

import pathlib

import msgspec

from mastery_jax.workflow.errors import ConfigError
from serving.access import terms
from serving.access.terms import Access
from serving.engine.batcher import Limits

__all__ = ["Settings", "check"]

MIB = 2**20


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


def check(settings: Settings) -> None:
    """Refuse settings that no server can start with.

    Raises:
        ConfigError: the field, what it holds, and what was wanted.
    """
    if not settings.models.is_dir():
        raise ConfigError(f"models: {settings.models} is not a folder; `mastery export` makes one")
    if not 0 <= settings.port < 2**16:
        raise ConfigError(f"port: {settings.port} is not between 0 and 65535")
    terms.check(settings.access, settings.host)
    if not settings.buckets or settings.buckets != tuple(sorted(set(settings.buckets))):
        raise ConfigError(f"buckets: {settings.buckets} is not a rising list of batch sizes")
    if settings.buckets[0] < 2:
        raise ConfigError(f"buckets: {settings.buckets[0]} is below 2, the smallest batch size")
