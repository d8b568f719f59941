"""Means over pairs of swept fields: what heat-maps show, and which pairs are worth one."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mastery_jax.workflow.convert import show

__all__ = ["Pair", "levels", "pairs"]

_MANY = 24  # values of a field; numbers of more are put into intervals
_INTERVALS = 10


class Pair(NamedTuple):
    """Two fields, and a mean for each pair of their values."""

    x: str
    y: str
    xs: tuple[str, ...]
    ys: tuple[str, ...]
    means: tuple[tuple[float, ...], ...]  # one row a value of y; NaN where there is none
    spread: float  # from the least of them to the greatest


def levels(
    values: Sequence[Any], is_wide: bool = False
) -> tuple[list[int], tuple[str, ...]] | None:
    """Return the level of each value, and the names of the levels in their order.

    Numbers of many values are put into intervals of equal width, named by their middle, on a
    logarithmic scale where they are wide. Words of as many have no levels: ``None``.
    """
    distinct = list(dict.fromkeys(values))
    numbers = [x for x in distinct if isinstance(x, int | float) and not isinstance(x, bool)]
    if len(distinct) <= _MANY:
        if len(numbers) == len(distinct):
            distinct.sort()
        names = [x if isinstance(x, str) else show(x) for x in distinct]
        short = [
            f"{x:.4g}" if isinstance(x, float) else n for x, n in zip(distinct, names, strict=True)
        ]
        names = short if len(set(short)) == len(names) else names
        return [distinct.index(x) for x in values], tuple(names)
    if len(numbers) < len(distinct):
        return None
    warp, back = (math.log10, lambda x: 10**x) if is_wide else (float, float)
    low, high = warp(min(numbers)), warp(max(numbers))
    step = (high - low) / _INTERVALS
    names = tuple(f"{back(low + step * (k + 0.5)):.2g}" for k in range(_INTERVALS))
    return [min(int((warp(x) - low) / step), _INTERVALS - 1) for x in values], names


def pairs(
    columns: Mapping[str, Sequence[Any]], values: Sequence[float], wide: Sequence[str] = ()
) -> list[Pair]:
    """Return a pair for every two fields, that of the largest spread of means first.

    A mean is over all groups that have the two values, whatever their other fields. Cost:
    O(n k^2) for n groups and k fields.

    Args:
        columns: Field -> its value in each group.
        values: The metric in each group; NaN is left out.
        wide: Fields whose scale is logarithmic.
    """
    found = []
    levelled = {name: levels(each, name in wide) for name, each in columns.items()}
    for (y, at_y), (x, at_x) in itertools.combinations(levelled.items(), 2):
        if at_x is None or at_y is None or len(at_x[1]) < 2 or len(at_y[1]) < 2:
            continue
        cells: dict[tuple[int, int], list[float]] = {}
        for row, column, value in zip(at_y[0], at_x[0], values, strict=True):
            if math.isfinite(value):
                cells.setdefault((row, column), []).append(value)
        if not cells:
            continue
        mean = {place: math.fsum(each) / len(each) for place, each in cells.items()}
        table = tuple(
            tuple(mean.get((row, column), math.nan) for column in range(len(at_x[1])))
            for row in range(len(at_y[1]))
        )
        spread = max(mean.values()) - min(mean.values())
        found.append(Pair(x, y, at_x[1], at_y[1], table, spread))
    return sorted(found, key=lambda pair: -pair.spread)
