"""NumPy arrays as the binary tensors of the Open Inference Protocol, and back."""

from collections.abc import Mapping
from typing import NamedTuple

import httpx
import msgspec
import numpy as np

from serving.caller.ask import Numbers
from serving.v2 import datatypes
from serving.v2.types import InferRequest, InferResponse, RequestInput, ResponseOutput

__all__ = ["LENGTH", "Inference", "decode", "encode", "fit"]

LENGTH = "Inference-Header-Content-Length"


class Inference(NamedTuple):
    """An answer in arrays; the first axis of each is the row."""

    outputs: dict[str, np.ndarray]
    model_id: str
    model_version: int
    prediction_id: str | None = None  # under which it is recorded


def fit(field: str, numbers: Numbers, datatype: str) -> np.ndarray:
    """Return numbers as an array of the type that a model takes.

    Raises:
        TypeError: they are no numbers, or fractions where integers are wanted.
        ValueError: the rows differ in shape, or a number is out of the type's range.
    """
    wanted = datatypes.named(datatype)
    if wanted is None:
        raise TypeError(f"{field} is {datatype} for the model, which is no array of numbers")
    try:
        array = np.asarray(numbers)
    except ValueError:
        raise ValueError(f"{field}: the rows differ in shape") from None
    if array.dtype == wanted:
        return array
    is_whole = array.dtype.kind in "iu" and wanted.kind in "iu"
    if not (is_whole or array.size == 0 or np.can_cast(array.dtype, wanted, "same_kind")):
        raise TypeError(f"{field} holds {array.dtype}, wanted {wanted.name}")
    with np.errstate(over="ignore"):  # the server refuses what is not finite
        fitted = array.astype(wanted)
    if is_whole and not np.array_equal(fitted, array):
        raise ValueError(f"{field}: a number is out of the range of {wanted.name}")
    return fitted


def encode(inputs: Mapping[str, np.ndarray], request_id: str) -> tuple[bytes, dict[str, str]]:
    """Return the body that has these inputs, and its headers."""
    said, parts = [], []
    for name, array in inputs.items():
        parts.append(array.tobytes())
        said.append(
            RequestInput(
                name=name,
                shape=list(array.shape),
                datatype=datatypes.name(array.dtype.newbyteorder("=")),
                parameters={"binary_data_size": len(parts[-1])},
            )
        )
    head = msgspec.json.encode(
        InferRequest(id=request_id, inputs=said, parameters={"binary_data_output": True})
    )
    headers = {LENGTH: str(len(head)), "Content-Type": "application/octet-stream"}
    headers["Accept-Encoding"] = "identity"  # to compress numbers takes longer than to send them
    return b"".join([head, *parts]), headers


def decode(response: httpx.Response) -> Inference:
    """Return the arrays of an answer.

    Raises:
        DecodeError: it is no answer of the protocol.
    """
    content = response.content
    length = response.headers.get(LENGTH, str(len(content)))
    try:
        end = int(length)
        head = msgspec.json.decode(content[:end], type=InferResponse)
        outputs = {}
        for output in head.outputs:
            outputs[output.name], end = _array(output, content, end)
        recorded = response.headers.get("X-Prediction-Id")
        return Inference(outputs, head.model_name, int(head.model_version), recorded)
    except (KeyError, TypeError, ValueError) as error:
        raise msgspec.DecodeError(str(error)) from None


def _array(output: ResponseOutput, content: bytes, start: int) -> tuple[np.ndarray, int]:
    """Return one output, which may be written to, and where the next one begins."""
    kind = datatypes.named(output.datatype)
    if kind is None:
        raise TypeError(f"{output.name} is {output.datatype}")
    if output.data is not msgspec.UNSET:
        return np.array(output.data, kind).reshape(output.shape), start
    parameters = {} if output.parameters is msgspec.UNSET else output.parameters
    end = start + int(parameters["binary_data_size"])
    return np.frombuffer(content[start:end], kind).reshape(output.shape).copy(), end
