"""Several objectives at once: what no other point is better than.

With every objective so that more is better, a dominates b where a_i >= b_i for all i and a_j > b_j
for some j. The front is what nothing dominates; equal points stay or go together.

Source: Kung, Luccio and Preparata (1975), On finding the maxima of a set of vectors.
"""

import math
from collections.abc import Sequence

__all__ = ["front"]


def front(points: Sequence[Sequence[float]]) -> list[bool]:
    """Say of each point whether it is on the front.

    Points are taken from the best first objective down, ties by the second and so on: what comes
    later never dominates what came before, and is held against the front so far alone. Of two
    objectives the second only rises along that front, so that its last point says it all. Cost:
    O(n log n) for two, O(n f) for more and a front of f.

    Args:
        points: One row a point, all of one length, more is better.

    Returns:
        False for a point with a NaN, which dominates nothing either.
    """
    found = [False] * len(points)
    whole = [(tuple(point), i) for i, point in enumerate(points) if not any(map(math.isnan, point))]
    whole.sort(reverse=True)
    if whole and len(whole[0][0]) > 2:
        held = _held(whole)
    else:
        held, last = [], None
        for point, _ in whole:
            held.append(last is None or point == last or point[-1] > last[-1])
            last = point if held[-1] else last
    for (_, index), is_so in zip(whole, held, strict=True):
        found[index] = is_so
    return found


def _held(ranked: Sequence[tuple[tuple[float, ...], int]]) -> list[bool]:
    """Return the same for any number of objectives, of points from the best first one down."""
    import numpy as np

    kept, count, held = np.empty((len(ranked), len(ranked[0][0]))), 0, []
    for point, _ in ranked:
        others = kept[:count]
        is_beaten = (others >= point).all(axis=1) & (others != point).any(axis=1)
        held.append(not is_beaten.any())
        if held[-1]:
            kept[count] = point
            count += 1
    return held
