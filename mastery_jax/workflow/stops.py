"""How work ends before its end: a signal asks for it, or an error does."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["Interrupt", "failures", "interrupts"]


class Interrupt:
    """Whether a signal asked the run to stop."""

    asked = False
    is_signaled = False
    is_shared = False  # several processes stop together: not when one of them is signaled

    def __init__(self) -> None:
        """Nothing has been asked."""


@contextlib.contextmanager
def interrupts() -> Iterator[Interrupt]:
    """Turn the first Ctrl-C or SIGTERM into a request; a second one acts at once."""
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return

    def ask(number: int, frame: Any) -> None:
        if interrupt.is_signaled:
            signal.signal(number, before[number])
            signal.raise_signal(number)
        interrupt.is_signaled = True
        interrupt.asked = interrupt.asked or not interrupt.is_shared

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
    except (KeyboardInterrupt, SystemExit):  # the second is what a library may make of SIGTERM
        status("interrupted", "stopped by a second signal")
        raise
    except BaseException as error:
        with contextlib.suppress(OSError):
            status("failed", f"{type(error).__name__}: {error}")
        raise
