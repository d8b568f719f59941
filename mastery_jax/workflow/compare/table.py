"""Tables of runs and of the lanes of sweeps: means, intervals and paired differences over seeds.

Runs are grouped by the fields in which they differ. Within a group the values of one seed are
averaged first, so that n counts seeds. A mean has the interval of Student's t,
mean +- t(0.975, n - 1) s / sqrt(n), which takes the seeds as a sample from a normal distribution.
The difference of two groups is taken seed by seed and has the same interval: what a seed does to
both groups drops out. An interval stands for one comparison, and the best group is best partly by
luck: with many groups read the differences as too favorable to it.

Source: Student (1908), The probable error of a mean.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from mastery_jax.workflow import spelling
from mastery_jax.workflow.compare.members import Member
from mastery_jax.workflow.errors import RunError

__all__ = [
    "Estimate",
    "Metric",
    "Row",
    "Table",
    "estimate",
    "metric",
    "table",
]

_RUNNER = ("evaluate_every", "save_every", "best")  # how often one looked is no difference
_HIGHER = ("accuracy", "auc", "f1", "precision", "recall", "r2", "elbo", "reward", "log_prob")
_LOWER = ("loss", "error", "rmse", "mse", "mae", "perplexity", "brier", "nll")
_ENDED = ("finished", "done")
_BROKEN = ("failed", "nan", "damaged")  # their last numbers are of no state worth comparing


class Metric(NamedTuple):
    """What is compared, and which way is better."""

    name: str
    mode: str  # max, min, or empty where that is unknown: then no group is best


class Estimate(NamedTuple):
    """A mean with its 95 % interval; one value has no interval, none no mean: NaN."""

    mean: float
    low: float
    high: float
    n: int


class Row(NamedTuple):
    """One group."""

    fields: Mapping[str, Any]
    members: tuple[str, ...]
    num_broken: int  # members that failed or met NaN; their values are left out
    values: Mapping[str, Mapping[Any, float]]  # metric -> seed -> value, NaN where none is left
    estimates: Mapping[str, Estimate]
    differences: Mapping[str, Estimate]  # to the reference group of the metric, seed by seed


class Table(NamedTuple):
    """Groups in the order of their fields."""

    by: tuple[str, ...]
    over: str
    metrics: tuple[Metric, ...]
    rows: tuple[Row, ...]
    reference: Mapping[str, int]  # metric -> the row with which others are compared
    notes: tuple[str, ...]  # what a reader must know


def estimate(values: Iterable[float]) -> Estimate:
    """Return the mean of ``values`` and its 95 % interval. Cost: O(n).

    Args:
        values: Independent, one a seed; what is not finite is left out.
    """
    found = [x for x in values if math.isfinite(x)]
    n = len(found)
    if n < 2:
        return Estimate(found[0] if found else math.nan, math.nan, math.nan, n)
    import numpy as np
    from scipy.special import stdtrit

    with np.errstate(over="ignore"):
        mean, spread = float(np.mean(found)), float(np.std(found, ddof=1))
    half = float(stdtrit(n - 1, 0.975)) * spread / math.sqrt(n)
    return Estimate(mean, mean - half, mean + half, n)


def metric(text: str, best: Iterable[str] = ()) -> Metric:
    """Read ``NAME``, ``NAME:max`` or ``NAME:min``.

    Args:
        text: What the user wrote.
        best: Such texts from the configs, which know better than the name.

    Raises:
        RunError: What follows the colon is neither.
    """
    name, colon, mode = text.partition(":")
    if colon and mode not in ("max", "min"):
        raise RunError(f"metric {text}: after the colon stands max or min, not {mode or 'nothing'}")
    if not colon:
        said = {known: way for known, _, way in (each.partition(":") for each in best)}
        parts = f"_{name}_"
        higher = any(f"_{word}_" in parts for word in _HIGHER)
        lower = any(f"_{word}_" in parts for word in _LOWER)
        mode = said.get(name) or ("max" if higher > lower else "min" if lower > higher else "")
    return Metric(name, mode)


def table(
    compared: Sequence[Member],
    *,
    by: Sequence[str] = (),
    over: str = "seed",
    metrics: Sequence[str] = (),
) -> Table:
    """Group members and compare the groups.

    Args:
        compared: See :func:`members`.
        by: Paths to group by, or ``config`` or ``run``; by default every field that differs
            between the members, except ``over``.
        over: The path whose values are repetitions.
        metrics: ``NAME`` or ``NAME:max``; by default those that begin with ``test_``, or else
            all.

    Raises:
        RunError: There is nothing to compare, or a field or a metric does not exist.
    """
    if not compared:
        raise RunError("there is nothing to compare: the sweep has no lanes yet")
    by = tuple(by) or _differing(compared, over)
    _confirm((*by, over), {path for member in compared for path in member.fields}, "a field")
    chosen = _metrics(compared, metrics)
    groups: dict[str, list[Member]] = {}
    for member in sorted(compared, key=lambda m: [_order(m.fields.get(path)) for path in by]):
        groups.setdefault(repr([member.fields.get(path) for path in by]), []).append(member)
    rows = [_row(group, by, over, [m.name for m in chosen]) for group in groups.values()]
    reference = {m.name: _reference(rows, m) for m in chosen}
    rows = [row._replace(differences=_differences(row, rows, reference)) for row in rows]
    notes = _notes(compared, rows, by, over, chosen)
    return Table(by, over, tuple(chosen), tuple(rows), reference, tuple(notes))


def _confirm(names: Iterable[str], known: Iterable[str], what: str) -> None:
    known = sorted(known)
    for name in names:
        if name not in known:
            hint = spelling.hint(name, known) or f"; there is {', '.join(known)}"
            raise RunError(f"{name} is not {what} of these runs{hint}")


def _differing(compared: Sequence[Member], over: str) -> tuple[str, ...]:
    """Return the fields that differ; the runs themselves where nothing does, not even a seed."""
    paths = dict.fromkeys(path for member in compared for path in member.fields)
    differ = {p for p in paths if len({repr(member.fields.get(p)) for member in compared}) > 1}
    found = tuple(p for p in paths if p in differ - {over, "config", "run", *_RUNNER})
    return found if found or over in differ or len(compared) == 1 else ("run",)


def _metrics(compared: Sequence[Member], wanted: Sequence[str]) -> list[Metric]:
    names = dict.fromkeys(name for member in compared for name in member.metrics)
    best = [text for member in compared if (text := member.fields.get("best"))]
    tested = [name for name in names if name.startswith("test_")]
    found = [metric(text, best) for text in wanted or tested or names]
    if not found:
        raise RunError("there is nothing to compare: no metric has been recorded yet")
    _confirm((m.name for m in found), names, "a metric")
    return found


def _order(value: Any) -> tuple[int, float, str]:
    """Sort numbers by size, and before everything else."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (0, value, "")
    return (1, 0.0, str(value))


def _row(group: Sequence[Member], by: Sequence[str], over: str, names: Sequence[str]) -> Row:
    values: dict[str, dict[Any, float]] = {}
    for name in names:
        seeds: dict[Any, list[float]] = {member.fields.get(over): [] for member in group}
        for member in group:
            if member.state not in _BROKEN:
                seeds[member.fields.get(over)].append(member.metrics.get(name, math.nan))
        values[name] = {seed: estimate(found).mean for seed, found in seeds.items()}
    return Row(
        fields={path: group[0].fields.get(path) for path in by},
        members=tuple(member.label for member in group),
        num_broken=sum(member.state in _BROKEN for member in group),
        values=values,
        estimates={name: estimate(values[name].values()) for name in names},
        differences={},
    )


def _reference(rows: Sequence[Row], which: Metric) -> int:
    """Return the best group, if possible one where nothing broke; without a mode, the first."""
    name, sign = which.name, {"max": 1, "min": -1, "": 0}[which.mode]
    alive = [i for i, row in enumerate(rows) if row.estimates[name].n]
    whole = [i for i in alive if rows[i].estimates[name].n == len(rows[i].values[name])]
    whole = [i for i in whole if not rows[i].num_broken]
    return max(whole or alive or [0], key=lambda i: sign * rows[i].estimates[name].mean)


def _differences(
    row: Row, rows: Sequence[Row], reference: Mapping[str, int]
) -> dict[str, Estimate]:
    found = {}
    for name, index in reference.items():
        other = rows[index].values[name]
        if rows[index].members != row.members:
            pairs = [(x, other[seed]) for seed, x in row.values[name].items() if seed in other]
            found[name] = estimate(x - y for x, y in pairs)
    return found


def _notes(
    compared: Sequence[Member],
    rows: Sequence[Row],
    by: Sequence[str],
    over: str,
    chosen: Sequence[Metric],
) -> list[str]:
    """Say what the numbers hide."""
    notes = []
    within = [path for path in _differing(compared, over) if path not in (*by, "run")]
    if within:
        notes.append(f"{', '.join(within)} also differ: averaged within each {over}")
    repeated = len(compared) > sum(len(row.values[chosen[0].name]) for row in rows)
    if repeated and not within:
        notes.append(f"some runs are alike, {over} and all: averaged before n is counted")
    if broken := sum(row.num_broken for row in rows):
        notes.append(f"{broken} of {len(compared)} failed or met NaN: left out of the means")
    measured = [m for m in compared if m.state not in _BROKEN]
    for name, _ in chosen:
        if odd := sum(not math.isfinite(m.metrics.get(name, 0.0)) for m in measured):
            notes.append(f"{odd} values of {name} are not finite: left out of the means")
    ended = sum(member.state in _ENDED for member in compared)
    if waiting := len(compared) - ended - broken:
        notes.append(f"{waiting} of {len(compared)} have not ended: their last values count")
    counts = [row.estimates[m.name].n for row in rows for m in chosen]
    if 1 in counts:
        some = "some groups have" if max(counts) > 1 else "there is"
        notes.append(f"{some} one {over} only: no interval")
    return notes
