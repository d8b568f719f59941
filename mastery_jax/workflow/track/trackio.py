"""Trackio's database on this machine: ``trackio show`` draws it, ``TRACKIO_DIR`` says where it is.

The project is the config's name, the group of a lane its sweep. Rows go into the database by the
chunk, each under a key of its own, so that none is there twice. ``trackio.init`` is not used: it
asks the hub who the user is, and ends the run before it in the same process.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from mastery_jax.workflow.track.tracker import Row, Scalar, Whole

__all__ = ["open"]


def open(whole: Whole) -> "_Session":
    """Return a session of the project."""
    from trackio.sqlite_storage import SQLiteStorage

    SQLiteStorage.validate_project_name(whole.name)
    return _Session(SQLiteStorage, whole)


class _Session:
    def __init__(self, storage: Any, whole: Whole):
        self._storage, self._whole = storage, whole

    def lane(self, number: int | None) -> "_Lane":
        return _Lane(self._storage, self._whole, self._whole.label(number))

    def close(self, state: str) -> None:
        """Nothing is open."""


class _Lane:
    def __init__(self, storage: Any, whole: Whole, label: str):
        self._storage, self._project, self._label = storage, whole.name, label
        self._config: dict[str, Any] = {"_Group": whole.id if whole.is_sweep else None}
        self._last: Row = {"step": 0}

    def start(self, config: Mapping[str, Scalar], first: int) -> None:
        """Remember the config: there is a run where there is a row."""
        named = {name.lstrip("_"): value for name, value in config.items()}
        self._config |= named | {"state": "running"}
        self._last = {"step": first}

    def log(self, rows: Sequence[Row]) -> None:
        self._last = rows[-1]
        self._storage.bulk_log(
            self._project,
            self._label,
            [{name: value for name, value in row.items() if name != "step"} for row in rows],
            steps=[row["step"] for row in rows],
            config=self._config,
            log_ids=[f"{self._label}:{row['step']}" for row in rows],
            run_id=self._label,
        )

    def artifact(self, path: pathlib.Path) -> None:
        """Nothing: files stay in the run's folder."""

    def finish(self, state: str, metrics: Mapping[str, float]) -> None:
        """Write the config again, with the state; the last row is there already."""
        self._config["state"] = state
        self.log([self._last])
