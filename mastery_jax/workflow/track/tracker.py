"""What a tracker is asked, and which there are.

A tracker is a module of this room with ``open(whole) -> Session``. Everything is called on one
thread, and may raise or hang: see ``workflow.track.writer``.
"""

import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from mastery_jax.workflow import spelling
from mastery_jax.workflow.errors import ConfigError

__all__ = ["KNOWN", "Row", "Scalar", "Session", "Tracker", "Whole", "check"]

KNOWN = ("mlflow", "tensorboard", "trackio", "wandb")

Scalar = bool | int | float | str
Row = Mapping[str, Any]  # a line of metrics.jsonl: its step, and numbers by name


class Whole(NamedTuple):
    """A run, or a sweep with its lanes."""

    folder: pathlib.Path  # absolute
    is_sweep: bool

    @property
    def name(self) -> str:
        """Return the name of the config."""
        return self.folder.parent.name

    @property
    def id(self) -> str:
        """Return the id of the run or the sweep."""
        return self.folder.name

    def label(self, number: int | None) -> str:
        """Return what a run, or a lane by its number, is called."""
        return self.id if number is None else f"{self.id}/{number:04d}"


class Tracker(Protocol):
    """A run, or one lane of a sweep, in one tracker."""

    def start(self, config: Mapping[str, Scalar], first: int) -> None:
        """Begin, or go on with what a tracker has of it already.

        Args:
            config: Every leaf of the config by dotted path.
            first: The steps that were done before; what is there of later steps is measured anew.
        """
        ...

    def log(self, rows: Sequence[Row]) -> None:
        """Take in some rows, in the order of their steps."""
        ...

    def artifact(self, path: pathlib.Path) -> None:
        """Take in a file, where the tracker keeps files."""
        ...

    def finish(self, state: str, metrics: Mapping[str, float]) -> None:
        """End.

        Args:
            state: ``finished``, ``done``, ``stopped``, ``failed`` or ``interrupted``.
            metrics: The last evaluation.
        """
        ...


class Session(Protocol):
    """One tracker, open for a run or a sweep."""

    def lane(self, number: int | None) -> Tracker:
        """Return the tracker of a lane; of the run where ``number`` is ``None``."""
        ...

    def close(self, state: str) -> None:
        """End; every lane was finished before."""
        ...


def check(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names of trackers, each once.

    Raises:
        ConfigError: There is no such tracker.
    """
    found = tuple(dict.fromkeys(names))
    for name in found:
        if name not in KNOWN:
            raise ConfigError(
                f"no tracker is named {name}{spelling.hint(name, KNOWN)} "
                f"(there are: {', '.join(KNOWN)})"
            )
    return found
