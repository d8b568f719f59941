"""From the tensors of a request to checked arrays, and from outputs to an answer."""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from litestar.exceptions import ClientException

from serving.engine.batcher import Outputs
from serving.engine.field import NUMBERS, Field
from serving.engine.method import Method, check_rows
from serving.errors import malformed, shown
from serving.predict.pieces import numbers
from serving.v2 import datatypes
from serving.v2.types import InferRequest, RequestInput, ResponseOutput

__all__ = ["decode_request", "read", "read_raw", "wanted", "write"]

_DECODER = msgspec.json.Decoder(InferRequest)


def decode_request(json: bytes) -> InferRequest:
    """Return the JSON part of a request.

    Raises:
        ClientException: it is not what the protocol says.
    """
    try:
        return _DECODER.decode(json)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(error) from None


def read(request: InferRequest, method: Method, binary: memoryview) -> dict[str, np.ndarray]:
    """Return the inputs of a request, checked, with as many rows each.

    Raises:
        ClientException: one is missing, unknown, twice there, or not what its type says; the
            binary part is shorter or longer than they say.
    """
    names = [tensor.name for tensor in request.inputs]
    if len(set(names)) < len(names):
        raise ClientException(f"inputs: {shown(duplicate(names))} is there twice")
    method.check_names(dict.fromkeys(names))
    x, start = {}, 0
    is_cast = request.parameters.get("coerce") is True
    for tensor in request.inputs:
        field = method.fields[tensor.name]
        shape = _shape(tensor, field)
        kind = _kind(tensor, field, is_cast=is_cast)
        size = tensor.parameters.get("binary_data_size")
        if size is None:
            array = _from_json(tensor, field, kind, shape)
        else:
            array, start = _from_binary(tensor, field, kind, shape, binary, start)
        x[tensor.name] = field.hold(array)
    if start < len(binary):
        raise ClientException(
            f"the binary part has {len(binary)} bytes, the inputs say {start} in all"
        )
    return check_rows(x)


def read_raw(method: Method, binary: memoryview) -> dict[str, np.ndarray]:
    """Return the one input of a request whose whole body is its numbers.

    Raises:
        ClientException: the method has several inputs, or the bytes are no whole rows.
    """
    if len(method.fields) != 1:
        raise ClientException(f"a raw body is one input, wanted {', '.join(method.fields)}")
    (field,) = method.fields.values()
    row = field.dtype.itemsize * math.prod(field.row)
    if row == 0 or len(binary) % row:
        raise field.refusal(f"{len(binary)} bytes are no whole rows of {row}")
    array = np.frombuffer(binary, field.dtype).reshape(-1, *field.row)
    return {field.name: field.hold(_bits(array, field))}


def _shape(tensor: RequestInput, field: Field) -> tuple[int, ...]:
    """Return the shape; nothing is made of its size before the numbers are there."""
    shape = tuple(tensor.shape)
    if len(shape) != 1 + len(field.row) or shape[1:] != field.row:
        raise field.refusal(f"the shape is {_cut(shape)}")
    return shape


def _kind(tensor: RequestInput, field: Field, *, is_cast: bool) -> np.dtype:
    """Return the dtype that the numbers come in."""
    kind = datatypes.named(tensor.datatype)
    if kind is not None and (kind == field.dtype or is_cast):
        return kind
    came, kind = shown(tensor.datatype), datatypes.name(field.dtype)
    raise ClientException(f"{field.name}: datatype {came} came, wanted {kind}")


def _from_json(
    tensor: RequestInput, field: Field, kind: np.dtype, shape: tuple[int, ...]
) -> np.ndarray:
    if tensor.data is msgspec.UNSET:
        raise ClientException(f"{field.name}: data is missing, and so is binary_data_size")
    raw = bytes(tensor.data)
    is_nested = raw[1:].lstrip()[:1] == b"["
    try:
        number = NUMBERS.get(kind.kind, float)
        given = _decoder(number, len(shape) if is_nested else 1).decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise malformed(error, f"{field.name}: data") from None
    try:
        with np.errstate(over="ignore"):  # what overflows is infinite, and refused
            array = np.array(given, kind)
    except OverflowError:
        raise field.refusal("a number is out of range") from None
    except ValueError:
        raise field.refusal("the rows of data differ in shape") from None
    if array.size != math.prod(shape) or (is_nested and array.shape != shape):
        raise field.refusal(f"data has {array.size} numbers for the shape {_cut(shape)}")
    return _cast(array.reshape(shape), field)


@functools.lru_cache(64)
def _decoder(number: type, depth: int) -> msgspec.json.Decoder:
    return msgspec.json.Decoder(
        functools.reduce(lambda inner, _: list[inner], range(depth), number)
    )


def _from_binary(
    tensor: RequestInput,
    field: Field,
    kind: np.dtype,
    shape: tuple[int, ...],
    binary: memoryview,
    start: int,
) -> tuple[np.ndarray, int]:
    """Return an array, and where the next one begins."""
    if tensor.data is not msgspec.UNSET:
        raise ClientException(f"{field.name}: both data and binary_data_size came")
    size, needed = tensor.parameters["binary_data_size"], kind.itemsize * math.prod(shape)
    if type(size) is not int or size != needed:
        raise ClientException(
            f"{field.name}: binary_data_size is {_cut(size)}, wanted {_cut(needed)} "
            f"for the shape {_cut(shape)}"
        )
    end = start + needed
    if end > len(binary):
        raise ClientException(
            f"{field.name}: the binary part has {len(binary)} bytes, wanted {end} at least"
        )
    array = _bits(np.frombuffer(binary[start:end], kind), field)
    return _cast(array.reshape(shape), field), end


def _cast(array: np.ndarray, field: Field) -> np.ndarray:
    """Return an array in a field's dtype; NumPy would wrap round, and cut fractions off.

    Raises:
        ClientException: a number does not survive.
    """
    if array.dtype == field.dtype:
        return array
    if field.number is bool and not np.isin(array, (0, 1)).all():
        raise field.refusal("a number is neither 0 nor 1")
    if field.number is int and array.size:
        if (
            array.dtype.kind not in "iub"
            and not (np.isfinite(array) & (np.rint(array) == array)).all()
        ):
            raise field.refusal("a number is no integer")
        least, most = int(array.min()), int(array.max())
        if least < np.iinfo(field.dtype).min or most > np.iinfo(field.dtype).max:
            raise field.refusal("a number is out of range")
    with np.errstate(over="ignore"):  # what overflows is infinite, and refused
        return array.astype(field.dtype)


def _bits(array: np.ndarray, field: Field) -> np.ndarray:
    """Refuse a bool whose byte is neither 0 nor 1, which NumPy would take for one."""
    if array.dtype == bool and (array.view(np.uint8) > 1).any():
        raise field.refusal("a byte is neither 0 nor 1")
    return array


def wanted(request: InferRequest | None, method: Method) -> dict[str, bool]:
    """Return the outputs that are asked for, and whether each is answered in binary.

    Raises:
        ClientException: one is unknown, twice there, or asked for in a form that is not known.
    """
    if request is None:
        return dict.fromkeys(method.spec.outputs, True)
    is_binary = request.parameters.get("binary_data_output") is True
    if not request.outputs:
        return dict.fromkeys(method.spec.outputs, is_binary)
    names = [output.name for output in request.outputs]
    if len(set(names)) < len(names):
        raise ClientException(f"outputs: {shown(duplicate(names))} is there twice")
    found = {}
    for output in request.outputs:
        if output.name not in method.spec.outputs:
            raise ClientException(
                f"outputs: {shown(output.name)} is not one of {', '.join(method.spec.outputs)}"
            )
        if output.parameters.get("classification"):
            raise ClientException(f"outputs: {output.name}: classification is not offered")
        found[output.name] = output.parameters.get("binary_data", is_binary) is True
    return found


def write(outputs: Outputs, asked: Mapping[str, bool]) -> tuple[list[ResponseOutput], list[bytes]]:
    """Return what the JSON part says of each output, and the binary parts in their order."""
    said, parts = [], []
    for name, is_binary in asked.items():
        array = outputs[name]
        part: dict[str, Any] = {}
        if is_binary:
            content = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
            parts.append(content)
            part["parameters"] = {"binary_data_size": len(content)}
        else:
            part["data"] = numbers(array.ravel())
        kind = datatypes.name(array.dtype)
        said.append(ResponseOutput(name=name, datatype=kind, shape=list(array.shape), **part))
    return said, parts


def duplicate(names: Sequence[str]) -> str:
    """Return the first name that has been there before."""
    return next(name for i, name in enumerate(names) if name in names[:i])


def _cut(value: object) -> str:
    """Return a value from outside as text of a decent length."""
    text = str(list(value)) if isinstance(value, tuple) else str(value)
    return text if len(text) <= 64 else text[:64] + "…"
