"""Which lanes go on: successive halving and median stopping, as functions of what was measured.

Lanes are looked at after the same numbers of steps, the *rungs*; between them they run alone, so
that what a lane computes never depends on the others. A rule sees one number a lane and rung, made
so that more is better; NaN is worse than everything.

Halving: of n lanes, floor(n / eta^(r+1)) go on after rung r, at least one. Median: a lane stops
where its best so far is worse than the median of the other lanes' means up to the same rung.

Sources: Jamieson and Talwalkar (2016), Non-stochastic best arm identification and hyperparameter
optimization, algorithm 1; Golovin et al. (2017), Google Vizier, section 3.2.2.
"""

import bisect
import math
import statistics
from collections.abc import Mapping, Sequence

from mastery_jax.workflow.sweep.search import Halving, Median, Stop

__all__ = ["counts", "first", "halve", "idle", "keep", "median", "rungs"]

Series = Mapping[int, Sequence[float]]  # lane -> its numbers at the rungs so far, more is better


def rungs(stop: Stop | None, num_steps: int) -> tuple[int, ...]:
    """Return after which steps the lanes are looked at, the end not among them.

    Args:
        stop: The rule; of none there are no rungs.
        num_steps: The steps of the longest lane.
    """
    if stop is None:
        return ()
    if isinstance(stop, Halving):
        found, step = [], first(stop)
        while step < num_steps:
            found.append(step)
            step *= stop.eta
        return tuple(found)
    return tuple(range(first(stop), num_steps, stop.every))


def first(stop: Stop) -> int:
    """Return after which step lanes are looked at first."""
    return max(getattr(stop, "min_steps", 0), getattr(stop, "every", 0))


def idle(stop: Stop | None, num_steps: int) -> str:
    """Return why a rule has no occasion to choose; nothing where it has one."""
    if stop is None or rungs(stop, num_steps):
        return ""
    return (
        f"search.stop={type(stop).__name__.lower()} first looks after step {first(stop)}, and no "
        f"lane goes beyond step {num_steps}: it does nothing"
    )


def counts(stop: Stop | None, num_lanes: int, num_steps: int) -> list[tuple[int, int]]:
    """Return each rung and the end, and how many lanes go there at most."""
    found, going = [], num_lanes
    for rung, step in enumerate((*rungs(stop, num_steps), num_steps)):
        if isinstance(stop, Halving) and rung:
            going = max(1, num_lanes // stop.eta**rung)
        found.append((step, going))
    return found


def keep(stop: Stop, series: Series, alive: Sequence[int], num_lanes: int) -> set[int]:
    """Return which of ``alive`` go on.

    Args:
        stop: The rule.
        series: The numbers of every lane so far, those that have ended too.
        alive: The lanes that are at the newest rung.
        num_lanes: How many lanes began.
    """
    if isinstance(stop, Halving):
        rung = max(len(series[lane]) for lane in alive)
        newest = {lane: series[lane][-1] for lane in alive}
        return halve(newest, max(1, num_lanes // stop.eta**rung))
    if isinstance(stop, Median):
        return median(series, alive, stop.min_lanes)
    return set(alive)


def halve(newest: Mapping[int, float], count: int) -> set[int]:
    """Return the ``count`` best lanes; of equals those that come first."""
    return set(sorted(newest, key=lambda lane: (-_number(newest[lane]), lane))[:count])


def median(series: Series, alive: Sequence[int], least: int) -> set[int]:
    """Return the lanes that are no worse than the median of the others, at least ``least``."""
    rung = max(len(series[lane]) for lane in alive)
    means = {lane: _mean(found[:rung]) for lane, found in series.items() if len(found) >= rung}
    ranked = sorted(means.values())
    best = {lane: max(map(_number, series[lane])) for lane in alive}
    going = {lane for lane in alive if best[lane] >= _median_without(ranked, means[lane])}
    return going | halve(best, least)


def _mean(values: Sequence[float]) -> float:
    """Return the mean, which one value that is worse than everything makes so."""
    numbers = [_number(value) for value in values]
    return -math.inf if -math.inf in numbers else statistics.fmean(numbers)


def _median_without(ranked: Sequence[float], one: float) -> float:
    """Return the median of sorted numbers without one of them. Cost: O(log n)."""
    place, count = bisect.bisect_left(ranked, one), len(ranked) - 1
    if not count:
        return -math.inf

    def at(index: int) -> float:
        return ranked[index + (index >= place)]

    return statistics.median((at((count - 1) // 2), at(count // 2)))


def _number(value: float) -> float:
    return -math.inf if math.isnan(value) else value
