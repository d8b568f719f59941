"""The running of a sweep: every lane to its end, or to where a rule stops it."""

import math
from collections.abc import Sequence
from typing import Any

from mastery_jax.workflow.goals import direction
from mastery_jax.workflow.stops import Interrupt
from mastery_jax.workflow.sweep import population, processes, stopping
from mastery_jax.workflow.sweep.ledger import Entry, Ledger
from mastery_jax.workflow.sweep.plan import Group
from mastery_jax.workflow.sweep.search import Population, Search, Stop
from mastery_jax.workflow.sweep.strategies import Place

__all__ = ["run", "series"]


def run(
    groups: Sequence[Group],
    search: Search,
    *,
    place: Place,
    ledger: Ledger,
    interrupt: Interrupt,
) -> None:
    """Run what is not over; return early when a signal asks.

    All lanes are taken to a rung, those that go on are chosen, and so on to the end. A choice
    follows from what is written down, so that one that was cut short is made again alike.

    Args:
        groups: The lanes, program by program.
        search: Its ``stop`` is the rule, its first metric what the rule looks at.
        place: Where lanes are run.
        ledger: How far every lane is.
        interrupt: Whether a signal asked.
    """
    longest = max(group.value.num_steps for group in groups)
    rungs = stopping.rungs(search.stop, longest)
    for rung, until in enumerate([*rungs, longest]):
        due = [(group, _due(group, until, ledger)) for group in groups]
        place.advance([each for each in due if each[1]], until, ledger, interrupt)
        processes.settle(interrupt)
        if interrupt.asked:
            return
        if search.stop is not None and until < longest:
            _choose(groups, search, search.stop, rungs[: rung + 1], ledger)


def _due(group: Group, until: int, ledger: Ledger) -> list[Entry]:
    """Return the lanes that are not there yet; those that a kill caught at their end are ended."""
    found = []
    for entry in ledger.entries(group.lanes):
        if entry.is_over:
            ledger.end(entry.lane, entry.rows)
        elif not entry.step or entry.step < until:
            found.append(entry)
    return found


def _choose(
    groups: Sequence[Group], search: Search, stop: Stop, rungs: Sequence[int], ledger: Ledger
) -> None:
    """Stop the lanes that do not go on from the newest rung, or let a population move."""
    metric, sign = direction(search.metrics[0])
    lanes = {lane.number: lane for group in groups for lane in group.lanes}
    found = {n: series(ledger.rows(n), metric, sign, rungs) for n in lanes}
    waiting = [entry for entry in ledger.entries(lanes.values()) if entry.step == rungs[-1]]
    if not waiting:
        return
    if isinstance(stop, Population):
        newest = {entry.lane.number: found[entry.lane.number][-1] for entry in waiting}
        for group in groups:
            population.move(group, stop, search.seed, newest, rungs[-1], ledger)
        return
    alive = [entry.lane.number for entry in waiting]
    # Of a lane whose record was lost the others have long gone on, or were stopped here: among
    # them it is judged as it was, and none of them is judged again.
    there = [n for n, numbers in found.items() if len(numbers) == len(rungs)]
    judged = [n for n in there if _was_judged(ledger.rows(n), rungs[-1])]
    going = stopping.keep(stop, found, [*alive, *judged], len(lanes))
    least = min((found[number][-1] for number in going), default=math.nan)
    on = f"those that go on have {sign * least:.6g} or better"
    for number in alive:
        if number not in going:
            mine = f"{metric} {sign * found[number][-1]:.6g}"
            why = f"{type(stop).__name__.lower()}: {mine}, {on}"
            ledger.stop(lanes[number], rungs[-1], why)


def _was_judged(rows: Sequence[dict[str, Any]], rung: int) -> bool:
    """Say whether a lane that does not wait at a rung was there, and did not end by itself."""
    last = rows[-1] if rows else {"step": 0}
    return last["step"] > rung or (last["step"] == rung and "stopped" in last)


def series(
    rows: Sequence[dict[str, float]], metric: str, sign: int, rungs: Sequence[int]
) -> list[float]:
    """Return what a lane has measured at each rung that it came to, made so that more is better."""
    at = {row["step"]: row[metric] for row in rows if metric in row}
    return [sign * at[rung] for rung in rungs if rung in at]
