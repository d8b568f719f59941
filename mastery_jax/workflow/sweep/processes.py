"""What several processes of one job must do together: meet, agree, and tell all what each knows.

A process alone agrees with itself and fetches what it has.
"""

import contextlib
import os
import pathlib
import pickle
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import Any

from mastery_jax.workflow.errors import RunError
from mastery_jax.workflow.stops import Interrupt

__all__ = [
    "Gone",
    "agree",
    "are_several",
    "fetch",
    "gather",
    "is_first",
    "join",
    "leave",
    "mirror",
    "part",
    "settle",
]

SECONDS_TO_MEET = 5.0  # before it is said what is waited for
LOST = ("Gloo", "NCCL", "UNAVAILABLE", "DEADLINE_EXCEEDED", "coordination")  # what others lost say

_are_apart = threading.Event()


class Gone(RunError):
    """Another process is gone: nothing can be agreed on any more, and what is there is kept."""


def join(address: str | None, process: tuple[int, int] | None, say: Callable[[str], None]) -> None:
    """Meet the other processes; before anything is computed.

    Args:
        address: Of the first process, ``host:port``; by default what SLURM, Open MPI or a TPU's
            own service says.
        process: The number of this process and how many there are; likewise.
        say: Where to say what is waited for.

    Raises:
        RunError: the others did not come, or nothing says who they are.
    """
    import jax

    if address is not None and not address.rpartition(":")[2].isdigit():
        raise RunError(f"--address: {address} is not HOST:PORT, of the first process")
    _keep_quiet()
    number, count = process or (None, None)
    here = f"process {number} of {count} waits" if process else "this process waits"
    where = f" at {address}" if address else ""
    waiting = threading.Timer(SECONDS_TO_MEET, say, [f"{here} for the others{where}"])
    waiting.daemon = True
    waiting.start()
    try:
        jax.distributed.initialize(address, count, number)
    except (RuntimeError, ValueError) as error:
        if "be defined" in str(error):
            raise RunError(
                "--engine hosts: nothing says which processes there are, as SLURM, Open MPI or a "
                "TPU would; write --address HOST:PORT of the first one, and --process 0/2 and 1/2"
            ) from None
        raise RunError(f"--engine hosts: {str(error).splitlines()[0]}") from None
    finally:
        waiting.cancel()


def part() -> None:
    """See whether the others have come to the end too; :func:`leave` waits for none that has not.

    All must call it alike.
    """
    if not _are_apart.is_set():
        with contextlib.suppress(Gone):
            agree(True)


def leave(code: int) -> None:
    """End this process where others are gone: jax would wait for them, and then abort."""
    if _are_apart.is_set():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


@contextlib.contextmanager
def _together() -> Iterator[None]:
    """Tell that another process is gone from what else can go wrong."""
    import jax

    try:
        yield
    except (RuntimeError, ValueError) as error:
        if not any(word in str(error) for word in LOST):
            raise
        _are_apart.set()
        count = jax.process_count()
        who = f"process {1 - jax.process_index()}" if count == 2 else "another process"
        raise Gone(f"{who} of {count} is gone; mastery resume on all of them goes on") from error


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

    with _together():
        return multihost_utils.process_allgather(tree, tiled=True)


def agree(*asked: bool) -> tuple[bool, ...]:
    """Return for each question whether any process says yes."""
    if not are_several():
        return asked
    import numpy as np
    from jax.experimental import multihost_utils

    with _together():
        said = multihost_utils.process_allgather(np.array(asked))
    return tuple(bool(each) for each in said.any(axis=0))


def settle(interrupt: Interrupt, is_due: bool = False) -> bool:
    """Stop all processes where a signal asked any; return whether any says that it is due."""
    if not are_several():
        return is_due
    is_signaled, is_due = agree(interrupt.is_signaled, is_due)
    interrupt.asked = interrupt.asked or is_signaled
    return is_due


def gather(content: bytes) -> list[bytes]:
    """Return what every process gives."""
    import numpy as np
    from jax.experimental import multihost_utils

    with _together():
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
