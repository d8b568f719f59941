"""Joules that this machine counted, where its kernel lets one read them.

    energy of a call = Σ (reading after − reading before, plus the range where it wrapped) / calls

Linux shows the counters of Intel and AMD processors (RAPL) as files: one folder for each package,
and below it one for its memory where the processor counts that apart. They hold the energy of the
whole package: of other programs, of idle cores and of Python as well. Many kernels let only root
read them; then there is no number, and a sentence that says why.

Source: Khan, Hirki, Niemi, Nurminen & Ou (2018), *RAPL in Action*, ACM TOMPECS 3(2) (updates every
1 ms); the files: Linux kernel documentation, *Power Capping Framework* (2013).
"""

import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

__all__ = ["POWERCAP", "Reading", "measure"]

POWERCAP = "/sys/class/powercap"
"""Where Linux keeps the counters."""


class Reading(NamedTuple):
    """What a call took; joules are None where nothing was counted, never 0."""

    joules: float | None  # of one call, less idle power where that was given
    num_calls: int
    num_packages: int
    seconds: float | None  # of one call; None without a clock
    idle_watts: float  # subtracted
    missing: str  # why there are no joules; empty where there are

    @property
    def watts(self) -> float | None:
        """Return the mean power, None where joules or seconds are missing."""
        if self.joules is None or not self.seconds:
            return None
        return self.joules / self.seconds

    def __str__(self) -> str:
        """Say it in one sentence."""
        if self.joules is None:
            return f"not measured: {self.missing}"
        idle = f"less {self.idle_watts:g} W of idle power" if self.idle_watts else "idle included"
        return (
            f"{self.joules:.2g} J measured, {idle}, the mean of {self.num_calls} calls on "
            f"{self.num_packages} package{'s' * (self.num_packages > 1)}"
        )


class _Counter(NamedTuple):
    """One file that counts microjoules, and where it begins anew."""

    file: pathlib.Path
    range: int  # microjoules
    is_package: bool


def measure(
    call: Callable[[], Any],
    *,
    folder: str | pathlib.Path = POWERCAP,
    least_joules: float = 10.0,
    max_calls: int = 1_000_000,
    clock: Callable[[], float] | None = None,
    idle_watts: float = 0.0,
) -> Reading:
    """Call something again and again, and return the mean of the joules that were counted.

    O(calls). Idle power is measured by the same verb: the ``watts`` of a call that sleeps.

    Args:
        call: What is measured; its result is waited for. It is called once before, so that
            compilation is not counted.
        folder: Where the counters are.
        least_joules: Calls are repeated until so many joules are counted: far more than those of
            the millisecond between two updates, which is the error at either end.
        max_calls: The most calls.
        clock: Gives seconds, as ``time.perf_counter``; for ``seconds`` and for idle power.
        idle_watts: Power to subtract; needs a clock.

    Returns:
        A ``Reading``. Its joules are None where the machine has no counter, it may not be read,
        it did not move, or idle power is more than what was counted; ``missing`` says which.

    Raises:
        ValueError: a number that is not positive, or idle power without a clock.

    Example:
        >>> print(measure(lambda: None, folder="no/such/folder"))
        not measured: there is no package counter in no/such/folder
    """
    if not least_joules > 0 or max_calls < 1:
        raise ValueError(
            f"counter.measure: least_joules and max_calls are {least_joules} and {max_calls}, not "
            "above 0"
        )
    if not idle_watts >= 0 or (idle_watts and clock is None):
        raise ValueError(f"counter.measure: idle_watts is {idle_watts}, not 0, or given a clock")
    try:
        counters = _find(pathlib.Path(folder))
        before = _read(counters)
    except (OSError, ValueError) as error:
        return _nothing(f"a counter in {folder} cannot be read ({error})")
    num_packages = sum(counter.is_package for counter in counters)
    if not num_packages:
        return _nothing(f"there is no package counter in {folder}")
    jax.block_until_ready(call())
    try:
        before, begun = _read(counters), clock() if clock else 0.0
        counted, calls = 0, 0
        while calls < max_calls and counted < 1e6 * least_joules:
            jax.block_until_ready(call())
            after, calls = _read(counters), calls + 1
            # A counter wraps once in minutes; it is read after every call.
            counted += sum(
                now - was + counter.range * (now < was)
                for now, was, counter in zip(after, before, counters, strict=True)
            )
            before = after
        seconds = clock() - begun if clock else 0.0
    except (OSError, ValueError) as error:
        return _nothing(f"a counter in {folder} cannot be read ({error})")
    joules = counted / 1e6 - idle_watts * seconds
    if joules <= 0:
        why = "idle power is more than what was counted" if counted else "the counter did not move"
        return _nothing(f"{why} in {calls} calls")
    return Reading(
        joules=joules / calls,
        num_calls=calls,
        num_packages=num_packages,
        seconds=seconds / calls if clock else None,
        idle_watts=idle_watts,
        missing="",
    )


def _nothing(missing: str) -> Reading:
    return Reading(
        joules=None, num_calls=0, num_packages=0, seconds=None, idle_watts=0.0, missing=missing
    )


def _find(folder: pathlib.Path) -> list[_Counter]:
    """Return the counters of packages and of their memory.

    Those of cores lie inside a package; that of the platform, and those by another way
    (``intel-rapl-mmio``), would count it twice.
    """
    found = []
    for zone in sorted(folder.glob("intel-rapl:*")):
        name = (zone / "name").read_text().strip()
        if name.startswith("package") or name == "dram":
            limit = int((zone / "max_energy_range_uj").read_text())
            found.append(_Counter(zone / "energy_uj", limit, name != "dram"))
    return found


def _read(counters: list[_Counter]) -> list[int]:
    return [int(counter.file.read_text()) for counter in counters]
