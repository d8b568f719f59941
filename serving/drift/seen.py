"""What one version was shown, in counts: of one worker, or of several together."""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

__all__ = ["Predicted", "Seen", "Window", "added", "decode", "encode"]


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """The last rows of one input."""

    counts: np.ndarray  # by column and bin
    missing: np.ndarray  # by column
    rows: int


class Predicted(msgspec.Struct, frozen=True, kw_only=True):
    """What was predicted."""

    is_classes: bool  # or else values, in bins that each worker makes of its first ones
    reference: np.ndarray | None  # by bin; None until there are enough
    first: int  # rows of the reference by now
    counts: np.ndarray  # by bin, of the last rows
    rows: int


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """Inputs by name, and what was predicted of them."""

    inputs: dict[str, Window]
    predictions: Predicted | None

    @property
    def rows(self) -> int:
        """Rows in the window: of the input that has most."""
        return max((window.rows for window in self.inputs.values()), default=0)


def added(parts: Sequence[Seen]) -> Seen:
    """Return what several workers were shown of one version.

    Counts add up. Bins of predicted values differ from worker to worker: there the one that has
    seen most stands for all.
    """
    windows = {field: [part.inputs[field] for part in parts] for field in parts[0].inputs}
    inputs = {
        field: Window(
            counts=np.sum([w.counts for w in each], axis=0),
            missing=np.sum([w.missing for w in each], axis=0),
            rows=sum(w.rows for w in each),
        )
        for field, each in windows.items()
    }
    predicted = [part.predictions for part in parts if part.predictions is not None]
    return Seen(inputs=inputs, predictions=_predicted(predicted))


def _predicted(parts: Sequence[Predicted]) -> Predicted | None:
    if not parts or not parts[0].is_classes:
        return max(parts, key=lambda part: (part.rows, part.first), default=None)
    known = [(p.reference, p.counts, p.rows) for p in parts if p.reference is not None]
    references, counts, rows = zip(*known, strict=True) if known else ((), (), ())
    return Predicted(
        is_classes=True,
        reference=np.sum(references, axis=0) if known else None,
        first=sum(part.first for part in parts),
        counts=np.sum(counts, axis=0) if known else parts[0].counts,
        rows=sum(rows),
    )


def encode(seen: Mapping[str, Seen]) -> str:
    """Return what versions were shown as JSON."""
    return msgspec.json.encode(seen, enc_hook=np.ndarray.tolist).decode()


def decode(text: str) -> dict[str, Seen]:
    """Return what versions were shown from JSON."""
    return msgspec.json.decode(text, type=dict[str, Seen], dec_hook=_array)


def _array(kind: type, content: list) -> np.ndarray:
    return np.array(content, np.int64)
