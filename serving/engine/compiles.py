"""How many programs XLA compiled while it should have been answering: none, ever.

Every bucket of every method is compiled before a model answers, so that no request can start a
compilation. This count is the proof, and ``ml_recompiles_total`` shows it.
"""

import contextlib
import contextvars
import functools
from collections.abc import Iterator
from typing import Any

__all__ = ["Compiles", "compiles"]

EVENT = "/jax/core/compile/backend_compile_duration"


class Compiles:
    """Counts the compilations of this process, apart from the expected ones."""

    def __init__(self) -> None:
        from jax import monitoring

        self.unexpected = 0
        self._expecting = contextvars.ContextVar("expecting", default=False)
        monitoring.register_event_duration_secs_listener(self._listen)

    def _listen(self, event: str, duration_secs: float, **kwargs: Any) -> None:
        if event == EVENT and not self._expecting.get():
            self.unexpected += 1

    @contextlib.contextmanager
    def expected(self) -> Iterator[None]:
        """Leave out what this context compiles: a warm-up."""
        token = self._expecting.set(True)
        try:
            yield
        finally:
            self._expecting.reset(token)


@functools.cache
def compiles() -> Compiles:
    """Return the one count of this process: jax lets no listener go."""
    return Compiles()
