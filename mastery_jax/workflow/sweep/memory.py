"""How many bytes lanes may take: what a device has left, and what a compiled program needs.

A CPU's devices share what the machine has available, or its control group where that is less.
"""

import os
import pathlib
from collections.abc import Iterable
from typing import Any

from mastery_jax.workflow.sweep import processes

__all__ = ["OUT_OF_MEMORY", "available", "choose_width", "needed"]

OUT_OF_MEMORY = "RESOURCE_EXHAUSTED"  # in what XLA raises

# States alone may fill a quarter of a device: the program holds the old and the new one,
# gradients, and its temporaries beside them. What it needs in all is known once it is compiled.
SHARE_OF_STATES = 0.25
SHARE_OF_PROGRAMS = 0.8  # the rest is for what the host holds and what else is on the device
MOST_LANES = 256  # of one device in one program: more gain little, and temporaries are many states

PROC = pathlib.Path("/proc")
GROUPS = pathlib.Path("/sys/fs/cgroup")


def available() -> int:
    """Return the bytes that one device has left; several processes of one job agree on the least.

    Every process of a job must call it alike.
    """
    import jax

    devices = jax.local_devices()
    stats = devices[0].memory_stats() or {}
    if "bytes_limit" in stats:
        found = stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    else:
        found = _of_machine() // len(devices)
    if processes.are_several():
        found = min(map(int, processes.gather(b"%d" % found)))
    return found


def needed(programs: Iterable[Any]) -> int:
    """Return the bytes of one device that the largest of compiled programs needs.

    Args:
        programs: Each a ``jax.stages.Compiled``; of one that does not say nothing is known: 0.
    """
    return max((_needs(compiled.memory_analysis()) for compiled in programs), default=0)


def choose_width(state_bytes: int, most: int, wanted: int | None) -> int:
    """Return how many lanes one program of ``vmap`` or ``map`` takes; a multiple of the devices.

    Args:
        state_bytes: Of one lane, the largest.
        most: How many lanes there are.
        wanted: What the user asked for; by default what memory allows.
    """
    import jax

    count = jax.device_count()
    if wanted is None:
        fitting = int(available() * SHARE_OF_STATES / max(1, state_bytes))
        wanted = max(1, min(fitting, MOST_LANES)) * count
    return -(-min(wanted, most) // count) * count


def _needs(said: Any) -> int:
    if said is None:
        return 0
    held = said.argument_size_in_bytes + said.output_size_in_bytes + said.temp_size_in_bytes
    return held - said.alias_size_in_bytes


def _of_machine() -> int:
    """Return what may be taken before something is swapped or killed."""
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        for line in (PROC / "meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                found = int(line.split()[1]) * 1024
        groups = (PROC / "self/cgroup").read_text().splitlines()
        mine = next(line[3:] for line in groups if line.startswith("0::"))
    except (OSError, StopIteration):  # not Linux, or control groups of the first kind
        return found
    folder = GROUPS / mine.lstrip("/")
    for group in (folder, *folder.parents):
        if group.is_relative_to(GROUPS):
            found = min(found, _of_group(group, found))
    return found


def _of_group(folder: pathlib.Path, most: int) -> int:
    """Return what a control group may still take, pages of files that it can drop among it."""
    try:
        limit = int((folder / "memory.max").read_text())
        used = int((folder / "memory.current").read_text())
        stats = dict(map(str.split, (folder / "memory.stat").read_text().splitlines()))
    except (OSError, ValueError):  # there is none, or its limit is the word max
        return most
    return max(0, limit - used + int(stats.get("inactive_file", 0)))
