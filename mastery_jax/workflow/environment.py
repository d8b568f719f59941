"""What a run was made with: enough to say later why two runs differ."""

import importlib.metadata
import pathlib
import platform
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

from mastery_jax.workflow import config, files, launch
from mastery_jax.workflow.config import Loaded
from mastery_jax.workflow.errors import RunError

__all__ = ["differences", "read", "record"]

_PACKAGES = (
    "mastery-jax",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "numpyro",
    "numpy",
    "orbax-checkpoint",
)
_BITS = ("packages", "devices", "launch", "x64")  # what can change the bits of a result


def _git() -> dict[str, Any]:
    """Return the revision of the folder that the program was started in, if it has one."""

    def ask(*words: str) -> str:
        return subprocess.run(
            ["git", *words], capture_output=True, text=True, timeout=10, check=True
        ).stdout.strip()

    try:
        return {
            "revision": ask("rev-parse", "HEAD"),
            "is_dirty": bool(ask("status", "--porcelain")),
        }
    except (OSError, subprocess.SubprocessError):
        return {"revision": None, "is_dirty": None}


def record(loaded: Loaded, datasets: Iterable[Any]) -> dict[str, Any]:
    """Describe this process: versions, devices, settings, revision, command, config, data."""
    import jax

    devices = jax.local_devices()
    return {
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "devices": {"kind": devices[0].device_kind, "count": len(devices)},
        "launch": launch.record(),
        "x64": jax.dtypes.canonicalize_dtype(float).itemsize == 8,
        "config": config.digest(loaded),
        "data": sorted({dataset.fingerprint for dataset in datasets}),
        "git": _git(),
        "command": sys.argv,
    }


def read(folder: pathlib.Path) -> dict[str, Any]:
    """Return the record in a folder.

    Raises:
        RunError: it is missing or damaged.
    """
    found = files.read_json(folder / "environment.json")
    if not isinstance(found, dict):
        raise RunError(f"{folder / 'environment.json'} is damaged: it is not a record")
    return found


def differences(folder: pathlib.Path, loaded: Loaded, datasets: Iterable[Any]) -> list[str]:
    """Say what differs from the record in ``folder`` and may change bits.

    A process that was killed before it wrote its record gets one now.

    Raises:
        RunError: the config or the data is another one: what is there would be mixed with it.
    """
    now = record(loaded, datasets)
    if not (folder / "environment.json").exists():
        files.write_json(folder / "environment.json", now)
    before = read(folder)
    for name, what in (("config", "its config was edited"), ("data", "its data changed")):
        if before.get(name) != now[name]:
            raise RunError(f"{folder} is not what it was: {what} since it began; run it anew")
    return [
        f"{name} was {before.get(name)} and is {now[name]}"
        for name in _BITS
        if before.get(name) != now[name]
    ]
