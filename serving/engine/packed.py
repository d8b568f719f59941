"""Named arrays as few bytes: MessagePack of name -> (dtype, shape, numbers)."""

import functools

import msgspec
import numpy as np

from mastery_jax.workflow.stablehlo import Arrays

__all__ = ["pack", "unpack"]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[str, tuple[str, tuple[int, ...], bytes]]).decode


@functools.lru_cache(64)
def _name(kind: np.dtype) -> str:
    """Return a dtype's name, which takes NumPy longer than all the rest."""
    return kind.name


def pack(arrays: Arrays) -> bytes:
    """Return arrays as bytes: the numbers as they are in memory, and some 20 bytes for each."""
    return _encode({k: (_name(a.dtype), a.shape, a.tobytes()) for k, a in arrays.items()})


def unpack(content: bytes) -> dict[str, np.ndarray]:
    """Return the arrays; they cannot be written to.

    Raises:
        ValueError: the bytes are no such arrays.
    """
    try:
        named = _decode(content)
        return {
            name: np.frombuffer(numbers, np.dtype(kind)).reshape(shape)
            for name, (kind, shape, numbers) in named.items()
        }
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError) as error:
        raise ValueError(f"no packed arrays: {error}") from None
