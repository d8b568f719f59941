"""What the drawings share: a line with marks, a clock, and a file that is small."""

import pathlib
import statistics
import time
from collections.abc import Callable
from typing import Any

from PIL import Image

from mastery_jax.plots import style

MUTED = "#5f6368"


def median_seconds(call: Callable[[], Any], repeats: int = 9) -> float:
    """Return how long a call takes, after one that is not timed."""
    call()
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def add(plane: Any, x: Any, y: Any, name: str) -> None:
    """Draw a line with its marks, in a look that no other has."""
    look = style.look(len(plane.lines))
    plane.plot(x, y, color=look.color, marker=look.marker, label=name)


def save(plane: Any, file: pathlib.Path, note: str = "") -> None:
    """Write a picture, small."""
    squeeze(style.save(plane, file, note=note))


def squeeze(file: pathlib.Path) -> None:
    """Keep 128 colors of a PNG."""
    with Image.open(file) as picture:
        few = picture.convert("RGB").quantize(128, dither=Image.Dither.NONE)
    few.save(file, optimize=True)
