"""What a run was made with: enough to say later why two runs differ."""

import importlib.metadata
import pathlib
import platform
import subprocess
import sys
from typing import Any

from mastery_jax.workflow import files, launch

__all__ = ["differences", "record"]

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
_BITS = ("packages", "devices", "launch", "x64", "data")  # what can change the bits of a result


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


def record(dataset: Any) -> dict[str, Any]:
    """Describe this process: versions, devices, settings, revision, command, data."""
    import jax

    devices = jax.local_devices()
    return {
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "devices": {"kind": devices[0].device_kind, "count": len(devices)},
        "launch": launch.record(),
        "x64": jax.dtypes.canonicalize_dtype(float).itemsize == 8,
        "data": dataset.fingerprint,
        "git": _git(),
        "command": sys.argv,
    }


def differences(folder: pathlib.Path, dataset: Any) -> list[str]:
    """Say what differs from the record in ``folder`` and may change bits."""
    before, now = files.read_json(folder / "environment.json"), record(dataset)
    return [
        f"{name} was {before.get(name)} and is {now[name]}"
        for name in _BITS
        if before.get(name) != now[name]
    ]
