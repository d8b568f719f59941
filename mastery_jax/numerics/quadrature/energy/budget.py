"""An integral to an accuracy, with its price in joules; or the best within a budget of joules.

    joules = calls of the integrand · joules of one call on the device, all rules that were tried

The joules are modelled: operations counted by XLA, times published figures for a class of device
(``devices``), which its members keep within a factor that is said. Where a folder of counters is
given, they are measured, on this machine. float32 is used as far as its rounding allows, for it is
the cheaper; then float64, where x64 is on.

Source: Davis & Rabinowitz (1984), *Methods of Numerical Integration*, section 6.2 (automatic
integration); for the joules, the sources of ``devices``.
"""

import math
import pathlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from mastery_jax.core.status import Status
from mastery_jax.numerics.quadrature.energy import counter, devices, ladder
from mastery_jax.numerics.quadrature.energy import task as tasks
from mastery_jax.numerics.quadrature.energy.bill import Report
from mastery_jax.numerics.quadrature.energy.counter import Reading
from mastery_jax.numerics.quadrature.energy.devices import Device
from mastery_jax.numerics.quadrature.energy.ladder import Found
from mastery_jax.numerics.quadrature.energy.task import Task

__all__ = ["ACCURACY", "compare", "reach", "within"]

ACCURACY: Mapping[str, float] = MappingProxyType({"low": 1e-2, "medium": 1e-5, "high": 1e-10})
"""Relative tolerances by name."""

ROOM = 64  # units of rounding that a tolerance must leave to a dtype


def reach(
    fn: Partial,
    lower: Any,
    upper: Any,
    *,
    device: str | Device = "iot",
    accuracy: str | float = "medium",
    atol: float = 0.0,
    key: Any = None,
    folder: str | pathlib.Path | None = None,
) -> tuple[Any, Report]:
    """Integrate to an accuracy, by the smallest rule that is seen to reach it. O(nodes) calls.

    A verb of the host. Rules of 8, 16, 32, … nodes are tried until two agree; two that agree may
    both miss a narrow peak. Derivatives: of the rule that the report names, by its own module.

    Args:
        fn: The integrand: one number, or a point (d), to a number, or to an array.
        lower: Where to start: a number, or d of them; −∞ and ∞ are places too.
        upper: Where to end; below ``lower`` the sign turns.
        device: A class of ``devices.DEVICES``, or figures of your own.
        accuracy: A name of ``ACCURACY``, or a relative tolerance.
        atol: Absolute tolerance: an integral that may be 0 needs one.
        key: For boxes of more than three dimensions or without an end, whose points are random.
        folder: Of counters, as ``counter.POWERCAP``: measure the joules on this machine, with
            idle power and Python's dispatch in them. Where there is none they are modelled, and
            the report says why.

    Returns:
        The estimate and its ``Report``. CONVERGED within the tolerance; STALLED where rounding
        forbids it; OUT_OF_STEPS where the largest rule is not enough; else the status of the rule.

    Raises:
        ValueError: an accuracy that is none, or that needs x64 while it is off; ends that are NaN
            or of unequal shape; a device that is none; a missing key; what ``operations`` refuses.

    Example:
        >>> estimate, report = reach(Partial(jnp.exp), 0.0, 1.0)
        >>> round(float(estimate), 5), print(report)
        3.9e-07 J modelled on iot, within a factor of 3: error ... converged
        (1.71828, None)
    """
    rtol = _tolerance(accuracy, atol)
    task = _task("reach", fn, lower, upper, device, key)._replace(rtol=rtol, atol=atol)
    found = _to_tolerance(task)
    reading = None
    if folder is not None:
        reading = counter.measure(lambda: _to_tolerance(task).estimate, folder=folder)
    return found.estimate, _report(task, found, None, reading)


def within(
    fn: Partial,
    lower: Any,
    upper: Any,
    *,
    budget: float,
    device: str | Device = "iot",
    key: Any = None,
) -> tuple[Any, Report]:
    """Integrate as well as a budget of joules allows, and estimate the error within it. O(nodes).

    A verb of the host. The smaller rules that stop it early, and that the error is estimated by,
    take half of the budget; it stops where rounding allows no better, and says what is left.

    Args:
        fn: The integrand: one number, or a point (d), to a number, or to an array.
        lower: Where to start: a number, or d of them; −∞ and ∞ are places too.
        upper: Where to end; below ``lower`` the sign turns.
        budget: Joules, modelled on the device.
        device: A class of ``devices.DEVICES``, or figures of your own.
        key: For boxes of more than three dimensions or without an end, whose points are random.

    Returns:
        The estimate and its ``Report``, whose joules are at most the budget. CONVERGED where only
        rounding is left; OUT_OF_STEPS where the budget, or the largest rule, ends first; a single
        rule has an infinite error; else the status of the rule.

    Raises:
        ValueError: a budget that is no finite, positive number, or below the fewest calls that the
            integral needs: the message names their joules; and what ``reach`` refuses.

    Example:
        >>> estimate, report = within(Partial(jnp.exp), 0.0, 1.0, budget=1e-6, device="iot")
        >>> report.error < 1e-6, report.joules <= 1e-6, report.num_evals
        (True, True, 20)
    """
    if not (math.isfinite(budget) and budget > 0):
        raise ValueError(f"budget.within: budget is {budget}, not joules, finite and above 0")
    task = _task("within", fn, lower, upper, device, key)
    dtypes = _dtypes()
    calls, each = tasks.least(task, dtypes[0])
    if calls * each > budget:
        plural = "s" * (calls > 1)
        raise ValueError(
            f"budget.within: budget is {budget:g} J, not at least {_above(calls * each):g} J, "
            f"which {calls} call{plural} of fn cost{'s' * (not plural)} on {task.device.name}"
        )
    found = ladder.climb(task, dtypes[0], joules=budget)
    for dtype in dtypes[1:]:
        left = (1 - 1e-12) * budget - found.joules  # their sum is rounded
        # As many calls only reach the same error again; twice as many go well beyond it.
        if found.is_rounded and 2 * found.num_evals * tasks.least(task, dtype)[1] <= left:
            found = _better(found, ladder.climb(task, dtype, joules=left))
    return found.estimate, _report(task, found, budget, None)


def compare(
    fn: Partial,
    lower: Any,
    upper: Any,
    *,
    accuracies: Sequence[str | float] = ("low", "medium"),
    classes: Sequence[str | Device] = tuple(devices.DEVICES),
    key: Any = None,
) -> tuple[Report, ...]:
    """Return what every accuracy costs on every device, device by device. O(nodes) calls each.

    Args:
        fn: The integrand, as in ``reach``.
        lower: Where to start.
        upper: Where to end.
        accuracies: Names of ``ACCURACY``, or relative tolerances.
        classes: Classes of ``devices.DEVICES``, or figures of your own.
        key: As in ``reach``.

    Raises:
        ValueError: what ``reach`` refuses.

    Example:
        >>> table = compare(Partial(jnp.exp), 0.0, 1.0, accuracies=["low"])
        >>> [(report.device, f"{report.joules:.1e}") for report in table][0]
        ('iot', '3.9e-07')
    """
    return tuple(
        reach(fn, lower, upper, device=device, accuracy=accuracy, key=key)[1]
        for device in classes
        for accuracy in accuracies
    )


def _dtypes() -> list[Any]:
    """Return the dtypes that there are, the cheaper first: the second one only where x64 is on."""
    wide = jnp.result_type(float)
    return [np.dtype(np.single)] + [wide] * (wide.itemsize > np.dtype(np.single).itemsize)


def _tolerance(accuracy: str | float, atol: float) -> float:
    if isinstance(accuracy, str) and accuracy not in ACCURACY:
        known = ", ".join(ACCURACY)
        raise ValueError(f"budget.reach: accuracy is {accuracy!r}, not one of {known}, or a number")
    rtol = ACCURACY[accuracy] if isinstance(accuracy, str) else accuracy
    if not 0 < rtol < 1:
        raise ValueError(f"budget.reach: accuracy is {rtol}, not between 0 and 1")
    if not 0 <= atol < math.inf:
        raise ValueError(f"budget.reach: atol is {atol}, not finite and at least 0")
    least = ROOM * float(jnp.finfo(_dtypes()[-1]).eps)
    if rtol < least:
        raise ValueError(
            f"budget.reach: accuracy is {accuracy!r}, a relative {rtol:g}, not at least "
            f"{least:.1e} as {_dtypes()[-1]} allows; x64 allows "
            f"{ROOM * np.finfo(np.double).eps:.1e}"
        )
    return rtol


def _task(verb: str, fn: Partial, lower: Any, upper: Any, device: Any, key: Any) -> Task:
    where = f"budget.{verb}"
    found = devices.find(where, device)
    ends = [np.asarray(end, dtype=np.double) for end in (lower, upper)]
    for name, end in zip(("lower", "upper"), ends, strict=True):
        if np.isnan(end).any() or end.ndim > 1 or not end.size:
            raise ValueError(f"{where}: {name} is {end}, not a number or a vector of numbers")
    if ends[0].shape != ends[1].shape:
        shapes = " and ".join(str(end.shape) for end in ends)
        raise ValueError(f"{where}: lower and upper have shapes {shapes}, not the same")
    fn = fn if isinstance(fn, Partial) else Partial(fn)
    task = Task(fn=fn, lower=ends[0], upper=ends[1], device=found, key=key, counts={})
    if task.rule == "quasi" and key is None:
        raise ValueError(
            f"{where}: key is None, not a key, which random points in {task.dim} dimensions need"
        )
    return tasks.make(fn, *ends, device=found, dtypes=_dtypes(), key=key)


def _to_tolerance(task: Task) -> Found:
    """Return the first dtype's answer that meets the tolerance, with the joules of all."""
    wide = [d for d in _dtypes() if task.rtol >= ROOM * float(jnp.finfo(d).eps)]
    found = ladder.climb(task, wide[0], joules=math.inf)
    for dtype in wide[1:]:
        if found.status is not Status.CONVERGED and found.is_rounded:
            found = _better(found, ladder.climb(task, dtype, joules=math.inf))
    return found


def _better(first: Found, second: Found) -> Found:
    """Return the one with the smaller error, with the calls and joules of both."""
    best = second if second.error <= first.error else first
    return best._replace(
        num_evals=first.num_evals + second.num_evals, joules=first.joules + second.joules
    )


def _above(joules: float) -> float:
    """Return the least number of two digits that is no less."""
    unit = 10.0 ** (math.floor(math.log10(joules)) - 1)
    digits = math.ceil(joules / unit)
    while float(f"{digits * unit:.1e}") < joules:  # the quotient was rounded down
        digits += 1
    return float(f"{digits * unit:.1e}")


def _report(task: Task, found: Found, budget: float | None, reading: Reading | None) -> Report:
    measured = None if reading is None else reading.joules
    is_measured = measured is not None
    return Report(
        joules=found.joules if measured is None else measured,
        is_measured=is_measured,
        error=found.error,
        num_evals=found.num_evals,
        rule=found.rule,
        dtype=found.dtype,
        device="this machine" if is_measured else task.device.name,
        spread=1.0 if is_measured else task.device.spread,
        budget=budget,
        status=found.status,
        note="" if reading is None else str(reading),
    )
