"""Weights & Biases, offline unless ``WANDB_MODE`` says otherwise.

The project is the config's name, the group of a lane its sweep. Offline runs lie in ``wandb/`` of
the run's folder, or where ``WANDB_DIR`` says; ``wandb sync`` uploads them. A run that is resumed
leaves a second one of the same id, which goes on where the first ended.
"""

import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mastery_jax.workflow.track.tracker import Row, Scalar, Whole

__all__ = ["open"]

_EXIT_CODES = {"failed": 1, "interrupted": 255}  # as W&B knows killed from failed


def open(whole: Whole) -> "_Session":
    """Return a session; W&B's own process starts with its first run."""
    mode = os.environ.get("WANDB_MODE") or "offline"
    os.environ.setdefault("WANDB_SILENT", "true")
    if mode == "offline":  # or it reports its own errors to a server
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb

    return _Session(wandb, mode, whole)


class _Session:
    def __init__(self, wandb: Any, mode: str, whole: Whole):
        self._wandb, self._mode, self._whole = wandb, mode, whole

    def lane(self, number: int | None) -> "_Lane":
        label = self._whole.label(number)
        settings = self._wandb.Settings(
            mode=self._mode,
            root_dir=os.environ.get("WANDB_DIR") or str(self._whole.folder),
            silent=True,
            console="off",
            login_timeout=10,
            disable_git=True,
            disable_code=True,
            x_disable_stats=True,
            x_disable_meta=True,
        )
        return _Lane(
            self._wandb,
            project=re.sub(r"[/\\#?%:]", "-", self._whole.name),
            id=re.sub(r"[/\\#?%:]", "-", label),
            name=label,
            group=self._whole.id if self._whole.is_sweep else None,
            resume=None if self._mode == "offline" else "allow",
            reinit="create_new",
            settings=settings,
        )

    def close(self, state: str) -> None:
        """W&B's process ends with ours, and may serve others before."""


class _Lane:
    def __init__(self, wandb: Any, **given: Any):
        self._wandb, self._given = wandb, given
        self._run: Any = None

    def start(self, config: Mapping[str, Scalar], first: int) -> None:
        self._run = self._wandb.init(config=dict(config), **self._given)

    def log(self, rows: Sequence[Row]) -> None:
        for row in rows:
            numbers = {name: value for name, value in row.items() if name != "step"}
            self._run.log(numbers, step=row["step"])

    def artifact(self, path: pathlib.Path) -> None:
        self._run.save(str(path), base_path=str(path.parent), policy="now")

    def finish(self, state: str, metrics: Mapping[str, float]) -> None:
        self._run.summary.update({**metrics, "state": state})
        self._run.finish(exit_code=_EXIT_CODES.get(state, 0))
