"""What several processes of one job must do together: meet, agree, and tell all what each knows.

A process alone agrees with itself and fetches what it has.
"""

import os
import pathlib
import pickle
import sys
import tempfile
from typing import Any

from mastery_jax.workflow.errors import RunError

__all__ = ["agree", "are_several", "fetch", "gather", "is_first", "join", "mirror"]


def join(address: str | None, process: tuple[int, int] | None) -> None:
    """Meet the other processes; before anything is computed.

    Args:
        address: Of the first process, ``host:port``; by default what SLURM, Open MPI or a TPU's
            own service says.
        process: The number of this process and how many there are; likewise.

    Raises:
        RunError: the others did not come.
    """
    import jax

    _keep_quiet()
    number, count = process or (None, None)
    try:
        jax.distributed.initialize(address, count, number)
    except (RuntimeError, ValueError) as error:
        raise RunError(f"--engine hosts: {str(error).splitlines()[0]}") from None


def _keep_quiet() -> None:
    """Send to standard error what libraries write to file descriptor 1, as Gloo does."""
    ours = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = os.fdopen(ours, "w", encoding=sys.stdout.encoding)


def is_first() -> bool:
    """Say whether this process writes the folder; a process alone does."""
    import jax

    return jax.process_index() == 0


def are_several() -> bool:
    """Say whether other processes must do alike."""
    import jax

    return jax.process_count() > 1


def fetch(tree: Any) -> Any:
    """Return arrays of the host, whichever process holds their parts."""
    import jax

    if not are_several():
        return jax.device_get(tree)
    from jax.experimental import multihost_utils

    return multihost_utils.process_allgather(tree, tiled=True)


def agree(*asked: bool) -> tuple[bool, ...]:
    """Return for each question whether any process says yes."""
    if not are_several():
        return asked
    import numpy as np
    from jax.experimental import multihost_utils

    said = multihost_utils.process_allgather(np.array(asked))
    return tuple(bool(each) for each in said.any(axis=0))


def gather(content: bytes) -> list[bytes]:
    """Return what every process gives."""
    import numpy as np
    from jax.experimental import multihost_utils

    sizes = multihost_utils.process_allgather(np.array(len(content))).tolist()
    padded = np.zeros(max(max(sizes), 1), np.uint8)
    padded[: len(content)] = np.frombuffer(content, np.uint8)
    rows = multihost_utils.process_allgather(padded)
    return [bytes(row[:size]) for row, size in zip(rows, sizes, strict=True)]


def mirror(folder: pathlib.Path) -> pathlib.Path:
    """Return the folder that this process works in: a copy of the first one's, unless it is that.

    Args:
        folder: Where the first process has it; it need not be shared.
    """
    if not are_several():
        return folder
    files = {}
    if is_first():
        kept = (path for path in folder.rglob("*") if path.is_file() and path.name != "lock")
        files = {str(path.relative_to(folder)): path.read_bytes() for path in kept}
    files = pickle.loads(gather(pickle.dumps(files))[0])
    if is_first():
        return folder
    copy = pathlib.Path(tempfile.mkdtemp(prefix="mastery-")) / folder.parent.name / folder.name
    copy.mkdir(parents=True)
    for name, content in files.items():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes(content)
    return copy
