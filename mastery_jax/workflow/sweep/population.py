"""Population-based training: at a rung the worst lanes take the states of the best.

A lane that is among the worst ``fraction`` copies the state and the fields of one of the best
``fraction``, and multiplies or divides each swept number by ``factor``, by the toss of a coin.
Its own seed and its own lines of metrics stay. All of it is a gather of states along the lanes of
one program, so that nothing compiles again.

Source: Jaderberg et al. (2017), Population based training of neural networks, truncation selection
and perturbation.
"""

import math
from collections.abc import Mapping
from typing import Any

from mastery_jax.workflow import config
from mastery_jax.workflow.convert import convert_at
from mastery_jax.workflow.errors import ConfigError
from mastery_jax.workflow.sweep import states
from mastery_jax.workflow.sweep.ledger import Entry, Ledger
from mastery_jax.workflow.sweep.plan import Group
from mastery_jax.workflow.sweep.search import Population

__all__ = ["move", "pairs", "perturbed"]


def pairs(newest: Mapping[int, float], fraction: float, seed: tuple[int, ...]) -> dict[int, int]:
    """Return which lane takes the state of which: the worst -> one of the best, by chance.

    Args:
        newest: Lane -> its number at the rung, more is better; NaN is worst.
        fraction: The share that is replaced; none where that is less than one lane.
        seed: Of the choice.
    """
    import numpy as np

    def rank(lane: int) -> tuple[float, int]:
        number = newest[lane]
        return (math.inf if math.isnan(number) else -number, lane)

    ranked = sorted(newest, key=rank)
    count = min(int(len(ranked) * fraction), len(ranked) // 2)
    if not count:
        return {}
    draw = np.random.default_rng(seed)
    chosen = draw.integers(0, count, count)
    return {lane: ranked[best] for lane, best in zip(ranked[-count:], chosen, strict=True)}


def perturbed(
    value: Any, fields: Mapping[str, Any], factor: float, seed: tuple[int, ...]
) -> dict[str, Any]:
    """Return the swept numbers, each multiplied or divided by ``factor``.

    A number that its field refuses, such as a momentum above 1, stays what it was.

    Args:
        value: The config of the lane.
        fields: Its swept fields.
        factor: Above 1.
        seed: Of the coins.
    """
    import numpy as np

    draw, found = np.random.default_rng(seed), dict(fields)
    for path in config.lane_paths(value):
        if path in fields and path != "seed":
            new = fields[path] * (factor if draw.random() < 0.5 else 1 / factor)
            try:
                (found[path],) = convert_at(value, path, (new,), "population")
            except ConfigError:
                continue
    return found


def move(
    group: Group,
    rule: Population,
    seed: int,
    newest: Mapping[int, float],
    rung: int,
    ledger: Ledger,
) -> None:
    """Replace the worst lanes of a group that waits at a rung.

    Nothing is done where a lane has gone on already: then the rung was dealt with before a stop.

    Args:
        group: Lanes that share a program, so that they can share states.
        rule: How many, and how far fields move.
        seed: Of all choices.
        newest: Lane -> its number at the rung, more is better; of other groups too.
        rung: Its step.
        ledger: Where states are read and written.
    """
    entries = {entry.lane.number: entry for entry in ledger.entries(group.lanes)}
    over = (lane.number for lane in group.lanes if lane.number not in entries)
    ends = (rows[-1]["step"] for number in over if (rows := ledger.rows(number)))
    if any(step > rung for step in (*ends, *(entry.step for entry in entries.values()))):
        return
    here = {number: newest[number] for number in entries if number in newest}
    for taker, giver in pairs(here, rule.fraction, (seed, rung)).items():
        _take(entries[taker], entries[giver], rule, seed, rung, ledger)


def _take(
    taker: Entry, giver: Entry, rule: Population, seed: int, rung: int, ledger: Ledger
) -> None:
    given = {k: x for k, x in giver.lane.fields.items() if k != "seed"}
    fields = perturbed(giver.lane.value, given, rule.factor, (seed, rung, taker.lane.number))
    lane = taker.lane._replace(fields=taker.lane.fields | fields)
    said = states.Head(rung, taker.rows, lane.fields)
    if (content := giver.content()) is not None:  # as every lane that waits at a rung
        ledger.pause(lane, rung, taker.rows, states.retell(content, said))
