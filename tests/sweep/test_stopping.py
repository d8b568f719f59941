"""Rules that say which lanes go on."""

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mastery_jax.workflow.sweep import population, stopping
from mastery_jax.workflow.sweep.search import Halving, Median, Population

NUMBERS = st.floats(-100, 100) | st.just(math.nan)
LANES = st.dictionaries(st.integers(0, 99), NUMBERS, min_size=1, max_size=30)


def worth(number):
    return -math.inf if math.isnan(number) else number


@pytest.mark.parametrize(
    ("stop", "found"),
    [
        (None, ()),
        (Halving(min_steps=10), (10, 30, 90)),
        (Halving(min_steps=50, eta=2), (50, 100, 200)),
        (Halving(min_steps=270), ()),
        (Median(every=100), (100, 200)),
        (Median(every=100, min_steps=150), (150, 250)),
        (Population(every=90), (90, 180)),
    ],
)
def test_rungs(stop, found):
    assert stopping.rungs(stop, 270) == found


@given(LANES, st.integers(1, 30))
def test_the_best_go_on(newest, count):
    going = stopping.halve(newest, count)
    assert len(going) == min(count, len(newest))
    least = min(worth(newest[lane]) for lane in going)
    assert all(worth(newest[lane]) <= least for lane in newest.keys() - going)


def test_of_equals_the_first_go_on():
    assert stopping.halve({3: 1.0, 1: 1.0, 2: 1.0}, 2) == {1, 2}


@pytest.mark.parametrize(("rung", "count"), [(1, 9), (2, 3), (3, 1), (4, 1)])
def test_halving_counts_from_the_lanes_that_began(rung, count):
    series = {lane: [float(lane)] * rung for lane in range(12)}
    going = stopping.keep(Halving(min_steps=1), series, list(range(12)), 27)
    assert going == set(range(12 - count, 12))


@given(LANES)
def test_a_choice_that_was_cut_short_is_made_again_alike(newest):
    """Some of those to be stopped have been already when a process is killed."""
    series = {lane: [number] for lane, number in newest.items()}
    for rule in (Halving(min_steps=1), Median(every=1)):
        going = stopping.keep(rule, series, list(series), len(series))
        for stopped in series.keys() - going:
            left = [lane for lane in series if lane != stopped]
            assert stopping.keep(rule, series, left, len(series)) == going


@given(st.lists(st.lists(NUMBERS, min_size=3, max_size=3), min_size=2, max_size=9))
def test_median_stopping_by_its_definition(rows):
    series = dict(enumerate(rows))
    going = stopping.median(series, list(series), 1)
    best = {lane: max(map(worth, row)) for lane, row in series.items()}
    for lane in series:
        others = [statistics.fmean(map(worth, series[o])) for o in series if o != lane]
        if best[lane] >= statistics.median(others):
            assert lane in going
        elif lane in going:
            assert best[lane] == max(best.values())


def test_infinities_of_both_signs_have_a_mean():
    series = {0: [math.nan, math.inf], 1: [1.0, 2.0], 2: [0.0, 0.0]}
    assert stopping.median(series, [0, 1, 2], 1) == {0, 1, 2}


def test_a_median_of_many_lanes_is_cheap():
    series = {lane: [float(lane)] for lane in range(100_000)}
    assert len(stopping.median(series, list(series), 3)) == 50_000


def test_a_lane_without_others_goes_on():
    assert stopping.median({4: [math.nan]}, [4], 3) == {4}


def test_a_lane_is_judged_by_what_others_had_at_the_same_rung():
    series = {0: [1.0, 9.0], 1: [1.0, 9.0], 2: [2.0], 3: [0.0]}
    assert stopping.median(series, [2, 3], 1) == {2}


@given(LANES, st.floats(0.01, 0.5), st.integers(0, 9))
def test_the_worst_take_from_the_best(newest, fraction, seed):
    found = population.pairs(newest, fraction, (seed,))
    assert len(found) == min(int(len(newest) * fraction), len(newest) // 2)
    assert not found.keys() & set(found.values())
    givers = [worth(newest[lane]) for lane in found.values()]
    assert all(worth(newest[taker]) <= giver for taker in found for giver in givers)
    assert population.pairs(newest, fraction, (seed,)) == found
