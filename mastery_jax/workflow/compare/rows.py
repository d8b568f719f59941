"""Two series of metrics row by row: equal bit for bit, or where they part first."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

__all__ = ["Comparison", "Difference", "compare"]

_WORDS = ("step", "reason", "stopped")  # of a row, and no metrics


class Difference(NamedTuple):
    """One number that is not what it was."""

    step: int
    metric: str
    before: float | None  # None where it was not measured
    after: float | None
    relative: float  # to the larger one; NaN where one of them is no number

    def describe(self) -> str:
        """Return both values and how far apart they are."""
        before, after = ("missing" if x is None else repr(x) for x in (self.before, self.after))
        said = f"step {self.step}: {self.metric} was {before} and is {after}"
        is_known = not math.isnan(self.relative)
        return f"{said} (relative difference {self.relative:.2g})" if is_known else said


class Comparison(NamedTuple):
    """What came out."""

    rows: int  # compared
    last: int  # step, of both
    rtol: float  # 0 where the bits are compared
    differing: int  # rows
    first: Difference | None  # beyond the tolerance
    largest: Difference | None  # within the tolerance or not

    def describe(self) -> str:
        """Return the outcome in a line."""
        count = f"{self.rows} row{'' if self.rows == 1 else 's'}"
        if self.first is not None:
            return f"different in {self.differing} of {count}, first at {self.first.describe()}"
        if self.largest is None:
            return f"equal, bit for bit: {count}"
        return f"equal to {self.rtol:g}: {count}, the furthest at {self.largest.describe()}"

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data, NaN as NaN, which msgspec writes as null."""
        return {
            "rows": self.rows,
            "last": self.last,
            "rtol": self.rtol,
            "differing": self.differing,
            "first": self.first and self.first._asdict(),
            "largest": self.largest and self.largest._asdict(),
        }


def compare(
    before: Sequence[Mapping[str, Any]],
    after: Sequence[Mapping[str, Any]],
    *,
    rtol: float = 0.0,
    atol: float = 0.0,
) -> Comparison:
    """Compare two series of ``records.metrics`` up to the last step that both have.

    Args:
        before: At least one row.
        after: What is held against it.
        rtol: The largest difference, of the larger number; 0 compares bits.
        atol: A difference below this is none either.
    """
    last = min(rows[-1]["step"] if rows else -1 for rows in (before, after))
    either, other = _by_step(before, last), _by_step(after, last)
    steps = sorted(either.keys() | other.keys())
    found = [d for step in steps for d in _row(step, either.get(step, {}), other.get(step, {}))]
    beyond = [d for d in found if not _is_within(d, rtol, atol)]
    finite = [d for d in found if not math.isnan(d.relative)]
    return Comparison(
        rows=len(steps),
        last=last,
        rtol=rtol,
        differing=len({d.step for d in beyond}),
        first=beyond[0] if beyond else None,
        largest=max(finite, key=lambda d: d.relative, default=None),
    )


def _by_step(rows: Iterable[Mapping[str, Any]], last: int) -> dict[int, dict[str, float]]:
    """Return the metrics of each step."""
    found: dict[int, dict[str, float]] = {}
    for row in rows:
        metrics = {name: value for name, value in row.items() if name not in _WORDS}
        if metrics and row["step"] <= last:
            found.setdefault(row["step"], {}).update(metrics)
    return found


def _row(step: int, before: Mapping[str, float], after: Mapping[str, float]) -> list[Difference]:
    """Return every metric of a step whose bits differ (``repr`` tells 0.0 from -0.0)."""
    return [
        Difference(step, name, before.get(name), after.get(name), _relative(before, after, name))
        for name in dict.fromkeys([*before, *after])
        if repr(before.get(name)) != repr(after.get(name))
    ]


def _relative(before: Mapping[str, float], after: Mapping[str, float], name: str) -> float:
    a, b = before.get(name, math.nan), after.get(name, math.nan)
    size = max(abs(a), abs(b))
    return abs(a - b) / size if size > 0 and math.isfinite(size) else abs(a - b)


def _is_within(found: Difference, rtol: float, atol: float) -> bool:
    if not rtol or found.before is None or found.after is None:
        return False
    return math.isclose(found.before, found.after, rel_tol=rtol, abs_tol=atol)
