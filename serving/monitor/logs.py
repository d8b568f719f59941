"""One form for every line of the log: JSON, or text for a terminal.

The records of this package, of uvicorn and of the standard library go through one formatter. A
thread writes them, because a terminal or a pipe whose reader rests would hold the event loop:
lines wait in a queue, and beyond its end they are dropped and counted.
"""

import logging
import queue
import sys
import threading
from typing import Any, Literal, TextIO

import msgspec

from serving.monitor.access import FIELDS

__all__ = ["LEVELS", "MOST", "Form", "Writer", "dropped", "formatter", "start"]

Form = Literal["json", "text"]
LEVELS = ("debug", "info", "warning", "error")
MOST = 10_000  # lines that wait
OURS, SERVERS = ("serving", "mastery_jax"), ("uvicorn", "_granian")
PATIENCE = 2.0  # seconds for what still waits when the process ends


def formatter(form: Form, *, is_colored: bool = False) -> logging.Formatter:
    """Return what makes a line of a record."""
    import structlog
    from structlog import dev, processors, stdlib

    before = [
        stdlib.add_log_level,
        stdlib.add_logger_name,
        processors.TimeStamper(fmt="iso", utc=True),
        stdlib.ExtraAdder(FIELDS),
    ]
    if form == "json":
        last = [processors.format_exc_info, processors.JSONRenderer(serializer=encoded)]
    else:  # a traceback with the values of variables would show what was sent
        plain = dev.plain_traceback
        last = [dev.ConsoleRenderer(colors=is_colored, exception_formatter=plain)]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=before,
        processors=[stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )


def encoded(line: dict[str, Any], **_: Any) -> str:
    """Return a line as JSON, the time first."""
    first = {name: line.pop(name) for name in ("timestamp", "level", "event") if name in line}
    return msgspec.json.encode(first | line, enc_hook=repr).decode()


class Writer(logging.Handler):
    """Hands records to a thread that writes them."""

    def __init__(self, stream: TextIO, form: logging.Formatter, most: int = MOST) -> None:
        super().__init__()
        self.dropped = 0
        self._most = most
        # A simple queue can be used by a signal's handler in the middle of its own call.
        self._queue: queue.SimpleQueue[logging.LogRecord | None] = queue.SimpleQueue()
        self._out = logging.StreamHandler(stream)
        self._out.setFormatter(form)
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record; it is dropped where too many wait."""
        if self._queue.qsize() < self._most:
            self._queue.put(record)
        else:
            self.dropped += 1

    def _write(self) -> None:
        while (record := self._queue.get()) is not None:
            self._out.handle(record)

    def close(self) -> None:
        """Write what waits, if that takes no longer than a moment."""
        self._queue.put(None)
        self._thread.join(PATIENCE)  # where nobody reads, it waits no longer
        super().close()


def start(form: Form | None = None, level: str = "info") -> Writer:
    """Let every logger of this process write to standard error.

    Args:
        form: By default text on a terminal, and JSON elsewhere.
        level: Of this package; of the HTTP server at least INFO, of all others WARNING.
    """
    is_terminal = sys.stderr.isatty()
    form = form or ("text" if is_terminal else "json")
    writer = Writer(sys.stderr, formatter(form, is_colored=is_terminal))
    root, number = logging.getLogger(), logging.getLevelNamesMapping()[level.upper()]
    for handler in root.handlers[:]:
        root.removeHandler(handler)
    root.addHandler(writer)
    root.setLevel(max(number, logging.WARNING))
    for names, least in ((OURS, number), (SERVERS, max(number, logging.INFO))):
        for name in names:
            logging.getLogger(name).setLevel(least)
    logging.captureWarnings(True)
    return writer


def dropped() -> int:
    """Return how many lines this process has dropped."""
    handlers = logging.getLogger().handlers
    return sum(handler.dropped for handler in handlers if isinstance(handler, Writer))
