"""How work ends before its end: a signal asks for it, or an error does."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["Interrupt", "failures", "interrupts"]


class Interrupt:
    """Whether a signal asked the run to stop."""

    def __init__(self) -> None:
        self.asked = False


@contextlib.contextmanager
def interrupts() -> Iterator[Interrupt]:
    """Turn the first Ctrl-C or SIGTERM into a request; a second one acts at once."""
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return

    def ask(number: int, frame: Any) -> None:
        if interrupt.asked:
            signal.signal(number, before[number])
            signal.raise_signal(number)
        interrupt.asked = True

    before: dict[int, Any] = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, ask)
    try:
        yield interrupt
    finally:
        for number, old in before.items():
            signal.signal(number, old)


@contextlib.contextmanager
def failures(status: Callable[[str, str], None]) -> Iterator[None]:
    """Write down how work ended that did not reach its end."""
    try:
        yield
    except KeyboardInterrupt:
        status("interrupted", "stopped by a second signal")
        raise
    except BaseException as error:
        with contextlib.suppress(OSError):
            status("failed", f"{type(error).__name__}: {error}")
        raise
