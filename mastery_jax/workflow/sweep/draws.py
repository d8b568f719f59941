"""Distinct points drawn from distributions: more of them go on where fewer ended.

Source: Sobol (1967), scrambled as in Owen (1998), by ``scipy.stats.qmc``.
"""

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

from mastery_jax.workflow.errors import ConfigError
from mastery_jax.workflow.sweep.notation import Distribution
from mastery_jax.workflow.sweep.search import Search

__all__ = ["draw", "refuse_few"]

CHUNK = 256  # rows at a time; of a Sobol sequence the first of them must be a power of 2
BITS = 53  # as many as a float has: with fewer, not every whole number of a wide range is drawn
PATIENCE = 4096  # repeats in a row, after which what is not yet drawn is taken in order


def refuse_few(distributions: Mapping[str, Distribution], search: Search) -> None:
    """Refuse to draw more points than there are.

    Args:
        distributions: By field path.
        search: How many are drawn.

    Raises:
        ConfigError: All are discrete, and there are fewer.
    """
    if any(_size(distribution) is None for distribution in distributions.values()):
        return
    total = math.prod(_size(distribution) or 0 for distribution in distributions.values())
    if total < search.num_samples:
        raise ConfigError(
            f"{', '.join(distributions)}: there are only {total:,} points to draw, "
            f"fewer than search.num_samples={search.num_samples}"
        )


def draw(distributions: Mapping[str, Distribution], search: Search) -> list[dict[str, Any]]:
    """Return ``search.num_samples`` distinct points; O(points), and a little for repeats.

    Args:
        distributions: By field path.
        search: How many, by which sequence and seed.

    Raises:
        ConfigError: There are not so many.
    """
    refuse_few(distributions, search)
    made, wanted = tuple(distributions.values()), search.num_samples
    found: dict[tuple[Any, ...], None] = {}  # a set that keeps its order
    repeats = 0
    for row in _rows(len(made), search):
        place = tuple(map(_place, made, row))
        repeats = repeats + 1 if place in found else 0
        found[place] = None
        if len(found) == wanted or repeats == PATIENCE:
            break
    if len(found) < wanted:
        found |= dict.fromkeys(_rest(made, found, wanted))
    return [
        {path: _at(distributions[path], at) for path, at in zip(distributions, place, strict=True)}
        for place in found
    ]


def _rows(width: int, search: Search) -> Iterator[list[float]]:
    """Yield rows of numbers in [0, 1) without end."""
    import numpy as np

    if search.draw == "random":
        generator = np.random.default_rng(search.seed)
        while True:
            yield from generator.random((CHUNK, width)).tolist()
    from scipy.stats import qmc

    sobol = qmc.Sobol(width, bits=BITS, rng=search.seed)
    while True:
        yield from sobol.random(CHUNK).tolist()


def _size(distribution: Distribution) -> int | None:
    """Return how many values there are, ``None`` for a range of real numbers."""
    if distribution.kind == "choice":
        return len(distribution.choices)
    if distribution.kind == "integers":
        return int(distribution.high) - int(distribution.low) + 1
    return None


def _place(distribution: Distribution, part: float) -> int | float:
    """Return which value stands at a part of the way: the value, or its index where discrete."""
    if (size := _size(distribution)) is not None:
        return min(int(part * size), size - 1)
    low, high = distribution.low, distribution.high
    if distribution.kind == "loguniform":
        number = math.exp((1 - part) * math.log(low) + part * math.log(high))
    else:
        number = (1 - part) * low + part * high
    return min(max(number, low), high)


def _at(distribution: Distribution, place: Any) -> Any:
    if distribution.kind == "choice":
        return distribution.choices[place]
    if distribution.kind == "integers":
        return type(distribution.low)(int(distribution.low) + place)
    return place


def _rest(
    made: tuple[Distribution, ...], found: Mapping[tuple[Any, ...], None], wanted: int
) -> Iterator[tuple[Any, ...]]:
    """Yield the points that are missing, in order."""
    sizes = [size for distribution in made if (size := _size(distribution)) is not None]
    if len(sizes) < len(made):
        raise ConfigError(
            f"only {len(found):,} distinct points were found, "
            f"fewer than search.num_samples={wanted}: widen a range"
        )
    every = itertools.product(*map(range, sizes))
    missing = (place for place in every if place not in found)
    return itertools.islice(missing, wanted - len(found))
