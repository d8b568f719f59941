"""A search whose points are chosen by what was measured at others.

A *trial* is one drawn value for each field that is drawn; its lanes are that with every point of
the lists. Lanes are numbered trial by trial. ``search.batch`` trials are asked for at a time, their
lanes are run together, then the sampler is told the mean over each trial's lanes.

What is asked for is written before it is run, and what lanes measured before it is told, so that a
kill loses neither: the batch that it fell into is run to its end and told, whatever it was at.
"""

import math
import pathlib
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from mastery_jax.workflow import config, modules
from mastery_jax.workflow.config import Sweep
from mastery_jax.workflow.errors import ConfigError
from mastery_jax.workflow.goals import direction
from mastery_jax.workflow.stops import Interrupt
from mastery_jax.workflow.sweep import asks, draws, processes, store
from mastery_jax.workflow.sweep import space as spaces
from mastery_jax.workflow.sweep.asks import Outcome, Study
from mastery_jax.workflow.sweep.ledger import Ledger
from mastery_jax.workflow.sweep.plan import Lane
from mastery_jax.workflow.sweep.search import Search

__all__ = ["num_lanes", "points", "preview", "run"]


def num_lanes(swept: Sweep) -> int:
    """Return how many lanes a search has when it is over."""
    return swept.search.num_samples * _grid_size(swept)


def preview(swept: Sweep) -> tuple[dict[str, Any], ...]:
    """Return the fields of as many lanes as a batch has, drawn without the sampler.

    What will be asked for is not known yet; these show which programs there are, and how large.
    Points that break a rule of the experiment are left out.

    Raises:
        RunError: The sampler is not installed.
        ConfigError: It cannot do what is asked, or every point breaks a rule.
    """
    search, distributions = swept.search, swept.space.distributions
    asks.confirm(search, distributions)
    count = min(search.batch, search.num_samples)
    drawn = draws.draw(distributions, msgspec.structs.replace(search, num_samples=count))
    found = [_fields(swept, each) for each in drawn]
    sound = [fields for fields, broken in found if not broken]
    if not sound:
        raise ConfigError(found[0][1])
    return tuple(lane for fields in sound for lane in fields)


def points(folder: pathlib.Path, swept: Sweep) -> dict[int, dict[str, Any]]:
    """Return the fields of every lane that was asked for so far by its number, converted.

    Args:
        folder: Of the sweep.
        swept: What is varied.

    Raises:
        RunError: A record is damaged.
    """
    known = _known(store.points(folder), swept)
    return dict(
        numbered
        for trial, drawn in sorted(known.items())
        for numbered in _numbered(swept, trial, _fields(swept, drawn)[0])
    )


def run(
    folder: pathlib.Path,
    swept: Sweep,
    search: Search,
    *,
    run_lanes: Callable[[Sequence[Lane]], None],
    ledger: Ledger,
    interrupt: Interrupt,
    say: Callable[[str], None],
) -> None:
    """Ask, run and tell until all trials are told; return early when a signal asks.

    Args:
        folder: Of the sweep.
        swept: What is varied.
        search: How it is searched.
        run_lanes: Runs the lanes of a batch that are not over; it is given all of a batch, so that
            a rule which stops lanes sees those that ended before a kill.
        ledger: How far every lane is.
        interrupt: Whether a signal asked.
        say: Where to say that a file is damaged.

    Raises:
        RunError: A record is damaged, or the sampler is not installed.
        ConfigError: The sampler cannot do what is asked.
    """
    asks.confirm(search, swept.space.distributions)
    written = store.points(folder)
    known = _known(written, swept)
    path, distributions = folder / "study.journal", swept.space.distributions
    size = _grid_size(swept)
    ran = {number // size for number in ledger.over}
    study = Study(path, search, distributions, known=known, ran=ran, say=say)
    store.write_points(folder, written)  # a line that a kill cut off would spoil the next
    for trials in _batches(search):
        is_told, all_of = study.is_told(trials[-1]), range(trials[0] * size, trials.stop * size)
        if is_told and ledger.over.issuperset(all_of):
            continue  # otherwise a record was lost since: its lane is run again, and not told
        processes.settle(interrupt)
        if interrupt.asked:
            return
        if len(study) < trials.stop:
            study.ask(trials)
        lanes, broken = _lanes(swept, {trial: study.drawn(trial) for trial in trials})
        every = sorted([*lanes, *(lane for lane, _ in broken)], key=lambda lane: lane.number)
        if new := {lane.number: lane.fields for lane in every if lane.number not in written}:
            store.append_points(folder, new)
        for lane, why in broken:
            if lane.number not in ledger.over:
                ledger.end(lane, [{"step": 0, "reason": why}])
        numbers = {lane.number for lane in lanes}
        if not numbers <= ledger.over:
            run_lanes(lanes)
        if not numbers <= ledger.over:
            return
        if not is_told:
            study.tell({trial: _outcome(swept, trial, ledger) for trial in trials})


def _batches(search: Search) -> Iterator[range]:
    """Yield the numbers of the trials that are asked for together."""
    for first in range(0, search.num_samples, search.batch):
        yield range(first, min(first + search.batch, search.num_samples))


def _grid_size(swept: Sweep) -> int:
    return math.prod(len(axis.rows) for axis in swept.space.axes)


def _known(written: Mapping[int, Mapping[str, Any]], swept: Sweep) -> dict[int, dict[str, Any]]:
    """Return the plain drawn values of every trial of which a lane is written down."""
    size, paths = _grid_size(swept), swept.space.distributions
    return {
        lane // size: {path: fields[path] for path in paths}
        for lane, fields in written.items()
        if paths.keys() <= fields.keys()
    }


def _fields(swept: Sweep, drawn: Mapping[str, Any]) -> tuple[tuple[dict[str, Any], ...], str]:
    """Return the fields of the lanes of one trial, and which rule they break, if any."""
    try:
        return config.join(swept, drawn), ""
    except ConfigError as error:
        loaded = swept.loaded
        point = spaces.converted(loaded.value, drawn, modules.short(loaded.experiment))
        return tuple({**point, **row} for row in swept.space.grid()), str(error)


def _numbered(
    swept: Sweep, trial: int, fields: Sequence[dict[str, Any]]
) -> Iterator[tuple[int, dict[str, Any]]]:
    return enumerate(fields, trial * _grid_size(swept))


def _lanes(
    swept: Sweep, drawn: Mapping[int, Mapping[str, Any]]
) -> tuple[list[Lane], list[tuple[Lane, str]]]:
    """Return the lanes of some trials: those to run, and those that break a rule, with it."""
    lanes, broken = [], []
    for trial, point in drawn.items():
        fields, why = _fields(swept, point)
        for number, each in _numbered(swept, trial, fields):
            lane = Lane(number, each, config.replace(swept.loaded.value, each))
            if why:
                broken.append((lane, why))
            else:
                lanes.append(lane)
    return lanes, broken


def _outcome(swept: Sweep, trial: int, ledger: Ledger) -> Outcome:
    """Return what is told of a trial; it failed where a lane did, or has no number for a metric."""
    size = _grid_size(swept)
    lanes = [ledger.rows(number) for number in range(trial * size, (trial + 1) * size)]
    metrics = [direction(each)[0] for each in swept.search.metrics]
    numbers = [[_last(rows, metric) for rows in lanes] for metric in metrics]
    ends = [rows[-1] for rows in lanes]
    is_finite = all(math.isfinite(x) for each in numbers for x in each)
    if any("reason" in end for end in ends) or not is_finite:
        return Outcome(None)
    values = tuple(map(statistics.fmean, numbers))
    is_stopped = all("stopped" in end for end in ends)
    return Outcome(values, max(end["step"] for end in ends) if is_stopped else None)


def _last(rows: Sequence[Mapping[str, Any]], metric: str) -> float:
    return next((row[metric] for row in reversed(rows) if metric in row), math.nan)
