"""Means over seeds with intervals, and paired tests, of plain numbers.

A mean has the interval of Student's t, mean +- t(0.975, n - 1) s / sqrt(n), which takes the seeds
as a sample from a normal distribution. The paired test asks whether the differences d of two
groups, seed by seed, could have mean zero: under that hypothesis t = mean(d) sqrt(n) / s(d) has
Student's distribution with n - 1 degrees of freedom, and p is the probability of one at least as
far from zero. Of m tests some p is small by chance: after Holm the probability that any true
hypothesis is rejected stays below the level that p is held against, whatever the tests share.

Source: Student (1908), The probable error of a mean; Holm (1979), A simple sequentially rejective
multiple test procedure.
"""

import functools
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

__all__ = ["Estimate", "PairedTest", "estimate", "holm", "paired"]


class Estimate(NamedTuple):
    """A mean with its 95 % interval; one value has no interval, none no mean: NaN."""

    mean: float
    low: float
    high: float
    n: int


class PairedTest(NamedTuple):
    """A paired test; NaN for fewer than two pairs, and for differences equal but for rounding."""

    p: float
    holm: float  # p after the correction for the number of tests


def estimate(values: Iterable[float]) -> Estimate:
    """Return the mean of ``values`` and its 95 % interval. Cost: O(n).

    Args:
        values: Independent, one a seed; what is not finite is left out.
    """
    found = [x for x in values if math.isfinite(x)]
    n = len(found)
    if n < 2:
        return Estimate(found[0] if found else math.nan, math.nan, math.nan, n)
    mean, spread = _moments(found)
    half = _quantile(n - 1) * spread / math.sqrt(n)
    return Estimate(mean, mean - half, mean + half, n)


def paired(differences: Iterable[float], *, rounding: float = 0.0) -> float:
    """Return the p-value of the paired t test, of two sides. Cost: O(n).

    Args:
        differences: One a seed; what is not finite is left out.
        rounding: How far apart differences may be that are the same but for it.

    Returns:
        NaN where there are fewer than two differences, or where they are all the same: then
        nothing tells how far they would spread.
    """
    found = [x for x in differences if math.isfinite(x)]
    if len(found) < 2 or max(found) - min(found) <= rounding:
        return math.nan
    from scipy.special import stdtr

    mean, spread = _moments(found)
    return 2 * float(stdtr(len(found) - 1, -abs(mean) * math.sqrt(len(found)) / spread))


def holm(ps: Sequence[float]) -> list[float]:
    """Return p-values after Holm's correction, in their order. Cost: O(m log m).

    The k-th smallest of m is multiplied by m - k + 1, and none is below one that was smaller.

    Args:
        ps: p-values; NaN is no test: it stays, and does not count in m.
    """
    ranked = sorted((p, index) for index, p in enumerate(ps) if not math.isnan(p))
    adjusted, least = [math.nan] * len(ps), 0.0
    for rank, (p, index) in enumerate(ranked):
        least = max(least, min(1.0, (len(ranked) - rank) * p))
        adjusted[index] = least
    return adjusted


def _moments(found: Sequence[float]) -> tuple[float, float]:
    """Return mean and standard deviation; equal values have exactly none."""
    if min(found) == max(found):
        return found[0], 0.0
    try:
        mean = math.fsum(found) / len(found)
    except OverflowError:
        mean = math.fsum(x / len(found) for x in found)
    return mean, math.hypot(*(x - mean for x in found)) / math.sqrt(len(found) - 1)


@functools.cache
def _quantile(freedom: int) -> float:
    """Return t(0.975) of Student's distribution."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.975))
