"""Which lanes go on: successive halving and median stopping, as functions of what was measured.

Lanes are looked at after the same numbers of steps, the *rungs*; between them they run alone, so
that what a lane computes never depends on the others. A rule sees one number a lane and rung, made
so that more is better; NaN is worse than everything.

Halving: of n lanes, floor(n / eta^(r+1)) go on after rung r, at least one. Median: a lane stops
where its best so far is worse than the median of the other lanes' means up to the same rung.

Sources: Jamieson and Talwalkar (2016), Non-stochastic best arm identification and hyperparameter
optimization, algorithm 1; Golovin et al. (2017), Google Vizier, section 3.2.2.
"""

import math
import statistics
from collections.abc import Mapping, Sequence

from mastery_jax.workflow.sweep.search import Halving, Median, Stop

__all__ = ["counts", "halve", "keep", "median", "rungs"]

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
        found, step = [], stop.min_steps
        while step < num_steps:
            found.append(step)
            step *= stop.eta
        return tuple(found)
    first = getattr(stop, "min_steps", 0) or stop.every
    return tuple(range(max(first, stop.every), num_steps, stop.every))


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
    means = {
        lane: statistics.fmean(map(_number, found[:rung]))
        for lane, found in series.items()
        if len(found) >= rung
    }
    best = {lane: max(map(_number, series[lane])) for lane in alive}
    going = {
        lane
        for lane in alive
        if not (others := [mean for other, mean in means.items() if other != lane])
        or best[lane] >= statistics.median(others)
    }
    return going | halve(best, least)


def _number(value: float) -> float:
    return -math.inf if math.isnan(value) else value
