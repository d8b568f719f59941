"""From the bytes of a request to its JSON part and its binary part."""

import gzip
import re
import zlib
from typing import NamedTuple

from litestar.exceptions import ClientException, HTTPException

from serving.errors import shown, unread
from serving.predict.head import Head

__all__ = ["Body", "coding", "compress", "decompress", "is_binary", "limit", "split"]

LEAST = 1024  # bytes of an answer that is worth compressing
WINDOW = {b"gzip": 31, b"deflate": 47}  # 47: gzip or zlib, whatever it is
NEVER = re.compile(rb"\s*q\s*=\s*0(\.0*)?\s*")  # what a client will not take
LENGTH = b"inference-header-content-length"


class Body(NamedTuple):
    """Both parts; ``json`` is None where the whole body is one tensor."""

    json: bytes | None
    binary: memoryview


def is_binary(asked: Head) -> bool:
    """Say whether a request has a binary part."""
    return LENGTH in asked.fields


def limit(asked: Head, json: int, binary: int) -> int:
    """Return how many bytes a request may have, decompressed."""
    return binary if is_binary(asked) else json


def decompress(content: bytes, asked: Head, most: int) -> bytes:
    """Return the body as it was before it was compressed.

    Raises:
        HTTPException: 400, it is damaged; 413, it is too large; 415, another compression.
    """
    encoding = asked.fields.get(b"content-encoding", b"identity").lower()
    if encoding == b"identity":
        return content
    if encoding not in WINDOW:
        came = shown(encoding.decode("latin-1"))
        raise unread(415, f"Content-Encoding: {came} came, wanted identity, gzip or deflate")
    machine = zlib.decompressobj(WINDOW[encoding])
    try:
        whole = machine.decompress(content, most + 1)
    except zlib.error:
        if encoding != b"deflate":
            raise ClientException("the body is not gzip") from None
        machine = zlib.decompressobj(-15)  # deflate without the head that the standard asks for
        try:
            whole = machine.decompress(content, most + 1)
        except zlib.error:
            raise ClientException("the body is not deflate") from None
    if len(whole) > most:
        raise unread(413, f"the body is above {most} bytes once it is decompressed")
    if not machine.eof or machine.unused_data:
        raise ClientException(f"the body is not one whole {encoding.decode()} stream")
    return whole


def split(content: bytes, asked: Head, most: int) -> Body:
    """Return both parts of a body.

    Raises:
        HTTPException: 400, the header is no length, or one beyond the body; 413, the JSON part is
            above ``most`` bytes.
    """
    length = asked.fields.get(LENGTH)
    view = memoryview(content)
    if length is None:
        return Body(content, view[len(content) :])
    if not length.isdigit() or len(length) > 18 or int(length) > len(content):
        came = shown(length.decode("latin-1"))
        raise ClientException(
            f"Inference-Header-Content-Length: {came} came, wanted a number up to {len(content)}, "
            "the bytes of the body"
        )
    end = int(length)
    if end > most:
        raise HTTPException(f"the JSON part is above {most} bytes", status_code=413)
    return Body(content[:end] if end else None, view[end:])


def coding(accepted: bytes, *, is_binary: bool) -> bytes | None:
    """Return the compression that a client takes; None where there is none, or it does not pay.

    The bits of numbers hardly shrink, and cost much. So they are compressed for a client that
    names one compression, as Triton's does when it is told to, and not for one that takes several,
    as HTTP libraries say unasked.
    """
    offered = {
        name.strip().lower()
        for name, _, quality in (part.partition(b";") for part in accepted.split(b","))
        if not NEVER.fullmatch(quality)
    } - {b"identity"}
    if is_binary and len(offered) > 1:
        return None
    return next((name for name in (b"gzip", b"deflate") if name in offered), None)


def compress(content: bytes, accepted: bytes, *, is_binary: bool) -> tuple[bytes, bytes | None]:
    """Return an answer as it is sent, and how it is compressed: not at all where it is short."""
    encoding = coding(accepted, is_binary=is_binary) if len(content) >= LEAST else None
    if encoding == b"gzip":
        return gzip.compress(content, 1, mtime=0), encoding
    if encoding == b"deflate":
        return zlib.compress(content, 1), encoding
    return content, None
