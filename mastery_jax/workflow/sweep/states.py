"""The state of a lane that is half done, with its lines of metrics, as one file.

A safetensors file: the leaves of the state by their place, and in its head the lane's step, its
lines so far and the fields that it has by now. Written in one move, so that state and lines never
tell of different steps.
"""

from collections.abc import Mapping, Sequence
from typing import IO, Any, NamedTuple

import msgspec

__all__ = ["Head", "dump", "head", "load", "retell"]


class Head(NamedTuple):
    """What the file says beside the state."""

    step: int  # steps done
    rows: list[dict[str, Any]]
    fields: dict[str, Any]


def dump(state: Any, *, step: int, rows: Sequence[Any], fields: Mapping[str, Any]) -> bytes:
    """Return the content of the file. The leaves of ``state`` are fetched from their devices."""
    import jax
    import numpy as np
    import safetensors.numpy

    plain = {_name(place, leaf): _plain(leaf) for place, leaf in enumerate(jax.tree.leaves(state))}
    fetched = jax.device_get(plain)
    arrays = {name: _bits(np.asarray(leaf, order="C")) for name, leaf in fetched.items()}
    return safetensors.numpy.save(arrays, _said(Head(step, list(rows), dict(fields))))


def retell(content: bytes, said: Head) -> bytes:
    """Return the same state with another head."""
    import safetensors.numpy

    return safetensors.numpy.save(safetensors.numpy.load(content), _said(said))


def _said(head: Head) -> dict[str, str]:
    return {name: msgspec.json.encode(x).decode() for name, x in head._asdict().items()}


def head(file: IO[bytes]) -> Head:
    """Read what the file says beside the state, which is left where it is.

    Raises:
        ValueError: it is damaged, or cut off.
    """
    try:
        size = int.from_bytes(file.read(8), "little")
        leaves = msgspec.json.decode(file.read(size))
        said = leaves.pop("__metadata__")
        end = max((leaf["data_offsets"][1] for leaf in leaves.values()), default=0)
        if file.seek(0, 2) != 8 + size + end:
            raise ValueError("it is cut off")
        step, rows, fields = (msgspec.json.decode(said[name]) for name in Head._fields)
    except (KeyError, TypeError, AttributeError, OverflowError, msgspec.DecodeError) as error:
        raise ValueError(f"it has no head: {error}") from None
    return Head(step, [{k: _number(v) for k, v in row.items()} for row in rows], fields)


def load(content: bytes, like: Any) -> Any:
    """Read the state as arrays of the host.

    Args:
        content: From :func:`dump`.
        like: A tree of ``jax.ShapeDtypeStruct``s with the state's structure.

    Raises:
        ValueError: it is damaged, or the state of another program.
    """
    import jax
    import safetensors
    import safetensors.numpy

    try:
        arrays = safetensors.numpy.load(content)
    except safetensors.SafetensorError as error:
        raise ValueError(str(error)) from None
    shapes, structure = jax.tree.flatten(like)
    if len(shapes) != len(arrays):
        raise ValueError(f"it has {len(arrays)} arrays, not {len(shapes)}")
    named = sorted(arrays, key=lambda name: int(name.split()[0]))
    leaves = [_as(name, arrays[name], shape) for name, shape in zip(named, shapes, strict=True)]
    return jax.tree.unflatten(structure, leaves)


def _is_key(leaf: Any) -> bool:
    import jax

    return jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _plain(leaf: Any) -> Any:
    import jax

    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _bits(array: Any) -> Any:
    """Return a float of a kind that NumPy itself lacks, such as bfloat16, as unsigned integers."""
    return array if array.dtype.isbuiltin == 1 else array.view(f"u{array.dtype.itemsize}")


def _name(place: int, leaf: Any) -> str:
    """Return the place of a leaf, and of random keys their kind."""
    import jax

    return f"{place} {jax.random.key_impl(leaf)}" if _is_key(leaf) else f"{place}"


def _as(name: str, array: Any, like: Any) -> Any:
    import jax

    _, _, kind = name.partition(" ")
    if kind:
        array = jax.random.wrap_key_data(array, impl=kind)
    elif like.dtype.isbuiltin != 1 and array.dtype == f"u{like.dtype.itemsize}":
        array = array.view(like.dtype)
    if (array.shape, array.dtype) != (like.shape, like.dtype):
        raise ValueError(f"it has {array.dtype}{list(array.shape)}, not {like}")
    return array


def _number(value: Any) -> Any:
    """Return NaN for the ``null`` that JSON has in its place."""
    return float("nan") if value is None else value
