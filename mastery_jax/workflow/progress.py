"""How far a long piece of work has come: rate, time left, the last metrics.

On a terminal one line is redrawn in place; in a pipe or a file plain lines follow each other, at
most one every two seconds and always the last; a quiet one writes nothing.
"""

import os
import shutil
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Self, TextIO

__all__ = ["Progress", "counted", "duration", "number"]

_REDRAW = 0.1  # seconds between two drawings on a terminal
_PLAIN = 2.0  # seconds between two lines in a pipe
_WINDOW = 60  # drawings over which the rate is taken, so that compile time is soon forgotten
_BAR = 24  # cells


def duration(seconds: float) -> str:
    """Return seconds as ``0:07``, ``1:02:03`` or ``2 d 03:04``."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days} d {hour:02}:{minute:02}"
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"


def counted(count: int, unit: str) -> str:
    """Return how many there are of something, ``unit`` being one."""
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"


def number(value: object) -> str:
    """Return a float with four significant digits; anything else as it prints."""
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"


class Progress:
    """One line of progress; any thread may call any method, at any time and however often.

    An ``update`` between two drawings costs a clock reading, some 100 ns. Also a context manager,
    which finishes the line when the work stops, however it stops.
    """

    def __init__(
        self,
        quiet: bool = False,
        stream: TextIO | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Make a line that is not shown yet.

        Args:
            quiet: Write nothing, ever.
            stream: Where to write; the standard error by default, so that standard output holds
                results only.
            clock: Seconds that never go back.
        """
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._quiet = quiet
        self._live = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._active = False
        self._lock = threading.RLock()

    def start(self, title: str, total: int, unit: str, *, done: int = 0) -> None:
        """Begin a line; one that is still open is finished first.

        Args:
            title: What is done, such as the name of a config.
            total: How many units the whole is; 0 where nothing is counted.
            unit: The plural of what is counted, such as ``steps``.
            done: Units done before, by the run that is resumed; they do not count in the rate.
        """
        self.finish()
        self._title, self._total, self._unit = title, total, unit
        self._first, self._done, self._metrics = done, done, {}
        self._began = self._clock()
        self._points = deque([(self._began, done)], maxlen=_WINDOW)
        self._active = not self._quiet
        self._next = self._began + (0 if self._live else _PLAIN)
        if self._active and self._live:
            self._draw(self._began)

    def update(self, done: int, metrics: Mapping[str, Any] | None = None) -> None:
        """Say how many units are done, and the newest metrics: a line of ``metrics.jsonl``."""
        if not self._active:
            return
        self._done = done
        if metrics:
            self._metrics.update(metrics)
        now = self._clock()
        if now >= self._next:
            with self._lock:
                self._points.append((now, done))
                self._draw(now)

    def say(self, line: str) -> None:
        """Write a line of its own; the line of progress goes on below it."""
        if self._quiet:
            return
        live = self._active and self._live
        with self._lock:
            self._stream.write(f"\r\x1b[K{line}\n" if live else f"{line}\n")
            self._stream.flush()
            if live:
                self._draw(self._clock())

    def finish(self) -> None:
        """Draw the last state, with the time it all took in place of the time left."""
        if not self._active:
            return
        self._draw(self._clock(), last=True)
        self._active = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def _draw(self, now: float, *, last: bool = False) -> None:
        text = self._text(now, last=last)
        if self._live:
            columns = shutil.get_terminal_size().columns
            self._stream.write(f"\r{text[: columns - 1]}\x1b[K" + ("\n" if last else ""))
        else:
            self._stream.write(f"{text}\n")
        self._stream.flush()
        self._next = now + (_REDRAW if self._live else _PLAIN)

    def _text(self, now: float, *, last: bool) -> str:
        """Return title, bar, counts, rate, time and metrics, as many as there are."""
        if last:
            then, first, done = self._began, self._first, self._done
        else:
            (then, first), (now, done) = self._points[0], self._points[-1]
        rate = (done - first) / (now - then) if now > then else 0.0
        parts = [self._title]
        if self._total:
            fraction = min(self._done / self._total, 1.0)
            if self._live:
                parts.append(self._bar(fraction))
            parts += [f"{fraction:4.0%}", f"{self._done}/{self._total} {self._unit}"]
        if rate > 0:
            parts.append(f"{number(rate)} {self._unit}/s")
        if last:
            parts.append(f"in {duration(now - self._began)}")
        elif rate > 0 and self._total:
            parts.append(f"{duration((self._total - self._done) / rate)} left")
        shown = {name: value for name, value in self._metrics.items() if name != "step"}
        parts += [f"{name} {number(value)}" for name, value in shown.items()]
        return "  ".join(parts)

    def _bar(self, fraction: float) -> str:
        full, rest = ("█", "░") if "utf" in (self._stream.encoding or "").lower() else ("#", ".")
        cells = round(fraction * _BAR)
        return full * cells + rest * (_BAR - cells)
