"""From what a request leaves to a row of the table."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from litestar.exceptions import ClientException

from mastery_jax.workflow.stablehlo import Arrays
from serving.engine.packed import pack
from serving.errors import shown

__all__ = ["Record", "check_text", "predictions_of", "row"]


class Record(NamedTuple):
    """One answered request; the request itself leaves a bare tuple, which costs less."""

    id: str
    created: float  # seconds since 1970
    model: str
    version: int
    method: str
    request_id: str
    rows: int
    x: Arrays
    outputs: Arrays
    size: int  # bytes of both


def row(record: Record) -> dict[str, Any]:
    """Return a record as the table takes it."""
    predictions = predictions_of(record.outputs)
    predicted = None
    if record.rows == 1 and predictions is not None:
        predicted = float(predictions[0])
    return {
        "id": record.id,
        "created": record.created,
        "model": record.model,
        "version": record.version,
        "method": record.method,
        "request_id": record.request_id,
        "rows": record.rows,
        "inputs": pack(record.x),
        "outputs": pack(record.outputs),
        "predicted": None if predicted is None or not math.isfinite(predicted) else predicted,
    }


def predictions_of(outputs: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """Return the class codes, or the values, one a row; None where a method gives none."""
    predictions = outputs.get("predictions")
    if predictions is None or predictions.ndim != 1 or predictions.dtype.kind == "V":
        return None
    return predictions


def check_text(field: str, text: str) -> str:
    """Return a text that every database takes.

    Raises:
        ClientException: it holds a NUL, or half a character.
    """
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ClientException(f"{field}: {shown(text)} holds characters that cannot be stored")
    return text
