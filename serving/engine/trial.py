"""The first load of a version, in a process that may die of it.

A program that is damaged in a way that its sum does not show, or that this machine cannot run,
can end the process that loads it. So a version that was never loaded here is loaded by a child
first, and that it lived is kept: by the sum of its list of sums and the version of jax. Whether
the files are still those of the list, whoever reads them sees.
"""

import importlib.metadata
import os
import pathlib
import subprocess
import sys
import threading

import msgspec

from mastery_jax.workflow.errors import ArtifactError
from mastery_jax.workflow.launch import cache_folder, prepare

__all__ = ["SECONDS", "hold"]

SECONDS = 120.0  # for a child to import jax, load and compile
MARK = "verdict "


def hold(folder: pathlib.Path, digest: str | None) -> bool:
    """Refuse a version whose first load ends, hangs or refuses in a child process.

    Args:
        folder: ``models/<name>/<version>``.
        digest: Of its list of sums; without one there is nothing to remember it by.

    Returns:
        Whether a child has loaded it now; False: one did before, and no file was looked at.

    Raises:
        ArtifactError: It cannot be loaded; or its process died of it.
    """
    kept = cache_folder().parent / "tried" / f"{digest}-jax{importlib.metadata.version('jax')}"
    if digest is not None and kept.exists():
        return False
    reason = _verdict(folder)
    if reason is not None:
        raise ArtifactError(reason)
    if digest is not None:
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.touch()
        except OSError:
            pass  # it will be tried again
    return True


def _verdict(folder: pathlib.Path) -> str | None:
    """Return why a child cannot load a version, if so."""
    command = [sys.executable, "-m", __name__, os.fspath(folder)]
    reader, writer = os.pipe()  # it ends when this process does: so does the child
    try:
        child = subprocess.run(
            command, stdin=reader, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"{folder}: loading it took more than {SECONDS:g} s in a process of its own"
    finally:
        os.close(reader)
        os.close(writer)
    lines = [line for line in child.stdout.splitlines() if line.startswith(MARK)]
    if child.returncode == 0 and lines:
        return msgspec.json.decode(lines[-1].removeprefix(MARK))
    how = f"signal {-child.returncode}" if child.returncode < 0 else f"status {child.returncode}"
    return f"{folder}: loading it ended the process that tried it ({how}): publish it again"


def main() -> None:
    """Load one version, and say on one line why it cannot be: null if it can."""
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    prepare()
    from mastery_jax.workflow import artifact

    reason = None
    try:
        artifact.load(pathlib.Path(sys.argv[1]))
    except ArtifactError as error:
        reason = str(error)
    sys.stdout.write(f"{MARK}{msgspec.json.encode(reason).decode()}\n")


def _end_with_the_parent() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
